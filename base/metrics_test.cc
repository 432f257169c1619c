#include "base/metrics.h"

#include <atomic>
#include <limits>
#include <thread>
#include <utility>
#include <vector>

#include "base/process_metrics.h"
#include "gtest/gtest.h"

namespace parley {
namespace {

TEST(MetricsTest, EveryNumberHasTheTasksLabels) {
  Metrics metrics("ps:3");
  metrics.NewCounter("a_total", "A.", {{"kind", "x"}})->Increment(2);
  const auto source =
      metrics.AddSource([](MetricSamples* samples) { samples->AddGauge("b", "B.", 5); });
  const MetricFamilies families = metrics.Collect();
  EXPECT_EQ(ValueOf(families, "a_total", {{"task", "ps:3"}, {"kind", "x"}}), 2);
  EXPECT_EQ(ValueOf(families, "b", {{"task", "ps:3"}}), 5);
  EXPECT_EQ(ValueOf(families, "b", {{"task", "ps:4"}}), absl::nullopt);
  EXPECT_EQ(ValueOf(families, "c"), absl::nullopt);
}

TEST(MetricsTest, ANumberThatIsAskedForAgainIsTheSame) {
  Metrics metrics("ps:0");
  EXPECT_EQ(metrics.NewCounter("a_total", "A."), metrics.NewCounter("a_total", "A."));
  EXPECT_NE(metrics.NewCounter("a_total", "A.", {{"x", "1"}}), metrics.NewCounter("a_total", "A."));
  EXPECT_EQ(metrics.NewGauge("g", "G."), metrics.NewGauge("g", "G."));
  EXPECT_EQ(metrics.NewHistogram("h", "H.", {1, 2}), metrics.NewHistogram("h", "H.", {1, 2}));
}

TEST(MetricsTest, SamplesOfSeveralSourcesComeTogether) {
  Metrics metrics("ps:0");
  std::vector<std::unique_ptr<Metrics::Source>> sources;
  for (const char* worker : {"0", "1"}) {
    sources.push_back(metrics.AddSource([worker](MetricSamples* samples) {
      samples->AddCounter("steps_total", "Steps.", 10, {{"worker", worker}});
    }));
  }
  const MetricFamilies families = metrics.Collect();
  ASSERT_EQ(families.size(), 1u);
  EXPECT_EQ(families[0].metric.size(), 2u);
  EXPECT_EQ(ValueOf(families, "steps_total"), 20);
  EXPECT_EQ(ValueOf(families, "steps_total", {{"worker", "1"}}), 10);
}

TEST(MetricsTest, ASourceThatIsGoneIsNotAsked) {
  Metrics metrics("ps:0");
  auto source = metrics.AddSource([](MetricSamples* samples) { samples->AddGauge("b", "B.", 5); });
  source.reset();
  EXPECT_TRUE(metrics.Collect().empty());
}

TEST(MetricsTest, HistogramsAreCumulative) {
  Metrics metrics("ps:0");
  const auto source = metrics.AddSource([](MetricSamples* samples) {
    const std::vector<double> bounds = {0, 1, 3};
    const std::vector<int64_t> counts = {4, 0, 2, 1};
    samples->AddHistogram("h", "H.", bounds, counts, 17);
  });
  const MetricFamilies families = metrics.Collect();
  const auto& histogram = families.at(0).metric.at(0).histogram;
  EXPECT_EQ(histogram.sample_count, 7u);
  EXPECT_EQ(histogram.sample_sum, 17);
  std::vector<std::pair<double, uint64_t>> buckets;
  for (const auto& bucket : histogram.bucket) {
    buckets.emplace_back(bucket.upper_bound, bucket.cumulative_count);
  }
  EXPECT_EQ(buckets, (std::vector<std::pair<double, uint64_t>>{{0, 4}, {1, 4}, {3, 6}}));
  EXPECT_EQ(ValueOf(families, "h"), 7);
}

TEST(MetricsTest, CountersMissNothing) {
  Metrics metrics("ps:0");
  prometheus::Counter* const counter = metrics.NewCounter("a_total", "A.");
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([counter] {
      for (int j = 0; j < 10000; ++j) counter->Increment();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(ValueOf(metrics.Collect(), "a_total"), 40000);
}

TEST(MetricsTest, BoundsGrowByAFactor) {
  EXPECT_EQ(ExponentialBounds(1, 4, 3), (std::vector<double>{1, 4, 16}));
}

TEST(ProcessMetricsTest, TheProcessIsMeasured) {
  MetricSamples samples({});
  AddProcessMetrics(&samples);
  const MetricFamilies families = samples.TakeFamilies();
  EXPECT_GT(ValueOf(families, "process_resident_memory_bytes").value_or(0), 1 << 20);
  EXPECT_GT(ValueOf(families, "process_virtual_memory_bytes").value_or(0), 1 << 20);
  EXPECT_GE(ValueOf(families, "process_threads").value_or(0), 1);
  EXPECT_GE(ValueOf(families, "process_cpu_seconds_total").value_or(-1), 0);
  EXPECT_GE(ValueOf(families, "process_open_fds").value_or(0), 1);
  EXPECT_GE(ValueOf(families, "process_max_fds").value_or(0), 1);
  EXPECT_GT(ValueOf(families, "process_start_time_seconds").value_or(0), 1.5e9);
}

}  // namespace
}  // namespace parley
