#include "ps/table/row_initializer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace parley {
namespace {

std::vector<float> Row(const RowInitializer& initializer, uint64_t key, size_t width) {
  std::vector<float> row(width);
  initializer.Fill(key, absl::MakeSpan(row));
  return row;
}

TEST(RowInitializerTest, IsAFunctionOfSeedTableAndKey) {
  const Initializer normal = Initializer::Normal(0, 1);
  const RowInitializer one(normal, 1, "a");
  EXPECT_EQ(Row(one, 7, 9), Row(RowInitializer(normal, 1, "a"), 7, 9));
  EXPECT_NE(Row(one, 7, 9), Row(one, 8, 9));
  EXPECT_NE(Row(one, 7, 9), Row(RowInitializer(normal, 2, "a"), 7, 9));
  EXPECT_NE(Row(one, 7, 9), Row(RowInitializer(normal, 1, "b"), 7, 9));
}

TEST(RowInitializerTest, AnElementDoesNotDependOnTheWidth) {
  const RowInitializer initializer(Initializer::Uniform(-1, 1), 1, "a");
  const std::vector<float> wide = Row(initializer, 3, 16);
  for (size_t width = 1; width < 16; ++width) {
    EXPECT_EQ(Row(initializer, 3, width),
              std::vector<float>(wide.begin(), wide.begin() + static_cast<long>(width)));
  }
}

TEST(RowInitializerTest, HasTheMomentsAskedFor) {
  const RowInitializer uniform(Initializer::Uniform(-1, 3), 5, "a");
  const RowInitializer normal(Initializer::Normal(2, 0.5f), 5, "a");
  double uniform_sum = 0, normal_sum = 0, normal_squares = 0, product = 0;
  constexpr int kRows = 2000;
  constexpr int kWidth = 8;
  for (uint64_t key = 0; key < kRows; ++key) {
    const std::vector<float> u = Row(uniform, key, kWidth);
    const std::vector<float> n = Row(normal, key, kWidth);
    for (int i = 0; i < kWidth; ++i) {
      ASSERT_GE(u[i], -1);
      ASSERT_LT(u[i], 3);
      uniform_sum += u[i];
      normal_sum += n[i];
      normal_squares += (n[i] - 2) * (n[i] - 2);
    }
    product += (n[0] - 2) * (n[1] - 2);
  }
  constexpr double kCount = kRows * kWidth;
  // The seed is fixed: about four standard deviations.
  EXPECT_NEAR(uniform_sum / kCount, 1, 0.04);
  EXPECT_NEAR(normal_sum / kCount, 2, 0.016);
  EXPECT_NEAR(std::sqrt(normal_squares / kCount), 0.5, 0.012);
  EXPECT_NEAR(product / kRows, 0, 0.025);
}

TEST(RowInitializerTest, AConstantIsThatConstant) {
  EXPECT_EQ(Row(RowInitializer(Initializer::Constant(0.25f), 1, "a"), 1, 3),
            std::vector<float>(3, 0.25f));
}

}  // namespace
}  // namespace parley
