#include "net/shard_records.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace parley {
namespace {

TEST(ShardRecordsTest, WhatIsWrittenIsRead) {
  ShardLeader leader;
  leader.address = "[::1]:2222";
  leader.term = 7;
  leader.who = {3, 0xfedcba9876543211};
  EXPECT_EQ(FormatLeader(leader), "[::1]:2222 7 3 fedcba9876543211");
  const auto read = ParseLeader(FormatLeader(leader));
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->address, leader.address);
  EXPECT_EQ(read->term, 7);
  EXPECT_EQ(read->who, leader.who);
  EXPECT_EQ(read->size, JobSize());
  leader.size = {6, 2};
  EXPECT_EQ(FormatLeader(leader), "[::1]:2222 7 3 fedcba9876543211 6 2");
  EXPECT_EQ(ParseLeader(FormatLeader(leader))->size, leader.size);

  ShardCopies copies;
  copies.term = 8;
  copies.leader = {0, 1};
  EXPECT_EQ(FormatCopies(copies), "8 0 1");
  EXPECT_FALSE(ParseCopies("8 0 1")->copy.has_value());
  copies.copy = TaskStart{1, 0xab};
  EXPECT_EQ(FormatCopies(copies), "8 0 1 1 ab");
  EXPECT_EQ(ParseCopies("8 0 1 1 ab")->copy, copies.copy);
  EXPECT_EQ(ParseCopies("8 0 1 1 ab")->leader, copies.leader);
  EXPECT_FALSE(ParseCopies("8 0 1 1 ab")->leader_keeps);
  copies.leader_keeps = true;
  EXPECT_EQ(FormatCopies(copies), "8 0 1 1 ab kept");
  EXPECT_TRUE(ParseCopies("8 0 1 1 ab kept")->leader_keeps);
  EXPECT_EQ(ParseCopies("8 0 1 1 ab kept")->copy, copies.copy);
}

TEST(ShardRecordsTest, AnythingElseIsDamage) {
  for (const char* text :
       {"", " ", "a:1", "a:1 x 0 1", "a:1 1 0", "a:1 1 0 1 ", "a:1 1 -1 1", "a:1 1 0 xyz", " 1 0 1",
        "a:1 1 0 1 6", "a:1 1 0 1 0 2", "a:1 1 0 1 6 x"}) {
    EXPECT_EQ(ParseLeader(text).status().code(), absl::StatusCode::kDataLoss) << text;
  }
  for (const char* text :
       {"", "1", "1 0", "x 0 1", "1 0 1 1", "1 0 1 -1 1", "1 0 1 1 1 1", "1 0 1 kept"}) {
    EXPECT_EQ(ParseCopies(text).status().code(), absl::StatusCode::kDataLoss) << text;
  }
  EXPECT_THAT(std::string(ParseCopies("rubbish").status().message()),
              ::testing::HasSubstr("\"rubbish\""));
}

}  // namespace
}  // namespace parley
