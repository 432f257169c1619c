#include "cuda/kernels/tiling.h"

#include "cuda/kernels/divisor.h"
#include "gtest/gtest.h"

namespace parley {
namespace {

TEST(TilingTest, SplitsCoverAllElementsOnce) {
  for (const int64_t outputs : {1, 3, 31, 32, 33, 1000, 100000}) {
    for (const int64_t elements : {0, 1, 2, 31, 255, 256, 4095, 4096, 4097, 100000, 10000019}) {
      for (const bool neighbours : {false, true}) {
        const ReduceTiling tiling = TileReduction(outputs, elements, neighbours);
        EXPECT_EQ(tiling.outputs * tiling.lanes, kReduceThreads);
        EXPECT_GE(tiling.blocks * tiling.outputs, outputs);
        EXPECT_LT((tiling.blocks - 1) * tiling.outputs, outputs);
        EXPECT_GE(tiling.splits * tiling.split_size, elements);
        EXPECT_LE((tiling.splits - 1) * tiling.split_size, elements);
        EXPECT_GE(tiling.splits, 1);
        EXPECT_LE(tiling.splits, kReduceBlocks);
      }
    }
  }
}

TEST(TilingTest, FewLargeReductionsFillTheDevice) {
  EXPECT_GE(TileReduction(1, int64_t{1} << 28, false).splits, kReduceBlocks / 2);
  EXPECT_GE(TileReduction(64, int64_t{1} << 20, true).splits, kReduceBlocks / 4);
  EXPECT_EQ(TileReduction(int64_t{1} << 20, 64, false).splits, 1);
}

TEST(DivisorTest, QuotientsAreExact) {
  constexpr uint32_t kLimit = 0x7fffffff;
  for (const uint32_t divisor :
       {1u, 2u, 3u, 5u, 7u, 10u, 31u, 32u, 641u, 65535u, 65536u, 6700417u, kLimit - 1, kLimit}) {
    const Divisor<uint32_t> fast(divisor);
    const Divisor<uint64_t> plain(divisor);
    EXPECT_EQ(fast.divisor(), divisor);
    for (uint64_t near = 0; near <= kLimit; near += near / 3 + 1) {
      for (const uint64_t dividend :
           {near, near / divisor * divisor, near / divisor * divisor + divisor - 1}) {
        if (dividend > kLimit) continue;
        ASSERT_EQ(fast.Quotient(static_cast<uint32_t>(dividend)), dividend / divisor)
            << dividend << " / " << divisor;
        ASSERT_EQ(plain.Quotient(dividend), dividend / divisor);
      }
    }
  }
}

}  // namespace
}  // namespace parley
