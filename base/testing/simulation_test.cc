#include "base/testing/simulation.h"

#include <sys/wait.h>
#include <unistd.h>

#include <future>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "base/env.h"
#include "base/mutex.h"
#include "gtest/gtest.h"

namespace parley {
namespace {

class SimulationTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!kCanSimulate) GTEST_SKIP() << "not with this sanitizer";
  }
};

void NeverStuck(const std::string& why) {
  ADD_FAILURE() << why;
  abort();
}

SimulationOptions Seed(uint64_t seed) {
  SimulationOptions options;
  options.seed = seed;
  options.switch_one_in = 3;
  options.delay_one_in = 10;
  return options;
}

TEST_F(SimulationTest, WaitsTakeNoTime) {
  const absl::Time before = Env::Posix()->Now();
  Simulation::Run(
      Seed(1),
      [] {
        const absl::Time begun = Env::Posix()->Now();
        absl::SleepFor(absl::Minutes(30));
        EXPECT_GE(Env::Posix()->Now() - begun, absl::Minutes(30));
        EXPECT_LT(Env::Posix()->Now() - begun, absl::Minutes(31));
        std::promise<void> never;
        EXPECT_EQ(never.get_future().wait_for(std::chrono::minutes(20)),
                  std::future_status::timeout);
      },
      NeverStuck);
  EXPECT_LT(Env::Posix()->Now() - before, absl::Minutes(1));
}

// Threads that take turns with a lock, a condition, and futures.
std::string Interleaving(uint64_t seed, uint64_t* trace) {
  std::string order;
  Simulation::Run(
      Seed(seed),
      [&] {
        Mutex mutex;
        CondVar changed;
        int turn = 0;
        std::vector<std::thread> threads;
        std::promise<int> sum;
        for (int i = 0; i < 4; ++i) {
          threads.emplace_back([&, i] {
            for (int j = 0; j < 3; ++j) {
              MutexLock lock(&mutex);
              order += static_cast<char>('a' + i);
              ++turn;
              changed.NotifyAll();
            }
            MutexLock lock(&mutex);
            while (turn < 12) changed.Wait(&mutex);
            if (i == 0) sum.set_value(turn);
          });
        }
        EXPECT_EQ(sum.get_future().get(), 12);
        for (std::thread& thread : threads) thread.join();
        order += std::to_string(std::random_device()());
        *trace = Simulation::trace();
      },
      NeverStuck);
  return order;
}

TEST_F(SimulationTest, ASeedDecidesTheOrder) {
  uint64_t first, again, other;
  const std::string order = Interleaving(7, &first);
  EXPECT_EQ(Interleaving(7, &again), order);
  EXPECT_EQ(first, again);
  int different = 0;
  for (uint64_t seed = 8; seed < 16; ++seed) different += Interleaving(seed, &other) != order;
  EXPECT_GT(different, 4);
}

TEST_F(SimulationTest, WhatIsKilledRunsNoMoreAndWhatIsStoppedGoesOn) {
  Simulation::Run(
      Seed(3),
      [] {
        int killed = 0, stopped = 0;
        const auto count = [](int* counter) {
          return [counter] {
            for (;; ++*counter) absl::SleepFor(absl::Milliseconds(10));
          };
        };
        SimulatedProcess* const dies = Simulation::NewProcess("dies");
        SimulatedProcess* const stops = Simulation::NewProcess("stops");
        Simulation::Spawn(dies, "counts", count(&killed));
        Simulation::Spawn(stops, "counts", count(&stopped));
        absl::SleepFor(absl::Seconds(1));
        Simulation::Kill(dies);
        Simulation::Pause(stops, absl::Seconds(10));
        const int before = killed, then = stopped;
        EXPECT_GT(before, 10);
        absl::SleepFor(absl::Seconds(9));
        EXPECT_EQ(stopped, then);
        absl::SleepFor(absl::Seconds(9));
        EXPECT_EQ(killed, before);
        EXPECT_GT(stopped, then + 10);
      },
      NeverStuck);
}

TEST_F(SimulationTest, WhenAllWaitForEverItSaysWho) {
  const pid_t child = fork();
  if (child == 0) {
    Simulation::Run(
        Seed(1),
        [] {
          Mutex mutex;
          CondVar never;
          MutexLock lock(&mutex);
          for (;;) never.Wait(&mutex);
        },
        [](const std::string& why) { _exit(why.find("first #1") != std::string::npos ? 7 : 1); });
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 7);
}

}  // namespace
}  // namespace parley
