#include "deploy/scale_workers.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "base/status.h"
#include "net/job_view.h"
#include "net/worker_counts.h"

namespace parley {
namespace {

constexpr absl::Duration kBetweenLooks = absl::Milliseconds(200);

// What a shard's job still lacks to have `workers` workers; empty: nothing.
std::string Lacks(const ShardView& shard, int workers) {
  const v1::GetStatusResponse& answer = shard.answer;
  std::vector<std::string> absent, present;
  for (int i = 0; i < answer.workers_size(); ++i) {
    const auto state = answer.workers(i).state();
    const bool there = state == v1::GetStatusResponse::Worker::LIVE;
    if (i < workers && i >= answer.num_workers() && !there) {
      absent.push_back(absl::StrCat("worker:", i));
    }
    if (i >= workers && there) present.push_back(absl::StrCat("worker:", i));
  }
  if (!absent.empty()) return absl::StrCat(absl::StrJoin(absent, ", "), " to be started");
  if (answer.num_workers() != workers && answer.blocks() > 0) {
    return absl::StrCat("ps:", shard.shard, " to hear it from worker:0, the chief");
  }
  if (!present.empty()) return absl::StrCat(absl::StrJoin(present, ", "), " to leave");
  return "";
}

// The same of all shards. Those that do not know how many are asked for are asked: again, where
// they have come back.
absl::StatusOr<std::string> AskAll(JobLink* link, const JobView& view, int workers) {
  std::string lacks;
  for (const ShardView& shard : view.shards) {
    if (!shard.status.ok()) {
      lacks = std::string(shard.status.message());
      continue;
    }
    if (!shard.declared()) {
      return absl::NotFoundError(absl::StrCat("ps:", shard.shard, ": no job is declared here"));
    }
    const bool has_them = shard.answer.num_workers() == workers && shard.answer.blocks() > 0;
    if (!has_them && shard.answer.workers_asked() != workers) {
      v1::AskRequest request;
      request.set_what(v1::AskRequest::WORKERS);
      request.set_workers(workers);
      PARLEY_RETURN_IF_ERROR(link->Ask(shard.shard, std::move(request)).status());
      lacks = absl::StrCat("ps:", shard.shard, " to be asked");
      continue;
    }
    if (std::string of_shard = Lacks(shard, workers); !of_shard.empty()) {
      lacks = std::move(of_shard);
    }
  }
  return lacks;
}

}  // namespace

absl::Status ScaleWorkers(JobLink* link, int workers, absl::Duration wait, std::ostream* out) {
  if (workers < 1 || workers > WorkerCounts::kMaxWorkers) {
    return absl::InvalidArgumentError(
        absl::StrCat("--workers=", workers, " is not in [1, ", WorkerCounts::kMaxWorkers, "]"));
  }
  const absl::Time deadline = absl::Now() + wait;
  bool first = true;
  std::string said;
  for (;;) {
    PARLEY_ASSIGN_OR_RETURN(const JobView view, link->Look());
    for (const ShardView& shard : view.shards) {
      if (first)
        PARLEY_RETURN_IF_ERROR(shard.status);  // later it may be on its way to another task
    }
    first = false;
    PARLEY_ASSIGN_OR_RETURN(const std::string lacks, AskAll(link, view, workers));
    if (lacks.empty()) return absl::OkStatus();
    if (lacks != said) *out << "waiting for " << lacks << std::endl;
    said = lacks;
    if (absl::Now() >= deadline) {
      return absl::DeadlineExceededError(
          absl::StrCat("after ", absl::FormatDuration(wait), " still waiting for ", lacks));
    }
    absl::SleepFor(kBetweenLooks);
  }
}

}  // namespace parley
