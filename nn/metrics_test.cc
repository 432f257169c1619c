#include "nn/metrics.h"

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "tensor/backend.h"
#include "tensor/cpu_backend.h"

namespace parley::nn {
namespace {

constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;

Tensor Floats(const Shape& shape, const std::vector<float>& values, DType dtype = DType::kFloat32) {
  const Tensor tensor(CpuBackend(), shape);
  CpuBackend()->CopyFromHost(values.data(), tensor);
  const Tensor result(CpuBackend(), shape, dtype);
  CpuBackend()->Cast(tensor, Write::kReplace, result);
  return result;
}

TEST(AccuracyTest, CountsTheRowsThatAreRight) {
  for (const DType dtype : {DType::kFloat32, DType::kFloat64, DType::kBFloat16, DType::kFloat16}) {
    const Tensor logits = Floats({3, 2}, {1, 2, 5, 5, 0, -1}, dtype);
    EXPECT_EQ(CountCorrect(logits, {1, 0, 1}), 2);
    Accuracy accuracy;
    EXPECT_TRUE(std::isnan(accuracy.value()));
    EXPECT_TRUE(accuracy.Add(logits, {1, 0, 1}).ok());
    EXPECT_TRUE(accuracy.Add(logits, {1, 0, 0}).ok());
    EXPECT_EQ(accuracy.rows(), 6);
    EXPECT_EQ(accuracy.value(), 5.0 / 6);
  }
}

TEST(AccuracyTest, RefusesLabelsThatDoNotFit) {
  Accuracy accuracy;
  const Tensor logits = Floats({2, 2}, {1, 2, 3, 4});
  EXPECT_EQ(accuracy.Add(logits, {1}).code(), kInvalid);
  EXPECT_EQ(accuracy.Add(logits, {1, 2}).code(), kInvalid);
  EXPECT_EQ(accuracy.Add(logits, {1, -1}).code(), kInvalid);
  EXPECT_EQ(accuracy.Add(Floats({}, {1}), {0}).code(), kInvalid);
  EXPECT_EQ(accuracy.Add(Tensor(CpuBackend(), {2, 0}), {0, 0}).code(), kInvalid);
  EXPECT_EQ(accuracy.rows(), 0);
}

// The same as counting all pairs, with many ties, whatever the batches are.
TEST(AucTest, IsTheShareOfPairsInOrder) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  for (int round = 0; round < 20; ++round) {
    std::vector<float> scores;
    std::vector<int32_t> labels;
    Auc auc;
    for (int batch = 0; batch < 4; ++batch) {
      std::vector<float> some(random() % 20);
      for (float& score : some) score = static_cast<float>(random() % 9) - 4;
      std::vector<int32_t> those(some.size());
      for (int32_t& label : those) label = static_cast<int32_t>(random() % 2);
      ASSERT_TRUE(auc.Add(Floats({static_cast<int64_t>(some.size()), 1}, some), those).ok());
      scores.insert(scores.end(), some.begin(), some.end());
      labels.insert(labels.end(), those.begin(), those.end());
    }
    double pairs = 0, wins = 0;
    for (size_t i = 0; i < scores.size(); ++i) {
      for (size_t j = 0; j < scores.size(); ++j) {
        if (labels[i] != 1 || labels[j] != 0) continue;
        pairs += 1;
        wins += scores[i] > scores[j] ? 1 : scores[i] == scores[j] ? 0.5 : 0;
      }
    }
    EXPECT_EQ(auc.examples(), static_cast<int64_t>(scores.size()));
    if (pairs == 0) {
      EXPECT_TRUE(std::isnan(auc.value()));
    } else {
      EXPECT_NEAR(auc.value(), wins / pairs, 1e-12);
    }
  }
}

TEST(AucTest, IsUndefinedWithoutBothClassesOrWithNoScore) {
  Auc auc;
  EXPECT_TRUE(std::isnan(auc.value()));
  auc.Add(1, true);
  EXPECT_TRUE(std::isnan(auc.value()));
  auc.Add(std::numeric_limits<float>::infinity(), false);
  EXPECT_EQ(auc.value(), 0);
  auc.Add(std::numeric_limits<float>::quiet_NaN(), false);
  EXPECT_TRUE(std::isnan(auc.value()));
  EXPECT_EQ(auc.Add(Floats({1}, {1}), {2}).code(), kInvalid);
  EXPECT_EQ(auc.Add(Floats({1}, {1}), {1, 0}).code(), kInvalid);
  EXPECT_EQ(auc.examples(), 3);
}

TEST(SquaredErrorTest, IsTheMeanOverAllBatches) {
  SquaredError error;
  EXPECT_TRUE(std::isnan(error.value()));
  EXPECT_TRUE(error.Add(Floats({2, 1}, {1, 2}), {3, 2}).ok());
  EXPECT_TRUE(error.Add(Floats({1}, {5}, DType::kFloat16), {4}).ok());
  EXPECT_EQ(error.elements(), 3);
  EXPECT_EQ(error.value(), 5.0 / 3);
  EXPECT_EQ(error.Add(Floats({1}, {5}), {4, 4}).code(), kInvalid);
}

}  // namespace
}  // namespace parley::nn
