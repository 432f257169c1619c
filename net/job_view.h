#ifndef PARLEY_NET_JOB_VIEW_H_
#define PARLEY_NET_JOB_VIEW_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "proto/parameter_server.pb.h"

namespace parley {

// What one shard said, or why it said nothing.
struct ShardView {
  int shard = 0;
  std::string address;           // "host:port"
  absl::Status status;           // its message names the task
  v1::GetStatusResponse answer;  // where the status is OK
  bool declared() const { return status.ok() && !answer.job().empty(); }
};

// A worker as all shards that answered see it together.
struct WorkerView {
  v1::GetStatusResponse::Worker::State state = v1::GetStatusResponse::Worker::ABSENT;
  int64_t clock = 0;          // steps of it that are in every block
  absl::Duration silence;     // the longest of any shard
  absl::Duration waited_for;  // summed over the shards' blocks
  v1::WorkerReport report;    // the newest; empty: none
};

// A job as its shards see it at one moment: nearly one, for each answers by itself.
struct JobView {
  absl::Time at;
  std::vector<ShardView> shards;  // by index

  // Of the first shard that has one declared; empty: none has.
  std::string job() const;
  int answered() const;  // shards
  int declared() const;
  int num_workers()
      const;  // that the job has; `workers` may have others that have left, or are to come
  std::vector<WorkerView> workers()
      const;  // by index; those of shards without blocks have no clock
  // The rounds of the block furthest behind and furthest ahead, over shards that have blocks.
  int64_t min_version() const;
  int64_t max_version() const;
  // Summed over the shards that answered.
  int64_t bytes() const;
  int64_t bytes_pushed() const;
  int64_t bytes_pulled() const;
  // The chief's last; the newest that any shard knows.
  absl::optional<v1::CheckpointReport> checkpoint() const;
};

// How fast a job goes, from two looks at it: its rounds (of the block furthest behind) and payload
// bytes a second over the shards that answered both times. Zero when the second is not later, or
// begins anew.
struct JobRates {
  double rounds_per_second = 0;
  double bytes_pushed_per_second = 0;
  double bytes_pulled_per_second = 0;
};
JobRates RatesBetween(const JobView& before, const JobView& after);

// The view as one JSON object in one line, for programs and for the status page:
//   {"job": "parley", "version": 12, "max_version": 12, "bytes": 1000,
//    "shards": [{"shard": 0, "task": "ps:0", "address": "a:1", "state": "serving", "error": null,
//      "version": 12, "max_version": 12, "blocks": 3, "bytes": 500, "rounds": 36,
//      "rounds_queued": 0, "requests_waiting": 1, "bytes_pushed": 1, "bytes_pulled": 1,
//      "staleness_mean": 0, "staleness_max": 0, "dropped": 0, "uptime_seconds": 60.5,
//      "replica": null}],
//    "num_workers": 2,
//    "workers": [{"worker": 0, "state": "live", "clock": 12, "silence_seconds": 0.1,
//      "waited_for_seconds": 2.5, "step": 12, "steps": 100, "loss": 0.5,
//      "samples_per_second": 5000}],
//    "checkpoint": {"step": 10, "folder": "...", "manifest": "...", "unix_seconds": 1.5,
//      "error": null}}
// Of a shard that did not answer only shard, address, state and error are there. What nobody has
// said, and numbers that are not finite, are null.
std::string FormatJobJson(const JobView& view);

// "serving", "waiting" (no job is declared), "draining", "stopping" (for good), "silent"
// (connected, and no answer in time), "unreachable", "unknown" (where it is), or "failing" (another
// error).
std::string StateOf(const ShardView& shard);
// "absent", "live", "left", "silent" (its lease has ended).
std::string StateOf(const WorkerView& worker);

}  // namespace parley

#endif  // PARLEY_NET_JOB_VIEW_H_
