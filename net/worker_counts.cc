#include "net/worker_counts.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace parley {
namespace {

absl::Status Check(int64_t from_step, int count) {
  if (from_step < 0 || count < 1 || count > WorkerCounts::kMaxWorkers) {
    return absl::InvalidArgumentError(
        absl::StrCat("from step ", from_step, " on ", count, " workers: allowed are 1 to ",
                     WorkerCounts::kMaxWorkers, ", from a step >= 0 on"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<WorkerCounts> WorkerCounts::FromProto(
    int first, const google::protobuf::RepeatedPtrField<v1::WorkerCount>& proto) {
  if (proto.empty()) return WorkerCounts(first);
  PARLEY_RETURN_IF_ERROR(Check(proto[0].from_step(), proto[0].count()));
  if (proto[0].from_step() != 0) {
    return absl::InvalidArgumentError("the first number of workers is not that of step 0");
  }
  WorkerCounts counts(proto[0].count());
  PARLEY_RETURN_IF_ERROR(counts.AddAll(proto));
  return counts;
}

absl::Status WorkerCounts::Add(int64_t from_step, int count) {
  PARLEY_RETURN_IF_ERROR(Check(from_step, count));
  if (At(from_step) == count) return absl::OkStatus();
  if (changes_.size() >= kMaxChanges) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the number of workers has changed ", kMaxChanges, " times"));
  }
  const auto at = std::lower_bound(
      changes_.begin(), changes_.end(), from_step,
      [](const v1::WorkerCount& change, int64_t step) { return change.from_step() < step; });
  v1::WorkerCount change;
  change.set_from_step(from_step);
  change.set_count(count);
  if (from_step == 0) {
    first_ = count;
  } else if (at != changes_.end() && at->from_step() == from_step) {
    *at = change;
  } else {
    changes_.insert(at, change);
  }
  return absl::OkStatus();
}

absl::Status WorkerCounts::AddAll(
    const google::protobuf::RepeatedPtrField<v1::WorkerCount>& proto) {
  for (const v1::WorkerCount& change : proto) {
    PARLEY_RETURN_IF_ERROR(Add(change.from_step(), change.count()));
  }
  return absl::OkStatus();
}

int WorkerCounts::At(int64_t step) const {
  int count = first_;
  for (const v1::WorkerCount& change : changes_) {
    if (change.from_step() > step) break;
    count = change.count();
  }
  return count;
}

int WorkerCounts::most() const {
  int most = first_;
  for (const v1::WorkerCount& change : changes_) most = std::max(most, change.count());
  return most;
}

absl::optional<int64_t> WorkerCounts::NextStepOf(int worker, int64_t step) const {
  if (worker < At(step)) return step;
  for (const v1::WorkerCount& change : changes_) {
    if (change.from_step() > step && worker < change.count()) return change.from_step();
  }
  return absl::nullopt;
}

void WorkerCounts::ToProto(google::protobuf::RepeatedPtrField<v1::WorkerCount>* proto,
                           int64_t last_step) const {
  for (const v1::WorkerCount& change : changes_) {
    if (change.from_step() > last_step) break;
    if (proto->empty()) proto->Add()->set_count(first_);
    *proto->Add() = change;
  }
}

}  // namespace parley
