#include "ps/etcd_copy_place.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "net/discovery.h"

namespace parley {

EtcdCopyPlace::EtcdCopyPlace(Options options, std::shared_ptr<ShardLeadership> leadership)
    : options_(std::move(options)), leadership_(std::move(leadership)) {}

absl::StatusOr<std::shared_ptr<ParameterServer>> EtcdCopyPlace::Choose() {
  PARLEY_ASSIGN_OR_RETURN(const std::vector<std::string> tasks,
                          ListTasks(options_.etcd.get(), options_.job, options_.num_tasks));
  std::vector<int> candidates;
  if (const auto copy = leadership_->copy(); copy.has_value()) candidates.push_back(copy->task);
  candidates.push_back(options_.shard);
  for (int i = 1; i < options_.num_tasks; ++i) {
    candidates.push_back((options_.task + i) % options_.num_tasks);
  }
  for (const int task : candidates) {
    if (task == options_.task || task >= options_.num_tasks) continue;
    const std::string& address = tasks[static_cast<size_t>(task)];
    if (address.empty() || options_.is_refused(address)) continue;
    chosen_ = task;
    address_ = address;
    return options_.channel(absl::StrCat("ps:", task), address);
  }
  return absl::NotFoundError("no other ps task is there to keep a copy");
}

bool EtcdCopyPlace::IsGone() {
  if (chosen_ < 0) return false;
  if (options_.is_refused(address_)) return true;
  const auto tasks = ListTasks(options_.etcd.get(), options_.job, options_.num_tasks);
  return tasks.ok() && (*tasks)[static_cast<size_t>(chosen_)] != address_;
}

absl::Status EtcdCopyPlace::SetInSync(uint64_t keeper) {
  if (keeper == 0) return leadership_->SetCopy(absl::nullopt);
  return leadership_->SetCopy(TaskStart{chosen_, keeper});
}

}  // namespace parley
