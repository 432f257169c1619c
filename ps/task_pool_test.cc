#include "ps/task_pool.h"

#include <atomic>
#include <future>
#include <memory>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace parley {
namespace {

TEST(TaskPoolTest, AQueueRunsWhatIsPostedInOrder) {
  std::vector<int> seen;
  auto pool = std::make_unique<TaskPool>(4);
  TaskQueue queue(pool.get());
  for (int i = 0; i < 1000; ++i) queue.Post([&, i] { seen.push_back(i); });
  pool.reset();
  ASSERT_EQ(seen.size(), 1000u);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(seen[i], i);
}

TEST(TaskPoolTest, QueuesDoNotWaitForEachOther) {
  TaskPool pool(2);
  TaskQueue first(&pool), second(&pool);
  std::promise<void> go, done;
  first.Post([&] { go.get_future().wait(); });
  second.Post([&] { done.set_value(); });
  done.get_future().wait();
  go.set_value();
  std::promise<void> end;
  first.Post([&] { end.set_value(); });
  end.get_future().wait();
}

TEST(TaskPoolTest, OneThreadTakesQueuesInTurn) {
  TaskPool pool(1);
  TaskQueue first(&pool), second(&pool);
  std::promise<void> begun, go, end;
  std::vector<int> seen;
  first.Post([&] {
    begun.set_value();
    go.get_future().wait();
  });
  begun.get_future().wait();
  for (int i = 0; i < 3; ++i) first.Post([&] { seen.push_back(1); });
  second.Post([&] { seen.push_back(2); });
  first.Post([&] { end.set_value(); });
  go.set_value();
  end.get_future().wait();
  EXPECT_EQ(seen, std::vector<int>({2, 1, 1, 1}));
}

TEST(TaskPoolTest, HelpRunsTheTaskHere) {
  TaskPool pool(1);
  TaskQueue queue(&pool);
  std::thread::id ran_on;
  queue.PostToHelp([&] { ran_on = std::this_thread::get_id(); });
  queue.Help();
  EXPECT_EQ(ran_on, std::this_thread::get_id());
}

TEST(TaskPoolTest, HelpRunsWhatThePoolHasNotComeTo) {
  TaskPool pool(1);
  TaskQueue busy(&pool), queue(&pool);
  std::promise<void> begun, go;
  busy.Post([&] {
    begun.set_value();
    go.get_future().wait();
  });
  begun.get_future().wait();
  std::thread::id ran_on;
  queue.Post([&] { ran_on = std::this_thread::get_id(); });
  queue.Help();
  EXPECT_EQ(ran_on, std::this_thread::get_id());
  go.set_value();
}

TEST(TaskPoolTest, HelpDoesNotWaitForATaskThatRuns) {
  TaskPool pool(1);
  TaskQueue queue(&pool);
  std::promise<void> begun, go;
  queue.Post([&] {
    begun.set_value();
    go.get_future().wait();
  });
  begun.get_future().wait();
  std::promise<std::thread::id> second;
  queue.PostToHelp([&] { second.set_value(std::this_thread::get_id()); });
  queue.Help();  // returns at once
  go.set_value();
  EXPECT_NE(second.get_future().get(), std::this_thread::get_id());
}

TEST(TaskPoolTest, WhatAHelperLeavesThePoolRuns) {
  TaskPool pool(1);
  TaskQueue queue(&pool);
  std::atomic<int> count{0};
  std::promise<void> end;
  for (int i = 0; i < 100; ++i) queue.PostToHelp([&] { ++count; });
  queue.PostToHelp([&] { end.set_value(); });
  queue.Help();
  end.get_future().wait();
  EXPECT_EQ(count, 100);
}

// Many post and help at once: of a queue never two tasks at a time, each poster's in order, none
// lost.
TEST(TaskPoolTest, ManyHelpersKeepTheOrder) {
  constexpr int kPosters = 4, kQueues = 3, kTasks = 2000;
  struct Lane {
    std::unique_ptr<TaskQueue> queue;
    std::atomic<int> inside{0};
    std::vector<std::vector<int>> seen{kPosters};  // by poster
  };
  std::vector<Lane> lanes(kQueues);
  auto pool = std::make_unique<TaskPool>(2);
  for (Lane& lane : lanes) lane.queue = std::make_unique<TaskQueue>(pool.get());
  std::vector<std::thread> posters;
  for (int p = 0; p < kPosters; ++p) {
    posters.emplace_back([&, p] {
      for (int i = 0; i < kTasks; ++i) {
        Lane* const lane = &lanes[static_cast<size_t>(i % kQueues)];
        const auto task = [lane, p, i] {
          EXPECT_EQ(lane->inside.fetch_add(1), 0);
          lane->seen[static_cast<size_t>(p)].push_back(i);
          lane->inside.fetch_sub(1);
        };
        if (i % 4 == 0) {
          lane->queue->Post(task);
        } else {
          lane->queue->PostToHelp(task);
          lane->queue->Help();
        }
      }
    });
  }
  for (std::thread& poster : posters) poster.join();
  pool.reset();
  for (int q = 0; q < kQueues; ++q) {
    for (const std::vector<int>& one : lanes[static_cast<size_t>(q)].seen) {
      ASSERT_EQ(one.size(), static_cast<size_t>((kTasks - q + kQueues - 1) / kQueues));
      for (size_t i = 0; i < one.size(); ++i) EXPECT_EQ(one[i], static_cast<int>(i) * kQueues + q);
    }
  }
}

TEST(TaskPoolTest, ATaskMayPostMoreWhileThePoolEnds) {
  std::atomic<int> count{0};
  auto pool = std::make_unique<TaskPool>(3);
  TaskQueue first(pool.get()), second(pool.get());
  first.Post([&] {
    ++count;
    second.Post([&] {
      ++count;
      first.Post([&] { ++count; });
    });
  });
  pool.reset();
  EXPECT_EQ(count, 3);
}

}  // namespace
}  // namespace parley
