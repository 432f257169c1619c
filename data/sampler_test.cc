#include "data/sampler.h"

#include <set>
#include <vector>

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
  EXPECT_EQ(Sampler::Create(10, 6, 2, 0).status(),
            absl::InvalidArgumentError(
                "a batch of 6 for each of 2 workers is more than the 10 examples"));
  EXPECT_EQ(Sampler::Create(10, 0, 2, 0).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Sampler::Create(10, 1 << 30, 1 << 30, 0).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(Sampler::Create(10, 5, 2, 0).ok());
}

TEST(SamplerTest, OneExampleForAllIsAnEpochOfOneStep) {
  Sampler sampler = Sampler::Create(1, 1, 1, 0).value();
  EXPECT_EQ(sampler.steps_per_epoch(), 1);
  EXPECT_EQ(sampler.Indices(5, 0), (std::vector<int64_t>{0}));
  EXPECT_EQ(sampler.Epoch(5), 5);
}

// A run that stops at any step and goes on with more workers misses and repeats nothing.
TEST(SamplerTest, ResumingWithOtherWorkersGoesOnWhereItStopped) {
  Sampler before = Sampler::Create(120, 12, 1, 4).value();
  Sampler after = Sampler::Create(120, 3, 4, 4).value();
  for (int64_t stop = 0; stop <= 10; ++stop) {
    std::set<int64_t> seen;
    for (int64_t step = 0; step < 10; ++step) {
      Sampler& sampler = step < stop ? before : after;
      for (int worker = 0; worker < (step < stop ? 1 : 4); ++worker) {
        for (const int64_t index : sampler.Indices(step, worker)) {
          EXPECT_TRUE(seen.insert(index).second) << "stopped at " << stop << ": " << index;
        }
      }
    }
    EXPECT_EQ(seen.size(), 120u);
  }
}

TEST(SamplerTest, WhereWorkersComeAndGoTheEpochGoesOnBehindTheStepsBefore) {
  constexpr int kExamples = 120;
  for (int64_t change = 1; change < 12; ++change) {
    Sampler sampler = Sampler::Create(kExamples, 3, 4, 4).value();
    ASSERT_TRUE(sampler.SetWorkers(change, 2).ok());
    ASSERT_TRUE(sampler.SetWorkers(change + 3, 6).ok());
    const auto workers = [&](int64_t step) {
      return step < change ? 4 : step < change + 3 ? 2 : 6;
    };
    std::set<int64_t> seen;
    int64_t epoch = 0;
    for (int64_t step = 0; step < 30; ++step) {
      if (sampler.Epoch(step) != epoch) {
        // Of its tail no global batch could be made.
        EXPECT_GT(seen.size() + 3 * static_cast<size_t>(workers(step)), size_t{kExamples});
        EXPECT_EQ(sampler.Epoch(step), epoch + 1);
        epoch = sampler.Epoch(step);
        seen.clear();
      }
      for (int worker = 0; worker < workers(step); ++worker) {
        for (const int64_t index : sampler.Indices(step, worker)) {
          EXPECT_TRUE(seen.insert(index).second) << "step " << step << ": " << index;
        }
      }
      EXPECT_TRUE(sampler.Indices(step, workers(step)).empty());
    }
    EXPECT_GE(epoch, 2);
  }
}

TEST(SamplerTest, WorkersThatAreTooManyOrOfEarlierStepsChangeNothing) {
  Sampler sampler = Sampler::Create(10, 2, 2, 0).value();
  EXPECT_EQ(sampler.SetWorkers(3, 6).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(sampler.SetWorkers(3, 0).code(), absl::StatusCode::kInvalidArgument);
  ASSERT_TRUE(sampler.SetWorkers(3, 5).ok());
  EXPECT_EQ(sampler.SetWorkers(2, 1).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(sampler.Indices(3, 4).size(), 2u);
  ASSERT_TRUE(sampler.SetWorkers(3, 1).ok());  // before that step was begun
  EXPECT_TRUE(sampler.Indices(3, 4).empty());
}

// Every place is equally likely for every example: chi-squared over 8 x 8 cells.
TEST(SamplerTest, PermutationsAreUniform) {
  constexpr int kExamples = 8;
  constexpr int kEpochs = 8000;
  Sampler sampler = Sampler::Create(kExamples, kExamples, 1, 17).value();
  int count[kExamples][kExamples] = {};
  for (int64_t epoch = 0; epoch < kEpochs; ++epoch) {
    const std::vector<int64_t> order = sampler.Indices(epoch, 0);
    for (int place = 0; place < kExamples; ++place) ++count[place][order[place]];
  }
  double chi_squared = 0;
  const double expected = kEpochs / kExamples;
  for (const auto& row : count) {
    for (const int cell : row) chi_squared += (cell - expected) * (cell - expected) / expected;
  }
  EXPECT_LT(chi_squared, 95);  // 49 degrees of freedom: more for one seed in ten thousand
}

}  // namespace
}  // namespace parley::data
