#include "ps/task_thread.h"

#include <atomic>
#include <future>
#include <memory>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace parley {
namespace {

TEST(TaskThreadTest, RunsWhatIsPostedInOrder) {
  std::vector<int> seen;
  {
    TaskThread thread;
    for (int i = 0; i < 100; ++i) thread.Post([&, i] { seen.push_back(i); });
  }
  for (int i = 0; i < 100; ++i) EXPECT_EQ(seen[i], i);
}

TEST(TaskThreadTest, HelpRunsTheTaskHere) {
  TaskThread thread;
  std::thread::id ran_on;
  thread.PostToHelp([&] { ran_on = std::this_thread::get_id(); });
  thread.Help();
  EXPECT_EQ(ran_on, std::this_thread::get_id());
}

TEST(TaskThreadTest, HelpDoesNotWaitForATaskThatRuns) {
  TaskThread thread;
  std::promise<void> begun, go;
  thread.Post([&] {
    begun.set_value();
    go.get_future().wait();
  });
  begun.get_future().wait();
  std::promise<std::thread::id> second;
  thread.PostToHelp([&] { second.set_value(std::this_thread::get_id()); });
  thread.Help();  // returns at once
  go.set_value();
  EXPECT_NE(second.get_future().get(), std::this_thread::get_id());
}

// Many post and help at once: never two tasks at a time, each poster's in order, none lost.
TEST(TaskThreadTest, ManyHelpersKeepTheOrder) {
  constexpr int kPosters = 4, kTasks = 2000;
  std::vector<std::vector<int>> seen(kPosters);
  std::atomic<int> inside{0};
  {
    TaskThread thread;
    std::vector<std::thread> posters;
    for (int p = 0; p < kPosters; ++p) {
      posters.emplace_back([&, p] {
        for (int i = 0; i < kTasks; ++i) {
          const auto task = [&, p, i] {
            EXPECT_EQ(inside.fetch_add(1), 0);
            seen[p].push_back(i);
            inside.fetch_sub(1);
          };
          if (i % 3 == 0) {
            thread.Post(task);
          } else {
            thread.PostToHelp(task);
            thread.Help();
          }
        }
      });
    }
    for (std::thread& poster : posters) poster.join();
  }
  for (const std::vector<int>& one : seen) {
    ASSERT_EQ(one.size(), static_cast<size_t>(kTasks));
    for (int i = 0; i < kTasks; ++i) EXPECT_EQ(one[i], i);
  }
}

TEST(TaskThreadTest, ATaskMayPostMoreWhileTheThreadEnds) {
  std::atomic<int> count{0};
  {
    auto thread = std::make_unique<TaskThread>();
    TaskThread* const raw = thread.get();
    raw->Post([&, raw] {
      ++count;
      raw->Post([&] { ++count; });
    });
    thread.reset();
  }
  EXPECT_EQ(count, 2);
}

}  // namespace
}  // namespace parley
