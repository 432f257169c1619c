#ifndef PARLEY_PS_SUCCESSION_H_
#define PARLEY_PS_SUCCESSION_H_

#include <atomic>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "base/mutex.h"
#include "net/etcd_client.h"
#include "net/etcd_lease.h"
#include "net/shard_leadership.h"
#include "net/shard_records.h"
#include "ps/etcd_copy_place.h"
#include "ps/shard.h"
#include "ps/shard_host.h"
#include "ps/standby.h"
#include "ps/succession_plan.h"

namespace parley {

// A Succession is a ps task's part in who speaks for which shard ("Who speaks for a shard" in
// docs/architecture.md): it leads the shards that are at home here when nobody has led them, takes
// over shards whose copies are here when their leaders are gone, and lets go of those that others
// have taken. One that it leads and whose home is another task it hands over, when that is there
// and has the copy. A task that is about to leave hands over all it leads, likewise, to tasks that
// stay, and nobody's copies are begun there.
//
// It looks at what etcd says and does what follows from that and from what is here; so it does not
// matter what was seen of the way there, or whether an answer was lost.
//
// Thread safety: safe from any thread. Threads: one, which does all that and blocks for etcd.
class Succession {
 public:
  struct Options {
    std::shared_ptr<EtcdClient> etcd;
    std::string job;
    TaskStart self;
    std::string address;  // where others reach this task, "host:port"
    int num_shards = 0;
    int num_tasks = 0;  // that the job began with
    // After this, at most and about, others know that a task whose host is gone is dead.
    absl::Duration lease = absl::Seconds(2);
    // For how long a task is to be there before shards come home to it.
    absl::Duration settling = absl::Seconds(1);
    // How long a shard's task waits for somebody who has its state.
    absl::Duration patience = absl::Seconds(10);
    // As EtcdCopyPlace::Options.
    std::function<std::shared_ptr<ParameterServer>(const std::string& task,
                                                   const std::string& address)>
        channel;
    std::function<bool(const std::string& address)> is_refused;
    // Of which term the log is that this task wrote of a shard; 0: it has none. Null: there are no
    // logs.
    std::function<uint64_t(int shard)> log_term;
    // A shard without a job, whose copy is kept there.
    std::function<std::shared_ptr<Shard>(int shard, std::shared_ptr<CopyPlace> place)> new_shard;
  };

  // Of a task whose address is in etcd. `standby`, of start options.self.start, and `host` must
  // outlive it.
  Succession(Options options, Standby* standby, ShardHost* host);
  // Others may take over what this task leads.
  ~Succession();

  // Whether all shards' jobs are done, for all that etcd says.
  bool IsOver() const;
  // Whether the job goes on without this task, as an operator or Leave said, and nothing is here
  // any more that another task could have instead.
  bool IsSurplus() const;

  // From now on other tasks get what is here: those that are there and do not leave themselves.
  void Leave();
  // After Leave: whether, for all that etcd says, there is no other to go on.
  bool IsAlone() const;

  // The job is done, and stays so though a worker comes late.
  void SetDone() { done_ = true; }
  // Does nothing from now on but to hold what it leads. Of shards whose job is done nothing is left
  // in etcd.
  void Close();

 private:
  struct Led {
    std::shared_ptr<ShardLeadership> leadership;
    std::shared_ptr<Shard> shard;
    std::shared_ptr<EtcdCopyPlace> place;
    bool recovers = false;  // from its log, for which there was no room yet; nobody is answered
    absl::Time handed_over = absl::InfiniteFuture();  // when it was; infinite: it is not
    absl::Time may_hand_over = absl::InfinitePast();  // from when on
  };
  struct Known {
    bool was_led = false;  // by anybody, since this task's start
    uint64_t term = 0;     // that etcd had last; 0: none
    TaskStart leader;      // of that term
    bool over = false;     // it was led, and then etcd had nothing of it
    absl::Time leaderless_since =
        absl::InfiniteFuture();  // as far as this task looked all the time
    bool frozen = false;         // the copy here
    bool takes_copy = false;     // the last attempt to lead it was made with the copy
    uint64_t kept_term = 0;      // of the copy that it kept when it handed the shard over; 0: none
    bool takes_log = false;      // likewise, with its log
  };

  void Run();
  // Whether another start of this task has its place: this one was thought to be dead, and decides
  // nothing any more.
  bool IsReplaced() const;
  // Whether the lease is held; gets another where it was lost.
  bool HasLease();
  void Review(int shard, const ShardRecords& now);
  void ReviewLed(int shard, const ShardRecords& now);
  bool ShouldHandOver(int shard, const ShardRecords& now) const;
  // Whether it waits for the shard's home to take over, having handed it over or doing so now.
  bool HandsOver(int shard, const ShardRecords& now);
  // Has etcd say that this task leaves, or does not.
  void SayWhetherLeaving(bool leaving);
  bool NeedsThisTask(bool leaving) const;
  // Whether the copy here is to be taken over, or what else it takes to lead the shard.
  bool ShouldTakeOver(const ShardRecords& now) const;
  // Whether an earlier start of this task led it last, and has left a log of that.
  bool ShouldGoOnFromLog(int shard, const ShardRecords& now);
  bool ShouldBeginAnew(int shard, const ShardRecords& now);
  // Plans by what etcd says now; what was seen before a long while without a look counts no more.
  void TakeRecords(AllShardRecords records);
  void ForgetOperator();
  void RemoveEarlierStart(int shard, const ShardRecords& now);
  void Lead(int shard, const ShardRecords& seen);
  void Serve(int shard, std::shared_ptr<ShardLeadership> leadership);
  // Goes on with the shard from this task's log, unless there is no room for the next one.
  void Recover(int shard);
  void Answer(int shard);
  void Drop(int shard, const std::string& why);
  ShardLeadership::Options LeadershipOptions(int shard) const;

  const Options options_;
  const std::string task_;  // "ps:1"
  Standby* const standby_;
  ShardHost* const host_;

  // The thread's, and after it has ended the owner's.
  std::shared_ptr<EtcdLease> lease_;
  std::map<int, Led> led_;
  SuccessionPlan plan_;  // of what is reviewed
  absl::Time looked_ = absl::InfinitePast();
  std::vector<Known> known_;
  std::list<std::shared_ptr<Shard>> dropped_;  // until nobody calls them any more

  mutable Mutex mutex_;
  CondVar changed_;
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
  bool over_ ABSL_GUARDED_BY(mutex_) = false;
  bool surplus_ ABSL_GUARDED_BY(mutex_) = false;
  bool leaving_ ABSL_GUARDED_BY(mutex_) = false;
  bool alone_ ABSL_GUARDED_BY(mutex_) = false;
  std::atomic<bool> done_{false};
  std::thread thread_;
};

}  // namespace parley

#endif  // PARLEY_PS_SUCCESSION_H_
