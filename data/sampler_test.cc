#include "data/sampler.h"

#include <algorithm>
#include <memory>
#include <set>
#include <vector>

#include "data/prefetcher.h"
#include "data/table.h"
#include "gtest/gtest.h"

namespace parley::data {
namespace {

TEST(SamplerTest, WorkersShareNoExampleAndCoverAllButTheTail) {
  Sampler sampler = Sampler::Create(103, 5, 4, 9).value();
  EXPECT_EQ(sampler.steps_per_epoch(), 5);
  for (int64_t epoch = 0; epoch < 3; ++epoch) {
    std::set<int64_t> seen;
    for (int64_t step = 5 * epoch; step < 5 * (epoch + 1); ++step) {
      for (int worker = 0; worker < 4; ++worker) {
        for (const int64_t index : sampler.Indices(step, worker)) {
          EXPECT_GE(index, 0);
          EXPECT_LT(index, 103);
          EXPECT_TRUE(seen.insert(index).second) << "twice in epoch " << epoch << ": " << index;
        }
      }
    }
    EXPECT_EQ(seen.size(), 100u);
  }
}

TEST(SamplerTest, ABatchIsAFunctionOfSeedStepAndWorker) {
  Sampler forward = Sampler::Create(1000, 10, 2, 1).value();
  Sampler backward = Sampler::Create(1000, 10, 2, 1).value();
  std::vector<std::vector<int64_t>> batches;
  for (int64_t step = 0; step < 120; ++step) batches.push_back(forward.Indices(step, 1));
  for (int64_t step = 119; step >= 0; --step) EXPECT_EQ(backward.Indices(step, 1), batches[step]);
  Sampler other_seed = Sampler::Create(1000, 10, 2, 2).value();
  EXPECT_NE(other_seed.Indices(0, 1), batches[0]);
  EXPECT_NE(forward.Indices(0, 0), batches[0]);
  EXPECT_NE(forward.Indices(50, 1), batches[0]);  // the next epoch's order is another
}

// Two workers of 5 take the examples that one worker of 10 takes, in the same order.
TEST(SamplerTest, TheGlobalBatchDoesNotDependOnHowItIsShared) {
  Sampler two = Sampler::Create(100, 5, 2, 3).value();
  Sampler one = Sampler::Create(100, 10, 1, 3).value();
  for (int64_t step = 0; step < 25; ++step) {
    std::vector<int64_t> both = two.Indices(step, 0);
    const std::vector<int64_t> second = two.Indices(step, 1);
    both.insert(both.end(), second.begin(), second.end());
    EXPECT_EQ(both, one.Indices(step, 0));
  }
}

TEST(SamplerTest, RefusesABatchThatIsMoreThanAll) {
  EXPECT_EQ(Sampler::Create(10, 6, 2, 0).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Sampler::Create(10, 0, 2, 0).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Sampler::Create(10, 1 << 30, 1 << 30, 0).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(Sampler::Create(10, 5, 2, 0).ok());
}

TEST(PrefetcherTest, GivesWhatTheSamplerSaysFromAnyStep) {
  std::vector<float> features, predicted;
  for (int i = 0; i < 60; ++i) {
    features.push_back(static_cast<float>(i));
    predicted.push_back(static_cast<float>(i % 3));
  }
  const auto table = std::make_shared<Table>(features, 1, predicted, 3);
  for (const int64_t first_step : {0, 7}) {
    Sampler sampler = Sampler::Create(60, 4, 2, 5).value();
    Prefetcher prefetcher(table, Sampler::Create(60, 4, 2, 5).value(), 1, first_step);
    for (int64_t step = first_step; step < first_step + 40; ++step) {
      const Batch& batch = prefetcher.Next();
      EXPECT_EQ(batch.step, step);
      ASSERT_EQ(batch.size, 4);
      const std::vector<int64_t> indices = sampler.Indices(step, 1);
      for (int i = 0; i < 4; ++i) {
        EXPECT_EQ(batch.feature_data()[i], static_cast<float>(indices[i]));
        EXPECT_EQ(batch.labels[i], indices[i] % 3);
      }
    }
  }
}

TEST(PrefetcherTest, EndsWithBatchesUnused) {
  const auto table =
      std::make_shared<Table>(std::vector<float>(8, 1), 1, std::vector<float>(8, 0), 1);
  for (int i = 0; i < 20; ++i) {
    Prefetcher prefetcher(table, Sampler::Create(8, 1, 1, 0).value(), 0, 0);
    if (i % 2 == 0) prefetcher.Next();
  }
}

}  // namespace
}  // namespace parley::data
