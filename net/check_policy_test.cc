#include "net/check_policy.h"

#include <functional>
#include <limits>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace parley {
namespace {

using ::testing::HasSubstr;

v1::Optimizer Sgd() {
  v1::Optimizer optimizer;
  optimizer.mutable_sgd();
  return optimizer;
}

v1::Policy Make(const std::function<void(v1::Policy*)>& set) {
  v1::Policy policy;
  set(&policy);
  return policy;
}

// Synchronous for 10 rounds, then asynchronous.
v1::Policy WarmUp() {
  v1::Policy policy;
  v1::Phases::Phase* first = policy.mutable_phases()->add_phase();
  first->mutable_policy()->mutable_synchronous();
  first->set_rounds(10);
  policy.mutable_phases()->add_phase()->mutable_policy()->mutable_asynchronous();
  return policy;
}

TEST(CheckPolicyTest, AllowsWhatTheContractAllows) {
  for (const v1::Policy& policy : {
           Make([](v1::Policy* p) { p->mutable_synchronous(); }),
           Make([](v1::Policy* p) { p->mutable_synchronous()->set_replicas_to_aggregate(4); }),
           Make([](v1::Policy* p) { p->mutable_synchronous()->set_await_silent(true); }),
           Make([](v1::Policy* p) {
             p->mutable_asynchronous();
             p->set_rate_by_staleness(true);
             p->mutable_delay_compensation()->set_lambda(0.04f);
           }),
           Make([](v1::Policy* p) {
             p->mutable_bounded_staleness();
             p->set_rate_by_staleness(true);
           }),
           WarmUp(),
       }) {
    EXPECT_TRUE(CheckPolicy(policy, Sgd(), 4).ok()) << policy.ShortDebugString();
  }
}

struct IllegalPolicy {
  const char* name;
  std::function<void(v1::Policy*)> set;
  const char* field;
  const char* allowed;
};

class IllegalPolicyTest : public testing::TestWithParam<IllegalPolicy> {};

TEST_P(IllegalPolicyTest, IsRefusedWithTheFieldAndWhatIsAllowed) {
  const absl::Status status = CheckPolicy(Make(GetParam().set), Sgd(), 4);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr(GetParam().field));
  EXPECT_THAT(std::string(status.message()), HasSubstr(GetParam().allowed));
}

INSTANTIATE_TEST_SUITE_P(
    All, IllegalPolicyTest,
    testing::Values(
        IllegalPolicy{"None", [](v1::Policy*) {}, "policy: no policy",
                      "synchronous, asynchronous, bounded_staleness, custom, phases, local_sgd"},
        IllegalPolicy{"ReplicasOverWorkers",
                      [](v1::Policy* p) { p->mutable_synchronous()->set_replicas_to_aggregate(5); },
                      "policy.synchronous.replicas_to_aggregate is 5", "[1, 4]"},
        IllegalPolicy{
            "NegativeReplicas",
            [](v1::Policy* p) { p->mutable_synchronous()->set_replicas_to_aggregate(-1); },
            "replicas_to_aggregate is -1", "[1, 4]"},
        IllegalPolicy{"NegativeLimit",
                      [](v1::Policy* p) { p->mutable_bounded_staleness()->set_limit(-1); },
                      "policy.bounded_staleness.limit is -1", "whole numbers >= 0"},
        IllegalPolicy{"SynchronousByStaleness",
                      [](v1::Policy* p) {
                        p->mutable_synchronous();
                        p->set_rate_by_staleness(true);
                      },
                      "policy.rate_by_staleness is true", "only asynchronous and bounded"},
        IllegalPolicy{"SynchronousCompensated",
                      [](v1::Policy* p) {
                        p->mutable_synchronous();
                        p->mutable_delay_compensation()->set_lambda(1);
                      },
                      "policy.delay_compensation is set", "only asynchronous and bounded"},
        IllegalPolicy{"NoLambda",
                      [](v1::Policy* p) {
                        p->mutable_asynchronous();
                        p->mutable_delay_compensation();
                      },
                      "policy.delay_compensation.lambda is 0", "finite numbers > 0"},
        IllegalPolicy{"LambdaNotANumber",
                      [](v1::Policy* p) {
                        p->mutable_asynchronous();
                        p->mutable_delay_compensation()->set_lambda(
                            std::numeric_limits<float>::quiet_NaN());
                      },
                      "delay_compensation.lambda is nan", "finite numbers > 0"},
        IllegalPolicy{"OnePhase",
                      [](v1::Policy* p) {
                        p->mutable_phases()->add_phase()->mutable_policy()->mutable_synchronous();
                      },
                      "the number of policy.phases is 1", "[2, 64]"},
        IllegalPolicy{"APhaseWithoutRounds",
                      [](v1::Policy* p) {
                        *p = WarmUp();
                        p->mutable_phases()->mutable_phase(0)->set_rounds(0);
                      },
                      "policy.phases[0].rounds is 0", "whole numbers in [1,"},
        IllegalPolicy{"ALastPhaseThatEnds",
                      [](v1::Policy* p) {
                        *p = WarmUp();
                        p->mutable_phases()->mutable_phase(1)->set_rounds(7);
                      },
                      "policy.phases[1].rounds is 7", "0 in the last phase"},
        IllegalPolicy{"PhasesInAPhase",
                      [](v1::Policy* p) {
                        *p = WarmUp();
                        *p->mutable_phases()->mutable_phase(1)->mutable_policy() = WarmUp();
                      },
                      "policy.phases[1].policy: no policy", "synchronous, asynchronous"},
        IllegalPolicy{"APhaseOverWorkers",
                      [](v1::Policy* p) {
                        *p = WarmUp();
                        p->mutable_phases()
                            ->mutable_phase(0)
                            ->mutable_policy()
                            ->mutable_synchronous()
                            ->set_replicas_to_aggregate(9);
                      },
                      "policy.phases[0].policy.synchronous.replicas_to_aggregate is 9", "[1, 4]"},
        IllegalPolicy{"CorrectionsBesidePhases",
                      [](v1::Policy* p) {
                        *p = WarmUp();
                        p->set_rate_by_staleness(true);
                      },
                      "policy.rate_by_staleness is true", "or phases of these"}),
    [](const testing::TestParamInfo<IllegalPolicy>& info) { return info.param.name; });

TEST(CheckPolicyTest, BoundedStalenessAndDroppedGradientsAreNotInOneJob) {
  v1::JobSpec spec;
  spec.set_num_workers(4);
  spec.add_parameters()->set_name("a");
  spec.add_parameters()->set_name("b");
  spec.mutable_policy()->mutable_bounded_staleness();
  spec.mutable_parameters(1)->mutable_policy()->mutable_synchronous();
  EXPECT_TRUE(CheckPoliciesTogether(spec).ok());
  v1::Synchronous* synchronous =
      spec.mutable_parameters(1)->mutable_policy()->mutable_synchronous();
  synchronous->set_replicas_to_aggregate(4);
  EXPECT_TRUE(CheckPoliciesTogether(spec).ok());
  synchronous->set_replicas_to_aggregate(3);
  const absl::Status together = CheckPoliciesTogether(spec);
  EXPECT_EQ(together.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(together.message()), HasSubstr("policy is bounded_staleness"));
  EXPECT_THAT(std::string(together.message()), HasSubstr("policy of parameter b"));
  spec.mutable_policy()->mutable_asynchronous();
  EXPECT_TRUE(CheckPoliciesTogether(spec).ok());
  spec.clear_parameters();
  *spec.mutable_policy() = WarmUp();
  spec.mutable_policy()
      ->mutable_phases()
      ->mutable_phase(1)
      ->mutable_policy()
      ->mutable_bounded_staleness();
  EXPECT_TRUE(CheckPoliciesTogether(spec).ok());
  *spec.mutable_policy()->mutable_phases()->add_phase() =
      spec.policy().phases().phase(0);  // back to synchronous
  EXPECT_FALSE(CheckPoliciesTogether(spec).ok());
}

TEST(CheckPolicyTest, RoundsThatAreStepsAwaitSilentWorkersBesideThoseThatDrop) {
  v1::JobSpec spec;
  spec.set_num_workers(4);
  v1::Synchronous* const whole = spec.mutable_policy()->mutable_synchronous();
  v1::ParameterSpec* const parameter = spec.add_parameters();
  parameter->set_name("a");
  parameter->mutable_policy()->mutable_synchronous()->set_replicas_to_aggregate(3);
  const absl::Status together = CheckPoliciesTogether(spec);
  EXPECT_EQ(together.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(together.message()), HasSubstr("policy.synchronous.await_silent"));
  EXPECT_THAT(std::string(together.message()), HasSubstr("policy of parameter a"));
  whole->set_await_silent(true);
  EXPECT_TRUE(CheckPoliciesTogether(spec).ok());
}

TEST(CheckPolicyTest, ARateByStalenessNeedsAnOptimizerThatHasARateInEachRound) {
  const v1::Policy policy = Make([](v1::Policy* p) {
    p->mutable_asynchronous();
    p->set_rate_by_staleness(true);
  });
  v1::Optimizer optimizer;
  optimizer.mutable_ftrl();
  EXPECT_THAT(std::string(CheckPolicy(policy, optimizer, 4).message()), HasSubstr("ftrl"));
  optimizer = Sgd();
  optimizer.set_accumulate_rounds(2);
  EXPECT_THAT(std::string(CheckPolicy(policy, optimizer, 4).message()),
              HasSubstr("accumulate_rounds 1"));
}

}  // namespace
}  // namespace parley
