#ifndef PARLEY_PS_SUCCESSION_PLAN_H_
#define PARLEY_PS_SUCCESSION_PLAN_H_

#include <map>
#include <set>
#include <vector>

#include "absl/time/time.h"
#include "net/shard_records.h"

namespace parley {

// Where a shard's copies are to be.
struct CopyPlan {
  int num_tasks = 0;      // from which on tasks keep no copies
  std::set<int> leaving;  // tasks that begin to keep none either
  int home = 0;           // the task that is to speak for the shard
  int wanted = -1;        // the task that is to keep the copy; -1: any
};

// A SuccessionPlan is what one ps task concludes from etcd's records alone: where each shard is at
// home, where its copies are to be, which tasks stay, and whether this one is needed. It asks
// nobody and does nothing; Succession acts upon it. Every task comes to the same homes, but for
// when it saw others come.
//
// Thread safety: none.
class SuccessionPlan {
 public:
  // Of task `self` in a job of `num_shards` that began with `first_tasks` ps tasks. Shards come
  // home to a task that has been there for `settling`.
  SuccessionPlan(int self, int num_shards, int first_tasks, absl::Duration settling);

  // What etcd says at `now`. What follows is as of then.
  void Take(AllShardRecords records, absl::Time now);
  // Etcd has been told that this task leaves, as that start of it; 0: that it does not.
  void SetLeaving(uint64_t start);

  const AllShardRecords& records() const { return records_; }
  const ShardRecords& of(int shard) const { return records_.shards[static_cast<size_t>(shard)]; }
  // That there are to be.
  int num_tasks() const { return num_tasks_; }

  // The task that is to speak for the shard: where the homes have it (net/shard_homes.h), and while
  // that one leaves, where it is, or next to be, so that no shard moves twice for that.
  int HomeOf(int shard) const { return homes_[static_cast<size_t>(shard)]; }
  // Where it was to begin, also where an earlier run of the job has left word of more tasks.
  int FirstHomeOf(int shard) const;
  CopyPlan CopiesOf(int shard) const;

  bool IsThere(int task) const { return records_.tasks.count(task) > 0; }
  // Whether it is there, and has been for a while.
  bool IsSettled(int task) const;
  bool IsLeaving(int task) const;
  // Whether another task is there and stays.
  bool HasSuccessor() const;
  // Whether one is to be there, now or later, beside `leader` and this one.
  bool AnotherMayKeepCopies(int leader) const;

  // Whether this task is to stay: it was not told to go, by an operator or, with `leaving`, itself;
  // or something is here that another task could have instead. `led`: the shards that it leads, and
  // whether each has a job.
  bool NeedsThisTask(bool leaving, const std::map<int, bool>& led) const;

 private:
  struct There {
    int64_t create_revision = 0;
    absl::Time since;
  };

  int HomeNow(int shard, int home) const;

  const int self_;
  const int first_tasks_;
  const absl::Duration settling_;
  AllShardRecords records_;
  absl::Time now_ = absl::InfinitePast();
  std::map<int, There> there_;  // the ps tasks
  int num_tasks_;
  std::vector<int> homes_;  // by shard
};

}  // namespace parley

#endif  // PARLEY_PS_SUCCESSION_PLAN_H_
