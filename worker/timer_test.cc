#include "worker/timer.h"

#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <vector>

namespace parley {
namespace {

TEST(TimerTest, RunsTasksInTheOrderOfTheirTimes) {
  Timer timer;
  std::promise<void> done;
  std::vector<int> order;
  const Timer::Time now = Timer::Now();
  timer.RunAt(now + std::chrono::milliseconds(30), [&] {
    order.push_back(3);
    done.set_value();
  });
  timer.RunAt(now + std::chrono::milliseconds(20), [&] { order.push_back(2); });
  timer.RunAt(now - std::chrono::seconds(1), [&] { order.push_back(1); });
  done.get_future().wait();
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3}));
  EXPECT_GE(Timer::Now(), now + std::chrono::milliseconds(30));
}

TEST(TimerTest, ACancelledTaskDoesNotRun) {
  Timer timer;
  std::promise<void> done;
  bool ran = false;
  const Timer::Id id = timer.RunAt(Timer::After(absl::Milliseconds(20)), [&] { ran = true; });
  timer.RunAt(Timer::After(absl::Milliseconds(40)), [&] { done.set_value(); });
  timer.Cancel(id);
  timer.Cancel(id);
  done.get_future().wait();
  EXPECT_FALSE(ran);
}

TEST(TimerTest, StopDropsWhatWaitsAndWhatComesLater) {
  Timer timer;
  const auto capture = std::make_shared<int>(0);
  timer.RunAt(Timer::After(absl::Hours(1)), [capture] { ++*capture; });
  timer.Stop();
  timer.RunAt(Timer::Now(), [capture] { ++*capture; });
  timer.Stop();
  EXPECT_EQ(capture.use_count(), 1);
  EXPECT_EQ(*capture, 0);
}

TEST(TimerTest, ATaskMayAddTasks) {
  Timer timer;
  std::promise<void> done;
  timer.RunAt(Timer::Now(), [&] { timer.RunAt(Timer::Now(), [&] { done.set_value(); }); });
  EXPECT_EQ(done.get_future().wait_for(std::chrono::minutes(1)), std::future_status::ready);
}

TEST(TimerTest, TimesAreBounded) {
  EXPECT_LE(Timer::After(absl::InfiniteDuration()), Timer::Now() + std::chrono::hours(24 * 366));
  const Timer::Time before = Timer::Now();
  EXPECT_GE(Timer::After(-absl::InfiniteDuration()), before);
}

}  // namespace
}  // namespace parley
