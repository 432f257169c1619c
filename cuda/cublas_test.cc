#include "cuda/cublas.h"

#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace parley {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;

// What cuBLAS' manual says a call with these arguments computes: column-major matrices, element
// (i, j) of one with leading dimension ld at i + j * ld.
std::vector<double> ColumnMajorProduct(const CublasArguments& arguments, int64_t batch,
                                       const std::vector<double>& first,
                                       const std::vector<double>& second) {
  std::vector<double> out(batch * arguments.out_stride);
  for (int64_t index = 0; index < batch; ++index) {
    const double* const a = first.data() + index * arguments.first_stride;
    const double* const b = second.data() + index * arguments.second_stride;
    double* const c = out.data() + index * arguments.out_stride;
    for (int64_t i = 0; i < arguments.rows; ++i) {
      for (int64_t j = 0; j < arguments.columns; ++j) {
        double sum = 0;
        for (int64_t p = 0; p < arguments.inner; ++p) {
          sum += (arguments.first_op == CUBLAS_OP_N ? a[i + p * arguments.first_ld]
                                                    : a[p + i * arguments.first_ld]) *
                 (arguments.second_op == CUBLAS_OP_N ? b[p + j * arguments.second_ld]
                                                     : b[j + p * arguments.second_ld]);
        }
        c[i + j * arguments.out_ld] = sum;
      }
    }
  }
  return out;
}

TEST(CublasArgumentsTest, AreTheRowMajorProduct) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  std::mt19937 random(seed);
  for (int trial = 0; trial < 200; ++trial) {
    MatrixProduct product;
    product.m = 1 + random() % 6;
    product.n = 1 + random() % 6;
    product.k = 1 + random() % 6;
    product.batch = 1 + random() % 3;
    product.transpose_a = random() % 2 == 0;
    product.transpose_b = random() % 2 == 0;
    const int64_t m = product.m, n = product.n, k = product.k;
    std::vector<double> a(product.batch * m * k), b(product.batch * k * n);
    for (double& value : a) value = random() % 7;
    for (double& value : b) value = random() % 7;
    std::vector<double> expected(product.batch * m * n);
    for (int64_t index = 0; index < product.batch; ++index) {
      for (int64_t i = 0; i < m; ++i) {
        for (int64_t j = 0; j < n; ++j) {
          for (int64_t p = 0; p < k; ++p) {
            expected[(index * m + i) * n + j] +=
                a[index * m * k + (product.transpose_a ? p * m + i : i * k + p)] *
                b[index * k * n + (product.transpose_b ? j * k + p : p * n + j)];
          }
        }
      }
    }
    ASSERT_EQ(ColumnMajorProduct(ArgumentsOf(product), product.batch, b, a), expected);
  }
}

// The library is opened with or without a device; what is missing is said.
TEST(CublasTest, OpensOrSaysWhyNot) {
  const auto cublas = Cublas::Open(nullptr, nullptr, false);
  if (cublas.ok()) return;
  // Without a device no handle can be made; but no library that is there may lack a function.
  EXPECT_THAT(std::string(cublas.status().message()),
              AnyOf(HasSubstr("a handle"), HasSubstr("cannot be opened"),
                    HasSubstr("built without"), HasSubstr("workspace")));
}

}  // namespace
}  // namespace parley
