#include "data/prefetcher.h"

#include <memory>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "data/table.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace parley::data {
namespace {

using ::testing::HasSubstr;

constexpr absl::Duration kLong = absl::Seconds(60);

std::shared_ptr<const Dataset> CountingTable(int rows) {
  std::vector<float> features, predicted;
  for (int i = 0; i < rows; ++i) {
    features.push_back(static_cast<float>(i));
    predicted.push_back(static_cast<float>(i % 3));
  }
  return std::make_shared<Table>(features, 1, predicted, 3);
}

// A dataset whose Fill waits until the test lets it go on, and counts.
class PuppetDataset final : public Dataset {
 public:
  int64_t size() const override { return whole_->size(); }
  const std::vector<int>& feature_shape() const override { return whole_->feature_shape(); }
  int num_classes() const override { return whole_->num_classes(); }
  void Fill(absl::Span<const int64_t> indices, Batch* batch) const override {
    {
      MutexLock lock(&mutex_);
      ++begun_;
      changed_.NotifyAll();
      while (allowed_ == 0) changed_.Wait(&mutex_);
      --allowed_;
    }
    whole_->Fill(indices, batch);
  }

  void Allow(int fills) {
    MutexLock lock(&mutex_);
    allowed_ += fills;
    changed_.NotifyAll();
  }
  // Whether that many fills begin in time.
  bool AwaitBegun(int fills) {
    MutexLock lock(&mutex_);
    while (begun_ < fills) {
      if (changed_.WaitFor(&mutex_, kLong) && begun_ < fills) return false;
    }
    return true;
  }
  int begun() const {
    MutexLock lock(&mutex_);
    return begun_;
  }

 private:
  const std::shared_ptr<const Dataset> whole_ = CountingTable(12);
  mutable Mutex mutex_;
  mutable CondVar changed_;
  mutable int begun_ ABSL_GUARDED_BY(mutex_) = 0;
  mutable int allowed_ ABSL_GUARDED_BY(mutex_) = 0;
};

TEST(PrefetcherTest, GivesWhatTheSamplerAndTheDatasetGiveFromAnyStep) {
  const auto table = CountingTable(60);
  for (const int64_t first_step : {0, 7}) {
    for (const int depth : {-1, 0, 1, 2, 5}) {
      Sampler sampler = Sampler::Create(60, 4, 2, 5).value();
      Prefetcher prefetcher(table, sampler, 1, first_step, depth);
      Batch direct;
      for (int64_t step = first_step; step < first_step + 40; ++step) {
        const auto next = prefetcher.Next(kLong);
        ASSERT_TRUE(next.ok()) << next.status();
        const Batch& batch = **next;
        table->Fill(sampler.Indices(step, 1), &direct);
        EXPECT_EQ(batch.step, step);
        EXPECT_EQ(batch.epoch, step / 7);
        ASSERT_EQ(batch.size, 4);
        EXPECT_EQ(batch.labels, direct.labels);
        EXPECT_EQ(std::vector<float>(batch.feature_data(), batch.feature_data() + 4),
                  std::vector<float>(direct.feature_data(), direct.feature_data() + 4));
      }
    }
  }
}

TEST(PrefetcherTest, ALateBatchIsADeadlineExceededAndThenComes) {
  const auto puppet = std::make_shared<PuppetDataset>();
  Prefetcher prefetcher(puppet, Sampler::Create(12, 3, 1, 5).value(), 0, 8);
  // The destructor waits for the fill that has begun.
  const auto release = absl::MakeCleanup([&] { puppet->Allow(100); });
  puppet->Allow(1);
  const auto first = prefetcher.Next(kLong);
  ASSERT_TRUE(first.ok()) << first.status();
  const std::vector<int32_t> labels = (*first)->labels;
  for (const absl::Duration timeout :
       {absl::Milliseconds(5), absl::ZeroDuration(), -absl::InfiniteDuration()}) {
    const auto late = prefetcher.Next(timeout);
    EXPECT_EQ(late.status().code(), absl::StatusCode::kDeadlineExceeded);
    EXPECT_THAT(late.status().message(), HasSubstr("worker 0: the batch of step 9"));
  }
  EXPECT_EQ((*first)->step, 8);  // still as it was
  EXPECT_EQ((*first)->labels, labels);
  puppet->Allow(1);
  const auto second = prefetcher.Next(kLong);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ((*second)->step, 9);
}

// While nothing is taken, all that may be prepared is, and no more is ever begun.
TEST(PrefetcherTest, PreparesAsManyAheadAsItMay) {
  const auto puppet = std::make_shared<PuppetDataset>();
  puppet->Allow(1000);
  Prefetcher prefetcher(puppet, Sampler::Create(12, 3, 1, 5).value(), 0, 0, /*depth=*/3);
  for (int taken = 0; taken < 300; ++taken) {
    ASSERT_TRUE(puppet->AwaitBegun(taken + 3));
    ASSERT_EQ(puppet->begun(), taken + 3);
    ASSERT_TRUE(prefetcher.Next(kLong).ok());
  }
}

TEST(PrefetcherTest, EndsWithBatchesUnused) {
  const auto table =
      std::make_shared<Table>(std::vector<float>(8, 1), 1, std::vector<float>(8, 0), 1);
  for (int i = 0; i < 20; ++i) {
    Prefetcher prefetcher(table, Sampler::Create(8, 1, 1, 0).value(), 0, 0);
    for (int taken = 0; taken < i % 3; ++taken) EXPECT_TRUE(prefetcher.Next(kLong).ok());
  }
}

}  // namespace
}  // namespace parley::data
