#include "ps/optimizer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "google/protobuf/text_format.h"

namespace parley {
namespace {

// One element in float64: slots and value, updated by the formula of the optimizer's paper.
struct Element {
  double value;
  double slot[2] = {0, 0};
  // The largest magnitudes so far, but at least 1: what roundings were relative to.
  double value_scale = 1;
  double slot_scale[2] = {1, 1};
  // Where a formula jumps, float32 may be on the other side: such an element says nothing more.
  bool lost = false;
};

struct Case {
  std::string name;
  v1::Optimizer spec;
  int num_slots;
  // Unset where ps/optimizer_recorded_test.cc has recordings.
  std::function<void(Element*, double gradient, int64_t round)> reference;
};

Case Sgd() {
  Case result{"Sgd", {}, 0, [](Element* e, double g, int64_t) { e->value -= 0.05f * g; }};
  result.spec.set_learning_rate(0.05f);
  result.spec.mutable_sgd();
  return result;
}

Case Momentum(bool nesterov) {
  Case result{nesterov ? "Nesterov" : "Momentum", {}, 1, [nesterov](Element* e, double g, int64_t) {
                const double momentum = 0.9f;
                e->slot[0] = momentum * e->slot[0] + g;
                e->value -= 0.05f * (nesterov ? g + momentum * e->slot[0] : e->slot[0]);
              }};
  result.spec.set_learning_rate(0.05f);
  result.spec.mutable_momentum()->set_momentum(0.9f);
  result.spec.mutable_momentum()->set_nesterov(nesterov);
  return result;
}

Case Adam(const std::string& name, float beta1, float beta2, float epsilon) {
  Case result{name, {}, 2, nullptr};
  result.spec.set_learning_rate(0.01f);
  result.spec.mutable_adam()->set_beta1(beta1);
  result.spec.mutable_adam()->set_beta2(beta2);
  result.spec.mutable_adam()->set_epsilon(epsilon);
  // Zeros mean the paper's numbers.
  const double b1 = beta1 == 0 ? 0.9f : beta1;
  const double b2 = beta2 == 0 ? 0.999f : beta2;
  const double eps = epsilon == 0 ? 1e-8f : epsilon;
  result.reference = [=](Element* e, double g, int64_t round) {
    e->slot[0] = b1 * e->slot[0] + (1 - b1) * g;
    e->slot[1] = b2 * e->slot[1] + (1 - b2) * g * g;
    const double m = e->slot[0] / (1 - std::pow(b1, round));
    const double v = e->slot[1] / (1 - std::pow(b2, round));
    e->value -= 0.01f * m / (std::sqrt(v) + eps);
  };
  return result;
}

// McMahan et al., 2013, algorithm 1; of an element whose value is not zero, z begins so that it
// gives this value.
Case Ftrl(const std::string& name, float beta, float l1, float l2) {
  Case result{name, {}, 2, nullptr};
  result.spec.set_learning_rate(0.5f);
  result.spec.mutable_ftrl()->set_beta(beta);
  result.spec.mutable_ftrl()->set_l1(l1);
  result.spec.mutable_ftrl()->set_l2(l2);
  const double alpha = 0.5;
  const double b = beta == 0 ? 1 : beta;
  result.reference = [=](Element* e, double g, int64_t round) {
    double& z = e->slot[0];
    double& n = e->slot[1];
    const auto sign = [](double x) { return x > 0 ? 1.0 : x < 0 ? -1.0 : 0.0; };
    if (round == 1) z = -e->value * (b / alpha + l2) - sign(e->value) * l1;
    z += g - (std::sqrt(n + g * g) - std::sqrt(n)) / alpha * e->value;
    n += g * g;
    e->value = std::abs(z) <= l1 ? 0 : -(z - sign(z) * l1) / ((b + std::sqrt(n)) / alpha + l2);
  };
  return result;
}

// Chen et al., 2023, algorithm 2, with its weight decay.
Case Lion(const std::string& name, float beta1, float beta2, float weight_decay) {
  Case result{name, {}, 1, nullptr};
  result.spec.set_learning_rate(0.01f);
  result.spec.mutable_lion()->set_beta1(beta1);
  result.spec.mutable_lion()->set_beta2(beta2);
  result.spec.set_weight_decay(weight_decay);
  const double b1 = beta1 == 0 ? 0.9f : beta1;
  const double b2 = beta2 == 0 ? 0.99f : beta2;
  result.reference = [=](Element* e, double g, int64_t) {
    const double mix = b1 * e->slot[0] + (1 - b1) * g;
    if (std::abs(mix) < 1e-5) e->lost = true;
    e->value -= 0.01f * ((mix > 0 ? 1 : -1) + weight_decay * e->value);
    e->slot[0] = b2 * e->slot[0] + (1 - b2) * g;
  };
  return result;
}

// Far from zero, where |p| has its kink.
Case SgdWithPenalties() {
  Case result{"SgdWithPenalties", {}, 0, [](Element* e, double g, int64_t) {
                if (std::abs(e->value) < 1e-5) e->lost = true;
                const double clipped = std::min(std::max(g, -0.75), 0.75);
                const double sign = e->value > 0 ? 1 : -1;
                e->value -= 0.05f * (clipped + 0.125 * e->value + 0.0625 * sign);
              }};
  result.spec.set_learning_rate(0.05f);
  result.spec.mutable_sgd();
  result.spec.set_clip_value(0.75f);
  result.spec.set_l1(0.0625f);
  result.spec.set_l2(0.125f);
  return result;
}

Case MomentumOverThreeRounds() {
  Case result{"MomentumOverThreeRounds", {}, 2, [](Element* e, double g, int64_t round) {
                e->slot[1] += g;
                if (round % 3 != 0) return;
                e->slot[0] = 0.5 * e->slot[0] + e->slot[1] / 3;
                e->slot[1] = 0;
                e->value -= 0.05f * e->slot[0];
              }};
  result.spec.set_learning_rate(0.05f);
  result.spec.mutable_momentum()->set_momentum(0.5f);
  result.spec.set_accumulate_rounds(3);
  return result;
}

Case Recorded(const std::string& name, const std::string& spec, int num_slots) {
  Case result{name, {}, num_slots, nullptr};
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(spec, &result.spec)) << spec;
  result.spec.set_learning_rate(0.01f);
  return result;
}

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

// The suite that every optimizer passes.
class OptimizerTest : public testing::TestWithParam<Case> {
 protected:
  static constexpr size_t kSize = 1003;  // not a multiple of any vector

  OptimizerTest() : seed_(std::random_device()()), random_(seed_) {}

  std::vector<float> Normals() {
    std::normal_distribution<float> normal;
    std::vector<float> result(kSize);
    for (float& value : result) value = normal(random_);
    return result;
  }
  std::unique_ptr<Optimizer> Make() { return NewOptimizer(GetParam().spec).value(); }

  const unsigned seed_;
  std::mt19937 random_;
};

TEST_P(OptimizerTest, FollowsTheFormulaFor200Rounds) {
  SCOPED_TRACE(testing::Message() << "seed " << seed_);
  const auto optimizer = Make();
  ASSERT_EQ(optimizer->num_slots(), GetParam().num_slots);
  if (GetParam().reference == nullptr) return;
  std::vector<float> values = Normals();
  std::vector<float> next(kSize);
  std::vector<std::vector<float>> slots(optimizer->num_slots(), std::vector<float>(kSize, 0));
  std::vector<float*> slot_data;
  for (auto& slot : slots) slot_data.push_back(slot.data());
  std::vector<Element> elements(kSize);
  for (size_t i = 0; i < kSize; ++i) elements[i].value = values[i];

  for (int64_t round = 1; round <= 200; ++round) {
    const std::vector<float> gradient = Normals();
    optimizer->Update({round}, gradient, values, absl::MakeSpan(next), slot_data);
    std::swap(values, next);
    for (size_t i = 0; i < kSize; ++i) {
      Element& e = elements[i];
      GetParam().reference(&e, gradient[i], round);
      e.value_scale = std::max(e.value_scale, std::abs(e.value));
      for (int j = 0; j < 2; ++j) {
        e.slot_scale[j] = std::max(e.slot_scale[j], std::abs(e.slot[j]));
      }
    }
  }
  size_t lost = 0;
  for (size_t i = 0; i < kSize; ++i) {
    if (elements[i].lost) {
      ++lost;
      continue;
    }
    const Element& e = elements[i];
    ASSERT_NEAR(values[i], e.value, 1e-5 * e.value_scale) << i;
    for (int slot = 0; slot < optimizer->num_slots(); ++slot) {
      ASSERT_NEAR(slots[slot][i], e.slot[slot], 1e-5 * e.slot_scale[slot]) << i;
    }
  }
  EXPECT_LT(lost, kSize / 5);
}

TEST_P(OptimizerTest, TilesOfAnySizeAndWaysAroundTheCachesGiveTheSameBits) {
  SCOPED_TRACE(testing::Message() << "seed " << seed_);
  const auto optimizer = Make();
  const std::vector<float> gradient = Normals();
  const std::vector<float> values = Normals();
  std::vector<std::vector<float>> first_slots;
  for (int i = 0; i < optimizer->num_slots(); ++i) {
    first_slots.push_back(Normals());
    for (float& value : first_slots.back()) value = std::abs(value);  // Adam's v is a square
  }

  std::vector<float> expected;
  std::vector<std::vector<float>> expected_slots;
  int pass = 0;
  for (const size_t tile :
       {kSize, kSize, size_t{1}, size_t{3}, size_t{8}, size_t{64}, size_t{500}, size_t{512}}) {
    UpdateContext context{21};
    context.around_caches = ++pass % 2 == 0;
    std::vector<float> result(kSize);
    std::vector<std::vector<float>> slots = first_slots;
    for (size_t begin = 0; begin < kSize; begin += tile) {
      const size_t size = std::min(tile, kSize - begin);
      std::vector<float*> tile_slots;
      for (auto& slot : slots) tile_slots.push_back(slot.data() + begin);
      optimizer->Update(context, {gradient.data() + begin, size}, {values.data() + begin, size},
                        {result.data() + begin, size}, tile_slots);
    }
    if (pass == 1) {
      expected = result;
      expected_slots = slots;
      EXPECT_NE(result, values);
    }
    ASSERT_EQ(std::memcmp(result.data(), expected.data(), kSize * sizeof(float)), 0) << tile;
    for (size_t i = 0; i < slots.size(); ++i) {
      ASSERT_EQ(std::memcmp(slots[i].data(), expected_slots[i].data(), kSize * sizeof(float)), 0);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, OptimizerTest,
    testing::Values(Sgd(), Momentum(false), Momentum(true), Adam("AdamDefaults", 0, 0, 0),
                    Adam("Adam", 0.8f, 0.95f, 1e-4f), Ftrl("FtrlDefaults", 0, 0, 0),
                    Ftrl("Ftrl", 0.5f, 0.25f, 0.125f), Lion("LionDefaults", 0, 0, 0),
                    Lion("Lion", 0.95f, 0.98f, 0.5f), SgdWithPenalties(), MomentumOverThreeRounds(),
                    Recorded("Amsgrad", "adam { amsgrad: true }", 3),
                    Recorded("Adamw", "adam {} weight_decay: 1", 2),
                    Recorded("Adagrad", "adagrad { rate_decay: 0.1 }", 1),
                    Recorded("Adadelta", "adadelta {}", 2), Recorded("Rmsprop", "rmsprop {}", 1),
                    Recorded("RmspropCentered", "rmsprop { centered: true }", 2),
                    Recorded("RmspropMomentum", "rmsprop { momentum: 0.9 }", 2),
                    Recorded("RmspropBoth", "rmsprop { momentum: 0.9 centered: true }", 3),
                    Recorded("Averaged", "adam {} ema_decay: 0.5", 3),
                    Recorded("Adamax", "adamax {}", 2), Recorded("Nadam", "nadam {}", 2),
                    Recorded("EverythingAround",
                             "adam { amsgrad: true } clip_value: 1 l1: 0.1 l2: 0.1 weight_decay: 1 "
                             "accumulate_rounds: 7 schedule { warmup_updates: 3 warmup_start: 0.5 "
                             "cosine { updates: 9 } }",
                             4)),
    [](const auto& info) { return info.param.name; });

TEST(NewOptimizerTest, RefusesASpecWithoutAKind) {
  EXPECT_TRUE(absl::IsInvalidArgument(NewOptimizer(v1::Optimizer()).status()));
}

// The round matters to Adam: its first step is learning_rate * sign(gradient).
TEST(AdamTest, TheFirstStepIsTheLearningRate) {
  v1::Optimizer spec;
  spec.set_learning_rate(0.5f);
  spec.mutable_adam();
  const auto adam = NewOptimizer(spec).value();
  const std::vector<float> gradient = {1e-3f, -30.0f};
  const std::vector<float> values = {1, 1};
  std::vector<float> next(2), m(2), v(2);
  const std::vector<float*> slots = {m.data(), v.data()};
  adam->Update({1}, gradient, values, absl::MakeSpan(next), slots);
  EXPECT_NEAR(next[0], 0.5f, 1e-4);
  EXPECT_NEAR(next[1], 1.5f, 1e-4);
}

// Updates one element, with slots that live on, and returns its next value.
float UpdateOne(const Optimizer& optimizer, int64_t round, float gradient, float value,
                std::vector<float>* slots) {
  slots->resize(optimizer.num_slots(), 0);
  std::vector<float*> slot_data;
  for (float& slot : *slots) slot_data.push_back(&slot);
  float next = 0;
  optimizer.Update({round}, {&gradient, 1}, {&value, 1}, {&next, 1}, slot_data);
  return next;
}

TEST(FtrlTest, KeepsAValueUntilItHasAGradientAndMakesSmallOnesZero) {
  v1::Optimizer spec;
  spec.set_learning_rate(0.3f);
  spec.mutable_ftrl()->set_l1(0.5f);
  const auto ftrl = NewOptimizer(spec).value();
  std::vector<float> slots;
  float value = 0.7f;
  for (int64_t round = 1; round < 10; ++round) {
    value = UpdateOne(*ftrl, round, 0, value, &slots);
    EXPECT_EQ(value, 0.7f);
  }
  // A gradient of next to nothing changes next to nothing, whatever the round.
  value = UpdateOne(*ftrl, 10, 1e-6f, value, &slots);
  EXPECT_NEAR(value, 0.7f, 1e-5);
  // From zero, what stays below l1 leaves zero.
  slots.clear();
  EXPECT_EQ(UpdateOne(*ftrl, 1, 0.49f, 0, &slots), 0);
  EXPECT_LT(UpdateOne(*ftrl, 2, 0.49f, 0, &slots), 0);
}

TEST(RmspropTest, CenteredSurvivesAVarianceThatRoundsBelowZero) {
  v1::Optimizer spec;
  spec.set_learning_rate(0.01f);
  spec.mutable_rmsprop()->set_centered(true);
  const auto rmsprop = NewOptimizer(spec).value();
  // A constant gradient's variance goes to zero.
  for (const float gradient : {0.1f, 1.0f / 3, 7.7f, 1e-3f}) {
    std::vector<float> slots;
    float value = 1;
    for (int64_t round = 1; round <= 5000; ++round) {
      value = UpdateOne(*rmsprop, round, gradient, value, &slots);
      ASSERT_FALSE(std::isnan(value)) << gradient << " in round " << round;
    }
  }
}

TEST(ScheduledTest, TheRateIsThatOfTheRound) {
  v1::Optimizer spec;
  spec.set_learning_rate(1);
  spec.mutable_sgd();
  spec.mutable_schedule()->mutable_step()->set_every(2);
  spec.mutable_schedule()->mutable_step()->set_gamma(0.5f);
  const auto sgd = NewOptimizer(spec).value();
  std::vector<float> slots, rates;
  for (int64_t round = 1; round <= 5; ++round) {
    rates.push_back(-UpdateOne(*sgd, round, 1, 0, &slots));
  }
  EXPECT_EQ(rates, (std::vector<float>{1, 1, 0.5f, 0.5f, 0.25f}));
}

TEST(ScheduledTest, APushedFactorCountsAfterTheWarmup) {
  v1::Optimizer spec;
  spec.set_learning_rate(2);
  spec.mutable_sgd();
  spec.mutable_schedule()->mutable_pushed();
  spec.mutable_schedule()->set_warmup_updates(1);
  spec.mutable_schedule()->set_warmup_start(0.5f);
  const auto sgd = NewOptimizer(spec).value();
  const float gradient = 1, value = 0;
  std::vector<float> rates;
  for (int64_t round = 1; round <= 3; ++round) {
    UpdateContext context;
    context.round = round;
    context.rate_factor = round == 3 ? 0.25f : 3;
    float next = 0;
    sgd->Update(context, {&gradient, 1}, {&value, 1}, {&next, 1}, {});
    rates.push_back(-next);
  }
  EXPECT_EQ(rates, (std::vector<float>{1, 6, 0.5f}));
}

TEST(AveragedTest, BeginsAsTheFirstValuesAndFollowsThem) {
  v1::Optimizer spec;
  spec.set_learning_rate(1);
  spec.mutable_sgd();
  spec.set_ema_decay(0.75f);
  const auto sgd = NewOptimizer(spec).value();
  EXPECT_EQ(sgd->slot_names(), std::vector<absl::string_view>{kAverageSlot});
  const float first = 8;
  float average = 0;
  float* const slot = &average;
  sgd->BeginSlots({&first, 1}, {&slot, 1});
  EXPECT_EQ(average, 8);
  std::vector<float> slots = {average};
  EXPECT_EQ(UpdateOne(*sgd, 1, 4, 8, &slots), 4);
  EXPECT_EQ(slots[0], 7);
  EXPECT_EQ(UpdateOne(*sgd, 2, 0, 4, &slots), 4);
  EXPECT_EQ(slots[0], 6.25f);
}

// Layer-wise rates do not depend on the gradient's size; where a norm is zero they are the rate.
TEST(NormsTest, ZeroNormsLeaveTheLearningRate) {
  for (const char* const kind : {"lamb { epsilon: 1e-3 }", "lars { coefficient: 0.5 }"}) {
    v1::Optimizer spec;
    ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(kind, &spec));
    spec.set_learning_rate(0.5f);
    const auto optimizer = NewOptimizer(spec).value();
    for (const std::vector<double>& norms : {std::vector<double>{0, 2}, {3, 0}}) {
      std::vector<float> slots(static_cast<size_t>(optimizer->num_slots()), 0);
      std::vector<float*> slot_data;
      for (float& slot : slots) slot_data.push_back(&slot);
      UpdateContext context;
      context.norms = norms;
      const float prepared = 2, value = 7;
      float next = 0;
      optimizer->Update(context, {&prepared, 1}, {&value, 1}, {&next, 1}, slot_data);
      EXPECT_EQ(next, 6) << kind;
    }
  }
}

TEST(NormsTest, ShortGradientsAreNotLengthened) {
  v1::Optimizer spec;
  spec.set_learning_rate(1);
  spec.mutable_sgd();
  spec.set_clip_norm(3);
  const auto sgd = NewOptimizer(spec).value();
  for (const double norm : {0.0, 1.0, 2.9, 6.0}) {
    UpdateContext context;
    context.norms = {&norm, 1};
    const float gradient = 2, value = 0;
    float next = 0;
    sgd->Update(context, {&gradient, 1}, {&value, 1}, {&next, 1}, {});
    EXPECT_NEAR(next, norm == 6 ? -1 : -2, 1e-6) << norm;
  }
}

// The schedule and Adam's t count updates, not rounds.
TEST(AccumulatedTest, WhatIsInsideCountsUpdates) {
  v1::Optimizer spec;
  spec.set_learning_rate(1);
  spec.mutable_sgd();
  spec.set_accumulate_rounds(2);
  spec.mutable_schedule()->mutable_exponential()->set_gamma(0.5f);
  const auto sgd = NewOptimizer(spec).value();
  std::vector<float> slots;
  float value = 0;
  std::vector<float> values;
  for (int64_t round = 1; round <= 6; ++round) {
    value = UpdateOne(*sgd, round, round % 2 == 0 ? 3 : 1, value, &slots);
    values.push_back(value);
  }
  EXPECT_EQ(values, (std::vector<float>{0, -2, -2, -3, -3, -3.5f}));
}

TEST(RegularizedTest, DecoupledDecayFollowsTheScheduledRate) {
  v1::Optimizer spec;
  spec.set_learning_rate(0.5f);
  spec.mutable_momentum()->set_momentum(0.9f);
  spec.set_weight_decay(0.5f);
  spec.mutable_schedule()->mutable_exponential()->set_gamma(0.5f);
  const auto momentum = NewOptimizer(spec).value();
  std::vector<float> slots;
  EXPECT_EQ(UpdateOne(*momentum, 1, 0, 1, &slots), 0.75f);
  EXPECT_EQ(UpdateOne(*momentum, 2, 0, 1, &slots), 0.875f);
  EXPECT_EQ(slots[0], 0);  // not through the gradient
}

}  // namespace
}  // namespace parley
