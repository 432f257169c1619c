#include "worker/training_metrics.h"

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "worker/testing/fake_client.h"

namespace parley {
namespace {

Job OneParameterJob() {
  v1::JobSpec spec;
  spec.set_name("test");
  spec.set_num_workers(1);
  spec.set_num_shards(1);
  v1::ParameterSpec* const parameter = spec.add_parameters();
  parameter->set_name("w");
  parameter->add_shape(2);
  parameter->set_dtype(v1::FLOAT32);
  spec.mutable_optimizer()->mutable_sgd();
  spec.mutable_policy()->mutable_synchronous();
  return *Job::Create(spec);
}

class TrainingMetricsTest : public testing::Test {
 protected:
  double Value(const char* name, const MetricLabels& labels = {}) const {
    return ValueOf(metrics_->Collect(), name, labels).value_or(-1);
  }
  static Progress AfterStep(int64_t step) {
    Progress progress;
    progress.step = step;
    progress.steps = 100;
    progress.epoch = 1;
    progress.loss = 0.5;
    progress.accuracy = 0.75;
    progress.samples = 32 * step;
    progress.time = {absl::Seconds(10), absl::Seconds(6), absl::Seconds(1), absl::Seconds(2)};
    return progress;
  }

  const std::shared_ptr<Metrics> metrics_ = std::make_shared<Metrics>("worker:0");
  FakeClient client_{OneParameterJob(), 0, 0};
  TrainingMetrics training_{metrics_, &client_};
};

TEST_F(TrainingMetricsTest, StepsAddUp) {
  training_.OnStep(AfterStep(1));
  training_.OnStep(AfterStep(2));
  EXPECT_EQ(Value("parley_worker_steps_total"), 2);
  EXPECT_EQ(Value("parley_worker_samples_total"), 64);
  EXPECT_EQ(Value("parley_worker_step"), 2);
  EXPECT_EQ(Value("parley_worker_planned_steps"), 100);
  EXPECT_EQ(Value("parley_worker_loss"), 0.5);
  EXPECT_EQ(Value("parley_worker_accuracy_ratio"), 0.75);
  EXPECT_EQ(Value("parley_worker_step_seconds"), 2);
  const auto phase = [&](const char* name) {
    return Value("parley_worker_step_phase_seconds_total", {{"phase", name}});
  };
  EXPECT_EQ(phase("compute"), 12);
  EXPECT_EQ(phase("push"), 2);
  EXPECT_EQ(phase("wait"), 4);
  EXPECT_EQ(phase("other"), 2);
  EXPECT_EQ(Value("parley_worker_requests_queued"), 0);
}

TEST_F(TrainingMetricsTest, SkippedStepsAreCountedToo) {
  Progress progress = AfterStep(1);
  progress.skipped = true;
  training_.OnStep(progress);
  EXPECT_EQ(Value("parley_worker_skipped_steps_total"), 1);
  EXPECT_EQ(Value("parley_worker_steps_total"), 1);
}

TEST_F(TrainingMetricsTest, TheGradientsNormIsOfAllParameters) {
  std::vector<float> large(10007, 0.5f), small = {3, 4};
  const std::vector<absl::Span<float>> gradients = {absl::MakeSpan(large), absl::MakeSpan(small)};
  training_.OnStep(AfterStep(1));
  ASSERT_TRUE(training_.WantsValues(AfterStep(1)));
  training_.OnValues(AfterStep(1), gradients, gradients);
  EXPECT_NEAR(Value("parley_worker_gradient_norm"), std::sqrt(10007 * 0.25 + 25), 1e-6);
  training_.OnStep(AfterStep(2));
  EXPECT_FALSE(training_.WantsValues(AfterStep(2))) << "not every step";
}

TEST_F(TrainingMetricsTest, EvaluationsAndCheckpointsShowTheLast) {
  Evaluation evaluation{0.25, 10, 9, true};
  evaluation.metrics = {{"auc", 0.8}};
  training_.OnEvaluation(AfterStep(5), evaluation, absl::Seconds(3));
  EXPECT_EQ(Value("parley_job_evaluation", {{"measure", "loss"}}), 0.25);
  EXPECT_EQ(Value("parley_job_evaluation", {{"measure", "accuracy"}}), 0.9);
  EXPECT_EQ(Value("parley_job_evaluation", {{"measure", "auc"}}), 0.8);
  EXPECT_EQ(Value("parley_job_evaluation_seconds"), 3);
  training_.OnCheckpoint(5, "manifest");
  EXPECT_EQ(Value("parley_job_checkpoint_step"), 5);
  EXPECT_GT(Value("parley_job_checkpoint_last_success_timestamp_seconds"), 1.5e9);
}

}  // namespace
}  // namespace parley
