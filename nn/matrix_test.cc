#include "nn/matrix.h"

#include "gtest/gtest.h"
#include "nn/elementwise.h"
#include "nn/testing/gradient_check.h"
#include "tensor/cpu_backend.h"

namespace parley::nn {
namespace {

class MatrixTest : public GradientTest {
 protected:
  static Shape Matrix(bool transposed, int64_t rows, int64_t columns) {
    return transposed ? Shape{columns, rows} : Shape{rows, columns};
  }
  static Shape Matrices(const std::vector<int64_t>& batch, const Shape& matrix) {
    std::vector<int64_t> dimensions = batch;
    dimensions.push_back(matrix[0]);
    dimensions.push_back(matrix[1]);
    return Shape(dimensions);
  }
};

TEST_F(MatrixTest, GradientsOfProducts) {
  for (int round = 0; round < 8; ++round) {
    // In the first rounds one of the sizes is 0, then 1.
    const int64_t small = round < 4 ? 0 : 1;
    const int64_t m = round % 4 == 0 ? small : Size(4), k = round % 4 == 1 ? small : Size(5),
                  n = round % 4 == 2 ? small : Size(6);
    for (const bool transpose : {false, true}) {
      const auto product = [transpose](const Inputs& in) {
        return MatMul(in[0], in[1], transpose);
      };
      Check(product, {Random({m, k}), Random(Matrix(transpose, k, n))});
      Check(product, {Random({Size(2), m, k}), Random(Matrix(transpose, k, n))});
      Check(product, {Random({k}), Random(Matrix(transpose, k, n))});
    }
    Check([](const Inputs& in) { return AddBias(MatMul(in[0], in[1]), in[2]); },
          {Random({m, k}), Random({k, n}), Random({n})});
  }
  Check(
      [](const Inputs& in) {
        const Variable square = MatMul(in[0], in[0]);
        return MatMul(square, in[0], true);
      },
      {Random({3, 3})});
}

TEST_F(MatrixTest, GradientsOfBatchesOfProducts) {
  for (int round = 0; round < 12; ++round) {
    const int64_t small = round < 5 ? 0 : 1;
    const int64_t m = round % 5 == 0 ? small : Size(3), k = round % 5 == 1 ? small : Size(3),
                  n = round % 5 == 2 ? small : Size(3);
    std::vector<int64_t> batch;
    if (round % 3 > 0) batch.push_back(round % 5 == 3 ? small : Size(3));
    if (round % 3 > 1) batch.push_back(Size(2));
    for (const bool transpose_a : {false, true}) {
      for (const bool transpose_b : {false, true}) {
        Check(
            [&](const Inputs& in) {
              return BatchMatMul(in[0], transpose_a, in[1], transpose_b, 0.7);
            },
            {Random(Matrices(batch, Matrix(transpose_a, m, k))),
             Random(Matrices(batch, Matrix(transpose_b, k, n)))});
      }
    }
  }
}

TEST(MatrixDeathTest, NamesShapesThatDoNotFit) {
  const Variable x = RandomParameter({4, 3}, 1), w = RandomParameter({4, 3}, 1),
                 batch = RandomParameter({2, 3, 4}, 1), other = RandomParameter({3, 4, 3}, 1);
  EXPECT_DEATH(MatMul(x, w), "product of \\[4, 3\\] and \\[4, 3\\]");
  EXPECT_DEATH(BatchMatMul(batch, false, other, false), "\\[2, 3, 4\\] and \\[3, 4, 3\\]");
  EXPECT_DEATH(BatchMatMul(batch, false, batch, false), "\\[2, 3, 4\\] and \\[2, 3, 4\\]");
  EXPECT_DEATH(BatchMatMul(x, false, batch, false), "\\[4, 3\\] and \\[2, 3, 4\\]");
}

}  // namespace
}  // namespace parley::nn
