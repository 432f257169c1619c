#include "worker/report.h"

#include <cmath>
#include <limits>
#include <sstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace parley {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Progress Halfway() {
  Progress progress;
  progress.epoch = 1;
  progress.epochs = 5;
  progress.step = 120;
  progress.steps = 468;
  progress.loss = 0.43211;
  progress.accuracy = 0.84;
  progress.samples_per_second = 2615;
  progress.remaining = absl::Seconds(42.4);
  return progress;
}

TrainingSummary Summary() {
  TrainingSummary summary;
  summary.evaluation = {0.25, 10000, 9123, true};
  summary.seconds = absl::Seconds(61.5);
  summary.samples_per_second = 2500;
  summary.steps = 468;
  summary.status.total.set_bytes_pulled(1500000000);
  summary.status.total.set_bytes_pushed(2500000);
  summary.status.total.set_pushes(4);
  summary.status.total.set_staleness_sum(6);
  summary.status.total.set_staleness_max(3);
  summary.status.total.mutable_staleness_counts()->Resize(17, 0);
  for (const auto& [bucket, count] : {std::pair(0, 1), std::pair(3, 2), std::pair(16, 1)}) {
    summary.status.total.set_staleness_counts(bucket, count);
  }
  summary.status.total.set_dropped(1);
  return summary;
}

TEST(ReportTest, ProgressIsOneLineOfWhatMatters) {
  EXPECT_EQ(FormatProgress(Halfway(), 2, true),
            "progress: epoch 1/5 step 120/468 loss 0.4321 accuracy 0.84 5230 samples/s 0:42 left");
  EXPECT_THAT(FormatProgress(Halfway(), 2, false), Not(HasSubstr("accuracy")));
  Progress slow = Halfway();
  slow.remaining = absl::Seconds(3723);
  EXPECT_THAT(FormatProgress(slow, 1, true), HasSubstr("1:02:03 left"));
}

TEST(ReportTest, TheTableHasAllFigures) {
  const std::string table = FormatTable({"cnn", "sync", 1, 2, 3, 5}, Summary());
  for (const char* words :
       {"91.23%", "0.2500", "61.5 s", "2500", "1.50 GB", "2.5 MB", "1.50\n", " 3\n",
        "|   staleness 3               50.00%\n", "|   staleness 16-31           25.00%\n",
        "| late, dropped               20.00%\n", "| cnn, sync, 2 workers, 3 shards, 468 steps"}) {
    EXPECT_THAT(table, HasSubstr(words));
  }
}

TEST(ReportTest, JsonHasTheSame) {
  EXPECT_EQ(
      FormatJson({"cnn", "sync", 1, 2, 3, 5}, Summary()),
      "{\"accuracy\": 0.912300, \"loss\": 0.25, \"seconds\": 61.500, "
      "\"samples_per_second_per_worker\": 2500.0, \"bytes_pulled\": 1500000000, "
      "\"bytes_pushed\": 2500000, \"staleness_mean\": 1.5, \"staleness_max\": 3, "
      "\"staleness_counts\": {\"0\": 1, \"3\": 2, \"16-31\": 1}, \"pushes\": 4, \"dropped\": 1, "
      "\"steps\": 468, "
      "\"epochs\": 5, \"workers\": 2, \"shards\": 3, \"policy\": \"sync\", \"model\": \"cnn\", "
      "\"seed\": 1}\n");
  TrainingSummary numbers = Summary();
  numbers.evaluation.has_accuracy = false;
  numbers.evaluation.metrics = {{"perplexity", 7.25}, {"auc", std::nan("")}};
  EXPECT_THAT(FormatJson({}, numbers), HasSubstr("\"accuracy\": null"));
  EXPECT_THAT(FormatJson({}, numbers), HasSubstr("\"perplexity\": 7.250000, \"auc\": null, "));
  EXPECT_THAT(FormatTable({}, numbers), HasSubstr("test perplexity             7.2500"));
}

TEST(ReportTest, JsonOfADivergedJobIsStillJson) {
  TrainingSummary diverged = Summary();
  diverged.evaluation.loss = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THAT(FormatJson({}, diverged), HasSubstr("\"loss\": null, \"seconds\""));
  diverged.evaluation.loss = std::numeric_limits<double>::infinity();
  EXPECT_THAT(FormatJson({}, diverged), HasSubstr("\"loss\": null, \"seconds\""));
}

TEST(ReportTest, ATerminalGetsOneLiveLineAndAFilePlainLines) {
  std::ostringstream terminal, file;
  Report live({"cnn", "sync", 1, 2, 1, 5}, true, /*terminal=*/true, &terminal);
  Report plain({"cnn", "sync", 1, 2, 1, 5}, true, /*terminal=*/false, &file);
  for (Report* report : {&live, &plain}) {
    report->OnStep(Halfway());
    report->OnEvaluation(Halfway(), Summary().evaluation, absl::Seconds(1));
  }
  Evaluation text{2.0, 100, 0, false, {{"perplexity", 7.389}}};
  plain.OnEvaluation(Halfway(), text, absl::Seconds(1));
  EXPECT_THAT(file.str(), HasSubstr("done: test loss 2.0000, perplexity 7.3890 (evaluated"));
  EXPECT_THAT(terminal.str(), HasSubstr("\r\033[Kprogress: epoch 1/5"));
  EXPECT_THAT(terminal.str(),
              HasSubstr("\r\033[Kepoch 1/5 done: test accuracy 0.9123, test loss 0.2500"));
  EXPECT_THAT(file.str(), Not(HasSubstr("\033")));
  EXPECT_THAT(file.str(), HasSubstr("left\nepoch 1/5 done"));
}

}  // namespace
}  // namespace parley
