// Whole jobs in one thread, with restarts and lost answers, under each policy without late
// gradients.

#include <algorithm>
#include <functional>
#include <random>
#include <set>
#include <vector>

#include "gtest/gtest.h"
#include "ps/testing/shard_state_cluster.h"

namespace parley {
namespace {

// A whole job in one thread: at each turn one worker, at random, starts a step, repeats its last
// request, crashes and comes back, or leaves; rounds are applied when chance will have it.
class RandomJob {
 public:
  RandomJob(uint32_t seed, int workers, const v1::Policy& policy)
      : random_(seed), cluster_(workers, policy), runners_(workers) {
    cluster_.apply_at_once = false;
    cluster_.JoinAll();
  }

  // Runs until every worker has done `steps`; `after_turn` sees each worker's step.
  void Run(int64_t steps, const std::function<void(const std::vector<int64_t>&)>& after_turn) {
    for (int turn = 0; turn < 200000; ++turn) {
      bool done = true;
      std::vector<int64_t> at;
      for (const Runner& runner : runners_) {
        done = done && runner.step == steps;
        at.push_back(runner.step);
      }
      after_turn(at);
      if (done) return;
      Turn(steps);
    }
    FAIL() << "the job did not end";
  }

  ShardStateCluster& cluster() { return cluster_; }

 private:
  struct Runner {
    int64_t step = 0;
    uint64_t sequence = 0;
    uint64_t incarnation = 1;
    uint64_t token = 0;      // of the request it waits for
    bool restarted = false;  // and this is a pull for its first step, step + 1
  };

  uint64_t Resend(int worker) {
    const Runner& runner = runners_[worker];
    return runner.restarted ? cluster_.Pull(worker, runner.step + 1)
                            : cluster_.PushPull(worker, runner.step, true, runner.sequence);
  }

  // Until it may be replaced; the others are heard then.
  void AdvanceInSilenceOf(int worker) {
    cluster_.Advance(absl::Seconds(3));
    for (size_t other = 0; other < runners_.size(); ++other) {
      if (static_cast<int>(other) != worker) cluster_.Heartbeat(static_cast<int>(other));
    }
  }

  void Turn(int64_t steps) {
    const int worker = static_cast<int>(random_() % runners_.size());
    Runner& runner = runners_[worker];
    switch (random_() % 8) {
      case 0:
        cluster_.ApplyAll();
        break;
      case 1:  // the answer was lost: the same request again
        if (runner.token != 0 && !cluster_.Answered(runner.token)) {
          runner.token = Resend(worker);
        }
        break;
      case 2:  // a restart
        if (random_() % 8 != 0) break;
        AdvanceInSilenceOf(worker);
        {
          const uint64_t join = cluster_.Join(worker, ++runner.incarnation);
          ASSERT_TRUE(cluster_.StatusOf(join).ok()) << cluster_.StatusOf(join);
          runner.step = cluster_.answers[join].step - 1;
          runner.restarted = true;
          runner.token = Resend(worker);
        }
        break;
      default:
        if (runner.token == 0) {
          if (runner.step < steps) {
            runner.token = cluster_.PushPull(worker, runner.step, true, ++runner.sequence);
          }
        } else if (cluster_.Answered(runner.token)) {
          const absl::Status status = cluster_.StatusOf(runner.token);
          runner.token = 0;
          if (status.ok()) {
            ++runner.step;
            runner.restarted = false;
          } else {  // its wait was too long for one of the restarts' pauses
            ASSERT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded) << status;
            runner.token = Resend(worker);
          }
        }
    }
  }

  std::mt19937 random_;
  ShardStateCluster cluster_;
  std::vector<Runner> runners_;
};

// Every gradient of every worker and step is in exactly one round of each block.
void ExpectEachGradientOnce(const ShardStateCluster& cluster, int workers, int64_t steps) {
  std::vector<int> expected;
  for (int worker = 0; worker < workers; ++worker) {
    for (int64_t step = 0; step < steps; ++step)
      expected.push_back(100 * worker + static_cast<int>(step));
  }
  for (const Rounds& rounds : cluster.rounds) {
    std::vector<int> all;
    for (const std::vector<int>& round : rounds) all.insert(all.end(), round.begin(), round.end());
    std::sort(all.begin(), all.end());
    EXPECT_EQ(all, expected);
  }
}

// No gradient is in two rounds of a block. A worker that was silent may have missed steps.
void ExpectNoGradientTwice(const ShardStateCluster& cluster) {
  for (const Rounds& rounds : cluster.rounds) {
    std::set<int> seen;
    for (const std::vector<int>& round : rounds) {
      for (const int gradient : round) EXPECT_TRUE(seen.insert(gradient).second) << gradient;
    }
  }
}

// No worker has pulled for a step more than `limit` ahead of what the slowest has finished.
void ExpectWithin(int64_t limit, const std::vector<int64_t>& at, ShardStateCluster& cluster) {
  const ShardNumbers numbers = cluster.Numbers();
  int64_t slowest = numbers.workers[0].clock;
  for (const auto& worker : numbers.workers) slowest = std::min(slowest, worker.clock);
  EXPECT_LE(*std::max_element(at.begin(), at.end()) - slowest, limit);
}

TEST(RandomJobTest, SynchronousRoundsNeverMixAndTakeEachGradientOnce) {
  for (uint32_t seed = 0; seed < 50; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    const int workers = 1 + static_cast<int>(seed % 4);
    RandomJob job(seed, workers, SynchronousPolicy());
    job.Run(20, [&](const std::vector<int64_t>& at) { ExpectWithin(0, at, job.cluster()); });
    ExpectEachGradientOnce(job.cluster(), workers, 20);
    for (const Rounds& rounds : job.cluster().rounds) {
      ASSERT_EQ(rounds.size(), 20u);
      for (int step = 0; step < 20; ++step) {
        for (int worker = 0; worker < workers; ++worker) {
          EXPECT_EQ(rounds[step][worker], 100 * worker + step);
        }
      }
    }
  }
}

TEST(RandomJobTest, BoundedStalenessNeverExceedsItsLimit) {
  for (uint32_t seed = 0; seed < 50; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    const int workers = 2 + static_cast<int>(seed % 3);
    const int limit = static_cast<int>(seed % 4);
    RandomJob job(seed, workers, BoundedPolicy(limit));
    job.Run(20, [&](const std::vector<int64_t>& at) { ExpectWithin(limit, at, job.cluster()); });
    ExpectNoGradientTwice(job.cluster());
  }
}

TEST(RandomJobTest, AsynchronousTakesEachGradientOnce) {
  for (uint32_t seed = 0; seed < 50; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    RandomJob job(seed, 3, AsynchronousPolicy());
    job.Run(20, [](const std::vector<int64_t>&) {});
    ExpectEachGradientOnce(job.cluster(), 3, 20);
  }
}

}  // namespace
}  // namespace parley
