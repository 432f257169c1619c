#include "worker/policy_flags.h"

#include <string>
#include <vector>

#include "gflags/gflags.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "google/protobuf/util/message_differencer.h"
#include "gtest/gtest.h"

namespace parley {
namespace {

using testing::HasSubstr;

constexpr int kWorkers = 4;

absl::StatusOr<v1::Policy> Declare(const std::vector<std::string>& args) {
  gflags::FlagSaver restores_the_flags;
  const absl::StatusOr<ParsedCommandLine> parsed =
      ParseCommandLine({"test", "", {PolicyFlagGroup()}}, args);
  if (!parsed.ok()) return parsed.status();
  v1::Optimizer optimizer;
  optimizer.mutable_sgd();
  return PolicyFromFlags(&optimizer, kWorkers);
}

TEST(PolicyFlagsTest, DeclareEachPolicyWithItsOptions) {
  const struct {
    std::vector<std::string> args;
    const char* spec;
  } kCases[] = {
      {{}, "synchronous {}"},
      {{"--policy=sync", "--replicas_to_aggregate=3"}, "synchronous { replicas_to_aggregate: 3 }"},
      {{"--await_silent"}, "synchronous { await_silent: true }"},
      {{"--policy=async"}, "asynchronous {}"},
      {{"--policy=async", "--rate_by_staleness"}, "asynchronous {} rate_by_staleness: true"},
      {{"--policy=async", "--delay_compensation=0.5"},
       "asynchronous {} delay_compensation { lambda: 0.5 }"},
      {{"--policy=bounded"}, "bounded_staleness { limit: 3 }"},
      {{"--policy=bounded", "--staleness=0", "--rate_by_staleness"},
       "bounded_staleness { limit: 0 } rate_by_staleness: true"},
      {{"--policy=sync:200,async:50,bounded", "--staleness=2", "--rate_by_staleness"},
       "phases { phase { policy { synchronous {} } rounds: 200 }"
       "         phase { policy { asynchronous {} rate_by_staleness: true } rounds: 50 }"
       "         phase { policy { bounded_staleness { limit: 2 } rate_by_staleness: true } } }"},
      {{"--policy=custom", "--custom_policy=near,limit=2"},
       "custom { name: 'near' options { key: 'limit' value: 2 } }"},
      {{"--group_policy=embedding=bounded", "--staleness=1"}, "synchronous {}"},
  };
  for (const auto& c : kCases) {
    v1::Policy expected;
    ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(c.spec, &expected)) << c.spec;
    const absl::StatusOr<v1::Policy> declared = Declare(c.args);
    ASSERT_TRUE(declared.ok()) << declared.status();
    // Zeros that were set are zeros that were not.
    EXPECT_EQ(declared->SerializeAsString(), expected.SerializeAsString())
        << declared->ShortDebugString() << ", not " << c.spec;
  }
}

TEST(PolicyFlagsTest, RefuseWhatDoesNotFit) {
  const struct {
    std::vector<std::string> args;
    const char* message;
  } kCases[] = {
      {{"--policy=ssp"}, "--policy=ssp is none of sync, async, bounded"},
      {{"--policy=ssp"}, "bounded, custom, local_sgd, elastic, geo"},
      {{"--policy=sync:5,local_sgd"}, "--policy=local_sgd is none of sync, async"},
      {{"--custom_policy=near"}, "--custom_policy is for --policy=custom, not sync"},
      {{"--policy="}, "is none of sync, async, bounded"},
      {{"--policy=sync,async"}, "each policy but the last needs its number of rounds"},
      {{"--policy=sync:5,async:5"}, "each policy but the last needs its number of rounds"},
      {{"--policy=sync:x,async"}, "each policy but the last needs its number of rounds"},
      {{"--policy=sync:0,async"}, "policy.phases[0].rounds is 0, allowed are whole numbers in [1,"},
      {{"--policy=async", "--staleness=2"}, "--staleness is for --policy=bounded, not async"},
      {{"--policy=async", "--replicas_to_aggregate=2"},
       "--replicas_to_aggregate is for --policy=sync, not async"},
      {{"--policy=sync", "--rate_by_staleness"},
       "--rate_by_staleness is for --policy=async or bounded, not sync"},
      {{"--policy=sync", "--delay_compensation=1"}, "--delay_compensation is for --policy=async"},
      {{"--policy=async", "--delay_compensation=-1"},
       "policy.delay_compensation.lambda is -1, allowed are finite numbers > 0"},
      {{"--policy=async", "--delay_compensation=1e300"}, "lambda is inf"},
      {{"--replicas_to_aggregate=5"},
       "policy.synchronous.replicas_to_aggregate is 5, allowed are whole numbers in [1, 4]"},
      {{"--policy=bounded", "--staleness=-1"}, "policy.bounded_staleness.limit is -1"},
      {{"--group_policy=embedding"}, "is not like embedding=async;lstm=sync"},
      {{"--group_policy=embedding=late"}, "--group_policy=late is none of sync, async, bounded"},
  };
  for (const auto& c : kCases) {
    const absl::StatusOr<v1::Policy> declared = Declare(c.args);
    EXPECT_EQ(declared.status().code(), absl::StatusCode::kInvalidArgument) << c.message;
    EXPECT_THAT(std::string(declared.status().message()), HasSubstr(c.message));
  }
}

TEST(PolicyFlagsTest, GroupsAreParametersWhoseNamesBeginAlike) {
  gflags::FlagSaver restores_the_flags;
  ASSERT_TRUE(ParseCommandLine({"test", "", {PolicyFlagGroup()}},
                               {"--group_policy=embedding/first=sync:5,async;embedding=async"})
                  .ok());
  v1::JobSpec spec;
  for (const char* name : {"embedding/first", "embedding/second", "dense"}) {
    spec.add_parameters()->set_name(name);
  }
  ASSERT_TRUE(SetGroupPolicies(&spec).ok());
  EXPECT_TRUE(spec.parameters(0).policy().has_phases());
  EXPECT_TRUE(spec.parameters(1).policy().has_asynchronous());
  EXPECT_FALSE(spec.parameters(2).has_policy());
  spec.mutable_parameters()->DeleteSubrange(0, 2);
  EXPECT_THAT(std::string(SetGroupPolicies(&spec).message()),
              HasSubstr("no parameter's name begins with embedding/first"));
}

}  // namespace
}  // namespace parley
