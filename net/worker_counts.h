#ifndef PARLEY_NET_WORKER_COUNTS_H_
#define PARLEY_NET_WORKER_COUNTS_H_

#include <cstdint>
#include <limits>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "google/protobuf/repeated_field.h"
#include "proto/job.pb.h"

namespace parley {

// How many workers a job has, step by step: a number at first, and others from certain steps on
// (`parley scale --workers`). Worker w is a member at a step when w is below the number of that
// step. Thread safety: none.
class WorkerCounts {
 public:
  static constexpr int kMaxWorkers = 1 << 14;
  static constexpr size_t kMaxChanges = 4096;

  // `first` in [1, kMaxWorkers].
  explicit WorkerCounts(int first) : first_(first) {}
  // What ToProto made; of an empty one WorkerCounts(first). INVALID_ARGUMENT for what that cannot
  // have made.
  static absl::StatusOr<WorkerCounts> FromProto(
      int first, const google::protobuf::RepeatedPtrField<v1::WorkerCount>& proto);

  // From `from_step` >= 1 on there are `count`, until the next step for which another number is
  // known. What is known already changes nothing. INVALID_ARGUMENT for a number out of bounds,
  // RESOURCE_EXHAUSTED after kMaxChanges.
  absl::Status Add(int64_t from_step, int count);
  // Adds all that `proto`, as from ToProto, says; the same errors.
  absl::Status AddAll(const google::protobuf::RepeatedPtrField<v1::WorkerCount>& proto);

  int At(int64_t step) const;
  int first() const { return first_; }
  int last() const { return changes_.empty() ? first_ : changes_.back().count(); }
  int most() const;
  // Ascending by step.
  const std::vector<v1::WorkerCount>& changes() const { return changes_; }
  // The first step from `step` on at which `worker` is a member; none: it is none any more.
  absl::optional<int64_t> NextStepOf(int worker, int64_t step) const;

  // Without changes nothing; else the first number, as of step 0, and the changes; only those from
  // steps up to `last_step`.
  void ToProto(google::protobuf::RepeatedPtrField<v1::WorkerCount>* proto,
               int64_t last_step = std::numeric_limits<int64_t>::max()) const;

 private:
  int first_;
  std::vector<v1::WorkerCount> changes_;
};

}  // namespace parley

#endif  // PARLEY_NET_WORKER_COUNTS_H_
