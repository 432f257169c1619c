// What a Shard tells Prometheus of what it does.

#include "ps/shard_metrics.h"

#include <memory>
#include <thread>
#include <utility>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/testing/faulty_env.h"
#include "gtest/gtest.h"
#include "ps/testing/one_shard.h"

namespace parley {
namespace {

class ShardMetricsTest : public testing::Test {
 protected:
  void Start(bool logs, Env* env = Env::Posix()) {
    task_ = std::make_unique<OneShard>(OneShardSpec(1, /*synchronous=*/true), env);
    ShardOptions options;
    options.metrics = metrics_;
    options.lease = lease_;
    options.checkpoint_folder = task_->checkpoints();
    if (logs) options.log_folder = task_->log_folder();
    task_->StartWith(options);
    ASSERT_TRUE(task_->Declare().ok());
    ASSERT_TRUE(task_->Join(0).ok());
  }
  double Value(const char* name, const MetricLabels& labels = {}) const {
    return ValueOf(metrics_->Collect(), name, labels).value_or(-1);
  }

  const std::shared_ptr<Metrics> metrics_ = std::make_shared<Metrics>("ps:0");
  absl::Duration lease_ = absl::Seconds(10);
  std::unique_ptr<OneShard> task_;
};

TEST_F(ShardMetricsTest, CountsWhatItTakesAndApplies) {
  Start(/*logs=*/false);
  for (int step = 0; step < 3; ++step) ASSERT_TRUE(task_->Push(0, step, step + 1, 1).ok());
  ASSERT_EQ(task_->Pull(3).size(), static_cast<size_t>(kElements));
  const double bytes = kElements * sizeof(float);
  EXPECT_EQ(Value("parley_shard_pushed_bytes_total"), 3 * bytes);
  EXPECT_EQ(Value("parley_shard_pulled_bytes_total"), bytes);
  EXPECT_EQ(Value("parley_shard_parameter_bytes"), bytes);
  EXPECT_EQ(Value("parley_shard_blocks"), kBlocks);
  EXPECT_EQ(Value("parley_shard_rounds_applied_total"), 3 * kBlocks);
  EXPECT_EQ(Value("parley_shard_staleness_rounds"), 3 * kBlocks);
  EXPECT_EQ(Value("parley_shard_gradients_total", {{"outcome", "taken"}}), 3 * kBlocks);
  EXPECT_EQ(Value("parley_shard_version_rounds", {{"block", "furthest_behind"}}), 3);
  EXPECT_EQ(Value("parley_shard_worker_clock_steps", {{"worker", "0"}}), 3);
  EXPECT_EQ(Value("parley_shard_workers", {{"state", "live"}}), 1);
  EXPECT_GT(Value("parley_shard_round_wait_seconds_total", {{"cause", "apply"}}), 0);
  EXPECT_EQ(Value("parley_log_queue_batches"), -1) << "it has no log";
  EXPECT_EQ(Value("parley_replica_whole"), -1) << "it has no replica";
}

TEST_F(ShardMetricsTest, ARepeatedPushIsADuplicate) {
  Start(/*logs=*/false);
  ASSERT_TRUE(task_->Push(0, 0, 1, 1).ok());
  ASSERT_TRUE(task_->Push(0, 0, 1, 1).ok());
  EXPECT_EQ(Value("parley_shard_gradients_total", {{"outcome", "duplicate"}}), kBlocks);
}

TEST_F(ShardMetricsTest, FailedRequestsAreCountedByTheirCode) {
  Start(/*logs=*/false);
  EXPECT_FALSE(task_->Push(0, 5, 1, 1).ok());       // not its step
  EXPECT_FALSE(task_->Push(0, 0, 2, 1, {7}).ok());  // no such block
  EXPECT_EQ(Value("parley_shard_failed_requests_total"), 2);
  EXPECT_EQ(Value("parley_shard_failed_requests_total", {{"code", "NOT_FOUND"}}), 1);
  EXPECT_EQ(Value("parley_shard_failed_requests_total", {{"code", "FAILED_PRECONDITION"}}), 1);
}

TEST_F(ShardMetricsTest, AWorkerWhoseLeaseEndedIsSilent) {
  lease_ = absl::Milliseconds(50);
  Start(/*logs=*/false);
  const absl::Time deadline = absl::Now() + absl::Minutes(1);
  while (Value("parley_shard_workers", {{"state", "silent"}}) != 1 && absl::Now() < deadline) {
    std::this_thread::yield();
  }
  EXPECT_EQ(Value("parley_shard_workers", {{"state", "silent"}}), 1);
  EXPECT_EQ(Value("parley_shard_workers", {{"state", "live"}}), 0);
  EXPECT_EQ(Value("parley_shard_workers", {{"state", "absent"}}), 0);
}

TEST_F(ShardMetricsTest, ALogsSyncsAreMeasured) {
  Start(/*logs=*/true);
  ASSERT_TRUE(task_->Push(0, 0, 1, 1).ok());
  EXPECT_GE(Value("parley_log_sync_seconds"), 1);
  EXPECT_GT(Value("parley_log_written_bytes_total"), kElements * sizeof(float));
  EXPECT_GT(Value("parley_shard_round_wait_seconds_total", {{"cause", "keep"}}), 0);
  EXPECT_GE(Value("parley_log_queue_batches"), 0);
}

TEST_F(ShardMetricsTest, CheckpointsAreMeasured) {
  FaultyEnv env(Env::Posix());
  Start(/*logs=*/false, &env);
  EXPECT_EQ(Value("parley_checkpoint_last_success_timestamp_seconds"), 0);
  ASSERT_TRUE(task_->Checkpoint(0).ok());
  EXPECT_EQ(Value("parley_checkpoint_write_seconds"), 1);
  EXPECT_GT(Value("parley_checkpoint_bytes"), kElements * sizeof(float));
  EXPECT_GT(Value("parley_checkpoint_last_success_timestamp_seconds"), 1.5e9);
  EXPECT_EQ(Value("parley_checkpoint_failures_total"), 0);
  env.FailAt(0, FaultyEnv::After::kCrashes, absl::ResourceExhaustedError("the disk is full"));
  EXPECT_FALSE(task_->Checkpoint(1).ok());
  EXPECT_EQ(Value("parley_checkpoint_failures_total"), 1);
}

TEST_F(ShardMetricsTest, WhoLooksBeforeAndAfterTheShardSeesNoJob) {
  OneShard task(OneShardSpec(1, true));
  ShardOptions options;
  options.metrics = metrics_;
  task.StartWith(options);
  EXPECT_EQ(Value("parley_shard_blocks"), -1);
  ASSERT_TRUE(task.Declare().ok());
  EXPECT_EQ(Value("parley_shard_blocks"), kBlocks);
  task.Stop();
  EXPECT_EQ(Value("parley_shard_blocks"), -1);
}

}  // namespace
}  // namespace parley
