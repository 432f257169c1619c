#include "cuda/pending_copies.h"

#include <memory>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace parley {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

struct PuppetEvent {
  bool finished = false;
  bool done() const { return finished; }
};

class PendingCopiesTest : public ::testing::Test {
 protected:
  MemoryRange Range(size_t begin, size_t bytes) { return {memory_ + begin, bytes}; }

  char memory_[100];
  const std::shared_ptr<PuppetEvent> event_ = std::make_shared<PuppetEvent>();
  PendingCopies<PuppetEvent> copies_;
};

TEST_F(PendingCopiesTest, OnlyOverlappingMemoryConflicts) {
  copies_.Add(Range(10, 10), true, event_, nullptr);
  EXPECT_THAT(copies_.TakeConflicts(Range(0, 10), true), IsEmpty());
  EXPECT_THAT(copies_.TakeConflicts(Range(20, 10), true), IsEmpty());
  EXPECT_THAT(copies_.TakeConflicts(Range(15, 0), true), IsEmpty());
  EXPECT_THAT(copies_.TakeConflicts(Range(19, 1), false), ElementsAre(event_));
}

TEST_F(PendingCopiesTest, AReaderIsNotHeldByAnotherReader) {
  copies_.Add(Range(0, 10), false, event_, nullptr);
  EXPECT_THAT(copies_.TakeConflicts(Range(0, 10), false), IsEmpty());
  EXPECT_THAT(copies_.TakeConflicts(Range(5, 1), true), ElementsAre(event_));
}

TEST_F(PendingCopiesTest, AWaitServesAllLaterComputations) {
  copies_.Add(Range(0, 10), true, event_, nullptr);
  EXPECT_THAT(copies_.TakeConflicts(Range(0, 10), true), ElementsAre(event_));
  EXPECT_THAT(copies_.TakeConflicts(Range(0, 10), true), IsEmpty());
}

TEST_F(PendingCopiesTest, AllCopiesOfTheMemoryConflict) {
  const auto second = std::make_shared<PuppetEvent>();
  copies_.Add(Range(0, 10), false, event_, nullptr);
  copies_.Add(Range(5, 10), false, second, nullptr);
  EXPECT_THAT(copies_.TakeConflicts(Range(0, 20), true), ElementsAre(event_, second));
}

TEST_F(PendingCopiesTest, KeepsMemoryUntilTheEventIsDoneEvenBehindAWait) {
  auto memory = std::make_shared<int>(1);
  const std::weak_ptr<int> alive = memory;
  copies_.Add(Range(0, 10), true, event_, memory);
  memory.reset();
  copies_.TakeConflicts(Range(0, 10), true);
  copies_.Sweep();
  EXPECT_FALSE(alive.expired());
  EXPECT_FALSE(copies_.empty());
  event_->finished = true;
  copies_.Sweep();
  EXPECT_TRUE(alive.expired());
  EXPECT_TRUE(copies_.empty());
}

TEST_F(PendingCopiesTest, WhatIsOnlyKeptConflictsWithNothing) {
  copies_.Keep(event_, std::make_shared<int>(1));
  EXPECT_THAT(copies_.TakeConflicts(Range(0, 100), true), IsEmpty());
  EXPECT_FALSE(copies_.empty());
}

}  // namespace
}  // namespace parley
