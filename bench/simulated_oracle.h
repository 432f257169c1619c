#ifndef PARLEY_BENCH_SIMULATED_ORACLE_H_
#define PARLEY_BENCH_SIMULATED_ORACLE_H_

#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "absl/time/time.h"
#include "bench/simulated_scenario.h"
#include "net/worker_counts.h"

namespace parley {

// A SimulatedOracle says what workers push, is told what they did, and says whether what they see
// keeps the promises of docs/guarantees.md. Gradients are small integers, and of each element only
// one worker's are not 0, so what is in a value can be read off it:
//   a synchronous job has the values of an undisturbed one at each step, bit by bit;
//   otherwise each gradient counts exactly once: in a value are all steps of its owner up to one,
//     those that were acknowledged before it was asked for among them;
//   with backup workers, where late ones are dropped, a gradient counts once or not at all, for
//     all elements of a block alike, for good when its worker goes on; and a round has as many as
//     were asked for, or those of all that were there and heard;
//   with bounded staleness no worker is further ahead of one that is heard than the limit;
//   who is started again goes on where it was, or where the others are when the job did not wait.
//
// Errors are what is told of a violation; empty: there is none. Used inside Simulation::Run by one
// thread at a time.
class SimulatedOracle {
 public:
  explicit SimulatedOracle(const SimulatedScenario& scenario);

  // Before the job: runs it undisturbed, with a shard in this process, where no formula says what
  // it sees. Returns an error.
  std::string RunUndisturbed();

  // What `worker` pushes in `step`, in which there are so many.
  SimulatedValues GradientsOf(int worker, int64_t step, int workers) const;

  // What everybody who asks from now on has to see.
  struct Seen {
    std::vector<size_t> pushes;  // by worker: so many
  };
  Seen Look() const;

  // A worker has joined again, or for the first time, and is to begin with step `first`.
  std::string Joined(int worker, int64_t first);
  // It pushes; all its shards have answered that it did, of what was sent from `began` on.
  void Begun(int worker, int64_t step);
  void Acknowledged(int worker, int64_t step, absl::Duration began);
  // Whether all that it pushed in that step is in these values.
  bool Counts(int worker, int64_t step, const SimulatedValues& values) const;
  // Its shards have answered something else that was sent from `began` on.
  void Heard(int worker, absl::Duration began);
  void Left(int worker);
  // Whether a job that does not await who is silent may have gone on without `worker`, or ended.
  bool MayBeLeftOut(int worker) const {
    return !scenario_.in_lockstep() && MayBeLeftOut(workers_[static_cast<size_t>(worker)]);
  }

  // `task`, for messages, has pulled `values` for step `version`; it knows `counts`, and `seen` is
  // of before it asked.
  std::string Check(const std::string& task, int worker, int64_t version,
                    const SimulatedValues& values, const Seen& seen, const WorkerCounts& counts);

 private:
  struct Push {
    int64_t step;
    bool acknowledged = false;
    // Its worker goes on with a later step, and does not know whether it counts.
    bool abandoned = false;
  };
  struct Worker {
    std::vector<Push> pushes;
    absl::Duration heard = absl::ZeroDuration();  // by all shards, then or later
    absl::Duration longest_silence;               // at most
    bool left = false;

    int64_t acknowledged() const;
    int64_t begun() const { return pushes.empty() ? 0 : pushes.back().step + 1; }
  };

  float GradientOf(int worker, int64_t step, int parameter, int element) const;
  int OwnerOf(int element) const { return element % scenario_.workers; }
  SimulatedValues LockstepValues(int64_t version, const WorkerCounts& counts) const;
  std::string CheckCounts(int64_t version, const WorkerCounts& counts);
  std::string CheckSum(int64_t version, int parameter, int element, float value, const Seen& seen);
  std::string CheckBackups(const SimulatedValues& values, const Seen& seen);
  // Whether a round may have been closed without `worker`, which was there.
  bool MayBeLeftOut(const Worker& worker) const;

  const SimulatedScenario scenario_;
  std::vector<SimulatedValues> undisturbed_;  // by version
  std::vector<Worker> workers_;
  std::map<int64_t, int> counts_at_;  // by step: how many workers, as the first one knew who saw it
  // With backup workers, by parameter, element and step: what became of a gradient, as it was seen
  // first when its worker had another one acknowledged: twice its part of a round's mean.
  std::map<std::tuple<int, int, int64_t>, int> decided_;
};

}  // namespace parley

#endif  // PARLEY_BENCH_SIMULATED_ORACLE_H_
