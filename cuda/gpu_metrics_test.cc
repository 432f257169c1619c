#include "cuda/gpu_metrics.h"

#include "gtest/gtest.h"

namespace parley {
namespace {

constexpr char kFake[] = "cuda/testing/libnvidia-ml.so.1";

TEST(GpuMetricsTest, EveryGpuIsMeasured) {
  const auto gpus = GpuMetrics::Open({kFake});
  ASSERT_TRUE(gpus.ok()) << gpus.status();
  MetricSamples samples(MetricLabels{{"task", "worker:0"}});
  (*gpus)->AddTo(&samples);
  const MetricFamilies families = samples.TakeFamilies();
  EXPECT_EQ(ValueOf(families, "parley_gpu_utilization_ratio", {{"gpu", "0"}}), 0.5);
  EXPECT_EQ(ValueOf(families, "parley_gpu_utilization_ratio", {{"gpu", "1"}}), 0.25);
  EXPECT_EQ(ValueOf(families, "parley_gpu_memory_used_bytes", {{"gpu", "0"}}), 20.0 * (1 << 30));
  EXPECT_EQ(ValueOf(families, "parley_gpu_memory_total_bytes", {{"gpu", "0"}}), 80.0 * (1 << 30));
  EXPECT_EQ(ValueOf(families, "parley_gpu_temperature_celsius", {{"gpu", "1"}}), 61);
  EXPECT_EQ(ValueOf(families, "parley_gpu_power_watts", {{"gpu", "0"}}), 312.5);
  EXPECT_EQ(ValueOf(families, "parley_gpu_power_watts", {{"gpu", "1"}}), absl::nullopt)
      << "it does not say";
}

TEST(GpuMetricsTest, WithoutTheLibraryThereAreNone) {
  EXPECT_EQ(GpuMetrics::Open({"/nowhere/libnvidia-ml.so.1"}).status().code(),
            absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace parley
