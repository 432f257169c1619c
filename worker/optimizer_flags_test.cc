#include "worker/optimizer_flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "gflags/gflags.h"
#include "google/protobuf/text_format.h"
#include "google/protobuf/util/message_differencer.h"

namespace parley {
namespace {

using testing::HasSubstr;

absl::StatusOr<v1::Optimizer> Declare(const std::vector<std::string>& args) {
  gflags::FlagSaver restores_the_flags;
  const absl::StatusOr<ParsedCommandLine> parsed =
      ParseCommandLine({"test", "", {OptimizerFlagGroup()}}, args);
  if (!parsed.ok()) return parsed.status();
  return OptimizerFromFlags();
}

TEST(OptimizerFlags, DeclareEachOptimizerWithItsOptions) {
  const struct {
    std::vector<std::string> args;
    const char* spec;
  } kCases[] = {
      {{}, "learning_rate: 0.001 adam {}"},
      {{"--optimizer=sgd", "--learning_rate=0.5"}, "learning_rate: 0.5 sgd {}"},
      {{"--optimizer=momentum"}, "learning_rate: 0.05 momentum { momentum: 0.9 }"},
      {{"--optimizer=nesterov", "--momentum=0.5"},
       "learning_rate: 0.05 momentum { momentum: 0.5 nesterov: true }"},
      {{"--optimizer=adagrad", "--epsilon=1e-3"}, "learning_rate: 0.01 adagrad { epsilon: 1e-3 }"},
      {{"--optimizer=adadelta", "--rho=0.5"}, "learning_rate: 1 adadelta { rho: 0.5 }"},
      {{"--optimizer=rmsprop"}, "learning_rate: 0.001 rmsprop {}"},
      {{"--optimizer=rmsprop", "--momentum=0.9", "--rho=0.5", "--centered"},
       "learning_rate: 0.001 rmsprop { alpha: 0.5 momentum: 0.9 centered: true }"},
      {{"--optimizer=amsgrad", "--beta2=0.99"},
       "learning_rate: 0.001 adam { beta2: 0.99 amsgrad: true }"},
      {{"--optimizer=adamw"}, "learning_rate: 0.001 adam {} weight_decay: 0.01"},
      {{"--optimizer=adamw", "--weight_decay=0.5"},
       "learning_rate: 0.001 adam {} weight_decay: 0.5"},
      {{"--optimizer=adamax", "--beta1=0.5"}, "learning_rate: 0.002 adamax { beta1: 0.5 }"},
      {{"--optimizer=nadam"}, "learning_rate: 0.002 nadam {}"},
      {{"--optimizer=ftrl", "--l1=0.25", "--l2=0.5"},
       "learning_rate: 0.05 ftrl { l1: 0.25 l2: 0.5 }"},
      {{"--optimizer=lion", "--weight_decay=1"}, "learning_rate: 0.0001 lion {} weight_decay: 1"},
      {{"--optimizer=lamb", "--weight_decay=0.5", "--epsilon=1e-3", "--ema_decay=0.75"},
       "learning_rate: 0.001 lamb { epsilon: 1e-3 weight_decay: 0.5 } ema_decay: 0.75"},
      {{"--optimizer=lars", "--weight_decay=0.5", "--momentum=0.5", "--trust=0.25"},
       "learning_rate: 1 lars { momentum: 0.5 weight_decay: 0.5 coefficient: 0.25 }"},
      {{"--clip_norm=0.5"}, "learning_rate: 0.001 adam {} clip_norm: 0.5"},
      {{"--optimizer=custom", "--custom_optimizer=signum,momentum=0.5"},
       "learning_rate: 0.05 custom { name: 'signum' options { key: 'momentum' value: 0.5 } }"},
      {{"--optimizer=sgd", "--l1=0.25", "--l2=0.5", "--clip_value=2", "--accumulate_rounds=4"},
       "learning_rate: 0.05 sgd {} l1: 0.25 l2: 0.5 clip_value: 2 accumulate_rounds: 4"},
  };
  for (const auto& c : kCases) {
    v1::Optimizer expected;
    ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(c.spec, &expected)) << c.spec;
    const absl::StatusOr<v1::Optimizer> declared = Declare(c.args);
    ASSERT_TRUE(declared.ok()) << declared.status();
    EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(*declared, expected))
        << declared->ShortDebugString() << ", not " << c.spec;
  }
}

TEST(OptimizerFlags, DeclareEachSchedule) {
  const struct {
    std::vector<std::string> args;
    const char* schedule;
  } kCases[] = {
      {{"--lr_schedule=step", "--lr_every=10"}, "step { every: 10 gamma: 0.1 }"},
      {{"--lr_schedule=exponential", "--lr_gamma=0.5"}, "exponential { gamma: 0.5 }"},
      {{"--lr_schedule=polynomial", "--lr_updates=100", "--lr_power=2", "--lr_end=0.5"},
       "polynomial { updates: 100 power: 2 end: 0.5 }"},
      {{"--lr_schedule=cosine", "--lr_updates=100", "--lr_period_factor=2"},
       "cosine { updates: 100 period_factor: 2 }"},
      {{"--lr_schedule=one_cycle", "--lr_updates=100"}, "one_cycle { updates: 100 }"},
      {{"--lr_warmup=10", "--lr_warmup_start=0.5"}, "warmup_updates: 10 warmup_start: 0.5"},
      {{"--lr_schedule=cosine", "--lr_updates=90", "--lr_warmup=10"},
       "cosine { updates: 90 } warmup_updates: 10"},
  };
  for (const auto& c : kCases) {
    v1::Schedule expected;
    ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(c.schedule, &expected));
    const absl::StatusOr<v1::Optimizer> declared = Declare(c.args);
    ASSERT_TRUE(declared.ok()) << declared.status();
    EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(declared->schedule(), expected))
        << declared->ShortDebugString() << ", not " << c.schedule;
  }
}

TEST(OptimizerFlags, ThatMakeNoSenseAreRefused) {
  const struct {
    std::vector<std::string> args;
    const char* words;
  } kCases[] = {
      {{"--optimizer=adamm"}, "--optimizer=adamm is none of sgd, momentum, nesterov, adagrad"},
      {{"--lr_schedule=linear"}, "--lr_schedule=linear is none of constant, step, exponential"},
      {{"--momentum=0.5"}, "--momentum is not for --optimizer=adam"},
      {{"--optimizer=sgd", "--beta1=0.5"}, "--beta1 is not for --optimizer=sgd"},
      {{"--optimizer=custom"}, "--custom_optimizer= is not like name,option=1.5"},
      {{"--custom_optimizer=signum"}, "--custom_optimizer is not for --optimizer=adam"},
      {{"--optimizer=lamb", "--clip_norm=1"}, "optimizer.clip_norm is 1, allowed are 0 with lamb"},
      {{"--trust=1"}, "--trust is not for --optimizer=adam"},
      {{"--ema_decay=1"}, "optimizer.ema_decay is 1, allowed are numbers in [0, 1)"},
      {{"--centered"}, "--centered is not for --optimizer=adam"},
      {{"--optimizer=lion", "--epsilon=1"}, "--epsilon is not for --optimizer=lion"},
      {{"--beta1=1"}, "optimizer.adam.beta1 is 1, allowed are numbers in [0, 1)"},
      {{"--beta1=nan"}, "optimizer.adam.beta1 is nan"},
      {{"--l2=1e300"}, "optimizer.l2 is inf"},
      {{"--weight_decay=-1e300"}, "optimizer.weight_decay is -inf"},
      {{"--optimizer=nesterov", "--momentum=1"}, "--momentum is not in [0, 1)"},
      {{"--learning_rate=-1"}, "--learning_rate is not a finite number"},
      {{"--accumulate_rounds=0"}, "--accumulate_rounds is not positive"},
      {{"--lr_updates=5"}, "--lr_updates is not for --lr_schedule=constant"},
      {{"--lr_schedule=step", "--lr_every=5", "--lr_end=0.5"},
       "--lr_end is not for --lr_schedule=step"},
      {{"--lr_schedule=cosine"}, "--lr_schedule=cosine needs --lr_updates"},
      {{"--lr_schedule=cosine", "--lr_updates=-3"}, "optimizer.schedule.cosine.updates is -3"},
      {{"--lr_warmup_start=0.5"}, "--lr_warmup_start needs --lr_warmup"},
      {{"--optimizer=ftrl", "--lr_warmup=5"}, "optimizer.schedule is set"},
  };
  for (const auto& c : kCases) {
    const absl::Status status = Declare(c.args).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << c.words;
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.words));
  }
}

}  // namespace
}  // namespace parley
