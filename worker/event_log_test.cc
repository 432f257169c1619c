#include "worker/event_log.h"

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/testing/temp_folder.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "worker/testing/read_events.h"

namespace parley {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

class EventLogTest : public testing::Test {
 protected:
  EventLogTest() {
    options_.folder = folder_.path();
    options_.scalars_every = 2;
    options_.histograms_every = 3;
    options_.parameters = {"w", "b"};
    options_.hyper_parameters = {{"model", "mlp"}, {"batch_size", "64"}, {"resume", "true"}};
    options_.flags = {{"group_policy", "a|b"}};
  }
  void Open() {
    auto log = EventLog::Create(options_);
    ASSERT_TRUE(log.ok()) << log.status();
    log_ = *std::move(log);
    path_ = log_->path();
  }
  // Ends the log and reads it.
  void Close() {
    log_.reset();
    events_ = ReadEvents(path_);
    for (const event::Event& event : events_) {
      for (const event::Summary::Value& value : event.summary().value()) {
        if (value.value_case() == event::Summary::Value::kSimpleValue) {
          scalars_[value.tag()].emplace_back(event.step(), value.simple_value());
        } else {
          others_[value.tag()].push_back(value);
        }
      }
    }
  }
  static Progress AfterStep(int64_t step, double loss) {
    Progress progress;
    progress.step = step;
    progress.steps = 100;
    progress.epoch = 1;
    progress.loss = loss;
    progress.samples = 10 * step;
    progress.time = {absl::Seconds(4), absl::Seconds(2), absl::Seconds(1), absl::Seconds(1)};
    return progress;
  }

  TempFolder folder_;
  EventLogOptions options_;
  std::unique_ptr<EventLog> log_;
  std::string path_;
  std::vector<event::Event> events_;
  std::map<std::string, std::vector<std::pair<int64_t, float>>> scalars_;
  std::map<std::string, std::vector<event::Summary::Value>> others_;
};

TEST_F(EventLogTest, ScalarsAreMeansOverTheStepsSinceTheLast) {
  Open();
  for (int64_t step = 1; step <= 4; ++step)
    log_->OnStep(AfterStep(step, static_cast<double>(step)));
  Close();
  EXPECT_THAT(scalars_["train/loss"], ElementsAre(Pair(2, 1.5f), Pair(4, 3.5f)));
  EXPECT_THAT(scalars_["speed/step_seconds"], ElementsAre(Pair(2, 4), Pair(4, 4)));
  EXPECT_THAT(scalars_["speed/samples_per_second"], ElementsAre(Pair(2, 2.5f), Pair(4, 2.5f)));
  EXPECT_EQ(scalars_.count("train/accuracy"), 0u) << "the model has none";
}

TEST_F(EventLogTest, WhereStepsAreLeftOutScalarsComeAllTheSame) {
  Open();
  for (const int64_t step : {1, 3, 5, 7}) log_->OnStep(AfterStep(step, 1));
  Close();
  EXPECT_THAT(scalars_["train/loss"], ElementsAre(Pair(3, 1), Pair(7, 1)));
}

TEST_F(EventLogTest, TheLastStepIsWritten) {
  Open();
  for (const int64_t step : {98, 99, 100}) log_->OnStep(AfterStep(step, 1));
  Close();
  EXPECT_THAT(scalars_["train/loss"], ElementsAre(Pair(98, 1), Pair(100, 1)));
}

TEST_F(EventLogTest, AStartSaysWhereItGoesOn) {
  Open();
  log_->OnStep(AfterStep(41, 1));
  log_->OnStep(AfterStep(42, 1));
  Close();
  std::vector<int64_t> starts;
  for (const event::Event& event : events_) {
    if (event.session_log().status() == event::SessionLog::START) starts.push_back(event.step());
  }
  EXPECT_THAT(starts, ElementsAre(41));
}

TEST_F(EventLogTest, HistogramsAreOfEachParameterAndGradient) {
  Open();
  EXPECT_FALSE(log_->WantsValues(AfterStep(2, 1)));
  EXPECT_TRUE(log_->WantsValues(AfterStep(3, 1)));
  std::vector<float> weights = {1, 2, 3}, bias = {4}, weight_gradients = {0, 3, 0},
                     bias_gradients = {4};
  log_->OnValues(AfterStep(3, 1), {absl::MakeSpan(weights), absl::MakeSpan(bias)},
                 {absl::MakeSpan(weight_gradients), absl::MakeSpan(bias_gradients)});
  Close();
  EXPECT_EQ(others_["parameters/w"].at(0).histo().sum(), 6);
  EXPECT_EQ(others_["parameters/b"].at(0).histo().max(), 4);
  EXPECT_EQ(others_["gradients/w"].at(0).histo().num(), 3);
  EXPECT_THAT(scalars_["train/gradient_norm"], ElementsAre(Pair(3, 5)));
}

TEST_F(EventLogTest, HistogramsCanBeLeftOut) {
  options_.histograms_every = 0;
  Open();
  EXPECT_FALSE(log_->WantsValues(AfterStep(500, 1)));
}

TEST_F(EventLogTest, EvaluationsAreOfTheTest) {
  Open();
  Evaluation evaluation{0.25, 10, 9, true};
  evaluation.metrics = {{"auc", 0.75}};
  log_->OnEvaluation(AfterStep(7, 1), evaluation, absl::Seconds(2));
  Close();
  EXPECT_THAT(scalars_["test/loss"], ElementsAre(Pair(7, 0.25f)));
  EXPECT_THAT(scalars_["test/accuracy"], ElementsAre(Pair(7, 0.9f)));
  EXPECT_THAT(scalars_["test/auc"], ElementsAre(Pair(7, 0.75f)));
  EXPECT_THAT(scalars_["speed/evaluation_seconds"], ElementsAre(Pair(7, 2)));
}

TEST_F(EventLogTest, HyperParametersHaveTheirTypesAndTheRunItsEnd) {
  for (const bool succeeds : {true, false}) {
    others_.clear();
    Open();
    if (succeeds) log_->SetSucceeded();
    Close();
    event::HParamsPluginData start, end;
    ASSERT_TRUE(start.ParseFromString(
        others_["_hparams_/session_start_info"].at(0).metadata().plugin_data().content()));
    const auto& hparams = start.session_start_info().hparams();
    EXPECT_EQ(hparams.at("model").string_value(), "mlp");
    EXPECT_EQ(hparams.at("batch_size").number_value(), 64);
    EXPECT_TRUE(hparams.at("resume").bool_value());
    ASSERT_TRUE(end.ParseFromString(
        others_["_hparams_/session_end_info"].at(0).metadata().plugin_data().content()));
    EXPECT_EQ(end.session_end_info().status(), succeeds ? event::SessionEndInfo::STATUS_SUCCESS
                                                        : event::SessionEndInfo::STATUS_FAILURE);
  }
}

TEST_F(EventLogTest, FlagsAreATable) {
  Open();
  Close();
  EXPECT_THAT(others_["flags/text_summary"].at(0).tensor().string_val(0),
              HasSubstr("| `--group_policy` | a\\|b |\n"));
}

}  // namespace
}  // namespace parley
