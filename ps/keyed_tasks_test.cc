#include "ps/keyed_tasks.h"

#include <algorithm>
#include <atomic>
#include <future>
#include <vector>

#include "gtest/gtest.h"

namespace parley {
namespace {

TEST(KeyedTasksTest, ThoseOfOneKeyRunInTheirOrder) {
  std::vector<std::vector<int>> seen(5);
  KeyedTasks tasks(3, 4);
  for (int i = 0; i < 500; ++i) {
    const size_t key = static_cast<size_t>(i % 5);
    ASSERT_TRUE(tasks
                    .Post(key, 1,
                          [&seen, key, i] {
                            seen[key].push_back(i);
                            return absl::OkStatus();
                          })
                    .ok());
  }
  EXPECT_TRUE(tasks.Finish().ok());
  for (const std::vector<int>& of_key : seen) {
    EXPECT_EQ(of_key.size(), 100u);
    EXPECT_TRUE(std::is_sorted(of_key.begin(), of_key.end()));
  }
}

TEST(KeyedTasksTest, NoMoreAreUnderWayThanFit) {
  std::atomic<int> bytes{0};
  std::atomic<int> most{0};
  KeyedTasks tasks(4, 10);
  for (int i = 0; i < 200; ++i) {
    const int size = 1 + i % 5;
    bytes += size;  // before there is room for it
    ASSERT_TRUE(tasks
                    .Post(static_cast<size_t>(i), static_cast<size_t>(size),
                          [&bytes, &most, size] {
                            most = std::max(most.load(), bytes.load());
                            bytes -= size;
                            return absl::OkStatus();
                          })
                    .ok());
  }
  EXPECT_TRUE(tasks.Finish().ok());
  EXPECT_LE(most, 10 + 5);
}

TEST(KeyedTasksTest, OneThatHoldsMoreThanFitsRunsAlone) {
  KeyedTasks tasks(2, 1);
  int runs = 0;
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(tasks
                    .Post(static_cast<size_t>(i), 100,
                          [&runs] {
                            ++runs;
                            return absl::OkStatus();
                          })
                    .ok());
  }
  EXPECT_TRUE(tasks.Finish().ok());
  EXPECT_EQ(runs, 3);
}

TEST(KeyedTasksTest, AfterAnErrorNothingMoreRuns) {
  KeyedTasks tasks(1, 100);
  std::promise<void> go_on;
  std::shared_future<void> may_go_on = go_on.get_future().share();
  bool later = false;
  ASSERT_TRUE(tasks
                  .Post(0, 1,
                        [may_go_on] {
                          may_go_on.wait();
                          return absl::DataLossError("the first");
                        })
                  .ok());
  ASSERT_TRUE(tasks
                  .Post(1, 1,
                        [&later] {
                          later = true;
                          return absl::DataLossError("the second");
                        })
                  .ok());
  go_on.set_value();
  EXPECT_EQ(tasks.Finish().message(), "the first");
  EXPECT_EQ(tasks.Post(0, 1, [] { return absl::OkStatus(); }).message(), "the first");
  EXPECT_FALSE(later);
}

}  // namespace
}  // namespace parley
