#include "net/link_choice.h"

#include <vector>

#include "gtest/gtest.h"

namespace parley {
namespace {

LinkChoice::Load Push(const std::vector<uint32_t>& blocks, size_t bytes = 100) {
  v1::PushPullRequest request;
  for (const uint32_t block : blocks) request.add_push(block);
  return {request, bytes};
}

LinkChoice::Load Pull() { return {v1::PushPullRequest(), 0}; }

// Sends it where it is to go, which is returned; -1: it has to wait.
int Send(LinkChoice* choice, const LinkChoice::Load& load) {
  const absl::optional<int> link = choice->Choose(load);
  if (link.has_value()) choice->Begin(*link, load);
  return link.value_or(-1);
}

TEST(LinkChoiceTest, OneAfterTheOtherTheyTakeTheSameLink) {
  LinkChoice choice(2);
  for (const LinkChoice::Load& load : {Push({1}), Push({2}), Pull()}) {
    EXPECT_EQ(Send(&choice, load), 0);
    choice.End(0, load);
  }
}

TEST(LinkChoiceTest, PushesOfOtherBlocksGoWhereFewerBytesAre) {
  LinkChoice choice(2);
  EXPECT_EQ(Send(&choice, Push({0, 1}, 300)), 0);
  EXPECT_EQ(Send(&choice, Push({2}, 100)), 1);
  EXPECT_EQ(Send(&choice, Push({3}, 100)), 1);
  EXPECT_EQ(Send(&choice, Push({4}, 200)), 1);
  EXPECT_EQ(Send(&choice, Push({5}, 1)), 0);
}

TEST(LinkChoiceTest, PullsAreSharedEvenlyWhateverIsPushed) {
  LinkChoice choice(2);
  EXPECT_EQ(Send(&choice, Push({0})), 0);
  EXPECT_EQ(Send(&choice, Pull()), 0);
  EXPECT_EQ(Send(&choice, Pull()), 1);
  EXPECT_EQ(Send(&choice, Pull()), 0);
  choice.End(1, Pull());
  EXPECT_EQ(Send(&choice, Pull()), 1);
}

TEST(LinkChoiceTest, AnotherPushOfABlockFollowsTheFirst) {
  LinkChoice choice(2);
  EXPECT_EQ(Send(&choice, Push({0, 1, 2}, 1000)), 0);
  EXPECT_EQ(Send(&choice, Push({7, 5}, 10)), 1);
  EXPECT_EQ(Send(&choice, Push({2, 3}, 1000)), 0);
  EXPECT_EQ(Send(&choice, Push({3, 4}, 1000)), 0);
  EXPECT_EQ(Send(&choice, Push({6}, 10'000)), 1);  // it may be one of 5 to 7
  EXPECT_EQ(Send(&choice, Push({8}, 1)), 0);
}

TEST(LinkChoiceTest, APushOfBlocksThatAreUnderWayOnTwoLinksWaits) {
  LinkChoice choice(2);
  EXPECT_EQ(Send(&choice, Push({0, 1})), 0);
  EXPECT_EQ(Send(&choice, Push({2, 3})), 1);
  EXPECT_EQ(Send(&choice, Push({1, 2})), -1);
  choice.End(0, Push({0, 1}));
  EXPECT_EQ(Send(&choice, Push({1, 2})), 1);
}

TEST(LinkChoiceTest, WhatHasEndedIsForgotten) {
  LinkChoice choice(2);
  EXPECT_EQ(Send(&choice, Push({0}, 10)), 0);
  EXPECT_EQ(Send(&choice, Push({0}, 20)), 0);
  EXPECT_EQ(Send(&choice, Push({1}, 10)), 1);
  choice.End(0, Push({0}, 10));
  EXPECT_EQ(Send(&choice, Push({0}, 10)), 0);
  choice.End(0, Push({0}, 20));
  choice.End(0, Push({0}, 10));
  EXPECT_EQ(Send(&choice, Push({1}, 10)), 1);
  EXPECT_EQ(Send(&choice, Push({0}, 10)), 0);
}

}  // namespace
}  // namespace parley
