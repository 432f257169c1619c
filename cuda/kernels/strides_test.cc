#include "cuda/kernels/strides.h"

#include <algorithm>
#include <numeric>
#include <random>

#include "gtest/gtest.h"

namespace parley {
namespace {

int64_t Count(const Extents& extents) {
  return std::accumulate(extents.begin(), extents.end(), int64_t{1}, std::multiplies<int64_t>());
}

// Place in array `array` of the walk's `step`th index.
int64_t PlaceAt(const StridedLoop& loop, int64_t step, int array) {
  int64_t place = loop.offsets[array];
  for (int d = loop.rank - 1; d >= 0; --d) {
    place += step % loop.extents[d] * loop.strides[array][d];
    step /= loop.extents[d];
  }
  return place;
}

// The index of element `place` of a dense array.
Extents IndexOf(int64_t place, const Extents& extents) {
  Extents index(extents.size());
  for (size_t d = extents.size(); d-- > 0;) {
    index[d] = place % extents[d];
    place /= extents[d];
  }
  return index;
}

// Where a dense array that is repeated, aligned at the last dimension, holds `index`.
int64_t RepeatedPlace(const Extents& index, const Extents& extents) {
  int64_t place = 0;
  const size_t missing = index.size() - extents.size();
  for (size_t d = 0; d < extents.size(); ++d) {
    place = place * extents[d] + (extents[d] == 1 ? 0 : index[missing + d]);
  }
  return place;
}

class StridesTest : public testing::Test {
 protected:
  StridesTest() : seed_(std::random_device()()), random_(seed_) { RecordProperty("seed", seed_); }
  void SetUp() override { std::cout << "seed " << seed_ << "\n"; }

  int64_t Below(int64_t bound) { return static_cast<int64_t>(random_() % bound); }
  Extents RandomExtents(int64_t max_rank) {
    Extents extents(Below(max_rank + 1));
    for (int64_t& extent : extents) extent = 1 + Below(4);
    return extents;
  }
  // `out` with some sizes 1, and some leading dimensions missing.
  Extents RandomlyRepeated(const Extents& out) {
    Extents extents(out.begin() + Below(out.size() + 1), out.end());
    for (int64_t& extent : extents) extent = Below(2) == 0 ? 1 : extent;
    return extents;
  }

  const uint32_t seed_;
  std::mt19937 random_;
};

TEST_F(StridesTest, BroadcastsAsNumPyDoes) {
  for (int round = 0; round < 500; ++round) {
    const Extents out = RandomExtents(6), a = RandomlyRepeated(out), b = RandomlyRepeated(out);
    StridedLoop loop;
    ASSERT_TRUE(PlanBroadcast(a, b, out, &loop));
    ASSERT_EQ(loop.count(), Count(out));
    for (int64_t i = 0; i < loop.count(); ++i) {
      const Extents index = IndexOf(i, out);
      ASSERT_EQ(PlaceAt(loop, i, 0), RepeatedPlace(index, a));
      ASSERT_EQ(PlaceAt(loop, i, 1), RepeatedPlace(index, b));
    }
  }
}

TEST_F(StridesTest, JoinsWhatCanBeJoined) {
  StridedLoop loop;
  ASSERT_TRUE(PlanBroadcast({2, 3, 4}, {2, 3, 4}, {2, 3, 4}, &loop));
  EXPECT_EQ(loop.rank, 1);
  ASSERT_TRUE(PlanBroadcast({2, 3, 1, 4, 5}, {4, 5}, {2, 3, 1, 4, 5}, &loop));
  EXPECT_EQ(loop.rank, 2);
  ASSERT_TRUE(PlanBroadcast({}, {1}, {1, 1, 1}, &loop));
  EXPECT_EQ(loop.rank, 1);
  EXPECT_EQ(loop.count(), 1);
}

TEST_F(StridesTest, RefusesShapesThatDoNotBroadcast) {
  StridedLoop loop;
  EXPECT_FALSE(PlanBroadcast({2}, {3}, {3}, &loop));
  EXPECT_FALSE(PlanBroadcast({2, 3}, {3}, {3}, &loop));
  EXPECT_FALSE(PlanBroadcast(Extents(9, 2), {2, 1, 2, 1, 2, 1, 2, 1, 2}, Extents(9, 2), &loop));
}

TEST_F(StridesTest, PermutesByAxes) {
  for (int round = 0; round < 500; ++round) {
    const Extents x = RandomExtents(6);
    std::vector<int> axes(x.size());
    std::iota(axes.begin(), axes.end(), 0);
    std::shuffle(axes.begin(), axes.end(), random_);
    StridedLoop loop;
    ASSERT_TRUE(PlanPermute(x, axes, &loop));
    Extents out;
    for (const int axis : axes) out.push_back(x[axis]);
    ASSERT_EQ(loop.count(), Count(x));
    for (int64_t i = 0; i < loop.count(); ++i) {
      const Extents out_index = IndexOf(i, out);
      Extents x_index(x.size());
      for (size_t d = 0; d < axes.size(); ++d) x_index[axes[d]] = out_index[d];
      ASSERT_EQ(PlaceAt(loop, i, 1), i);
      ASSERT_EQ(PlaceAt(loop, i, 0), RepeatedPlace(x_index, x));
    }
  }
  StridedLoop loop;
  EXPECT_FALSE(PlanPermute({2, 3}, {0, 0}, &loop));
  EXPECT_FALSE(PlanPermute({2, 3}, {0, 2}, &loop));
  EXPECT_FALSE(PlanPermute({2, 3}, {0}, &loop));
}

TEST_F(StridesTest, AFilterIsAMatrixToTranspose) {
  StridedLoop loop;
  ASSERT_TRUE(PlanPermute({3, 5, 7, 11}, {3, 0, 1, 2}, &loop));
  ASSERT_EQ(loop.rank, 2);
  EXPECT_EQ(loop.extents[0], 11);
  EXPECT_EQ(loop.extents[1], 3 * 5 * 7);
}

TEST_F(StridesTest, SlicesArePartsInBounds) {
  for (int round = 0; round < 500; ++round) {
    const Extents whole = RandomExtents(5);
    Extents begin(whole.size()), part(whole.size());
    for (size_t d = 0; d < whole.size(); ++d) {
      begin[d] = Below(whole[d]);
      part[d] = 1 + Below(whole[d] - begin[d]);
    }
    StridedLoop loop;
    ASSERT_TRUE(PlanSlice(whole, begin, part, &loop));
    ASSERT_EQ(loop.count(), Count(part));
    const int64_t units = JoinableNeighbours(loop, 8);
    const StridedLoop joined = InUnitsOf(units, loop);
    ASSERT_EQ(joined.count() * units, loop.count());
    for (int64_t i = 0; i < loop.count(); ++i) {
      Extents index = IndexOf(i, part);
      for (size_t d = 0; d < index.size(); ++d) index[d] += begin[d];
      const int64_t expected = RepeatedPlace(index, whole);
      ASSERT_EQ(PlaceAt(loop, i, 0), i);
      ASSERT_EQ(PlaceAt(loop, i, 1), expected);
      ASSERT_EQ(PlaceAt(joined, i / units, 0) * units + i % units, i);
      ASSERT_EQ(PlaceAt(joined, i / units, 1) * units + i % units, expected);
      ASSERT_LT(expected, loop.reach(1));
    }
    ASSERT_LE(loop.reach(1), Count(whole));
  }
  StridedLoop loop;
  EXPECT_FALSE(PlanSlice({4}, {3}, {2}, &loop));
  EXPECT_FALSE(PlanSlice({4}, {-1}, {2}, &loop));
  EXPECT_FALSE(PlanSlice({4, 2}, {0}, {2, 2}, &loop));
}

TEST_F(StridesTest, NeighboursMoveTogetherWhereAllStridesAllowIt) {
  StridedLoop loop;
  ASSERT_TRUE(PlanPermute({6, 5, 4}, {1, 0, 2}, &loop));
  EXPECT_EQ(JoinableNeighbours(loop, 8), 4);
  EXPECT_EQ(JoinableNeighbours(loop, 2), 2);
  ASSERT_TRUE(PlanPermute({4, 8}, {1, 0}, &loop));
  EXPECT_EQ(JoinableNeighbours(loop, 8), 1);
  ASSERT_TRUE(PlanSlice({8, 8}, {0, 2}, {8, 4}, &loop));
  EXPECT_EQ(JoinableNeighbours(loop, 8), 2);
}

TEST_F(StridesTest, EveryInputElementIsReducedIntoItsOutputOnce) {
  for (int round = 0; round < 500; ++round) {
    const Extents x = RandomExtents(6), out = RandomlyRepeated(x);
    ReducePlan plan;
    ASSERT_TRUE(PlanReduce(x, out, &plan));
    ASSERT_EQ(plan.kept.count(), Count(out));
    ASSERT_EQ(plan.kept.count() * plan.reduced.count(), Count(x));
    std::vector<int64_t> output_of(Count(x), -1);
    for (int64_t o = 0; o < plan.kept.count(); ++o) {
      for (int64_t r = 0; r < plan.reduced.count(); ++r) {
        int64_t& output = output_of[PlaceAt(plan.kept, o, 0) + PlaceAt(plan.reduced, r, 0)];
        ASSERT_EQ(output, -1);
        output = o;
      }
    }
    for (int64_t i = 0; i < Count(x); ++i) {
      ASSERT_EQ(output_of[i], RepeatedPlace(IndexOf(i, x), out));
    }
  }
}

TEST_F(StridesTest, AReductionKnowsItsInnermostDimension) {
  ReducePlan plan;
  ASSERT_TRUE(PlanReduce({4, 5}, {4, 1}, &plan));
  EXPECT_TRUE(plan.innermost_is_reduced);
  ASSERT_TRUE(PlanReduce({4, 5, 1}, {5, 1}, &plan));
  EXPECT_FALSE(plan.innermost_is_reduced);
  EXPECT_EQ(plan.reduced.strides[0][0], 5);
  EXPECT_FALSE(PlanReduce({4, 5}, {3}, &plan));
  EXPECT_FALSE(PlanReduce({5}, {4, 5}, &plan));
  ASSERT_TRUE(PlanReduce({0, 5}, {5}, &plan));
  EXPECT_EQ(plan.reduced.count(), 0);
  EXPECT_EQ(plan.kept.count(), 5);
}

}  // namespace
}  // namespace parley
