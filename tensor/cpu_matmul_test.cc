#include "tensor/cpu_matmul.h"

#include <algorithm>
#include <cstring>

#include "gtest/gtest.h"
#include "tensor/integer_tensors.h"

namespace parley {
namespace {

struct Product {
  int64_t batch, rows, columns, depth;
  bool transpose_a, transpose_b;
  double scale;

  Shape a() const { return transpose_a ? Shape{batch, depth, rows} : Shape{batch, rows, depth}; }
  Shape b() const {
    return transpose_b ? Shape{batch, columns, depth} : Shape{batch, depth, columns};
  }
  Shape out() const { return {batch, rows, columns}; }
  // By definition, added to `sum`.
  std::vector<double> Add(const Tensor& a, const Tensor& b, std::vector<double> sum) const {
    const std::vector<double> left = ToDoubles(a), right = ToDoubles(b);
    for (int64_t n = 0; n < batch; ++n) {
      for (int64_t i = 0; i < rows; ++i) {
        for (int64_t j = 0; j < columns; ++j) {
          double product = 0;
          for (int64_t k = 0; k < depth; ++k) {
            product += left[n * rows * depth + (transpose_a ? k * rows + i : i * depth + k)] *
                       right[n * depth * columns + (transpose_b ? j * depth + k : k * columns + j)];
          }
          sum[(n * rows + i) * columns + j] += scale * product;
        }
      }
    }
    return sum;
  }
};

class CpuMatMulTest : public testing::TestWithParam<DType> {
 protected:
  Tensor Random(const Shape& shape) { return RandomIntegers(shape, GetParam(), &random_); }
  int64_t Below(int64_t limit) {
    return std::uniform_int_distribution<int64_t>(0, limit - 1)(random_);
  }

  void CheckBatch(const Product& p) {
    SCOPED_TRACE(testing::Message()
                 << p.a().ToString() << p.transpose_a << " " << p.b().ToString() << p.transpose_b);
    const Tensor a = Random(p.a()), b = Random(p.b());
    const Tensor replaced = NanTensor(p.out(), GetParam());
    CpuBatchMatMul(p.scale, a, p.transpose_a, b, p.transpose_b, Write::kReplace, replaced);
    const std::vector<double> zeros(replaced.num_elements(), 0);
    EXPECT_EQ(ToDoubles(replaced), Rounded(p.Add(a, b, zeros), GetParam()));

    const Tensor added = Random(p.out());
    const std::vector<double> before = ToDoubles(added);
    CpuBatchMatMul(p.scale, a, p.transpose_a, b, p.transpose_b, Write::kAdd, added);
    EXPECT_EQ(ToDoubles(added), Rounded(p.Add(a, b, before), GetParam()));
  }

  void CheckOne(const Product& p) {
    SCOPED_TRACE(testing::Message()
                 << p.a().ToString() << p.transpose_a << " " << p.b().ToString() << p.transpose_b);
    // Higher ranks are matrices of rows.
    const Tensor a = Random(p.a()), b = Random(p.b());
    const Tensor out = Random(p.out());
    const std::vector<double> before = ToDoubles(out);
    CpuMatMul(a, p.transpose_a, b, p.transpose_b, Write::kAdd, out);
    EXPECT_EQ(ToDoubles(out), Rounded(p.Add(a, b, before), GetParam()));
  }

  std::mt19937 random_{NewSeed()};
};

TEST_P(CpuMatMulTest, RandomSizesWithEmptyOnes) {
  for (int i = 0; i < 60; ++i) {
    const Product p = {Below(4),
                       Below(40),
                       Below(40),
                       Below(20),
                       Below(2) == 0,
                       Below(2) == 0,
                       Below(2) == 0 ? 1.0 : 0.25};
    CheckBatch(p);
  }
}

TEST_P(CpuMatMulTest, SizesAroundTheBlocks) {
  for (const bool transpose_a : {false, true}) {
    for (const bool transpose_b : {false, true}) {
      CheckOne({1, 97, 17, 385, transpose_a, transpose_b, 1});
      CheckOne({1, 7, 530, 33, transpose_a, transpose_b, 1});
      CheckOne({1, 400, 9, 5, transpose_a, transpose_b, 1});
      CheckOne({1, 1, 1, 1000, transpose_a, transpose_b, 1});
    }
  }
}

TEST_P(CpuMatMulTest, NoDepthGivesZeros) {
  const Tensor a(NanTensor({3, 0}, GetParam())), b(NanTensor({0, 5}, GetParam()));
  const Tensor out = NanTensor({3, 5}, GetParam());
  CpuMatMul(a, false, b, false, Write::kReplace, out);
  EXPECT_EQ(ToDoubles(out), std::vector<double>(15, 0));
}

INSTANTIATE_TEST_SUITE_P(Types, CpuMatMulTest,
                         testing::Values(DType::kFloat32, DType::kFloat64, DType::kBFloat16,
                                         DType::kFloat16),
                         [](const auto& info) { return NameOf(info.param); });

TEST(CpuMatMulDeterminismTest, ARowDoesNotDependOnTheOthers) {
  std::mt19937 random(NewSeed());
  std::normal_distribution<float> normal;
  const Tensor a(NanTensor({50, 700}, DType::kFloat32)), b(NanTensor({700, 33}, DType::kFloat32));
  for (float& value : a.span()) value = normal(random);
  for (float& value : b.span()) value = normal(random);
  const Tensor whole(NanTensor({50, 33}, DType::kFloat32));
  CpuMatMul(a, false, b, false, Write::kReplace, whole);
  const Tensor row(NanTensor({1, 700}, DType::kFloat32)), one(NanTensor({1, 33}, DType::kFloat32));
  for (int64_t i = 0; i < 50; ++i) {
    std::copy_n(a.data() + i * 700, 700, row.data());
    CpuMatMul(row, false, b, false, Write::kReplace, one);
    EXPECT_EQ(std::memcmp(one.data(), whole.data() + i * 33, one.bytes()), 0) << i;
  }
}

}  // namespace
}  // namespace parley
