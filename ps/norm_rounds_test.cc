#include "ps/norm_rounds.h"

#include <gtest/gtest.h>

#include <vector>

namespace parley {
namespace {

using State = NormRounds::State;

// One parameter with `optimizer`, of three blocks on one shard, and one without norms.
Job MakeJob(bool lamb) {
  v1::JobSpec spec;
  spec.set_name("job");
  spec.set_num_workers(1);
  spec.set_num_shards(1);
  spec.set_block_elements(10);
  spec.mutable_policy()->mutable_synchronous();
  spec.mutable_optimizer()->set_learning_rate(1);
  spec.mutable_optimizer()->mutable_sgd();
  for (const char* name : {"plain", "w"}) {
    v1::ParameterSpec* const parameter = spec.add_parameters();
    parameter->set_name(name);
    parameter->add_shape(name[0] == 'w' ? 30 : 10);
    parameter->set_dtype(v1::FLOAT32);
    if (name[0] != 'w') continue;
    if (lamb) {
      parameter->mutable_optimizer()->mutable_lamb();
    } else {
      parameter->mutable_optimizer()->mutable_sgd();
      parameter->mutable_optimizer()->set_clip_norm(1);
    }
  }
  return Job::Create(spec).value();
}

TEST(NormRounds, ListSumsInTheOrderOfTheBlocksHoweverTheyCome) {
  const Job job = MakeJob(/*lamb=*/true);
  const NormPlan plan(&job);
  NormRounds rounds(&job, &plan, {0, 1, 2, 3}, 0);
  EXPECT_EQ(rounds.StateOf(1), State::kOpen);
  EXPECT_EQ(rounds.MissingBlock(1), 1u);
  EXPECT_FALSE(rounds.AddSums(3, 1, {5, 6}));
  EXPECT_FALSE(rounds.AddSums(1, 1, {1, 2}));
  EXPECT_EQ(rounds.StateOf(1), State::kOpen);
  EXPECT_EQ(rounds.MissingBlock(1), 2u);
  EXPECT_TRUE(rounds.AddSums(2, 1, {3, 4}));
  EXPECT_EQ(rounds.StateOf(1), State::kSummed);
  EXPECT_EQ(rounds.SumsOf(1), (std::vector<double>{1, 2, 3, 4, 5, 6}));
  rounds.Finish(1);
  EXPECT_EQ(rounds.StateOf(1), State::kFinished);
}

TEST(NormRounds, BlocksMayBeARoundFurtherThanOthers) {
  const Job job = MakeJob(/*lamb=*/false);
  const NormPlan plan(&job);
  NormRounds rounds(&job, &plan, {0, 1, 2, 3}, 0);
  for (const size_t block : {1, 2, 3}) rounds.AddSums(block, 1, {1});
  rounds.Finish(1);
  EXPECT_FALSE(rounds.AddSums(2, 2, {7}));
  EXPECT_EQ(rounds.StateOf(1), State::kFinished);
  EXPECT_EQ(rounds.StateOf(2), State::kOpen);
}

TEST(NormRounds, AreForgottenAfterAWhile) {
  const Job job = MakeJob(/*lamb=*/false);
  const NormPlan plan(&job);
  NormRounds rounds(&job, &plan, {0, 1, 2, 3}, /*version=*/40);
  EXPECT_EQ(rounds.StateOf(40), State::kForgotten);
  EXPECT_EQ(rounds.StateOf(41), State::kOpen);
  const int64_t last = 41 + static_cast<int64_t>(NormRounds::kRemembered);
  for (int64_t round = 41; round <= last; ++round) {
    for (const size_t block : {1, 2, 3}) rounds.AddSums(block, round, {1});
    rounds.Finish(round);
  }
  EXPECT_EQ(rounds.StateOf(41), State::kForgotten);
  EXPECT_EQ(rounds.StateOf(42), State::kFinished);
  EXPECT_EQ(rounds.SumsOf(42), (std::vector<double>{1, 1, 1}));
}

// What a copy of a shard hears, block by block, among the rounds.
TEST(NormRounds, ACopyHasTheSumsOfRoundsThatAllItsBlocksBrought) {
  const Job job = MakeJob(/*lamb=*/false);
  const NormPlan plan(&job);
  NormRounds shard(&job, &plan, {0, 1, 2, 3}, 0);
  NormRounds copy(&job, &plan, {0, 1, 2, 3}, 0);
  const auto add = [&](size_t block, int64_t round) {
    if (shard.AddSums(block, round, {static_cast<double>(10 * round) + static_cast<double>(block)}))
      shard.Finish(round);
  };
  for (int64_t round = 1; round <= 20; ++round) {
    for (const size_t block : {1, 2, 3}) add(block, round);
  }
  EXPECT_TRUE(copy.Take(1, shard.SumsOfBlock(1, 20)).ok());
  for (int64_t round = 21; round <= 25; ++round) {
    for (const size_t block : {1, 2, 3}) add(block, round);
    EXPECT_TRUE(copy.Take(1, {{round, {static_cast<double>(10 * round + 1)}}}).ok());
  }
  add(1, 26);
  EXPECT_TRUE(copy.Take(1, {{26, {261}}}).ok());
  for (const size_t block : {2, 3}) {
    EXPECT_EQ(shard.SumsOfBlock(block, 25).size(), NormRounds::kRemembered);
    EXPECT_TRUE(copy.Take(block, shard.SumsOfBlock(block, 25)).ok());
  }
  EXPECT_TRUE(copy.Take(0, shard.SumsOfBlock(0, 25)).ok());  // which has no part in them
  copy.ForgetUnknown(25);
  for (int64_t round = 1; round <= 26; ++round) {
    ASSERT_EQ(copy.StateOf(round), shard.StateOf(round)) << round;
    if (copy.StateOf(round) == State::kFinished) {
      EXPECT_EQ(copy.SumsOf(round), shard.SumsOf(round));
    }
  }
  EXPECT_EQ(copy.StateOf(26), State::kOpen);
  EXPECT_EQ(copy.MissingBlock(26), 2u);
}

TEST(NormRounds, OfRoundsThatNobodyRemembersNoneIsOpen) {
  const Job job = MakeJob(/*lamb=*/false);
  const NormPlan plan(&job);
  NormRounds copy(&job, &plan, {0, 1, 2, 3}, 0);
  copy.ForgetUnknown(7);
  EXPECT_EQ(copy.StateOf(7), State::kForgotten);
  EXPECT_EQ(copy.StateOf(8), State::kOpen);
}

TEST(NormRounds, SumsThatDoNotFitAreRefusedAndChangeNothing) {
  const Job job = MakeJob(/*lamb=*/false);
  const NormPlan plan(&job);
  NormRounds copy(&job, &plan, {0, 1, 2, 3}, 0);
  EXPECT_TRUE(absl::IsInvalidArgument(copy.Take(1, {{1, {5, 6}}})));
  EXPECT_TRUE(absl::IsInvalidArgument(copy.Take(1, {{1, {}}})));
  EXPECT_TRUE(absl::IsInvalidArgument(copy.Take(0, {{1, {5}}})));
  EXPECT_TRUE(absl::IsInvalidArgument(copy.Take(1, {{0, {5}}})));
  EXPECT_TRUE(absl::IsInvalidArgument(copy.Take(1, {{2, {5}}, {1, {5}}})));
  EXPECT_TRUE(copy.Take(1, {{2, {5}}}).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(copy.Take(1, {{2, {5}}})));
  EXPECT_EQ(copy.SumsOfBlock(1, 2).size(), 1u);
}

}  // namespace
}  // namespace parley
