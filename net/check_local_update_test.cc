#include "net/check_local_update.h"

#include <functional>
#include <limits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace parley {
namespace {

using ::testing::HasSubstr;

v1::JobSpec Spec() {
  v1::JobSpec spec;
  spec.set_num_workers(4);
  spec.add_parameters()->set_name("weights");
  spec.mutable_optimizer()->set_learning_rate(1);
  spec.mutable_optimizer()->mutable_sgd();
  return spec;
}

void SetMomentum(v1::Optimizer* local) {
  local->set_learning_rate(0.1f);
  local->set_l2(1e-4f);
  local->mutable_momentum()->set_momentum(0.9f);
}

v1::JobSpec LocalSgdSpec() {
  v1::JobSpec spec = Spec();
  spec.mutable_policy()->mutable_local_sgd()->set_every(8);
  SetMomentum(spec.mutable_policy()->mutable_local_sgd()->mutable_local());
  return spec;
}

v1::JobSpec ElasticSpec() {
  v1::JobSpec spec = Spec();
  spec.mutable_policy()->mutable_elastic_averaging()->set_every(1);
  SetMomentum(spec.mutable_policy()->mutable_elastic_averaging()->mutable_local());
  return spec;
}

v1::JobSpec GeoSpec() {
  v1::JobSpec spec = Spec();
  spec.mutable_policy()->mutable_geo()->set_every(1 << 20);
  spec.mutable_policy()->mutable_geo()->mutable_local()->mutable_sgd();
  return spec;
}

TEST(CheckLocalUpdateTest, LegalOnesAreOk) {
  for (const v1::JobSpec& spec : {LocalSgdSpec(), ElasticSpec(), GeoSpec()}) {
    EXPECT_TRUE(HasLocalUpdate(spec.policy()));
    EXPECT_TRUE(CheckLocalUpdate(spec).ok()) << CheckLocalUpdate(spec);
  }
  v1::JobSpec elastic = ElasticSpec();
  elastic.mutable_policy()->mutable_elastic_averaging()->set_moving_rate(1);
  EXPECT_TRUE(CheckLocalUpdate(elastic).ok());
}

TEST(CheckLocalUpdateTest, OtherPoliciesAreNoneOfItsBusiness) {
  v1::JobSpec spec = Spec();
  spec.mutable_policy()->mutable_synchronous();
  spec.mutable_optimizer()->mutable_adam();
  EXPECT_FALSE(HasLocalUpdate(spec.policy()));
  EXPECT_TRUE(CheckLocalUpdate(spec).ok());
}

TEST(CheckLocalUpdateTest, IllegalOnesAreRefusedWithTheFieldAndWhatIsAllowed) {
  const auto local = [](v1::JobSpec& spec) {
    return spec.mutable_policy()->mutable_local_sgd()->mutable_local();
  };
  const struct {
    v1::JobSpec spec;
    std::function<void(v1::JobSpec&)> spoil;
    const char* words;
  } kCases[] = {
      {LocalSgdSpec(), [](auto& s) { s.mutable_policy()->mutable_local_sgd()->set_every(0); },
       "policy.local_sgd.every is 0, allowed are numbers in [1, 1048576]"},
      {GeoSpec(), [](auto& s) { s.mutable_policy()->mutable_geo()->set_every(1 << 21); },
       "policy.geo.every is 2097152, allowed"},
      {ElasticSpec(),
       [](auto& s) { s.mutable_policy()->mutable_elastic_averaging()->set_every(-1); },
       "policy.elastic_averaging.every is -1, allowed"},
      {ElasticSpec(),
       [](auto& s) { s.mutable_policy()->mutable_elastic_averaging()->set_moving_rate(1.5f); },
       "policy.elastic_averaging.moving_rate is 1.5, allowed are numbers in (0, 1]"},
      {ElasticSpec(),
       [](auto& s) {
         s.mutable_policy()->mutable_elastic_averaging()->set_moving_rate(
             std::numeric_limits<float>::quiet_NaN());
       },
       "policy.elastic_averaging.moving_rate is nan"},
      {LocalSgdSpec(), [&](auto& s) { local(s)->mutable_adam(); },
       "allowed are the kinds sgd and momentum"},
      {LocalSgdSpec(), [&](auto& s) { local(s)->clear_momentum(); },
       "allowed are the kinds sgd and momentum"},
      {LocalSgdSpec(), [&](auto& s) { local(s)->set_clip_value(2); }, "clip_value: 2"},
      {LocalSgdSpec(), [&](auto& s) { local(s)->mutable_schedule()->set_warmup_updates(5); },
       "warmup_updates: 5"},
      {LocalSgdSpec(), [&](auto& s) { local(s)->mutable_momentum()->set_momentum(1); },
       "policy.local_sgd.local: optimizer.momentum.momentum is 1, allowed are numbers in [0, 1)"},
      {LocalSgdSpec(), [&](auto& s) { local(s)->set_learning_rate(-1); },
       "policy.local_sgd.local: optimizer.learning_rate is -1"},
      {LocalSgdSpec(), [](auto& s) { s.mutable_optimizer()->set_learning_rate(0.5f); },
       "optimizer is {learning_rate: 0.5 sgd { }}, allowed with policy.local_sgd is"},
      {GeoSpec(), [](auto& s) { s.mutable_optimizer()->mutable_adam(); },
       "allowed with policy.geo is {learning_rate: 1 sgd {}}"},
      {GeoSpec(), [](auto& s) { s.mutable_optimizer()->set_accumulate_rounds(2); },
       "accumulate_rounds: 2"},
      {GeoSpec(), [](auto& s) { s.mutable_parameters(0)->mutable_optimizer()->mutable_sgd(); },
       "parameter weights: optimizer is {sgd { }}, allowed with policy.geo is"},
  };
  for (const auto& each : kCases) {
    v1::JobSpec spec = each.spec;
    each.spoil(spec);
    const absl::Status status = CheckLocalUpdate(spec);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << each.words;
    EXPECT_THAT(std::string(status.message()), HasSubstr(each.words));
  }
}

}  // namespace
}  // namespace parley
