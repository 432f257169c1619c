#include "ps/task_thread.h"

#include <atomic>
#include <memory>
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
