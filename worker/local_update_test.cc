#include "worker/local_update.h"

#include <cstdint>
#include <memory>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace parley {
namespace {

using ::testing::ElementsAre;

enum class Kind { kLocalSgd, kElastic, kGeo };

v1::JobSpec Spec(Kind kind, int every, const v1::Optimizer& local, float moving_rate = 0) {
  v1::JobSpec spec;
  spec.set_num_workers(4);
  v1::Policy* policy = spec.mutable_policy();
  if (kind == Kind::kLocalSgd) {
    policy->mutable_local_sgd()->set_every(every);
    *policy->mutable_local_sgd()->mutable_local() = local;
  } else if (kind == Kind::kElastic) {
    policy->mutable_elastic_averaging()->set_every(every);
    policy->mutable_elastic_averaging()->set_moving_rate(moving_rate);
    *policy->mutable_elastic_averaging()->mutable_local() = local;
  } else {
    policy->mutable_geo()->set_every(every);
    *policy->mutable_geo()->mutable_local() = local;
  }
  return spec;
}

v1::Optimizer Sgd(float rate) {
  v1::Optimizer local;
  local.set_learning_rate(rate);
  local.mutable_sgd();
  return local;
}

v1::Optimizer Momentum(float rate, float momentum, bool nesterov) {
  v1::Optimizer local;
  local.set_learning_rate(rate);
  local.mutable_momentum()->set_momentum(momentum);
  local.mutable_momentum()->set_nesterov(nesterov);
  return local;
}

// Two parameters, of two elements and one; numbers that float32 holds exactly.
struct Fixture {
  explicit Fixture(const v1::JobSpec& spec) : update(LocalUpdate::Create(spec)) {
    update->Start(values, gradients);
  }
  void Step(float gradient) {
    for (const absl::Span<float> each : gradients) {
      for (float& g : each) g = gradient;
    }
    update->Step();
  }
  void Pull(float a, float b, float c) {
    update->shared()[0][0] = a;
    update->shared()[0][1] = b;
    update->shared()[1][0] = c;
  }

  std::vector<float> x = {8, 16}, y = {32};
  std::vector<float> gx = {0, 0}, gy = {0};
  std::vector<absl::Span<float>> values = {absl::MakeSpan(x), absl::MakeSpan(y)};
  std::vector<absl::Span<float>> gradients = {absl::MakeSpan(gx), absl::MakeSpan(gy)};
  std::unique_ptr<LocalUpdate> update;
};

TEST(LocalUpdateTest, PoliciesUnderWhichGradientsTravelHaveNone) {
  v1::JobSpec spec;
  EXPECT_EQ(LocalUpdate::Create(spec), nullptr);
  spec.mutable_policy()->mutable_synchronous();
  EXPECT_EQ(LocalUpdate::Create(spec), nullptr);
}

TEST(LocalUpdateTest, CountsTheShorterLastExchange) {
  const auto update = LocalUpdate::Create(Spec(Kind::kLocalSgd, 4, Sgd(1)));
  EXPECT_EQ(update->every(), 4);
  std::vector<int64_t> exchanges;
  for (const int64_t step : {0, 1, 4, 5, 8}) exchanges.push_back(update->ExchangesBefore(step));
  EXPECT_THAT(exchanges, ElementsAre(0, 1, 1, 2, 2));
}

TEST(LocalUpdateTest, AppliesSgdWithL2) {
  v1::Optimizer local = Sgd(0.5f);
  local.set_l2(0.25f);
  Fixture fixture(Spec(Kind::kLocalSgd, 1, local));
  fixture.Step(2);
  EXPECT_THAT(fixture.x, ElementsAre(6, 13));  // 8 - 0.5 * (2 + 0.25 * 8)
  EXPECT_THAT(fixture.y, ElementsAre(27));
}

TEST(LocalUpdateTest, AppliesMomentum) {
  Fixture fixture(Spec(Kind::kLocalSgd, 1, Momentum(0.5f, 0.5f, false)));
  fixture.Step(2);
  fixture.Step(4);  // v = 0.5 * 2 + 4
  EXPECT_THAT(fixture.x, ElementsAre(8 - 1 - 2.5f, 16 - 1 - 2.5f));
}

TEST(LocalUpdateTest, AppliesNesterovsMomentum) {
  Fixture fixture(Spec(Kind::kLocalSgd, 1, Momentum(0.5f, 0.5f, true)));
  fixture.Step(2);  // v = 2, 2 + 0.5 * 2
  fixture.Step(4);  // v = 5, 4 + 0.5 * 5
  EXPECT_THAT(fixture.y, ElementsAre(32 - 1.5f - 3.25f));
}

TEST(LocalUpdateTest, LocalSgdPushesTheWayBackAndTakesTheMean) {
  Fixture fixture(Spec(Kind::kLocalSgd, 2, Sgd(1)));
  EXPECT_FALSE(fixture.update->pulls_first());
  fixture.Step(1);
  fixture.Step(2);
  fixture.update->MakeDifference();
  EXPECT_THAT(fixture.gx, ElementsAre(3, 3));
  EXPECT_THAT(fixture.gy, ElementsAre(3));
  fixture.Pull(1, 2, 3);
  fixture.update->TakeShared();
  EXPECT_THAT(fixture.x, ElementsAre(1, 2));
  EXPECT_THAT(fixture.y, ElementsAre(3));
  // The next difference is from there.
  fixture.Step(5);
  fixture.update->MakeDifference();
  EXPECT_THAT(fixture.gx, ElementsAre(5, 5));
}

TEST(LocalUpdateTest, ElasticAveragingMovesBothSidesTowardsEachOther) {
  Fixture fixture(Spec(Kind::kElastic, 1, Sgd(1), 0.25f));
  EXPECT_TRUE(fixture.update->pulls_first());
  fixture.Pull(4, 20, 32);
  fixture.update->MakeDifference();
  EXPECT_THAT(fixture.gx, ElementsAre(-1, 1));  // what the shard subtracts
  EXPECT_THAT(fixture.gy, ElementsAre(0));
  EXPECT_THAT(fixture.x, ElementsAre(7, 17));
  EXPECT_THAT(fixture.update->shared()[0], ElementsAre(5, 19));
}

TEST(LocalUpdateTest, ElasticAveragingsRateIsTheWorkersShareOfNineTenthsByDefault) {
  Fixture fixture(Spec(Kind::kElastic, 1, Sgd(1)));
  fixture.Pull(0, 0, 0);
  fixture.update->MakeDifference();
  EXPECT_FLOAT_EQ(fixture.gy[0], -32 * 0.9f / 4);
}

TEST(LocalUpdateTest, GeoPushesAWorkersShareAndAddsWhatOthersDid) {
  Fixture fixture(Spec(Kind::kGeo, 1, Sgd(1)));
  fixture.Step(4);  // x = {4, 12}, d = {-1, -1}
  fixture.update->MakeDifference();
  EXPECT_THAT(fixture.gx, ElementsAre(1, 1));
  fixture.Pull(7 + 2, 15, 31);  // others added 2 to the first
  fixture.update->TakeShared();
  EXPECT_THAT(fixture.x, ElementsAre(4 + 2, 12));
  EXPECT_THAT(fixture.y, ElementsAre(28));
  // What of its own way has not been pushed goes into the next difference.
  fixture.update->MakeDifference();
  EXPECT_THAT(fixture.gx, ElementsAre(0.75f, 0.75f));
}

TEST(LocalUpdateTest, TheShardsValuesCanBeEvaluatedInBetween) {
  Fixture fixture(Spec(Kind::kLocalSgd, 2, Sgd(1)));
  fixture.Step(1);
  fixture.update->SwapShared();
  EXPECT_THAT(fixture.x, ElementsAre(8, 16));
  fixture.update->SwapShared();
  EXPECT_THAT(fixture.x, ElementsAre(7, 15));
}

}  // namespace
}  // namespace parley
