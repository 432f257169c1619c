// Policies, leases and deadlines hold through a hundred thousand random jobs: simulations of whole
// jobs (ps/testing/job_simulation.h), whose histories an independent checker reads
// (ps/testing/history.h). PARLEY_HISTORY_SEED in the environment repeats one run's seed.

#include "ps/testing/history.h"

#include <cstdlib>
#include <deque>
#include <random>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ps/testing/job_simulation.h"
#include "ps/testing/shard_state_cluster.h"

namespace parley {
namespace {

using ::testing::HasSubstr;

constexpr int kHistories = 100000;  // over all jobs below

uint64_t Seed() {
  const char* const given = std::getenv("PARLEY_HISTORY_SEED");
  const uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10)
                                         : (uint64_t{std::random_device()()} << 20);
  return seed;
}

std::deque<SimulatedJob> Jobs() {
  v1::Policy await_silent = SynchronousPolicy();
  await_silent.mutable_synchronous()->set_await_silent(true);
  std::deque<SimulatedJob> jobs;
  jobs.emplace_back("synchronous", 3, 5, std::vector<v1::Policy>{SynchronousPolicy()}, true);
  jobs.emplace_back("synchronous, two blocks", 3, 5,
                    std::vector<v1::Policy>{SynchronousPolicy(), SynchronousPolicy()}, true);
  jobs.emplace_back("backup 2 of 3", 3, 6, std::vector<v1::Policy>{BackupPolicy(2)}, true);
  jobs.emplace_back("backup 1 of 4, two blocks", 4, 5,
                    std::vector<v1::Policy>{BackupPolicy(1), BackupPolicy(3)}, true);
  jobs.emplace_back("with silent", 3, 5, std::vector<v1::Policy>{await_silent}, false);
  jobs.emplace_back("asynchronous", 3, 5, std::vector<v1::Policy>{AsynchronousPolicy()}, true);
  for (const int limit : {0, 1, 3}) {
    jobs.emplace_back("bounded", 3, 6, std::vector<v1::Policy>{BoundedPolicy(limit)}, true);
  }
  jobs.emplace_back("groups", 3, 5,
                    std::vector<v1::Policy>{SynchronousPolicy(), AsynchronousPolicy()}, true);
  jobs.emplace_back("groups that drop", 3, 5,
                    std::vector<v1::Policy>{await_silent, BackupPolicy(2)}, false);
  jobs.emplace_back("groups, bounded", 3, 5,
                    std::vector<v1::Policy>{BoundedPolicy(1), BoundedPolicy(2)}, true);
  const v1::Policy warm_up = SwitchPolicy(SynchronousPolicy(), 3, AsynchronousPolicy());
  jobs.emplace_back("warm up", 3, 6, std::vector<v1::Policy>{warm_up, warm_up}, true);
  const v1::Policy to_bounded = SwitchPolicy(SynchronousPolicy(), 2, BoundedPolicy(1));
  jobs.emplace_back("warm up, bounded", 3, 6, std::vector<v1::Policy>{to_bounded, to_bounded},
                    true);
  jobs.emplace_back(
      "asynchronous, then bounded", 3, 7,
      std::vector<v1::Policy>{SwitchPolicy(AsynchronousPolicy(), 5, BoundedPolicy(1))}, true);
  const v1::Policy to_backup = SwitchPolicy(AsynchronousPolicy(), 5, BackupPolicy(2));
  jobs.emplace_back("asynchronous, then backup", 3, 7,
                    std::vector<v1::Policy>{to_backup, to_backup}, true);
  jobs.emplace_back(
      "asynchronous, then synchronous", 3, 7,
      std::vector<v1::Policy>{SwitchPolicy(AsynchronousPolicy(), 5, SynchronousPolicy())}, true);
  return jobs;
}

TEST(HistoryTest, NoPolicyLeaseOrDeadlineIsViolatedInRandomJobs) {
  const uint64_t first = Seed();
  RecordProperty("seed", std::to_string(first));
  const std::deque<SimulatedJob> jobs = Jobs();
  size_t events = 0;
  for (int i = 0; i < kHistories; ++i) {
    const SimulatedJob& job = jobs[static_cast<size_t>(i) % jobs.size()];
    const uint64_t seed = first + static_cast<uint64_t>(i);
    std::string fault;
    const History history = job.Run(seed, &fault);
    events += history.events.size();
    const std::string violation = FindViolation(history);
    ASSERT_TRUE(violation.empty() && fault.empty())
        << job.name() << ", seed " << seed << ", PARLEY_HISTORY_SEED=" << first << ": " << violation
        << fault << "\n"
        << Describe(history);
  }
  EXPECT_GT(events, size_t{40} * kHistories);  // the jobs did something
}

}  // namespace
}  // namespace parley
