#include "net/job.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <string>
#include <vector>

namespace parley {
namespace {

using testing::HasSubstr;

// Two parameters: "w" of 2 x 5 elements and the scalar "b", cut into blocks of four.
v1::JobSpec LegalSpec() {
  v1::JobSpec spec;
  spec.set_name("job");
  spec.set_num_workers(2);
  spec.set_num_shards(2);
  spec.set_block_elements(4);
  spec.mutable_optimizer()->set_learning_rate(0.1f);
  spec.mutable_optimizer()->mutable_sgd();
  spec.mutable_policy()->mutable_synchronous();
  v1::ParameterSpec* w = spec.add_parameters();
  w->set_name("w");
  w->add_shape(2);
  w->add_shape(5);
  w->set_dtype(v1::FLOAT32);
  w->mutable_initializer()->mutable_normal()->set_stddev(0.5f);
  v1::ParameterSpec* b = spec.add_parameters();
  b->set_name("b");
  b->set_dtype(v1::FLOAT32);
  return spec;
}

TEST(Job, CutsParametersIntoBlocks) {
  const absl::StatusOr<Job> job = Job::Create(LegalSpec());
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->name(), "job");
  ASSERT_EQ(job->parameters().size(), 2u);
  EXPECT_EQ(job->parameters()[0].name, "w");
  EXPECT_EQ(job->parameters()[0].size, 10);
  EXPECT_EQ(job->parameters()[0].first_block, 0);
  EXPECT_EQ(job->parameters()[0].num_blocks, 3);
  EXPECT_EQ(job->parameters()[0].initializer, Initializer::Normal(0, 0.5f));
  EXPECT_EQ(job->parameters()[1].size, 1);
  EXPECT_EQ(job->parameters()[1].first_block, 3);
  EXPECT_EQ(job->parameters()[1].num_blocks, 1);
  EXPECT_EQ(job->parameters()[1].initializer, Initializer::Zeros());

  const std::vector<int64_t> offsets = {0, 4, 8, 0};
  const std::vector<int64_t> sizes = {4, 4, 2, 1};
  const std::vector<int> parameters = {0, 0, 0, 1};
  ASSERT_EQ(job->blocks().size(), 4u);
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(job->blocks()[i].offset, offsets[i]);
    EXPECT_EQ(job->blocks()[i].size, sizes[i]);
    EXPECT_EQ(job->blocks()[i].parameter, parameters[i]);
  }
}

TEST(Job, AParametersOwnOptimizerCountsAndIsChecked) {
  v1::JobSpec spec = LegalSpec();
  spec.mutable_parameters(1)->mutable_optimizer()->mutable_adam();
  const absl::StatusOr<Job> job = Job::Create(spec);
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_TRUE(job->OptimizerOf(0).has_sgd());
  EXPECT_TRUE(job->OptimizerOf(1).has_adam());
  spec.mutable_parameters(1)->mutable_optimizer()->set_learning_rate(-1);
  EXPECT_THAT(Job::Create(spec).status().message(),
              HasSubstr("parameter b: optimizer.learning_rate"));
}

TEST(Job, EveryBlockHasOneShard) {
  const absl::StatusOr<Job> job = Job::Create(LegalSpec());
  ASSERT_TRUE(job.ok());
  EXPECT_EQ(job->BlocksOfShard(0), (std::vector<uint32_t>{0, 2}));
  EXPECT_EQ(job->BlocksOfShard(1), (std::vector<uint32_t>{1, 3}));
  EXPECT_TRUE(job->BlocksOfShard(2).empty());
}

TEST(Job, BlocksAreAMebibyteUnlessTheSpecSaysOtherwise) {
  v1::JobSpec spec = LegalSpec();
  spec.set_block_elements(0);
  spec.mutable_parameters(0)->set_shape(0, 100'000);
  const absl::StatusOr<Job> job = Job::Create(spec);
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->parameters()[0].num_blocks, 2);
  EXPECT_EQ(job->blocks()[0].size, 262144);
  EXPECT_EQ(job->blocks()[1].size, 500'000 - 262144);
}

TEST(Job, FindsParametersByName) {
  const absl::StatusOr<Job> job = Job::Create(LegalSpec());
  ASSERT_TRUE(job.ok());
  EXPECT_EQ(*job->FindParameter("b"), 1);
  const absl::Status missing = job->FindParameter("c").status();
  EXPECT_EQ(missing.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(missing.message()), HasSubstr("job job has no parameter c"));
}

struct IllegalSpec {
  const char* name;
  std::function<void(v1::JobSpec*)> change;
  const char* reason;
};

class IllegalSpecs : public testing::TestWithParam<IllegalSpec> {};

TEST_P(IllegalSpecs, AreRefusedWithTheReason) {
  v1::JobSpec spec = LegalSpec();
  GetParam().change(&spec);
  const absl::Status status = Job::Create(spec).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr(GetParam().reason));
}

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

INSTANTIATE_TEST_SUITE_P(
    Job, IllegalSpecs,
    testing::Values(
        IllegalSpec{"NoName", [](v1::JobSpec* s) { s->clear_name(); }, "a job needs a name"},
        IllegalSpec{"NameInLatin1",
                    [](v1::JobSpec* s) { s->mutable_parameters(0)->set_name("caf\xe9"); },
                    "not all of its names are UTF-8"},
        IllegalSpec{"NoWorkers", [](v1::JobSpec* s) { s->set_num_workers(0); }, "num_workers"},
        IllegalSpec{"TooManyWorkers", [](v1::JobSpec* s) { s->set_num_workers(1 << 30); },
                    "num_workers"},
        IllegalSpec{"NegativeShards", [](v1::JobSpec* s) { s->set_num_shards(-1); }, "num_shards"},
        IllegalSpec{"TooManyShards", [](v1::JobSpec* s) { s->set_num_shards(1 << 30); },
                    "num_shards"},
        IllegalSpec{"NegativeBlocks", [](v1::JobSpec* s) { s->set_block_elements(-1); },
                    "block_elements is negative"},
        IllegalSpec{"NoParameters", [](v1::JobSpec* s) { s->clear_parameters(); },
                    "it has neither parameters nor tables"},
        IllegalSpec{"NoLearningRate",
                    [](v1::JobSpec* s) { s->mutable_optimizer()->set_learning_rate(kNan); },
                    "optimizer.learning_rate is nan"},
        IllegalSpec{"NegativeLearningRate",
                    [](v1::JobSpec* s) { s->mutable_optimizer()->set_learning_rate(-1); },
                    "optimizer.learning_rate is -1"},
        IllegalSpec{"NoOptimizer", [](v1::JobSpec* s) { s->clear_optimizer(); }, "no optimizer"},
        IllegalSpec{
            "MomentumOfOne",
            [](v1::JobSpec* s) { s->mutable_optimizer()->mutable_momentum()->set_momentum(1); },
            "optimizer.momentum.momentum is 1"},
        IllegalSpec{"Beta1",
                    [](v1::JobSpec* s) { s->mutable_optimizer()->mutable_adam()->set_beta1(-1); },
                    "optimizer.adam.beta1 is -1"},
        IllegalSpec{"Beta2",
                    [](v1::JobSpec* s) { s->mutable_optimizer()->mutable_adam()->set_beta2(kNan); },
                    "optimizer.adam.beta2 is nan"},
        IllegalSpec{
            "Epsilon",
            [](v1::JobSpec* s) { s->mutable_optimizer()->mutable_adam()->set_epsilon(kInfinity); },
            "optimizer.adam.epsilon is inf"},
        IllegalSpec{"NoPolicy", [](v1::JobSpec* s) { s->clear_policy(); }, "no policy"},
        IllegalSpec{
            "NegativeStaleness",
            [](v1::JobSpec* s) { s->mutable_policy()->mutable_bounded_staleness()->set_limit(-1); },
            "policy.bounded_staleness.limit is -1"},
        IllegalSpec{"NamelessParameter",
                    [](v1::JobSpec* s) { s->mutable_parameters(1)->clear_name(); },
                    "a parameter has no name"},
        IllegalSpec{"NameUsedTwice",
                    [](v1::JobSpec* s) { s->mutable_parameters(1)->set_name("w"); },
                    "parameter w: its name is used twice"},
        IllegalSpec{"NoDtype", [](v1::JobSpec* s) { s->mutable_parameters(0)->clear_dtype(); },
                    "parameter w: dtype DTYPE_UNSPECIFIED"},
        IllegalSpec{"DimensionOfZero",
                    [](v1::JobSpec* s) { s->mutable_parameters(0)->set_shape(1, 0); },
                    "parameter w: dimension 0 is not positive"},
        IllegalSpec{"TooLarge",
                    [](v1::JobSpec* s) {
                      s->mutable_parameters(0)->set_shape(0, int64_t{1} << 40);
                      s->mutable_parameters(0)->set_shape(1, int64_t{1} << 40);
                    },
                    "parameter w: its elements are too many"},
        IllegalSpec{
            "TooManyBlocks",
            [](v1::JobSpec* s) { s->mutable_parameters(0)->set_shape(0, int64_t{1} << 40); },
            "parameter w: too many blocks"}),
    [](const testing::TestParamInfo<IllegalSpec>& info) { return info.param.name; });

TEST(DescribeDifference, IsEmptyForEqualSpecsAndNamesTheFieldOtherwise) {
  EXPECT_EQ(DescribeDifference(LegalSpec(), LegalSpec()), "");
  v1::JobSpec other = LegalSpec();
  other.set_seed(7);
  EXPECT_THAT(DescribeDifference(LegalSpec(), other), HasSubstr("seed"));
  other = LegalSpec();
  other.mutable_parameters(0)->set_shape(1, 6);
  EXPECT_THAT(DescribeDifference(LegalSpec(), other), HasSubstr("parameters[0].shape[1]"));
}

TEST(Job, InitializersComeBackFromTheWire) {
  for (const Initializer& initializer :
       {Initializer::Zeros(), Initializer::Constant(2), Initializer::Uniform(-1, 3),
        Initializer::Normal(1, 0.25f)}) {
    EXPECT_EQ(FromProto(ToProto(initializer)), initializer);
  }
  EXPECT_EQ(FromProto(v1::Initializer()), Initializer::Zeros());
}

}  // namespace
}  // namespace parley
