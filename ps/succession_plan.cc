#include "ps/succession_plan.h"

#include <algorithm>
#include <utility>

#include "base/planted_bug.h"
#include "net/shard_homes.h"

namespace parley {

SuccessionPlan::SuccessionPlan(int self, int num_shards, int first_tasks, absl::Duration settling)
    : self_(self),
      first_tasks_(first_tasks),
      settling_(settling),
      num_tasks_(first_tasks),
      homes_(ShardHomes(num_shards, first_tasks)) {
  records_.shards.resize(static_cast<size_t>(num_shards));
}

void SuccessionPlan::Take(AllShardRecords records, absl::Time now) {
  records_ = std::move(records);
  now_ = now;
  num_tasks_ = records_.ps_tasks.has_value() ? records_.ps_tasks->tasks : first_tasks_;
  std::map<int, There> there;
  for (const auto& [task, present] : records_.tasks) {
    const auto before = there_.find(task);
    const bool stayed =
        before != there_.end() && before->second.create_revision == present.create_revision;
    there[task] = stayed ? before->second : There{present.create_revision, now};
  }
  there_ = std::move(there);
  homes_ = ShardHomes(static_cast<int>(homes_.size()), num_tasks_);
  for (size_t i = 0; i < homes_.size(); ++i) {
    homes_[i] = HomeNow(static_cast<int>(i), homes_[i]);
  }
}

void SuccessionPlan::SetLeaving(uint64_t start) {
  const auto self = records_.tasks.find(self_);
  if (self != records_.tasks.end()) self->second.leaving = start;
}

int SuccessionPlan::HomeNow(int shard, int home) const {
  const absl::optional<ShardCopies>& copies = of(shard).copies;
  if (!copies.has_value()) return home;
  const int leader = copies->leader.task;
  const bool stays = !IsLeaving(leader);
  if (!IsLeaving(home) && (stays || IsSettled(home))) return home;
  if (stays) return leader;
  const auto may_lead = [this](int task) {
    return task < num_tasks_ && IsSettled(task) && !IsLeaving(task);
  };
  if (copies->copy.has_value() && may_lead(copies->copy->task)) return copies->copy->task;
  for (int i = 1; i < num_tasks_; ++i) {
    if (const int next = (leader + i) % num_tasks_; may_lead(next)) return next;
  }
  return home;
}

int SuccessionPlan::FirstHomeOf(int shard) const {
  const int tasks = std::min(num_tasks_, first_tasks_);
  return ShardHomes(static_cast<int>(homes_.size()), tasks)[static_cast<size_t>(shard)];
}

CopyPlan SuccessionPlan::CopiesOf(int shard) const {
  CopyPlan plan;
  plan.num_tasks = num_tasks_;
  for (const auto& [task, present] : records_.tasks) {
    if (present.leaving != 0) plan.leaving.insert(task);
  }
  plan.home = HomeOf(shard);
  const absl::optional<ShardCopies>& copies = of(shard).copies;
  if (plan.home != self_ && IsSettled(plan.home)) {
    plan.wanted = plan.home;  // so that it can take over
  } else if (copies.has_value() && copies->copy.has_value() &&
             (copies->copy->task >= num_tasks_ || IsLeaving(copies->copy->task))) {
    // The next task that stays.
    for (int i = 1; i < num_tasks_ && plan.wanted < 0; ++i) {
      const int next = (self_ + i) % num_tasks_;
      if (next != self_ && IsSettled(next) && !IsLeaving(next)) plan.wanted = next;
    }
  }
  return plan;
}

bool SuccessionPlan::IsSettled(int task) const {
  const auto found = there_.find(task);
  return found != there_.end() && now_ >= found->second.since + settling_;
}

bool SuccessionPlan::IsLeaving(int task) const {
  const auto there = records_.tasks.find(task);
  return there != records_.tasks.end() && there->second.leaving != 0;
}

bool SuccessionPlan::HasSuccessor() const {
  return std::any_of(records_.tasks.begin(), records_.tasks.end(), [&](const auto& each) {
    const auto& [task, present] = each;
    return task != self_ && task < num_tasks_ && present.leaving == 0;
  });
}

bool SuccessionPlan::AnotherMayKeepCopies(int leader) const {
  for (int task = 0; task < num_tasks_; ++task) {
    if (task != self_ && task != leader && !IsLeaving(task)) return true;
  }
  return false;
}

bool SuccessionPlan::NeedsThisTask(bool leaving, const std::map<int, bool>& led) const {
  const auto there = there_.find(self_);
  // One that was started after the operator spoke waits to be counted among the tasks.
  const bool is_to_go = self_ >= num_tasks_ && records_.ps_tasks.has_value() &&
                        there != there_.end() &&
                        there->second.create_revision <= records_.ps_tasks->mod_revision;
  if (!is_to_go && !(leaving && IsLeaving(self_))) return true;
  for (size_t i = 0; i < records_.shards.size(); ++i) {
    if (const auto here = led.find(static_cast<int>(i)); here != led.end()) {
      if (leaving && !here->second) continue;  // there is nothing to go on with
      return true;
    }
    const ShardRecords& shard = records_.shards[i];
    if (!shard.copies.has_value()) continue;
    const bool is_led = shard.leader.has_value();
    const bool leads =
        shard.copies->leader.task == self_ || (is_led && shard.leader->who.task == self_);
    if (leads) return true;
    const bool has_copy = shard.copies->copy.has_value() && shard.copies->copy->task == self_;
    const bool is_spare = (leaving && is_led && !AnotherMayKeepCopies(shard.copies->leader.task)) ||
                          PARLEY_PLANTED_BUG("leaves_before_another_has_the_copy");
    if (has_copy && !is_spare) return true;
  }
  return false;
}

}  // namespace parley
