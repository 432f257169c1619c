#include "ps/reduce_update.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "google/protobuf/text_format.h"
#include "net/wire_dtype.h"

namespace parley {
namespace {

// Hands on the gradient that it is given.
class Recorder final : public Optimizer {
 public:
  std::vector<absl::string_view> slot_names() const override { return {"sum"}; }
  void Update(const UpdateContext& context, absl::Span<const float> gradient,
              absl::Span<const float> values, absl::Span<float> new_values,
              absl::Span<float* const> slots) const override {
    for (size_t i = 0; i < gradient.size(); ++i) {
      new_values[i] = gradient[i];
      slots[0][i] += values[i] + static_cast<float>(context.round);
    }
  }
};

class ReduceUpdateTest : public testing::Test {
 protected:
  ReduceUpdateTest() : seed_(std::random_device()()), random_(seed_) {}

  std::vector<float> Values(size_t size) {
    // Of very different magnitudes, so that another order of addition gives other bits.
    std::normal_distribution<float> normal;
    std::vector<float> result(size);
    for (float& value : result)
      value = std::ldexp(normal(random_), static_cast<int>(random_() % 20));
    return result;
  }

  // The bytes of `values` in slices of random sizes up to `largest`, each in memory of its own and
  // beginning anywhere: what is read beyond a slice is not the next one's.
  Payload Cut(const std::vector<float>& values, size_t largest) {
    return CutBytes(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float),
                    largest);
  }
  Payload CutBytes(const char* bytes, size_t end, size_t largest) {
    Payload payload;
    for (size_t begin = 0; begin < end;) {
      const size_t size = std::min(end - begin, 1 + random_() % largest);
      const size_t shift = random_() % 8;
      const auto storage = std::make_shared<std::vector<char>>(shift + size + 8, '\x5a');
      std::memcpy(storage->data() + shift, bytes + begin, size);
      payload.Append(storage->data() + shift, size, storage);
      begin += size;
    }
    return payload;
  }

  const unsigned seed_;
  std::mt19937 random_;
};

TEST_F(ReduceUpdateTest, SixteenBitGradientsAreWidenedAndSummedInFloat32) {
  SCOPED_TRACE(testing::Message() << "seed " << seed_);
  constexpr size_t kSize = 5003;
  const std::vector<v1::DType> dtypes = {v1::BFLOAT16, v1::FLOAT32, v1::FLOAT16};
  std::vector<Gradient> contributions;
  std::vector<float> sum(kSize);
  for (const v1::DType dtype : dtypes) {
    std::vector<float> values(kSize);
    std::normal_distribution<float> normal;
    for (float& value : values) value = normal(random_);
    std::vector<char> bytes(kSize * WireBytes(dtype));
    ToWire(dtype, values.data(), kSize, bytes.data());
    FromWire(dtype, bytes.data(), kSize, values.data());
    for (size_t i = 0; i < kSize; ++i) sum[i] += values[i];
    contributions.emplace_back(CutBytes(bytes.data(), bytes.size(), 97), dtype);
  }
  const std::vector<float> values(kSize, 0.0f);
  std::vector<float> next(kSize), slot(kSize);
  float* const slots[] = {slot.data()};
  ReduceAndUpdate(Recorder(), {1}, contributions, 1, values, absl::MakeSpan(next), slots);
  EXPECT_EQ(next, sum);
}

TEST_F(ReduceUpdateTest, TheNarrowCopyIsTheNewValuesRounded) {
  SCOPED_TRACE(testing::Message() << "seed " << seed_);
  for (const size_t size : {1, 1023, 4097, 9001}) {
    for (const v1::DType dtype : {v1::BFLOAT16, v1::FLOAT16}) {
      for (const int count : {1, 2}) {
        std::vector<Gradient> contributions;
        for (int i = 0; i < count; ++i) contributions.emplace_back(Cut(Values(size), 3000));
        const std::vector<float> values = Values(size);
        std::vector<float> next(size), slot(size);
        float* const slots[] = {slot.data()};
        std::vector<uint16_t> copy(size + 1, 0x5a5a), expected(size + 1, 0x5a5a);
        ReduceAndUpdate(Recorder(), {3}, contributions, count, values, absl::MakeSpan(next), slots,
                        {dtype, copy.data()});
        ToWire(dtype, next.data(), size, expected.data());
        ASSERT_EQ(copy, expected) << size << " elements";
      }
    }
  }
}

// Optimizers that prepare once for all tiles, and those that do not.
TEST_F(ReduceUpdateTest, TilesOfAnOptimizerHaveTheBitsOfOneUpdate) {
  SCOPED_TRACE(testing::Message() << "seed " << seed_);
  constexpr size_t kSize = 9001;
  for (const char* text :
       {"sgd {}", "adam {}", "adam { amsgrad: true } weight_decay: 0.1",
        "momentum { momentum: 0.9 } schedule { cosine { updates: 100 } }",
        "adam {} schedule { exponential { gamma: 0.9 } } accumulate_rounds: 3"}) {
    v1::Optimizer spec;
    ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &spec));
    spec.set_learning_rate(0.1f);
    const auto optimizer = NewOptimizer(spec).value();
    const std::vector<float> gradient = Values(kSize), values = Values(kSize);
    const int num_slots = optimizer->num_slots();
    std::vector<std::vector<float>> slots(num_slots, std::vector<float>(kSize, 0.25f));
    std::vector<std::vector<float>> expected_slots = slots;
    const auto data = [](std::vector<std::vector<float>>* arrays) {
      std::vector<float*> result;
      for (std::vector<float>& array : *arrays) result.push_back(array.data());
      return result;
    };
    std::vector<float> next(kSize), expected(kSize);
    UpdateContext context;
    context.round = 6;
    optimizer->Update(context, gradient, values, absl::MakeSpan(expected), data(&expected_slots));
    for (const size_t largest : {size_t{3000}, size_t{1} << 20}) {
      auto tile_slots = slots;
      ReduceAndUpdate(*optimizer, context, {Cut(gradient, largest)}, 1, values,
                      absl::MakeSpan(next), data(&tile_slots));
      EXPECT_EQ(std::memcmp(next.data(), expected.data(), kSize * sizeof(float)), 0) << text;
      EXPECT_EQ(tile_slots, expected_slots) << text;
    }
  }
}

TEST_F(ReduceUpdateTest, GradientsOfMixedTypesAreSummedInTheirOrder) {
  SCOPED_TRACE(testing::Message() << "seed " << seed_);
  constexpr size_t kSize = 3011;
  std::vector<Gradient> contributions;
  std::vector<float> sum(kSize);
  for (int i = 0; i < 40; ++i) {  // runs of one type shorter and longer than are added at once
    const v1::DType dtype = i > 15 && i < 30 ? v1::FLOAT32
                            : random_() % 2  ? v1::BFLOAT16
                                             : v1::FLOAT16;
    std::vector<float> values(kSize);
    std::normal_distribution<float> normal;
    for (float& value : values) value = normal(random_);
    std::vector<char> bytes(kSize * WireBytes(dtype));
    ToWire(dtype, values.data(), kSize, bytes.data());
    FromWire(dtype, bytes.data(), kSize, values.data());
    for (size_t j = 0; j < kSize; ++j) sum[j] = i == 0 ? values[j] : sum[j] + values[j];
    contributions.emplace_back(CutBytes(bytes.data(), bytes.size(), 1 + random_() % 9000), dtype);
  }
  for (float& value : sum) value *= 1.0f / 40;
  const std::vector<float> values(kSize, 0.0f);
  std::vector<float> next(kSize), slot(kSize);
  float* const slots[] = {slot.data()};
  ReduceAndUpdate(Recorder(), {1}, contributions, 40, values, absl::MakeSpan(next), slots);
  EXPECT_EQ(std::memcmp(next.data(), sum.data(), kSize * sizeof(float)), 0);
}

TEST_F(ReduceUpdateTest, AnySlicingGivesTheBitsOfThePlainLoop) {
  SCOPED_TRACE(testing::Message() << "seed " << seed_);
  for (const size_t size : {1, 7, 1023, 1024, 1025, 4097, 10000}) {
    for (const int count : {1, 2, 3, 7, 11}) {
      std::vector<std::vector<float>> gradients;
      for (int i = 0; i < count; ++i) gradients.push_back(Values(size));
      const std::vector<float> values = Values(size);
      std::vector<float> mean = gradients[0];
      const float factor = 1.0f / static_cast<float>(count);
      for (size_t i = 0; i < size; ++i) {
        for (int j = 1; j < count; ++j) mean[i] += gradients[j][i];
        mean[i] *= factor;
      }

      for (const size_t largest :
           {size_t{1}, size_t{3}, size_t{9}, size_t{5000}, size_t{1} << 20}) {
        std::vector<Gradient> contributions;
        for (const auto& gradient : gradients) contributions.push_back(Cut(gradient, largest));
        std::vector<float> next(size, -1), slot(size, 0.5f);
        float* const slots[] = {slot.data()};
        ReduceAndUpdate(Recorder(), {3}, contributions, count, values, absl::MakeSpan(next), slots);
        ASSERT_EQ(std::memcmp(next.data(), mean.data(), size * sizeof(float)), 0)
            << size << " elements, " << count << " contributions, slices up to " << largest;
        for (size_t i = 0; i < size; ++i) ASSERT_EQ(slot[i], 0.5f + (values[i] + 3.0f)) << i;
      }
    }
  }
}

// Also where it adds up by itself (GradientTiles::NextParts).
TEST_F(ReduceUpdateTest, AnySlicingGivesAdamTheBitsOfTheMean) {
  SCOPED_TRACE(testing::Message() << "seed " << seed_);
  v1::Optimizer spec;
  spec.set_learning_rate(0.1f);
  spec.mutable_adam();
  const auto adam = NewOptimizer(spec).value();
  for (const size_t size : {1, 127, 128, 1025, 10000}) {
    for (const int count : {2, 3, 8, 9}) {
      std::vector<std::vector<float>> gradients;
      for (int i = 0; i < count; ++i) gradients.push_back(Values(size));
      const std::vector<float> values = Values(size);
      std::vector<float> mean = gradients[0];
      const float factor = 1.0f / static_cast<float>(count);
      for (size_t i = 0; i < size; ++i) {
        for (int j = 1; j < count; ++j) mean[i] += gradients[j][i];
        mean[i] *= factor;
      }
      const std::vector<float> slot(size, 0.25f);
      std::vector<float> expected(size), m = slot, v = slot;
      float* const expected_slots[] = {m.data(), v.data()};
      adam->Update({7}, mean, values, absl::MakeSpan(expected), expected_slots);
      for (const size_t largest : {size_t{3}, size_t{500}, size_t{5000}, size_t{1} << 20}) {
        std::vector<Gradient> contributions;
        for (const auto& gradient : gradients) contributions.push_back(Cut(gradient, largest));
        std::vector<float> next(size, -1), next_m = slot, next_v = slot;
        float* const slots[] = {next_m.data(), next_v.data()};
        ReduceAndUpdate(*adam, {7}, contributions, count, values, absl::MakeSpan(next), slots);
        ASSERT_EQ(std::memcmp(next.data(), expected.data(), size * sizeof(float)), 0)
            << size << " elements, " << count << " contributions, slices up to " << largest;
        ASSERT_EQ(next_m, m);
        ASSERT_EQ(next_v, v);
      }
    }
  }
}

TEST_F(ReduceUpdateTest, CompensatesForWhatHasChangedSinceTheBase) {
  SCOPED_TRACE(testing::Message() << "seed " << seed_);
  constexpr size_t kSize = 5003;
  constexpr float kLambda = 0.04f;
  std::normal_distribution<float> normal;
  std::vector<float> gradient(kSize), values(kSize), expected(kSize), next(kSize), slot(kSize);
  const auto base = std::make_shared<std::vector<float>>(kSize);
  for (size_t i = 0; i < kSize; ++i) {
    gradient[i] = normal(random_);
    values[i] = normal(random_);
    (*base)[i] = normal(random_);
    const float lambda_g = kLambda * gradient[i];
    const float lambda_g_g = lambda_g * gradient[i];
    const float change = values[i] - (*base)[i];
    const float compensation = lambda_g_g * change;
    expected[i] = gradient[i] + compensation;
  }
  float* const slots[] = {slot.data()};
  std::vector<Gradient> contributions = {Cut(gradient, 97)};
  contributions[0].base = std::shared_ptr<const float>(base, base->data());
  ReduceAndUpdate(Recorder(), {1}, contributions, 1, values, absl::MakeSpan(next), slots, {},
                  kLambda);
  EXPECT_EQ(next, expected);
  ReduceAndUpdate(Recorder(), {1}, contributions, 1, values, absl::MakeSpan(next), slots);
  EXPECT_EQ(next, gradient);
  contributions[0].base = nullptr;
  ReduceAndUpdate(Recorder(), {1}, contributions, 1, values, absl::MakeSpan(next), slots, {},
                  kLambda);
  EXPECT_EQ(next, gradient);
}

TEST_F(ReduceUpdateTest, KeepsTheOrderOfContributions) {
  const std::vector<std::vector<float>> gradients = {{1e8f}, {-1e8f}, {1.0f}};
  const std::vector<float> values = {0};
  std::vector<float> next(1), slot(1);
  float* const slots[] = {slot.data()};
  std::vector<Gradient> forward, backward;
  for (int i = 0; i < 3; ++i) forward.push_back(Cut(gradients[i], 4));
  for (int i = 2; i >= 0; --i) backward.push_back(Cut(gradients[i], 4));
  ReduceAndUpdate(Recorder(), {1}, forward, 1, values, absl::MakeSpan(next), slots);
  EXPECT_EQ(next[0], 1.0f);
  ReduceAndUpdate(Recorder(), {1}, backward, 1, values, absl::MakeSpan(next), slots);
  EXPECT_EQ(next[0], 0.0f);
}

// All tiles of one update see the same round, and an optimizer of Parley's own goes through too.
TEST_F(ReduceUpdateTest, UpdatesWithARealOptimizer) {
  SCOPED_TRACE(testing::Message() << "seed " << seed_);
  v1::Optimizer spec;
  spec.set_learning_rate(0.1f);
  spec.mutable_adam();
  const auto adam = NewOptimizer(spec).value();
  const size_t size = 5000;
  const std::vector<float> gradient = Values(size), values = Values(size);
  std::vector<float> expected(size), m1(size), v1(size), next(size), m2(size), v2(size);
  float* const whole[] = {m1.data(), v1.data()};
  float* const tiled[] = {m2.data(), v2.data()};
  adam->Update({5}, gradient, values, absl::MakeSpan(expected), whole);
  const std::vector<Gradient> contributions = {Cut(gradient, 100)};
  ReduceAndUpdate(*adam, {5}, contributions, 1, values, absl::MakeSpan(next), tiled);
  EXPECT_EQ(next, expected);
  EXPECT_EQ(m2, m1);
  EXPECT_EQ(v2, v1);
}

}  // namespace
}  // namespace parley
