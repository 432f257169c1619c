#include "tensor/cpu_backend.h"

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "base/philox.h"
#include "gtest/gtest.h"
#include "tensor/testing/backend_suite.h"

namespace parley {

INSTANTIATE_TEST_SUITE_P(Cpu, BackendSuite,
                         testing::Combine(testing::Values(&CpuBackend),
                                          testing::ValuesIn(kFloatingTypes)),
                         BackendSuiteName);

namespace {

Tensor Random(const Shape& shape, uint64_t seed) {
  Tensor tensor(CpuBackend(), shape);
  for (int64_t i = 0; i < tensor.num_elements(); ++i) {
    tensor.data()[i] = 2 * PhiloxUniform(seed, 0, static_cast<uint64_t>(i)) - 1;
  }
  return tensor;
}

// The same numbers at other addresses give the same bits: what "a run gives the same bits" rests
// on.
TEST(CpuBackendTest, BitsDoNotDependOnAddresses) {
  Backend* const cpu = CpuBackend();
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  std::vector<std::vector<char>> ballast;
  std::vector<Tensor> kept;  // so that no run gets memory of another
  std::vector<std::vector<float>> results;
  for (int run = 0; run < 8; ++run) {
    ballast.emplace_back(random() % 5000);
    const Tensor x = Random({3, 9, 9, 5}, 1), filter = Random({3, 3, 5, 7}, 2);
    const Tensor y(cpu, {3, 9, 9, 7}), dx(cpu, x.shape()), dfilter(cpu, filter.shape());
    const Tensor product(cpu, {7, 7}), column(cpu, {3 * 9 * 9, 1}), sums(cpu, {7}),
        tanh(cpu, y.shape()), weights = Random({7, 1}, 3), softmax(cpu, y.shape());
    cpu->Conv2d(x, filter, {3, 3, 1, 1}, y);
    cpu->Unary(UnaryOp::kTanh, y, tanh);
    cpu->Conv2dInputGradient(tanh, filter, {3, 3, 1, 1}, Write::kReplace, dx);
    cpu->Conv2dFilterGradient(x, tanh, {3, 3, 1, 1}, Write::kReplace, dfilter);
    cpu->MatMul(y, true, tanh, false, Write::kReplace, product);
    cpu->MatMul(y, false, weights, false, Write::kReplace, column);
    cpu->Reduce(Reduction::kSum, tanh, Write::kReplace, sums);
    cpu->Softmax(y, false, softmax);
    std::vector<float>& all = results.emplace_back();
    for (const Tensor& tensor : {y, tanh, dx, dfilter, product, column, sums, softmax}) {
      all.insert(all.end(), tensor.span().begin(), tensor.span().end());
    }
    kept.insert(kept.end(), {x, filter, y, dx, dfilter, product, column, sums, tanh, weights});
    EXPECT_EQ(std::memcmp(all.data(), results[0].data(), all.size() * sizeof(float)), 0)
        << "run " << run;
  }
}

}  // namespace
}  // namespace parley
