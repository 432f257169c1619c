#include "nn/models/click_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "base/philox.h"
#include "nn/init.h"
#include "nn/reductions.h"
#include "tensor/cpu_backend.h"

namespace parley::nn {
namespace {

using Kind = ClickModelOptions::Kind;

class ClickModelTest : public ::testing::TestWithParam<Kind> {
 protected:
  static constexpr int64_t kBatch = 3;
  static constexpr int64_t kFields = 4;
  static constexpr int64_t kWidth = 2;

  ClickModelTest() {
    ClickModelOptions options;
    options.kind = GetParam();
    options.fields = kFields;
    options.width = kWidth;
    options.hidden = 6;
    model_ = NewClickModel(CpuBackend(), options);
    InitializeParameters(model_.get(), /*seed=*/1);
    for (int64_t i = 0; i < kBatch * kFields * (1 + kWidth); ++i) {
      rows_.push_back(PhiloxNormal(1, 2, static_cast<uint64_t>(i)));
    }
  }

  Variable Rows() const {
    const Tensor tensor(CpuBackend(), Shape{kBatch, kFields, 1 + kWidth});
    std::copy(rows_.begin(), rows_.end(), tensor.data());
    return Variable::Parameter(tensor);
  }
  std::vector<float> Logits() const {
    const Variable logits = model_->Forward(Rows());
    EXPECT_EQ(logits.shape(), Shape{kBatch});
    return {logits.value().span().begin(), logits.value().span().end()};
  }

  std::unique_ptr<Module> model_;
  std::vector<float> rows_;
};

TEST_P(ClickModelTest, AWeightIsAddedToItsExamplesLogit) {
  const std::vector<float> before = Logits();
  rows_[static_cast<size_t>(kFields * (1 + kWidth))] += 0.5f;  // of example 1
  const std::vector<float> after = Logits();
  EXPECT_EQ(after[0], before[0]);
  EXPECT_NEAR(after[1], before[1] + 0.5f, 1e-5);
  EXPECT_EQ(after[2], before[2]);
}

TEST_P(ClickModelTest, RowsGetTheirGradients) {
  const Variable rows = Rows();
  Backward(Sum(model_->Forward(rows)));
  const std::vector<float> gradient(rows.gradient().span().begin(), rows.gradient().span().end());
  for (const size_t i : {size_t{0}, size_t{1}, size_t{8}, size_t{20}}) {
    constexpr float kStep = 1e-2f;
    const float kept = rows_[i];
    double sums[2] = {};
    for (int side = 0; side < 2; ++side) {
      rows_[i] = kept + (side == 0 ? -kStep : kStep);
      for (const float logit : Logits()) sums[side] += logit;
    }
    rows_[i] = kept;
    EXPECT_NEAR(gradient[i], (sums[1] - sums[0]) / (2 * kStep), 3e-2) << "element " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, ClickModelTest,
                         ::testing::Values(Kind::kWideDeep, Kind::kDeepFm, Kind::kDcn));

TEST(ClickModelFmTest, AddsTheProductsOfAllPairs) {
  ClickModelOptions options;
  options.fields = 3;
  options.width = 2;
  options.hidden = 2;
  const std::unique_ptr<Module> model = NewClickModel(CpuBackend(), options);
  // Without the dense layers.
  for (const Parameter& parameter : model->parameters()) {
    for (float& value : parameter.variable.value().span()) value = 0;
  }
  const Tensor tensor(CpuBackend(), Shape{1, 3, 3});
  const std::vector<float> rows = {1, 2, 3, 10, 4, 5, 100, 6, 7};
  std::copy(rows.begin(), rows.end(), tensor.data());
  const Variable logits = model->Forward(Variable::Input(tensor));
  EXPECT_EQ(logits.value().data()[0], 111 + (2 * 4 + 3 * 5) + (2 * 6 + 3 * 7) + (4 * 6 + 5 * 7));
}

}  // namespace
}  // namespace parley::nn
