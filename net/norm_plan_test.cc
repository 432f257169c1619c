#include "net/norm_plan.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "google/protobuf/text_format.h"

namespace parley {
namespace {

// Blocks of 10 elements: a has 0..2, b has 3 and 4, c has 5.
Job MakeJob(int shards, const char* a, const char* b, const char* c) {
  v1::JobSpec spec;
  spec.set_name("job");
  spec.set_num_workers(1);
  spec.set_num_shards(shards);
  spec.set_block_elements(10);
  spec.mutable_policy()->mutable_synchronous();
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString("learning_rate: 1 sgd {}",
                                                            spec.mutable_optimizer()));
  const struct {
    const char* name;
    int size;
    const char* optimizer;
  } kParameters[] = {{"a", 30, a}, {"b", 20, b}, {"c", 5, c}};
  for (const auto& each : kParameters) {
    v1::ParameterSpec* const parameter = spec.add_parameters();
    parameter->set_name(each.name);
    parameter->add_shape(each.size);
    parameter->set_dtype(v1::FLOAT32);
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(each.optimizer,
                                                              parameter->mutable_optimizer()));
  }
  return Job::Create(spec).value();
}

constexpr char kPlain[] = "learning_rate: 1 sgd {}";
constexpr char kClipped[] = "learning_rate: 1 sgd {} clip_norm: 1";
constexpr char kLamb[] = "learning_rate: 1 lamb {}";

// Gives each sum of each block a value of its own, in the lists of the shards.
std::vector<std::vector<double>> SumsOf(const Job& job, const NormPlan& plan, int64_t round) {
  std::vector<std::vector<double>> sums(static_cast<size_t>(job.spec().num_shards()));
  for (size_t i = 0; i < job.blocks().size(); ++i) {
    const BlockInfo& block = job.blocks()[i];
    for (int j = 0; j < plan.NumSums(block.parameter, round); ++j) {
      sums[block.shard].push_back(1 + 10 * static_cast<double>(i) + j);
    }
  }
  return sums;
}

TEST(NormPlan, IsEmptyWhereNoOptimizerNeedsNorms) {
  const Job job = MakeJob(2, kPlain, kPlain, kPlain);
  const NormPlan plan(&job);
  EXPECT_TRUE(plan.empty());
  EXPECT_TRUE(plan.ShardsOf(1).empty());
  EXPECT_EQ(plan.AddUp(1, {{}, {}}).value(), std::vector<double>());
}

TEST(NormPlan, AddsUpEachParameterWhateverTheNumberOfShards) {
  for (const int shards : {1, 2, 5}) {
    const Job job = MakeJob(shards, kLamb, kPlain, kClipped);
    const NormPlan plan(&job);
    EXPECT_FALSE(plan.empty());
    const auto sums = SumsOf(job, plan, 1);
    size_t lists = 0;
    for (int i = 0; i < shards; ++i) {
      EXPECT_EQ(plan.NumSumsOfShard(i, 1), sums[i].size());
      lists += sums[i].empty() ? 0 : 1;
    }
    EXPECT_EQ(plan.ShardsOf(1).size(), lists);
    const std::vector<double> totals = plan.AddUp(1, sums).value();
    EXPECT_EQ(totals, (std::vector<double>{1 + 11 + 21, 2 + 12 + 22, 51}));
    EXPECT_TRUE(plan.CheckTotals(1, totals).ok());
  }
}

// Numbers of which another order makes another sum.
TEST(NormPlan, AddsInTheOrderOfTheBlocks) {
  for (const int shards : {1, 2, 5}) {
    const Job job = MakeJob(shards, kClipped, kPlain, kPlain);
    std::vector<std::vector<double>> sums(static_cast<size_t>(shards));
    for (int i = 0; i < 3; ++i) sums[job.blocks()[i].shard].push_back(i == 0 ? 1e16 : 1);
    const double total = NormPlan(&job).AddUp(1, sums).value()[0];
    EXPECT_EQ(total, 1e16) << shards;
    EXPECT_NE(total, 1 + 1 + 1e16);
  }
}

TEST(NormPlan, GivesAParameterItsOwnNormsAndOneNormToAllThatAreClipped) {
  const Job job = MakeJob(2, kClipped, kLamb, "learning_rate: 1 adam {} clip_norm: 7");
  const NormPlan plan(&job);
  const std::vector<double> totals = {9, 4, 25, 7};  // a; b, twice; c
  EXPECT_EQ(plan.NormsOf(0, 1, totals), std::vector<double>{4});
  EXPECT_EQ(plan.NormsOf(1, 1, totals), (std::vector<double>{2, 5}));
  EXPECT_EQ(plan.NormsOf(2, 1, totals), std::vector<double>{4});
}

TEST(NormPlan, OnlyParametersThatUpdateInARoundTakePart) {
  const Job job =
      MakeJob(2, "learning_rate: 1 sgd {} clip_norm: 1 accumulate_rounds: 2", kPlain, kClipped);
  const NormPlan plan(&job);
  EXPECT_EQ(plan.NumSums(0, 1), 0);
  EXPECT_EQ(plan.NumSums(0, 2), 1);
  EXPECT_EQ(plan.AddUp(1, SumsOf(job, plan, 1)).value(), std::vector<double>{51});
  EXPECT_EQ(plan.AddUp(2, SumsOf(job, plan, 2)).value(), (std::vector<double>{33, 51}));
  EXPECT_EQ(plan.NormsOf(2, 1, {49}), std::vector<double>{7});
  EXPECT_EQ(plan.NormsOf(2, 2, {15, 49}), std::vector<double>{8});
}

TEST(NormPlan, RefusesListsThatDoNotFit) {
  const Job job = MakeJob(2, kLamb, kPlain, kPlain);
  const NormPlan plan(&job);
  auto sums = SumsOf(job, plan, 1);
  sums[1].push_back(1);
  EXPECT_EQ(plan.AddUp(1, sums).status().code(), absl::StatusCode::kInvalidArgument);
  sums[1].resize(sums[1].size() - 2);
  EXPECT_EQ(plan.AddUp(1, sums).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(std::string(plan.CheckTotals(3, {1}).message()), "round 3 has 2 totals, not 1");
  EXPECT_EQ(std::string(plan.CheckTotals(3, {1, -1}).message()),
            "a total of round 3 is -1, allowed are finite numbers >= 0");
  EXPECT_FALSE(plan.CheckTotals(3, {1, std::numeric_limits<double>::quiet_NaN()}).ok());
}

}  // namespace
}  // namespace parley
