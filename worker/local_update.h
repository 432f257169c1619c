#ifndef PARLEY_WORKER_LOCAL_UPDATE_H_
#define PARLEY_WORKER_LOCAL_UPDATE_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/types/span.h"
#include "base/aligned_buffer.h"
#include "proto/job.pb.h"

namespace parley {

// A LocalUpdate is a worker's side of the policies under which it trains values of its own and
// exchanges differences with the shards (LocalSgd, ElasticAveraging and Geo in proto/job.proto,
// which has the formulas and papers). It computes; Trainer talks to the shards.
//
// Who applies what: each gradient is applied here, at once, by the policy's local optimizer:
//   g <- g + l2 * x;  sgd: x <- x - learning_rate * g
//   momentum: v <- momentum * v + g;  x <- x - learning_rate * v, or, with nesterov,
//             x <- x - learning_rate * (g + momentum * v)
// An exchange follows every `every()` steps. What the worker pushes stands where its gradients
// stood, with the sign of a gradient: the shard subtracts it (sgd with rate 1), under local_sgd the
// mean over the workers, in the order of their indices, else each as it comes.
//
// An exchange is, in this order:
//   pulls_first()          !pulls_first()
//   pull to shared()
//   MakeDifference()       MakeDifference()
//   push gradients         push gradients and pull to shared(), in one trip
//                          TakeShared()
// The values of a worker and its v live in its process alone: a worker that is started again, and
// every worker of a job resumed from a checkpoint, begins with the shards' values and v = 0. What
// it had done since its last exchange is done again, or, of an exchange that some shards had taken
// and others not, counts with these only; no shard takes an exchange twice.
//
// float32, each operation rounded, no fused multiply-add. Thread safety: none. Owns shared() and v.
class LocalUpdate {
 public:
  // Null when gradients travel under the policy of `spec`, which must be legal (Job::Create).
  static std::unique_ptr<LocalUpdate> Create(const v1::JobSpec& spec);

  // Steps from one exchange to the next, >= 1.
  int64_t every() const { return every_; }
  // Exchanges before `step`, the shorter last one counted in full: how the wire numbers steps.
  int64_t ExchangesBefore(int64_t step) const { return (step + every_ - 1) / every_; }
  bool pulls_first() const { return kind_ == Kind::kElasticAveraging; }

  // Before the first step: `values` are the worker's, and hold what was pulled from the shards;
  // `gradients` have the same sizes. Both must outlive this object.
  void Start(absl::Span<const absl::Span<float>> values,
             absl::Span<const absl::Span<float>> gradients);
  // Applies the gradients to the values.
  void Step();
  // Overwrites the gradients with what is to be pushed.
  void MakeDifference();
  void TakeShared();

  // The shards' values as this worker knows them, by parameter: the target of an exchange's pull.
  // Between exchanges: those after its last exchange, without what others did since.
  absl::Span<const absl::Span<float>> shared() const { return shared_; }
  // The worker's values and shared() change places: to evaluate the shards' values, and back.
  void SwapShared();

 private:
  enum class Kind { kLocalSgd, kElasticAveraging, kGeo };

  LocalUpdate(Kind kind, int64_t every, const v1::Optimizer& local, float rate);

  const Kind kind_;
  const int64_t every_;
  const float learning_rate_;
  const float l2_;
  const float momentum_;
  const bool nesterov_;
  // Of what is pushed: elastic_averaging's moving rate, geo's 1 / number of workers.
  const float rate_;
  std::vector<absl::Span<float>> values_;
  std::vector<absl::Span<float>> gradients_;
  std::vector<absl::Span<float>> shared_;
  std::vector<absl::Span<float>> v_;  // empty without momentum
  std::vector<AlignedBytes> memory_;  // of the last two
};

}  // namespace parley

#endif  // PARLEY_WORKER_LOCAL_UPDATE_H_
