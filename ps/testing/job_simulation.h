#ifndef PARLEY_PS_TESTING_JOB_SIMULATION_H_
#define PARLEY_PS_TESTING_JOB_SIMULATION_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "net/job.h"
#include "ps/policy.h"
#include "ps/testing/history.h"

namespace parley {

// A kind of job to simulate. Made once for many runs.
class SimulatedJob {
 public:
  // A block under each of `policies`; every worker does `steps` steps. `may_lose`: workers may die
  // for good, leave early and come back, which a job that needs every worker does not survive.
  SimulatedJob(std::string name, int workers, int64_t steps, std::vector<v1::Policy> policies,
               bool may_lose);

  const std::string& name() const { return name_; }

  // Runs one job on a ShardState: one thread, a simulated clock, every duration and mishap drawn
  // from `seed`. Workers compute for different times, die and are started again, before or after
  // their lease, fall silent and are heard again, leave, and lose answers; rounds take time to be
  // applied. `fault` becomes what the workers themselves find wrong: an answer that no worker
  // should get, or a job that does not end.
  History Run(uint64_t seed, std::string* fault) const;

 private:
  friend class Simulation;

  const std::string name_;
  const int64_t steps_;
  const bool may_lose_;
  const Job job_;
  std::vector<v1::Policy> specs_;                  // by block
  std::vector<std::unique_ptr<Policy>> policies_;  // by block
};

}  // namespace parley

#endif  // PARLEY_PS_TESTING_JOB_SIMULATION_H_
