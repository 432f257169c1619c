#include "worker/request_plan.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

namespace parley {
namespace {

// Parameters of these sizes, in blocks of 100 elements.
Job MakeJob(const std::vector<int64_t>& sizes, int shards) {
  v1::JobSpec spec;
  spec.set_name("plan");
  spec.set_num_workers(1);
  spec.set_num_shards(shards);
  spec.set_block_elements(100);
  spec.mutable_optimizer()->set_learning_rate(1);
  spec.mutable_optimizer()->mutable_sgd();
  spec.mutable_policy()->mutable_asynchronous();
  for (size_t i = 0; i < sizes.size(); ++i) {
    v1::ParameterSpec* parameter = spec.add_parameters();
    parameter->set_name("p" + std::to_string(i));
    parameter->add_shape(sizes[i]);
    parameter->set_dtype(v1::FLOAT32);
  }
  absl::StatusOr<Job> job = Job::Create(spec);
  EXPECT_TRUE(job.ok()) << job.status();
  return *std::move(job);
}

class RequestPlanTest : public testing::Test {
 protected:
  explicit RequestPlanTest() : job_(MakeJob({250, 7, 3}, 2)) {
    for (const Job::Parameter& parameter : job_.parameters()) {
      gradients_.emplace_back(parameter.size);
      targets_.emplace_back(parameter.size);
      sources_.push_back(gradients_.back().data());
      places_.push_back({true, targets_.back().data()});
    }
  }

  const Job job_;
  std::vector<std::vector<float>> gradients_, targets_;
  std::vector<const float*> sources_;
  std::vector<PullPart> places_;
};

TEST_F(RequestPlanTest, SmallBlocksOfAShardTravelTogetherBothWays) {
  const auto plan = PlanRequests(job_, sources_, places_, 1 << 20, 8);
  ASSERT_EQ(plan.size(), 2u);
  std::set<uint32_t> seen;
  for (size_t i = 0; i < plan.size(); ++i) {
    EXPECT_EQ(plan[i].shard, static_cast<int>(i));
    for (const PlannedBlock& block : plan[i].blocks) {
      const BlockInfo& info = job_.blocks()[block.block];
      EXPECT_TRUE(seen.insert(block.block).second);
      EXPECT_EQ(info.shard, plan[i].shard);
      EXPECT_EQ(block.size, info.size);
      EXPECT_EQ(block.gradient, gradients_[info.parameter].data() + info.offset);
      EXPECT_EQ(block.target, targets_[info.parameter].data() + info.offset);
    }
  }
  EXPECT_EQ(seen.size(), job_.blocks().size());
}

TEST_F(RequestPlanTest, RequestsKeepToTheSizeUnlessOneBlockIsLarger) {
  for (const size_t limit : {0, 30, 420, 800}) {
    for (const PlannedRequest& request : PlanRequests(job_, sources_, places_, limit, 8)) {
      size_t bytes = 0;
      for (const PlannedBlock& block : request.blocks) bytes += block.size * sizeof(float);
      EXPECT_TRUE(bytes <= limit || request.blocks.size() == 1) << limit;
    }
  }
}

TEST_F(RequestPlanTest, AShardWithManyRequestsGetsGradientsFirstAndApart) {
  const auto plan = PlanRequests(job_, sources_, places_, 0, 1);
  EXPECT_EQ(plan.size(), 2 * job_.blocks().size());
  for (int shard = 0; shard < 2; ++shard) {
    bool pulls = false;
    for (const PlannedRequest& request : plan) {
      if (request.shard != shard) continue;
      ASSERT_EQ(request.blocks.size(), 1u);
      EXPECT_NE(request.blocks[0].gradient == nullptr, !request.blocks[0].pulled);
      EXPECT_FALSE(pulls && request.blocks[0].gradient != nullptr);
      pulls = request.blocks[0].pulled;
    }
    EXPECT_TRUE(pulls);
  }
}

TEST_F(RequestPlanTest, ParametersThatTakeNoPartAreLeftOut) {
  sources_[0] = sources_[1] = nullptr;
  places_[0] = places_[2] = PullPart();
  size_t blocks = 0;
  for (const PlannedRequest& request : PlanRequests(job_, sources_, places_, 1 << 20, 8)) {
    for (const PlannedBlock& block : request.blocks) {
      const int parameter = job_.blocks()[block.block].parameter;
      EXPECT_EQ(block.pulled, parameter == 1);
      EXPECT_EQ(block.gradient != nullptr, parameter == 2);
      ++blocks;
    }
  }
  EXPECT_EQ(blocks, 2u);
}

}  // namespace
}  // namespace parley
