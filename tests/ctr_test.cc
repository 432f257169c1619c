// A DeepFM over a table comes near the best AUC that its log allows.

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/env.h"
#include "base/file.h"
#include "examples/click_task.h"
#include "examples/in_process_job.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nn/metrics.h"
#include "worker/client.h"

namespace parley {
namespace {

absl::StatusOr<TrainingSummary> Train(ClickTaskOptions options, int shards, int64_t steps,
                                      bool asynchronous_rows,
                                      const ClientOptions& client_options = {}) {
  InProcessJob job;
  job.client = client_options;
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

// Rows and gradients in a byte for each element, or rows that are up to four steps old, cost less
// than a hundredth of the AUC.
TEST(CtrTest, NarrowOrCachedRowsLearnAsWell) {
  ClickTaskOptions options;
  options.num_workers = 2;
  options.log.fields = 4;
  options.log.ids = 100;
  options.train_examples = 150000;
  options.test_examples = 10000;
  const int64_t steps = options.train_examples / (2 * options.batch_size);
  ClientOptions narrow;
  narrow.push_rows_dtype = narrow.pull_rows_dtype = v1::INT8;
  ClientOptions cached;
  cached.row_cache.bytes = 1 << 20;
  cached.row_cache.staleness = 4;
  cached.row_cache.keep_pushed = true;
  std::vector<double> aucs;
  for (const ClientOptions& client : {ClientOptions(), narrow, cached}) {
    const auto summary = Train(options, 2, steps, false, client);
    ASSERT_TRUE(summary.ok()) << summary.status();
    aucs.push_back(summary->evaluation.metrics[0].second);
  }
  EXPECT_GT(aucs[0], 0.7);
  EXPECT_GT(aucs[1], aucs[0] - 0.01);
  EXPECT_GT(aucs[2], aucs[0] - 0.01);
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

// The same examples from files, as numbers and categories, or as indices with values.
class CtrFilesTest : public testing::TestWithParam<data::ClickFilesOptions::Format> {};

TEST_P(CtrFilesTest, LearnsFromFilesOfEveryFormat) {
  const bool criteo = GetParam() == data::ClickFilesOptions::Format::kCriteo;
  ClickTaskOptions options;
  options.num_workers = 2;
  options.log.fields = 4;
  options.log.ids = 100;
  const data::ClickLog log(options.log);
  const auto write = [&](const std::string& name, int64_t first, int64_t size, nn::Auc* best) {
    std::string text;
    for (int64_t i = first; i < first + size; ++i) {
      std::vector<uint64_t> keys(4);
      const data::ClickLog::Example example = log.Get(i, absl::MakeSpan(keys));
      best->Add(static_cast<float>(example.logit), example.label != 0);
      absl::StrAppend(&text, example.label);
      if (criteo) {
        text += std::string(13, '\t');
        for (const uint64_t key : keys) absl::StrAppend(&text, "\t", absl::Hex(key));
        text += std::string(22, '\t');
      } else {
        for (const uint64_t key : keys) absl::StrAppend(&text, " ", key, ":1");
      }
      text += i % 100 == 7 ? "\nfaulty\n" : "\n";
    }
    const std::string path = testing::TempDir() + "/" + name;
    EXPECT_TRUE(WriteFileAtomically(Env::Posix(), path, text).ok());
    return path;
  };
  nn::Auc best;
  options.train_files = {write("train1", 0, 40000, &best), write("train2", 40000, 80000, &best)};
  best = nn::Auc();
  options.test_files = {write("test", 120000, 5000, &best)};
  options.files.format = GetParam();
  options.files.fields = criteo ? data::kCriteoFields : 6;
  options.files.skip_bad_lines = true;
  options.batch_size = criteo ? 512 : 256;
  const auto summary = Train(options, 2, 120000 / (2 * options.batch_size), false);
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_EQ(summary->evaluation.samples, 5000);
  EXPECT_GT(summary->evaluation.metrics[0].second, best.value() - 0.05);

  options.files.skip_bad_lines = false;
  options.num_workers = 1;
  const auto refused = Train(options, 2, 2, false);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument) << refused.status();
  EXPECT_THAT(std::string(refused.status().message()),
              testing::HasSubstr(options.train_files[0] + ":9:1: "));
}

INSTANTIATE_TEST_SUITE_P(Formats, CtrFilesTest,
                         testing::Values(data::ClickFilesOptions::Format::kCriteo,
                                         data::ClickFilesOptions::Format::kLibsvm),
                         [](const auto& info) { return info.index == 0 ? "Criteo" : "Libsvm"; });

}  // namespace
}  // namespace parley
