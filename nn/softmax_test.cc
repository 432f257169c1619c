#include "nn/softmax.h"

#include <cmath>

#include "gtest/gtest.h"
#include "nn/testing/gradient_check.h"
#include "tensor/cpu_backend.h"

namespace parley::nn {
namespace {

using SoftmaxTest = GradientTest;

TEST_F(SoftmaxTest, Gradients) {
  for (const Shape& shape : ShapesOfRows()) {
    SCOPED_TRACE(shape.ToString());
    Check([](const Inputs& in) { return Softmax(in[0]); }, {Random(shape)});
    Check([](const Inputs& in) { return LogSoftmax(in[0]); }, {Random(shape)});
    if (shape.rank() < 2) continue;
    Check([](const Inputs& in) { return CausalSoftmax(in[0]); }, {Random(shape)});
  }
}

TEST(SoftmaxValuesTest, AreProbabilitiesOfWhatIsSeen) {
  const Tensor x(CpuBackend(), {2, 2});
  for (int i = 0; i < 4; ++i) x.data()[i] = i == 3 ? 1000.0f : 0.0f;
  const Variable v = Variable::Input(x);
  const Variable softmax = Softmax(v);
  const float* const all = softmax.value().data();
  EXPECT_EQ(all[0], 0.5f);
  EXPECT_EQ(all[3], 1);
  const Variable causal = CausalSoftmax(v);
  EXPECT_EQ(causal.value().data()[0], 1);
  EXPECT_EQ(causal.value().data()[1], 0);
  EXPECT_EQ(causal.value().data()[3], 1);
  EXPECT_NEAR(LogSoftmax(v).value().data()[1], -std::log(2.0), 1e-6);
  EXPECT_EQ(LogSoftmax(v).value().data()[2], -1000);
}

TEST(SoftmaxDeathTest, NamesWhatHasNoRows) {
  EXPECT_DEATH(Softmax(RandomParameter({}, 1)), "softmax of a scalar");
  EXPECT_DEATH(CausalSoftmax(RandomParameter({3}, 1)), "rows that see columns, not \\[3\\]");
}

}  // namespace
}  // namespace parley::nn
