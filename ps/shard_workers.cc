// How many workers a Shard's job has, and how that changes.

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "net/check_local_update.h"
#include "net/checkpoint_folder.h"
#include "net/worker_counts.h"
#include "ps/shard.h"

namespace parley {

absl::StatusOr<WorkerCounts> Shard::FirstCounts(const Job& job,
                                                const std::string& checkpoint) const {
  const int workers = job.spec().num_workers();
  if (checkpoint.empty()) return WorkerCounts(workers);
  PARLEY_ASSIGN_OR_RETURN(const v1::Manifest manifest,
                          ReadManifest(options_.env, options_.checkpoint_folder, checkpoint));
  // Without changes before, which examples a step has is reckoned as if there had always been so
  // many (data/sampler.h).
  if (manifest.worker_counts().empty()) return WorkerCounts(workers);
  absl::StatusOr<WorkerCounts> counts =
      WorkerCounts::FromProto(manifest.spec().num_workers(), manifest.worker_counts());
  if (!counts.ok()) {
    return absl::DataLossError(absl::StrCat(checkpoint, ": ", counts.status().message()));
  }
  if (counts->last() != workers) {
    PARLEY_RETURN_IF_ERROR(Annotate(counts->Add(manifest.step(), workers), checkpoint));
  }
  return counts;
}

std::string Shard::DifferenceFrom(const Declared& declared, v1::JobSpec spec, int worker) const {
  {
    MutexLock lock(&mutex_);
    const ShardState& state = *declared.state;
    const bool scaled = !state.counts().changes().empty() || state.workers_asked() != 0;
    // One that was not asked for is refused by its index.
    if (scaled || worker >= state.counts().last())
      spec.set_num_workers(declared.job.spec().num_workers());
  }
  return DescribeDifference(declared.job.spec(), spec);
}

absl::Status Shard::CheckSaidWorkers(const Declared& declared, const v1::PushPullRequest& request,
                                     const std::string& who) const {
  if (request.workers() == 0) return absl::OkStatus();
  const bool pushes = request.push_size() > 0 || request.push_rows_size() > 0;
  if (request.sender().worker() != 0 || !pushes || request.workers() < 1 ||
      request.workers() > WorkerCounts::kMaxWorkers ||
      HasLocalUpdate(declared.job.spec().policy())) {
    return absl::InvalidArgumentError(absl::StrCat(
        who, ": workers is ", request.workers(), ", allowed are 1 to ", WorkerCounts::kMaxWorkers,
        ", from worker:0 with its pushes, in a job whose ", "workers have no values of their own"));
  }
  return absl::OkStatus();
}

absl::Status Shard::AskWorkers(Declared* declared, int workers) {
  if (declared == nullptr) {
    return absl::NotFoundError(absl::StrCat(task_, ": no job is declared here"));
  }
  const std::string who = absl::StrCat(task_, ": job ", declared->job.name());
  if (workers < 1 || workers > WorkerCounts::kMaxWorkers) {
    return absl::InvalidArgumentError(absl::StrCat(
        who, ": asked for ", workers, " workers, allowed are 1 to ", WorkerCounts::kMaxWorkers));
  }
  if (HasLocalUpdate(declared->job.spec().policy())) {
    return absl::FailedPreconditionError(absl::StrCat(
        who, ": its workers have values of their own, and their number cannot be changed"));
  }
  const int64_t more = std::max(0, workers - declared->job.spec().num_workers());
  if (more * declared->bytes_per_worker > declared->spare_memory) {
    return absl::ResourceExhaustedError(absl::StrCat(
        who, ": the gradients of ", workers, " workers need ", more * declared->bytes_per_worker,
        " bytes more here, there are ", declared->spare_memory));
  }
  Outcome outcome;
  {
    MutexLock lock(&mutex_);
    outcome = CarryOut(declared, declared->state->AskWorkers(workers), kNone);
  }
  Conclude(std::move(outcome));
  if (options_.workers_asked) options_.workers_asked(workers);
  return absl::OkStatus();
}

}  // namespace parley
