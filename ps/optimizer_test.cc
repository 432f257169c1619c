#include "ps/optimizer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <vector>

namespace parley {
namespace {

// One element in float64: slots and value, updated by the formula of the optimizer's paper.
struct Element {
  double value;
  double slot[2] = {0, 0};
};

struct Case {
  std::string name;
  v1::Optimizer spec;
  int num_slots;
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
    for (size_t i = 0; i < kSize; ++i) GetParam().reference(&elements[i], gradient[i], round);
  }
  for (size_t i = 0; i < kSize; ++i) {
    const double scale = std::max(1.0, std::abs(elements[i].value));
    ASSERT_NEAR(values[i], elements[i].value, 1e-5 * scale) << i;
    for (int slot = 0; slot < optimizer->num_slots(); ++slot) {
      const double slot_scale = std::max(1.0, std::abs(elements[i].slot[slot]));
      ASSERT_NEAR(slots[slot][i], elements[i].slot[slot], 1e-5 * slot_scale) << i;
    }
  }
}

TEST_P(OptimizerTest, TilesOfAnySizeGiveTheSameBits) {
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
  for (const size_t tile : {kSize, size_t{1}, size_t{3}, size_t{8}, size_t{64}, size_t{500}}) {
    std::vector<float> result(kSize);
    std::vector<std::vector<float>> slots = first_slots;
    for (size_t begin = 0; begin < kSize; begin += tile) {
      const size_t size = std::min(tile, kSize - begin);
      std::vector<float*> tile_slots;
      for (auto& slot : slots) tile_slots.push_back(slot.data() + begin);
      optimizer->Update({7}, {gradient.data() + begin, size}, {values.data() + begin, size},
                        {result.data() + begin, size}, tile_slots);
    }
    if (tile == kSize) {
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

INSTANTIATE_TEST_SUITE_P(All, OptimizerTest,
                         testing::Values(Sgd(), Momentum(false), Momentum(true),
                                         Adam("AdamDefaults", 0, 0, 0),
                                         Adam("Adam", 0.8f, 0.95f, 1e-4f)),
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

}  // namespace
}  // namespace parley
