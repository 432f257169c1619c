#include "ps/table/round_gradients.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <vector>

namespace parley {
namespace {

TEST(RoundGradientsTest, RowsThatNeedNoSumAreNotCopied) {
  const std::vector<uint64_t> keys = {5, 3};
  const std::vector<float> rows = {1, 2, 3, 4};
  const RoundGradients round(2, {{keys, {}, rows.data()}}, 1);
  EXPECT_EQ(round.keys(), keys);
  EXPECT_EQ(round.gradients(), (std::vector<const float*>{rows.data(), rows.data() + 2}));
}

TEST(RoundGradientsTest, APushMayBeEmpty) {
  const RoundGradients round(2, {{{}, {}, nullptr}}, 0.5f);
  EXPECT_TRUE(round.keys().empty());
}

TEST(RoundGradientsTest, PlacesSayWhichRow) {
  const std::vector<uint64_t> keys = {5, 3};
  const std::vector<uint32_t> places = {2, 0};
  const std::vector<float> rows = {1, 2, 3};
  const RoundGradients round(1, {{keys, places, rows.data()}}, 2);
  EXPECT_EQ(*round.gradients()[0], 6);
  EXPECT_EQ(*round.gradients()[1], 2);
}

TEST(RoundGradientsTest, SumsInTheOrderOfThePushes) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(::testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> uniform(-1, 1);
  for (int trial = 0; trial < 30; ++trial) {
    const size_t width = 1 + random() % 9;
    const size_t pushes = 1 + random() % 4;
    const float factor = 1 / static_cast<float>(pushes);
    std::vector<std::vector<uint64_t>> keys(pushes);
    std::vector<std::vector<float>> rows(pushes);
    std::map<uint64_t, std::vector<float>> expected;
    std::vector<uint64_t> order;
    std::vector<RoundGradients::Push> input;
    for (size_t p = 0; p < pushes; ++p) {
      const size_t count = random() % 700;
      for (size_t i = 0; i < count; ++i) {
        const uint64_t key = random() % 400;
        keys[p].push_back(key);
        std::vector<float> row(width);
        for (float& value : row) value = uniform(random);
        rows[p].insert(rows[p].end(), row.begin(), row.end());
        const auto [known, is_new] = expected.emplace(key, row);
        if (is_new) order.push_back(key);
        for (size_t j = 0; j < width && !is_new; ++j) known->second[j] += row[j];
      }
      input.push_back({keys[p], {}, rows[p].data()});
    }
    const RoundGradients round(static_cast<int>(width), input, factor);
    ASSERT_EQ(round.keys(), order);
    for (size_t i = 0; i < order.size(); ++i) {
      for (size_t j = 0; j < width; ++j) {
        ASSERT_EQ(round.gradients()[i][j], expected[order[i]][j] * factor);  // bit by bit
      }
    }
  }
}

}  // namespace
}  // namespace parley
