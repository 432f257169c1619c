#include "net/row_wire.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace parley {
namespace {

// Of a row as it comes out at the other end.
std::vector<float> Travelled(v1::DType dtype, const std::vector<float>& row) {
  std::string bytes(RowWireBytes(dtype, row.size()) + 1, '\x55');
  RowToWire(dtype, row.data(), row.size(), &bytes[0]);
  EXPECT_EQ(bytes.back(), '\x55');
  std::vector<float> out(row.size());
  RowFromWire(dtype, bytes.data(), row.size(), out.data());
  return out;
}

TEST(RowWireTest, AnInt8RowDiffersByHalfAScaleAtMost) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  for (int trial = 0; trial < 3000; ++trial) {
    std::vector<float> row(1 + random() % 70);
    std::normal_distribution<float> normal(
        0, std::exp(std::uniform_real_distribution<float>(-70, 70)(random)));
    float most = 0;
    for (float& x : row) {
      x = normal(random);
      most = std::max(most, std::fabs(x));
    }
    const std::vector<float> out = Travelled(v1::INT8, row);
    for (size_t i = 0; i < row.size(); ++i) {
      ASSERT_LE(std::fabs(out[i] - row[i]), most / 254 * 1.0001f) << row[i] << " of " << most;
    }
  }
}

TEST(RowWireTest, Int8RoundsToNearestEven) {
  // With 127 in the row the scale is 1.
  EXPECT_EQ(Travelled(v1::INT8, {127, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, 2.49f, -126.6f}),
            (std::vector<float>{127, 0, 2, 2, 0, -2, 2, -127}));
}

TEST(RowWireTest, AnInt8RowIsAScaleBytesAndPadding) {
  EXPECT_EQ(RowWireBytes(v1::INT8, 1), 8u);
  EXPECT_EQ(RowWireBytes(v1::INT8, 4), 8u);
  EXPECT_EQ(RowWireBytes(v1::INT8, 5), 12u);
  EXPECT_EQ(RowWireBytes(v1::FLOAT16, 5), 10u);
  EXPECT_EQ(RowWireBytes(v1::DTYPE_UNSPECIFIED, 5), 0u);
  const float row[] = {254, -2, 3};
  std::string bytes(8, '\x55');
  RowToWire(v1::INT8, row, 3, &bytes[0]);
  EXPECT_EQ(bytes, std::string("\0\0\0\x40\x7f\xff\x02\0", 8));  // 3 / 2 is rounded to 2
}

TEST(RowWireTest, SmallNumbersStaySmall) {
  EXPECT_EQ(Travelled(v1::INT8, {0, -0.0f, 0}), (std::vector<float>{0, 0, 0}));
  const float least = std::numeric_limits<float>::denorm_min();
  for (const float x : {least, 100 * least, 1e5f * least}) {
    const float out = Travelled(v1::INT8, {x})[0];
    EXPECT_GE(out, 0);
    EXPECT_LE(out, 2 * x);
  }
}

TEST(RowWireTest, WhatIsNotFiniteIsSeen) {
  const float infinity = std::numeric_limits<float>::infinity();
  const float most = std::numeric_limits<float>::max();
  for (const float bad : {std::nanf(""), infinity, -infinity}) {
    for (const v1::DType dtype : {v1::FLOAT32, v1::BFLOAT16, v1::FLOAT16, v1::INT8}) {
      const float rows[] = {1, 2, 3, 4, bad, 6};
      std::string bytes(2 * RowWireBytes(dtype, 3), '\0');
      RowToWire(dtype, rows, 3, &bytes[0]);
      RowToWire(dtype, rows + 3, 3, &bytes[RowWireBytes(dtype, 3)]);
      EXPECT_TRUE(RowsFiniteOnWire(dtype, bytes.data(), 1, 3));
      EXPECT_FALSE(RowsFiniteOnWire(dtype, bytes.data(), 2, 3));
    }
  }
  std::string bytes(8, '\0');
  RowToWire(v1::INT8, &most, 1, &bytes[0]);
  EXPECT_FALSE(RowsFiniteOnWire(v1::INT8, bytes.data(), 1, 1));  // times 128 it would be infinite
}

TEST(RowWireTest, FlagsNameDTypes) {
  EXPECT_EQ(ParseRowDType("int8").value_or(v1::FLOAT32), v1::INT8);
  EXPECT_EQ(ParseRowDType("float16").value_or(v1::FLOAT32), v1::FLOAT16);
  EXPECT_EQ(ParseRowDType("int4").status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace parley
