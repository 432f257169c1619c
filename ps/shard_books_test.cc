#include "ps/shard_books.h"

#include <cstdint>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace parley {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// Of one worker and one parameter of two blocks.
v1::JobSpec Spec() {
  v1::JobSpec spec;
  spec.set_name("job");
  spec.set_num_workers(1);
  spec.set_num_shards(1);
  spec.set_block_elements(4);
  v1::ParameterSpec* const parameter = spec.add_parameters();
  parameter->set_name("w");
  parameter->add_shape(8);
  parameter->set_dtype(v1::FLOAT32);
  spec.mutable_policy()->mutable_asynchronous();
  spec.mutable_optimizer()->set_learning_rate(1);
  spec.mutable_optimizer()->mutable_sgd();
  return spec;
}

class ShardBooksTest : public ::testing::Test {
 protected:
  void Member(uint64_t incarnation, v1::Books::Presence presence = v1::Books::LIVE) {
    v1::LogRecord record;
    record.mutable_member()->set_incarnation(incarnation);
    record.mutable_member()->set_presence(presence);
    const absl::Status taken = books_.Take(record);
    EXPECT_TRUE(taken.ok()) << taken;
  }
  absl::Status Round(uint32_t block, int64_t version, uint64_t incarnation, uint64_t sequence) {
    v1::LogRecord record;
    v1::LogRecord::Round* const round = record.mutable_round();
    round->set_block(block);
    round->set_version(version);
    round->add_clocks(version);
    v1::LogRecord::Contribution* const part = round->add_contributions();
    part->set_incarnation(incarnation);
    part->set_sequence(sequence);
    return books_.Take(record);
  }

  const Job job_ = Job::Create(Spec()).value();
  ShardBooks books_{0, {0, 1}, {0, 0}, {{}, {}}, WorkerCounts(job_.spec().num_workers())};
};

TEST_F(ShardBooksTest, KeepWhatWasTakenByNumberAndBlock) {
  Member(1);
  ASSERT_TRUE(Round(0, 1, 1, 7).ok());
  ASSERT_TRUE(Round(1, 1, 1, 7).ok());
  ASSERT_TRUE(Round(0, 2, 1, 8).ok());
  const auto again = ShardBooks::FromProto(job_, 0, books_.ToProto());
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->workers()[0].incarnation, 1u);
  EXPECT_EQ(again->workers()[0].presence, v1::Books::LIVE);
  EXPECT_EQ(again->workers()[0].taken.size(), 2u);
  EXPECT_THAT(again->workers()[0].taken.at(7), ElementsAre(0, 1));
  EXPECT_THAT(again->workers()[0].taken.at(8), ElementsAre(0));
  EXPECT_EQ(again->blocks()[0].version, 2);
  EXPECT_THAT(again->blocks()[0].clocks, ElementsAre(2));
}

TEST_F(ShardBooksTest, OfAnEarlierStartKeepItsStepsAndNotItsNumbers) {
  Member(1);
  ASSERT_TRUE(Round(0, 1, 1, 1).ok());
  Member(2);
  EXPECT_THAT(books_.workers()[0].taken, IsEmpty());
  EXPECT_THAT(books_.blocks()[0].taken_below, ElementsAre(1));
  EXPECT_THAT(books_.blocks()[1].taken_below, ElementsAre(0));
}

TEST_F(ShardBooksTest, TheGradientOfAnEarlierStartInAnOpenRoundIsNotTheNewOnes) {
  Member(1);
  Member(2);
  ASSERT_TRUE(Round(0, 1, 1, 1).ok());  // number 1 of the new one has not come
  EXPECT_THAT(books_.workers()[0].taken, IsEmpty());
  EXPECT_THAT(books_.blocks()[0].taken_below, ElementsAre(1));
}

TEST_F(ShardBooksTest, AnEarlierStartThatLeavesChangesNothing) {
  Member(2);
  Member(1, v1::Books::LEFT);
  EXPECT_EQ(books_.workers()[0].presence, v1::Books::LIVE);
  Member(2, v1::Books::LEFT);
  EXPECT_EQ(books_.workers()[0].presence, v1::Books::LEFT);
}

TEST_F(ShardBooksTest, KnowWhereAWorkerCameBack) {
  Member(1);
  ASSERT_TRUE(Round(0, 1, 1, 1).ok());
  v1::LogRecord record;
  record.mutable_member()->set_incarnation(2);
  record.mutable_member()->set_presence(v1::Books::LIVE);
  record.mutable_member()->add_clocks(5);
  const absl::Status other_shard = books_.Take(record);
  EXPECT_EQ(other_shard.code(), absl::StatusCode::kDataLoss);
  record.mutable_member()->add_clocks(4);
  ASSERT_TRUE(books_.Take(record).ok());
  EXPECT_THAT(books_.blocks()[0].clocks, ElementsAre(5));
  EXPECT_THAT(books_.blocks()[1].clocks, ElementsAre(4));
  EXPECT_THAT(books_.blocks()[0].taken_below, ElementsAre(1));  // the others it has not done
  ASSERT_TRUE(Round(0, 2, 1, 2).ok());                          // closed before it came back
  EXPECT_THAT(books_.blocks()[0].clocks, ElementsAre(5));
}

TEST_F(ShardBooksTest, RememberTheLastPushesAndWhichAreOlder) {
  Member(1);
  const int64_t rounds = static_cast<int64_t>(ShardBooks::kRemembered) + 3;
  for (int64_t i = 1; i <= rounds; ++i) {
    ASSERT_TRUE(Round(0, i, 1, static_cast<uint64_t>(i)).ok());
  }
  EXPECT_THAT(books_.workers()[0].taken, SizeIs(ShardBooks::kRemembered));
  EXPECT_EQ(books_.workers()[0].oldest_sequence, 4u);
}

TEST_F(ShardBooksTest, WhatDoesNotFollowChangesNothing) {
  Member(1);
  EXPECT_TRUE(absl::IsDataLoss(Round(0, 2, 1, 1)));
  EXPECT_TRUE(absl::IsDataLoss(Round(5, 1, 1, 1)));
  ASSERT_TRUE(Round(0, 1, 1, 1).ok());
  EXPECT_TRUE(absl::IsDataLoss(Round(0, 1, 1, 1)));
  EXPECT_EQ(books_.blocks()[0].version, 1);
  EXPECT_THAT(books_.workers()[0].taken, SizeIs(1));
}

TEST_F(ShardBooksTest, KnowHowManyWorkersEachBlockHas) {
  v1::LogRecord record;
  v1::LogRecord::Round* const round = record.mutable_round();
  round->set_block(1);
  round->set_version(1);
  round->mutable_workers()->set_from_step(7);
  round->mutable_workers()->set_count(3);
  for (int i = 0; i < 3; ++i) round->add_clocks(i);
  ASSERT_TRUE(books_.Take(record).ok());
  const auto again = ShardBooks::FromProto(job_, 0, books_.ToProto());
  ASSERT_TRUE(again.ok()) << again.status();
  for (const ShardBooks* books : std::vector<const ShardBooks*>{&books_, &*again}) {
    EXPECT_EQ(books->counts().At(6), 1);
    EXPECT_EQ(books->counts().At(7), 3);
    EXPECT_EQ(books->blocks()[0].members, 1);
    EXPECT_EQ(books->blocks()[1].members, 3);
    EXPECT_EQ(books->blocks()[1].clocks, (std::vector<int64_t>{0, 1, 2}));
    EXPECT_THAT(books->workers(), SizeIs(3));
  }
}

TEST_F(ShardBooksTest, MoreWorkersThanAJobMayHaveAreRefused) {
  v1::LogRecord record;
  record.mutable_member()->set_incarnation(1);
  record.mutable_member()->set_worker(1 << 30);
  EXPECT_TRUE(absl::IsDataLoss(books_.Take(record)));
  v1::Books books = books_.ToProto();
  books.mutable_blocks(0)->set_workers(2);  // of one that is there
  EXPECT_TRUE(absl::IsDataLoss(ShardBooks::FromProto(job_, 0, books).status()));
}

}  // namespace
}  // namespace parley
