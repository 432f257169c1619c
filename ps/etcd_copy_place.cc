#include "ps/etcd_copy_place.h"

#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/planted_bug.h"
#include "base/status.h"
#include "net/discovery.h"

namespace parley {
namespace {

using Tasks = std::map<int, std::string>;

}  // namespace

EtcdCopyPlace::EtcdCopyPlace(Options options, const CopyPlan& plan,
                             std::shared_ptr<ShardLeadership> leadership)
    : options_(std::move(options)),
      leadership_(std::move(leadership)),
      predecessor_(leadership_->copy().has_value() ? leadership_->copy()->task : -1),
      plan_(plan) {}

void EtcdCopyPlace::SetPlan(const CopyPlan& plan) {
  MutexLock lock(&mutex_);
  plan_ = plan;
}

CopyPlan EtcdCopyPlace::plan() const {
  MutexLock lock(&mutex_);
  return plan_;
}

absl::StatusOr<std::shared_ptr<ParameterServer>> EtcdCopyPlace::Choose() {
  PARLEY_ASSIGN_OR_RETURN(const Tasks tasks, ListTasks(options_.etcd.get(), options_.job));
  const CopyPlan plan = this->plan();
  std::vector<int> candidates;
  if (at_ < 0) candidates.push_back(predecessor_);
  candidates.push_back(plan.wanted);
  if (const auto copy = leadership_->copy(); copy.has_value()) candidates.push_back(copy->task);
  candidates.push_back(plan.home);
  for (auto next = tasks.upper_bound(options_.task); next != tasks.end(); ++next) {
    candidates.push_back(next->first);
  }
  for (const auto& [task, address] : tasks) candidates.push_back(task);
  PARLEY_ASSIGN_OR_RETURN(std::shared_ptr<ParameterServer> standby,
                          ChooseFrom(candidates, tasks, &chosen_));
  at_ = chosen_.task;
  return standby;
}

absl::StatusOr<std::shared_ptr<ParameterServer>> EtcdCopyPlace::ChooseFrom(
    const std::vector<int>& candidates, const Tasks& tasks, Chosen* chosen) const {
  const CopyPlan plan = this->plan();
  for (const int task : candidates) {
    const auto found = tasks.find(task);
    if (task == options_.task || found == tasks.end()) continue;
    const bool goes = task >= plan.num_tasks || plan.leaving.count(task) > 0;
    if (goes && task != predecessor_) continue;
    if (options_.is_refused(found->second)) continue;
    *chosen = {task, found->second};
    return options_.channel(absl::StrCat("ps:", task), found->second);
  }
  return absl::NotFoundError("no other ps task is there to keep a copy");
}

bool EtcdCopyPlace::IsGone() {
  if (chosen_.task < 0) return false;
  if (options_.is_refused(chosen_.address)) return true;
  const absl::StatusOr<Tasks> tasks = ListTasks(options_.etcd.get(), options_.job);
  if (!tasks.ok()) return false;
  const auto found = tasks->find(chosen_.task);
  return found == tasks->end() || found->second != chosen_.address;
}

bool EtcdCopyPlace::IsToMove() const {
  const int wanted = plan().wanted;
  return wanted >= 0 && wanted != options_.task && wanted != at_;
}

absl::StatusOr<std::shared_ptr<ParameterServer>> EtcdCopyPlace::BeginMove() {
  PARLEY_ASSIGN_OR_RETURN(const Tasks tasks, ListTasks(options_.etcd.get(), options_.job));
  return ChooseFrom({plan().wanted}, tasks, &next_);
}

void EtcdCopyPlace::EndMove() {
  chosen_ = next_;
  at_ = chosen_.task;
}

std::shared_ptr<ParameterServer> EtcdCopyPlace::OwnPlace() const {
  const CopyPlan plan = this->plan();
  const bool goes_home = plan.wanted == plan.home && plan.home != options_.task;
  return plan.wanted >= 0 && goes_home ? options_.own : nullptr;
}

void EtcdCopyPlace::SetOwn(std::function<bool()> has_all) {
  MutexLock lock(&mutex_);
  own_has_all_ = std::move(has_all);
}

bool EtcdCopyPlace::OwnHasAll() const {
  if (PARLEY_PLANTED_BUG("handed_over_without_an_own_copy")) return true;
  MutexLock lock(&mutex_);
  return own_has_all_ != nullptr && own_has_all_();
}

void EtcdCopyPlace::BeginPause() { pause_ = ++pauses_; }

void EtcdCopyPlace::EndPause() { pause_ = 0; }

absl::Status EtcdCopyPlace::SetInSync(uint64_t keeper) {
  if (keeper == 0) return leadership_->SetCopy(absl::nullopt);
  return leadership_->SetCopy(TaskStart{chosen_.task, keeper});
}

}  // namespace parley
