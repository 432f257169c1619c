#ifndef PARLEY_PS_ETCD_COPY_PLACE_H_
#define PARLEY_PS_ETCD_COPY_PLACE_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "net/etcd_client.h"
#include "net/shard_leadership.h"
#include "ps/copy_place.h"
#include "ps/succession_plan.h"

namespace parley {

// An EtcdCopyPlace finds a task for a shard's copy among those that are in etcd: the one that has
// handed the shard over, else the one that is wanted, else the one that has it, else the shard's
// home, else the next after the leader's that is there; and says in etcd when the copy is in sync.
// Thread safety: as CopyPlace; SetPlan from any thread.
class EtcdCopyPlace final : public CopyPlace {
 public:
  struct Options {
    std::shared_ptr<EtcdClient> etcd;
    std::string job;
    int task = 0;  // the leader's
    bool took_over = false;
    // The way to a task ("ps:1") at an address.
    std::function<std::shared_ptr<ParameterServer>(const std::string& task,
                                                   const std::string& address)>
        channel;
    // This task, where it keeps a copy of its own before it hands the shard over.
    std::shared_ptr<ParameterServer> own;
    // Whether nobody listens there (net/probe_address.h).
    std::function<bool(const std::string& address)> is_refused;
  };

  EtcdCopyPlace(Options options, const CopyPlan& plan, std::shared_ptr<ShardLeadership> leadership);

  void SetPlan(const CopyPlan& plan);

  uint64_t term() const override { return leadership_->term(); }
  bool TookOver() const override { return options_.took_over; }
  absl::StatusOr<std::shared_ptr<ParameterServer>> Choose() override;
  bool IsGone() override;
  bool IsToMove() const override;
  absl::StatusOr<std::shared_ptr<ParameterServer>> BeginMove() override;
  void EndMove() override;
  bool IsKnown() const override { return predecessor_ >= 0; }
  bool MayAdopt() const override { return predecessor_ >= 0 && chosen_.task == predecessor_; }
  std::shared_ptr<ParameterServer> OwnPlace() const override;
  void SetOwn(std::function<bool()> has_all) override;

  // Whether this task has a copy of its own with all that is kept by now; between BeginPause and
  // EndPause, whether both copies have that and nothing else, and get nothing more. Any thread.
  bool OwnHasAll() const;
  void BeginPause();
  void EndPause();
  uint64_t pause() const override { return pause_; }
  absl::Status SetInSync(uint64_t keeper) override;

 private:
  const Options options_;
  const std::shared_ptr<ShardLeadership> leadership_;
  const int predecessor_;  // who handed the shard over, and has a copy; -1: nobody
  CopyPlan plan() const;

  mutable Mutex mutex_;
  std::function<bool()> own_has_all_ ABSL_GUARDED_BY(mutex_);
  CopyPlan plan_ ABSL_GUARDED_BY(mutex_);

  struct Chosen {
    int task = -1;
    std::string address;
  };
  absl::StatusOr<std::shared_ptr<ParameterServer>> ChooseFrom(
      const std::vector<int>& candidates, const std::map<int, std::string>& tasks,
      Chosen* chosen) const;
  std::atomic<uint64_t> pause_{0};
  uint64_t pauses_ = 0;      // begun so far, by the thread that calls BeginPause
  Chosen chosen_;            // last
  std::atomic<int> at_{-1};  // its task
  Chosen next_;              // of a move
};

}  // namespace parley

#endif  // PARLEY_PS_ETCD_COPY_PLACE_H_
