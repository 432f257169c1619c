// A DeepFM over a table comes near the best AUC that its log allows.

#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "examples/click_task.h"
#include "examples/in_process_job.h"
#include "gtest/gtest.h"

namespace parley {
namespace {

absl::StatusOr<TrainingSummary> Train(ClickTaskOptions options, int shards, int64_t steps,
                                      bool asynchronous_rows) {
  InProcessJob job;
  job.spec.set_name("ctr");
  job.spec.set_seed(1);
  job.spec.set_num_workers(options.num_workers);
  job.spec.set_num_shards(shards);
  job.spec.mutable_optimizer()->set_learning_rate(0.005f);
  job.spec.mutable_optimizer()->mutable_adam();
  job.spec.mutable_policy()->mutable_synchronous();
  *job.spec.add_tables() = ClickTask::Table(options.width, 0.3f);
  if (asynchronous_rows) job.spec.mutable_tables(0)->mutable_policy()->mutable_asynchronous();
  job.steps = job.evaluate_every = steps;
  job.print_every = 100;
  std::vector<ClickTask*> tasks(static_cast<size_t>(options.num_workers));
  job.connected = [&tasks](int worker, Client* client) {
    tasks[static_cast<size_t>(worker)]->UseClient(client);
  };
  return TrainInProcess(job, [&](int worker) -> absl::StatusOr<std::unique_ptr<TrainingTask>> {
    ClickTaskOptions mine = options;
    mine.worker = worker;
    auto task = std::make_unique<ClickTask>(mine);
    tasks[static_cast<size_t>(worker)] = task.get();
    return task;
  });
}

double Missing(const TrainingSummary& summary) {
  return summary.evaluation.metrics[1].second - summary.evaluation.metrics[0].second;
}

TEST(CtrTest, DeepFmComesWithinAHundredthOfTheBestAuc) {
  ClickTaskOptions options;
  options.num_workers = 2;
  options.log.fields = 4;
  options.log.ids = 100;
  options.train_examples = 600000;
  options.test_examples = 20000;
  const auto summary = Train(options, 2, options.train_examples / (2 * options.batch_size), false);
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_LT(Missing(*summary), 0.01);
  EXPECT_GT(summary->evaluation.metrics[0].second, 0.7);
}

TEST(CtrTest, TheLossHasTheSameBitsWithOtherShards) {
  ClickTaskOptions options;
  options.num_workers = 2;
  options.test_examples = 2000;
  std::vector<double> losses;
  for (const int shards : {1, 3}) {
    const auto summary = Train(options, shards, 30, false);
    ASSERT_TRUE(summary.ok()) << summary.status();
    losses.push_back(summary->evaluation.loss);
  }
  EXPECT_EQ(losses[0], losses[1]);
}

TEST(CtrTest, EveryModelLearnsWithAsynchronousRows) {
  using Kind = nn::ClickModelOptions::Kind;
  for (const Kind kind : {Kind::kWideDeep, Kind::kDeepFm, Kind::kDcn}) {
    ClickTaskOptions options;
    options.model = kind;
    options.log.fields = 4;
    options.log.ids = 100;
    options.train_examples = 30000;
    options.test_examples = 5000;
    const auto summary = Train(options, 2, options.train_examples / options.batch_size, true);
    ASSERT_TRUE(summary.ok()) << summary.status();
    EXPECT_LT(Missing(*summary), 0.05) << static_cast<int>(kind);
  }
}

}  // namespace
}  // namespace parley
