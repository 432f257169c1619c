#ifndef PARLEY_PS_ETCD_COPY_PLACE_H_
#define PARLEY_PS_ETCD_COPY_PLACE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "net/etcd_client.h"
#include "net/shard_leadership.h"
#include "ps/copy_place.h"

namespace parley {

// An EtcdCopyPlace finds a task for a shard's copy among those that are in etcd: the one that has
// it, else the shard's own, else the next after the leader's that is there; and says in etcd when
// the copy is in sync. Thread safety: as CopyPlace.
class EtcdCopyPlace final : public CopyPlace {
 public:
  struct Options {
    std::shared_ptr<EtcdClient> etcd;
    std::string job;
    int shard = 0;
    int task = 0;  // the leader's
    int num_tasks = 0;
    bool took_over = false;
    // The way to a task ("ps:1") at an address.
    std::function<std::shared_ptr<ParameterServer>(const std::string& task,
                                                   const std::string& address)>
        channel;
    // Whether nobody listens there (net/probe_address.h).
    std::function<bool(const std::string& address)> is_refused;
  };

  EtcdCopyPlace(Options options, std::shared_ptr<ShardLeadership> leadership);

  uint64_t term() const override { return leadership_->term(); }
  bool TookOver() const override { return options_.took_over; }
  absl::StatusOr<std::shared_ptr<ParameterServer>> Choose() override;
  bool IsGone() override;
  absl::Status SetInSync(uint64_t keeper) override;

 private:
  const Options options_;
  const std::shared_ptr<ShardLeadership> leadership_;
  // What was chosen last.
  int chosen_ = -1;
  std::string address_;
};

}  // namespace parley

#endif  // PARLEY_PS_ETCD_COPY_PLACE_H_
