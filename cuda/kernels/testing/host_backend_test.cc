// What the CUDA kernels compute, on the host: the conformance suite of all backends, and shapes
// large enough for the ways that kernels take with them.
#include "cuda/kernels/testing/host_backend.h"

#include <cmath>
#include <limits>
#include <memory>
#include <random>
#include <vector>

#include "cuda/kernels/cast_many.h"
#include "gtest/gtest.h"
#include "tensor/cpu_backend.h"
#include "tensor/testing/backend_suite.h"

namespace parley {
namespace {

INSTANTIATE_TEST_SUITE_P(CudaKernelsOnHost, BackendSuite,
                         testing::Combine(testing::Values(&HostKernelsBackend),
                                          testing::ValuesIn(kFloatingTypes)),
                         BackendSuiteName);

// Against the CPU, of float32.
class LargeShapesTest : public testing::Test {
 protected:
  LargeShapesTest()
      : seed_(std::random_device()()),
        random_(seed_),
        trace_(__FILE__, __LINE__, "seed " + std::to_string(seed_)) {}

  void SetUp() override {
    if (HostKernelsBackend() == nullptr) GTEST_SKIP() << "not under a sanitizer";
  }

  Tensor Random(const Shape& shape) {
    Tensor tensor(CpuBackend(), shape);
    std::uniform_real_distribution<float> numbers(-2, 2);
    for (float& element : tensor.span()) element = numbers(random_);
    return tensor;
  }

  // That operation(backend, out) gives the same; `error` is relative to 1 and the number.
  template <typename Operation>
  void ExpectAsOnCpu(const Shape& shape, float error, Operation operation) {
    const Tensor want(CpuBackend(), shape), got(CpuBackend(), shape);
    operation(CpuBackend(), want);
    operation(HostKernelsBackend(), got);
    for (int64_t i = 0; i < want.num_elements(); ++i) {
      ASSERT_NEAR(got.data()[i], want.data()[i], error * (1 + std::fabs(want.data()[i])))
          << "element " << i << " of " << shape.ToString();
    }
  }

  const uint32_t seed_;
  std::mt19937 random_;
  testing::ScopedTrace trace_;
};

TEST_F(LargeShapesTest, RowsOfAllWidths) {
  for (const int64_t columns : {65, 257, 1000, 1025, 4096, 4097, 6000}) {
    const Shape shape = {3, columns};
    const Tensor x = Random(shape), dy = Random(shape);
    const Tensor gamma = Random({columns}), beta = Random({columns});
    const Tensor mean(CpuBackend(), {3}), rstd(CpuBackend(), {3});
    ExpectAsOnCpu(shape, 1e-5f,
                  [&](Backend* backend, const Tensor& y) { backend->Softmax(x, false, y); });
    ExpectAsOnCpu(shape, 1e-5f,
                  [&](Backend* backend, const Tensor& y) { backend->LogSoftmax(x, y); });
    ExpectAsOnCpu(shape, 1e-4f, [&](Backend* backend, const Tensor& dx) {
      backend->SoftmaxGradient(x, dy, Write::kReplace, dx);
    });
    ExpectAsOnCpu(shape, 1e-5f, [&](Backend* backend, const Tensor& y) {
      backend->LayerNorm(x, gamma, beta, 1e-5, y, mean, rstd);
    });
    ExpectAsOnCpu(shape, 1e-4f, [&](Backend* backend, const Tensor& dx) {
      backend->LayerNormGradient(x, gamma, mean, rstd, dy, Write::kReplace, dx);
    });
  }
}

TEST_F(LargeShapesTest, ReductionsInParts) {
  const Tensor tall = Random({5000, 3}), wide = Random({2, 9000}), both = Random({40, 7, 50});
  for (const Reduction reduction : {Reduction::kSum, Reduction::kMax}) {
    const auto reduce = [&](const Tensor& x, const Shape& shape) {
      ExpectAsOnCpu(shape, 1e-3f, [&](Backend* backend, const Tensor& out) {
        backend->Reduce(reduction, x, Write::kReplace, out);
      });
    };
    reduce(tall, {3});
    reduce(tall, {5000, 1});
    reduce(tall, {});
    reduce(wide, {2, 1});
    reduce(wide, {9000});
    reduce(both, {7, 1});
    reduce(both, {40, 1, 50});
  }
}

TEST_F(LargeShapesTest, StatisticsOfManyRows) {
  const int64_t columns = 12;
  const Tensor x = Random({3000, columns}), dy = Random({3000, columns});
  const Tensor gamma = Random({columns}), beta = Random({columns});
  const Tensor mean(CpuBackend(), {columns}), variance(CpuBackend(), {columns});
  const Tensor dbeta(CpuBackend(), {columns});
  ExpectAsOnCpu(x.shape(), 1e-4f, [&](Backend* backend, const Tensor& y) {
    backend->BatchNorm(x, gamma, beta, 1e-5, y, mean, variance);
  });
  ExpectAsOnCpu({columns}, 1e-3f, [&](Backend* backend, const Tensor& dgamma) {
    backend->BatchNormGradient(x, gamma, mean, variance, 1e-5, dy, Write::kReplace, Tensor(),
                               dgamma, dbeta);
  });
  ExpectAsOnCpu({columns}, 1e-3f, [&](Backend* backend, const Tensor& out) {
    backend->BatchNormGradient(x, gamma, mean, variance, 1e-5, dy, Write::kReplace, Tensor(), dbeta,
                               out);
  });
}

TEST_F(LargeShapesTest, TilesAreTransposed) {
  const Tensor matrix = Random({70, 45}), batch = Random({2, 33, 3, 40});
  ExpectAsOnCpu({45, 70}, 0, [&](Backend* backend, const Tensor& out) {
    backend->Permute(matrix, {1, 0}, Write::kReplace, out);
  });
  ExpectAsOnCpu({40, 2, 3, 33}, 0, [&](Backend* backend, const Tensor& out) {
    backend->Permute(batch, {3, 0, 2, 1}, Write::kReplace, out);
  });
}

TEST_F(LargeShapesTest, ManyRowsAreAddedIntoOne) {
  const int64_t count = 300, width = 200;
  const Tensor rows = Random({count, width});
  const Tensor indices(CpuBackend(), {count}, DType::kInt32);
  for (int64_t i = 0; i < count; ++i) {
    indices.int_data()[i] = random_() % 2 == 0 ? 5 : static_cast<int32_t>(random_() % 7);
  }
  ExpectAsOnCpu({9, width}, 1e-4f, [&](Backend* backend, const Tensor& table) {
    backend->ScatterAddRows(rows, indices, Write::kReplace, table);
  });
}

TEST_F(LargeShapesTest, ManyArraysAreCastInFewLaunches) {
  std::vector<Tensor> from, to;
  std::vector<CastItem> items;
  for (int i = 0; i < 130; ++i) {
    from.push_back(Random({i == 100 ? 40000 : i % 37}));
    to.emplace_back(CpuBackend(), from.back().shape(), DType::kBFloat16);
    items.push_back({from.back().data(), to.back().As<void>(), from.back().num_elements()});
  }
  ASSERT_EQ(LaunchCastMany(items, DType::kFloat32, DType::kBFloat16, nullptr), cudaSuccess);
  for (size_t i = 0; i < from.size(); ++i) {
    const Tensor want(CpuBackend(), from[i].shape(), DType::kBFloat16);
    CpuBackend()->Cast(from[i], Write::kReplace, want);
    for (int64_t k = 0; k < want.num_elements(); ++k) {
      ASSERT_EQ(to[i].As<uint16_t>()[k], want.As<uint16_t>()[k]) << i << ", " << k;
    }
  }
  EXPECT_EQ(LaunchCastMany(items, DType::kFloat64, DType::kBFloat16, nullptr),
            cudaErrorInvalidValue);
}

}  // namespace
}  // namespace parley
