#include "worker/trainer.h"

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/aligned_buffer.h"
#include "base/env.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "worker/testing/fake_client.h"

namespace parley {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using Calls = std::vector<std::string>;

v1::JobSpec MakeSpec() {
  v1::JobSpec spec;
  spec.set_name("test");
  spec.set_num_workers(2);
  spec.set_num_shards(1);
  for (const int64_t size : {2, 1}) {
    v1::ParameterSpec* parameter = spec.add_parameters();
    parameter->set_name(absl::StrCat("p", size));
    parameter->add_shape(size);
    parameter->set_dtype(v1::FLOAT32);
  }
  spec.mutable_optimizer()->set_learning_rate(0.1f);
  spec.mutable_optimizer()->mutable_sgd();
  spec.mutable_policy()->mutable_synchronous();
  return spec;
}

Job MakeJob() { return *Job::Create(MakeSpec()); }

std::vector<v1::ParameterSpec> ParametersOf(const v1::JobSpec& spec) {
  return {spec.parameters().begin(), spec.parameters().end()};
}

// The gradient of step s is 100 s + the parameter that it was computed from, for each element.
class FakeTask : public TrainingTask {
 public:
  std::vector<v1::ParameterSpec> Parameters() const override { return parameters_; }

  absl::Status Start(absl::Span<const absl::Span<float>> parameters,
                     absl::Span<const absl::Span<float>> gradients, int64_t first_step) override {
    values_.assign(parameters.begin(), parameters.end());
    gradients_.assign(gradients.begin(), gradients.end());
    started_with = first_step;
    return start_status;
  }

  absl::StatusOr<StepResult> ComputeGradients(int64_t step, GradientReady ready) override {
    if (step == failing_step) return absl::DataLossError("bad batch");
    for (size_t i = 0; i < values_.size(); ++i) {
      for (size_t j = 0; j < values_[i].size(); ++j) {
        gradients_[i][j] = static_cast<float>(100 * step) + values_[i][j];
      }
    }
    if (on_step) on_step(step);
    for (const int parameter : ready_early) ready(parameter);
    return StepResult{/*loss=*/0.5, /*samples=*/8, /*correct=*/6, /*skip=*/step == skipped_step};
  }

  absl::Status SetWorkers(int64_t step, int workers) override {
    told_workers.push_back(absl::StrCat(workers, " from ", step));
    return absl::OkStatus();
  }

  void StepEnded(int64_t step, bool skipped) override {
    ended.push_back(absl::StrCat(step, skipped ? " skipped" : ""));
  }

  absl::StatusOr<Evaluation> Evaluate() override {
    evaluated.push_back(values_[0][0]);
    if (!evaluate_status.ok()) return evaluate_status;
    return Evaluation{0.25, 10, 9, true};
  }

  std::vector<v1::ParameterSpec> parameters_ = ParametersOf(MakeSpec());
  absl::Status start_status, evaluate_status;
  int64_t failing_step = -1;
  int64_t skipped_step = -1;
  std::vector<int> ready_early;
  std::vector<std::string> ended, told_workers;
  std::function<void(int64_t)> on_step;
  int64_t started_with = -1;
  std::vector<float> evaluated;  // a parameter's value at each evaluation

 private:
  std::vector<absl::Span<float>> values_, gradients_;
};

struct Observed : TrainingObserver {
  void OnStep(const Progress& progress) override { steps.push_back(progress); }
  void OnEvaluation(const Progress& progress, const Evaluation&, absl::Duration) override {
    evaluations.push_back(absl::StrCat("epoch ", progress.epoch, " step ", progress.step));
  }
  void OnCheckpoint(int64_t step, const std::string& manifest) override {
    checkpoints.push_back(absl::StrCat(step, " ", manifest));
  }
  std::vector<Progress> steps;
  std::vector<std::string> evaluations, checkpoints;
};

TrainerOptions Steps(int64_t steps, int64_t steps_per_epoch) {
  TrainerOptions options;
  options.steps = steps;
  options.steps_per_epoch = steps_per_epoch;
  return options;
}

// A steady clock that only the test moves.
class ManualClock final : public Env {
 public:
  absl::Time Now() override { return now; }
  absl::StatusOr<std::unique_ptr<WritableFile>> NewWritableFile(const std::string&) override {
    return absl::UnimplementedError("no files");
  }
  absl::StatusOr<std::unique_ptr<ReadableFile>> OpenFile(const std::string&) override {
    return absl::UnimplementedError("no files");
  }
  absl::Status RenameFile(const std::string&, const std::string&) override {
    return absl::UnimplementedError("no files");
  }
  absl::Status RemoveFile(const std::string&) override {
    return absl::UnimplementedError("no files");
  }
  absl::StatusOr<std::vector<std::string>> ListFolder(const std::string&) override {
    return absl::UnimplementedError("no files");
  }
  absl::Status CreateFolders(const std::string&) override {
    return absl::UnimplementedError("no files");
  }
  absl::Status SyncFolder(const std::string&) override {
    return absl::UnimplementedError("no files");
  }
  absl::Time now = absl::UnixEpoch();
};

TEST(TrainerTest, TheChiefTrainsWaitsForTheOthersEvaluatesAndLeaves) {
  FakeClient client(MakeJob(), 0, 0);
  FakeTask task;
  const auto summary = Trainer(&client, &task, Steps(3, 10)).Run();
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_THAT(client.calls(), ElementsAre("pull 0", "push_pull 0", "push_pull 1", "push_pull 2",
                                          "barrier finish", "pull 3", "status", "leave OK"));
  EXPECT_EQ(summary->steps, 3);
  EXPECT_EQ(summary->evaluation.correct, 9);
  EXPECT_EQ(summary->status.total.bytes_pushed(), 77);
  EXPECT_THAT(task.evaluated, ElementsAre(3));  // what was pulled last
}

TEST(TrainerTest, AStepsTimeIsSplitByWhatItWasSpentOn) {
  FakeClient client(MakeJob(), 0, 0);
  FakeTask task;
  ManualClock clock;
  task.on_step = [&](int64_t) { clock.now += absl::Seconds(3); };
  Observed observed;
  TrainerOptions options = Steps(1, 10);
  options.observers = {&observed};
  options.env = &clock;
  ASSERT_TRUE(Trainer(&client, &task, options).Run().ok());
  ASSERT_EQ(observed.steps.size(), 1u);
  const Progress& progress = observed.steps[0];
  EXPECT_EQ(progress.time.compute, absl::Seconds(3));
  EXPECT_EQ(progress.time.whole, absl::Seconds(3));
  EXPECT_EQ(progress.time.push, absl::ZeroDuration());
  EXPECT_EQ(progress.time.wait, absl::ZeroDuration());
  EXPECT_EQ(progress.samples, 8);
  EXPECT_FALSE(progress.skipped);
}

TEST(TrainerTest, AllObserversHearAndThoseThatWantThemSeeValues) {
  struct Values : Observed {
    bool WantsValues(const Progress& progress) override { return progress.step == 2; }
    void OnValues(const Progress& progress, absl::Span<const absl::Span<float>> parameters,
                  absl::Span<const absl::Span<float>> gradients) override {
      seen.push_back(absl::StrCat(progress.step, ": ", parameters[0][0], " ", gradients[0][0]));
    }
    std::vector<std::string> seen;
  };
  FakeClient client(MakeJob(), 0, 0);
  FakeTask task;
  Observed first;
  Values second;
  TrainerOptions options = Steps(3, 10);
  options.observers = {&first, &second};
  ASSERT_TRUE(Trainer(&client, &task, options).Run().ok());
  EXPECT_EQ(first.steps.size(), 3u);
  EXPECT_EQ(second.steps.size(), 3u);
  // Of step 1: its gradient, from the values 1, and the values for step 2.
  EXPECT_THAT(second.seen, ElementsAre("2: 2 101"));
}

// A first step may have been done in part by an earlier start that said nothing of it.
TEST(TrainerTest, TheChiefSaysHowManyWorkersAreAskedForAfterItsFirstStep) {
  FakeClient client(MakeJob(), 0, 4);
  client.AskWorkers(7);
  FakeTask task;
  ASSERT_TRUE(Trainer(&client, &task, Steps(8, 10)).Run().ok());
  EXPECT_THAT(task.told_workers, ElementsAre("7 from 6"));
  EXPECT_THAT(client.calls(), ElementsAre("pull 4", "push_pull 4", "workers 7 after step 5",
                                          "push_pull 5", "push_pull 6", "push_pull 7",
                                          "barrier finish", "pull 8", "status", "leave OK"));
}

TEST(TrainerTest, AWorkerThatIsOutOfTheJobLeavesIt) {
  FakeClient client(MakeJob(), 1, 0);
  FakeTask task;
  task.on_step = [&](int64_t step) {
    if (step == 1) client.ChangeWorkers(2, 1);
  };
  const auto summary = Trainer(&client, &task, Steps(5, 10)).Run();
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_TRUE(summary->released);
  EXPECT_EQ(summary->next_step, 2);
  EXPECT_THAT(client.calls(), ElementsAre("pull 0", "push_pull 0", "push_pull 1", "leave OK"));
}

TEST(TrainerTest, AWorkerThatComesLaterGoesOnWithTheStepFromWhichItIsInTheJob) {
  FakeClient client(MakeJob(), 5, 0);
  client.ChangeWorkers(3, 6);
  FakeTask task;
  ASSERT_TRUE(Trainer(&client, &task, Steps(5, 10)).Run().ok());
  EXPECT_THAT(task.told_workers, ElementsAre("6 from 3"));
  EXPECT_THAT(client.calls(), ElementsAre("pull 0", "pull 3", "push_pull 3", "push 4", "leave OK"));
}

TEST(TrainerTest, AveragesAreEvaluatedInThePlaceOfTheParameters) {
  FakeClient client(MakeJob(), 0, 0);
  FakeTask task;
  TrainerOptions options = Steps(4, 2);
  options.evaluate_averages = true;
  Trainer trainer(&client, &task, options);
  const auto summary = trainer.Run();
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_THAT(task.evaluated, ElementsAre(-2, -4));
  // Gradients are of the parameters, and these are what is left.
  EXPECT_EQ(client.pushed()[2][0], 202);
  EXPECT_EQ(trainer.parameters()[0][0], 4);
}

TEST(TrainerTest, TheChiefSaysTheRateFactorBeforeEachStep) {
  for (const int worker : {0, 1}) {
    FakeClient client(MakeJob(), worker, 0);
    FakeTask task;
    TrainerOptions options = Steps(2, 10);
    options.rate_factor = [](int64_t step) { return step == 0 ? 1.0f : 0.5f; };
    ASSERT_TRUE(Trainer(&client, &task, options).Run().ok());
    const std::vector<std::string> calls = client.calls();
    if (worker == 0) {
      EXPECT_EQ(calls[1], "rate_factor 1");
      EXPECT_EQ(calls[3], "rate_factor 0.5");
    } else {
      EXPECT_EQ(calls[1], "push_pull 0");
    }
  }
}

TEST(TrainerTest, AnotherWorkerPushesItsLastStepAndLeaves) {
  FakeClient client(MakeJob(), 1, 0);
  FakeTask task;
  TrainerOptions options = Steps(3, 1);
  options.checkpoint_folder = "folder";
  options.checkpoint_every = 1;
  ASSERT_TRUE(Trainer(&client, &task, options).Run().ok());
  EXPECT_THAT(client.calls(),
              ElementsAre("pull 0", "push_pull 0", "push_pull 1", "push 2", "leave OK"));
  EXPECT_TRUE(task.evaluated.empty());
}

TEST(TrainerTest, GradientsAreOfTheParametersOfTheirStep) {
  FakeClient client(MakeJob(), 1, 0);
  FakeTask task;
  Trainer trainer(&client, &task, Steps(3, 10));
  ASSERT_TRUE(trainer.Run().ok());
  EXPECT_THAT(client.pushed(), ElementsAre(ElementsAre(0, 0, 0), ElementsAre(101, 101, 101),
                                           ElementsAre(202, 202, 202)));
  for (const absl::Span<float> parameter : trainer.parameters()) {
    EXPECT_EQ(reinterpret_cast<uintptr_t>(parameter.data()) % kBufferAlignment, 0u);
  }
}

TEST(TrainerTest, GradientsThatAreReadyEarlyTravelAtOnceAndTheRestAtTheEnd) {
  FakeClient client(MakeJob(), 1, 0);
  FakeTask task;
  task.ready_early = {1};
  TrainerOptions options = Steps(2, 10);
  options.push_bytes = 4;
  ASSERT_TRUE(Trainer(&client, &task, options).Run().ok());
  EXPECT_THAT(client.calls(),
              ElementsAre("pull 0", "push_pull 0", "push_pull 0", "push 1", "push 1", "leave OK"));
  EXPECT_THAT(client.pushed(), ElementsAre(ElementsAre(0), ElementsAre(0, 0), ElementsAre(101),
                                           ElementsAre(101, 101)));
}

TEST(TrainerTest, SmallGradientsWaitForOthersToTravelWith) {
  FakeClient client(MakeJob(), 1, 0);
  FakeTask task;
  task.ready_early = {1};
  ASSERT_TRUE(Trainer(&client, &task, Steps(1, 10)).Run().ok());
  EXPECT_THAT(client.pushed(), ElementsAre(ElementsAre(0, 0, 0)));
}

TEST(TrainerTest, ASkippedStepPushesNothingAndTheTaskHearsOfIt) {
  FakeClient client(MakeJob(), 1, 0);
  FakeTask task;
  task.skipped_step = 1;
  ASSERT_TRUE(Trainer(&client, &task, Steps(4, 10)).Run().ok());
  EXPECT_THAT(client.calls(),
              ElementsAre("pull 0", "push_pull 0", "skip 1", "push_pull 2", "push 3", "leave OK"));
  EXPECT_THAT(task.ended, ElementsAre("0", "1 skipped", "2", "3"));
}

TEST(TrainerTest, AStepWhoseGradientIsUnderWayCannotBeSkipped) {
  FakeClient client(MakeJob(), 1, 0);
  FakeTask task;
  task.skipped_step = 0;
  task.ready_early = {0};
  EXPECT_EQ(Trainer(&client, &task, Steps(4, 10)).Run().status().code(),
            absl::StatusCode::kInternal);
}

// Exchanges every two steps, with a local rate of 1.
Job LocalJob(bool elastic) {
  v1::JobSpec spec = MakeSpec();
  spec.mutable_optimizer()->set_learning_rate(1);
  v1::Optimizer local;
  local.set_learning_rate(1);
  local.mutable_sgd();
  if (elastic) {
    spec.mutable_policy()->mutable_elastic_averaging()->set_every(2);
    spec.mutable_policy()->mutable_elastic_averaging()->set_moving_rate(0.5f);
    *spec.mutable_policy()->mutable_elastic_averaging()->mutable_local() = local;
  } else {
    spec.mutable_policy()->mutable_local_sgd()->set_every(2);
    *spec.mutable_policy()->mutable_local_sgd()->mutable_local() = local;
  }
  return *Job::Create(spec);
}

TEST(TrainerTest, AWorkerWithValuesOfItsOwnExchangesEveryFewStepsAndAfterTheLast) {
  FakeClient client(LocalJob(false), 0, 0);
  FakeTask task;
  const auto summary = Trainer(&client, &task, Steps(5, 10)).Run();
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_THAT(client.calls(), ElementsAre("pull 0", "push_pull 0", "push_pull 1", "push_pull 2",
                                          "barrier finish", "pull 3", "status", "leave OK"));
  // From 0: the gradient is 0, then 100; from 1: 201, and 300 - 200; from 2: 402.
  EXPECT_THAT(client.pushed(), ElementsAre(ElementsAre(100, 100, 100), ElementsAre(301, 301, 301),
                                           ElementsAre(402, 402, 402)));
  EXPECT_EQ(summary->steps, 5);
  EXPECT_THAT(task.evaluated, ElementsAre(3));
  EXPECT_THAT(task.ended, ElementsAre("0", "1", "2", "3", "4"));
}

TEST(TrainerTest, AWorkerWithValuesOfItsOwnGoesOnWithTheExchangeThatTheOthersAreAt) {
  FakeClient client(LocalJob(false), 1, 0);
  FakeTask task;
  task.on_step = [&](int64_t step) {
    if (step == 2) client.GoOnAt(4);
  };
  ASSERT_TRUE(Trainer(&client, &task, Steps(10, 10)).Run().ok());
  EXPECT_THAT(client.calls(),
              ElementsAre("pull 0", "push_pull 0", "push_pull 1", "push 4", "leave OK"));
  EXPECT_THAT(task.ended, ElementsAre("0", "1", "2", "3", "8", "9"));
}

TEST(TrainerTest, ElasticAveragingPullsBeforeItPushes) {
  FakeClient client(LocalJob(true), 1, 0);
  FakeTask task;
  ASSERT_TRUE(Trainer(&client, &task, Steps(3, 10)).Run().ok());
  EXPECT_THAT(client.calls(),
              ElementsAre("pull 0", "pull 0", "push 0", "pull 1", "push 1", "leave OK"));
  // Half the way from the worker's -100 to 0; then from -50 - (200 - 50) to 1.
  EXPECT_THAT(client.pushed(),
              ElementsAre(ElementsAre(50, 50, 50), ElementsAre(100.5f, 100.5f, 100.5f)));
}

TEST(TrainerTest, ASkippedStepOfAWorkerWithValuesOfItsOwnChangesNoneOfThem) {
  FakeClient client(LocalJob(false), 1, 0);
  FakeTask task;
  task.skipped_step = 1;
  ASSERT_TRUE(Trainer(&client, &task, Steps(3, 10)).Run().ok());
  EXPECT_THAT(client.pushed(), ElementsAre(ElementsAre(0, 0, 0), ElementsAre(201, 201, 201)));
  EXPECT_THAT(task.ended, ElementsAre("0", "1 skipped", "2"));
}

TEST(TrainerTest, BetweenExchangesTheShardsValuesAreEvaluated) {
  FakeClient client(LocalJob(false), 0, 0);
  FakeTask task;
  ASSERT_TRUE(Trainer(&client, &task, Steps(4, 3)).Run().ok());
  EXPECT_THAT(task.evaluated, ElementsAre(1, 2));                   // after step 3; at the end
  EXPECT_THAT(client.pushed().back(), ElementsAre(301, 301, 301));  // with its own values
}

TEST(TrainerTest, SavesAtTheFirstExchangeFromWhereItIsDue) {
  FakeClient client(LocalJob(false), 0, 1);
  FakeTask task;
  Observed observed;
  TrainerOptions options = Steps(8, 10);
  options.checkpoint_folder = "folder";
  options.checkpoint_every = 5;
  options.observers = {&observed};
  ASSERT_TRUE(Trainer(&client, &task, options).Run().ok());
  EXPECT_EQ(task.started_with, 2);
  EXPECT_THAT(client.calls(), ElementsAre("pull 1", "push_pull 1", "push_pull 2",
                                          "checkpoint 3 keep 2", "push_pull 3", "barrier finish",
                                          "pull 4", "status", "checkpoint 4 keep 2", "leave OK"));
  EXPECT_THAT(observed.checkpoints, ElementsAre("6 folder/3", "8 folder/4"));
}

// Which tickets were reported, and with which manifest or error.
std::vector<std::string> ReportsOf(const FakeClient& client) {
  std::vector<std::string> reports;
  for (const v1::CheckpointReport& report : client.checkpoint_reports()) {
    reports.push_back(absl::StrCat(report.ticket(), " step ", report.step(), " ", report.manifest(),
                                   report.error()));
  }
  return reports;
}

TEST(TrainerTest, ACheckpointThatWasAskedForIsMadeBeforeTheNextStep) {
  FakeClient client(MakeJob(), 0, 0);
  FakeTask task;
  task.on_step = [&](int64_t step) {
    if (step == 1) client.AskCheckpoint(7);
  };
  TrainerOptions options = Steps(4, 10);
  options.checkpoint_folder = "folder";
  ASSERT_TRUE(Trainer(&client, &task, options).Run().ok());
  EXPECT_THAT(client.calls(),
              ElementsAre("pull 0", "push_pull 0", "push_pull 1", "checkpoint 2 keep 2",
                          "push_pull 2", "push_pull 3", "barrier finish", "pull 4", "status",
                          "checkpoint 4 keep 2", "leave OK"));
  EXPECT_THAT(ReportsOf(client), ElementsAre("7 step 2 folder/2", "0 step 4 folder/4"));
}

TEST(TrainerTest, ACheckpointThatWasAskedForAndCannotBeMadeIsReportedAndTrainingGoesOn) {
  FakeClient client(MakeJob(), 0, 0);
  client.Fail("checkpoint 2 keep 2", absl::ResourceExhaustedError("the disk is full"));
  client.AskCheckpoint(7);
  FakeTask task;
  ASSERT_TRUE(Trainer(&client, &task, Steps(2, 10)).Run().ok());  // it has no folder
  task.on_step = [&](int64_t step) {
    if (step == 1) client.AskCheckpoint(8);
  };
  TrainerOptions options = Steps(3, 10);
  options.checkpoint_folder = "folder";
  ASSERT_TRUE(Trainer(&client, &task, options).Run().ok());
  EXPECT_THAT(ReportsOf(client),
              ElementsAre("7 step 0 worker:0, the chief, was started without a folder for it",
                          "8 step 2 the disk is full", "0 step 3 folder/3"));
}

TEST(TrainerTest, TheFirstStepsCheckpointIsNotWrittenOver) {
  FakeClient client(MakeJob(), 0, 3);
  client.AskCheckpoint(7);
  FakeTask task;
  TrainerOptions options = Steps(5, 10);
  options.checkpoint_folder = "folder";
  ASSERT_TRUE(Trainer(&client, &task, options).Run().ok());
  EXPECT_THAT(ReportsOf(client), ElementsAre("7 step 4 folder/4", "0 step 5 folder/5"));
}

TEST(TrainerTest, EachStepIsReportedToThoseWhoWatch) {
  FakeClient client(MakeJob(), 1, 0);
  FakeTask task;
  ManualClock clock;
  task.on_step = [&](int64_t) { clock.now += absl::Seconds(2); };
  TrainerOptions options = Steps(5, 10);
  options.env = &clock;
  ASSERT_TRUE(Trainer(&client, &task, options).Run().ok());
  EXPECT_EQ(client.last_report().step, 5);
  EXPECT_EQ(client.last_report().steps, 5);
  EXPECT_EQ(client.last_report().loss, 0.5);
  EXPECT_EQ(client.last_report().samples_per_second, 4);
}

TEST(TrainerTest, SavesBetweenThePullOfAStepAndItsPushAndAtTheEnd) {
  FakeClient client(MakeJob(), 0, 0);
  FakeTask task;
  Observed observed;
  TrainerOptions options = Steps(5, 10);
  options.checkpoint_folder = "folder";
  options.checkpoint_every = 2;
  options.keep_checkpoints = 3;
  options.observers = {&observed};
  ASSERT_TRUE(Trainer(&client, &task, options).Run().ok());
  EXPECT_THAT(client.calls(),
              ElementsAre("pull 0", "push_pull 0", "push_pull 1", "checkpoint 2 keep 3",
                          "push_pull 2", "push_pull 3", "checkpoint 4 keep 3", "push_pull 4",
                          "barrier finish", "pull 5", "status", "checkpoint 5 keep 3", "leave OK"));
  EXPECT_THAT(observed.checkpoints, ElementsAre("2 folder/2", "4 folder/4", "5 folder/5"));
}

TEST(TrainerTest, TrainsOnWhileACheckpointIsWritten) {
  FakeClient client(MakeJob(), 0, 0);
  FakeTask task;
  Observed observed;
  TrainerOptions options = Steps(5, 10);
  options.checkpoint_folder = "folder";
  options.checkpoint_every = 2;
  options.observers = {&observed};
  client.HoldSave();
  task.on_step = [&](int64_t step) {
    if (step != 3) return;
    EXPECT_THAT(observed.checkpoints, ElementsAre());
    client.EndSave("late");
  };
  ASSERT_TRUE(Trainer(&client, &task, options).Run().ok());
  EXPECT_THAT(client.calls(),
              ElementsAre("pull 0", "push_pull 0", "push_pull 1", "checkpoint 2 keep 2",
                          "push_pull 2", "push_pull 3", "checkpoint 4 keep 2", "push_pull 4",
                          "barrier finish", "pull 5", "status", "checkpoint 5 keep 2", "leave OK"));
  EXPECT_THAT(observed.checkpoints, ElementsAre("2 late", "4 folder/4", "5 folder/5"));
}

TEST(TrainerTest, ACheckpointThatWentWithItsShardIsDoneWithoutAndOtherErrorsEndTheJob) {
  for (const bool is_lost : {true, false}) {
    const absl::Status error = is_lost ? absl::NotFoundError("ps:0: no checkpoint was begun here")
                                       : absl::ResourceExhaustedError("ps:0: disk full");
    FakeClient client(MakeJob(), 0, 0);
    FakeTask task;
    Observed observed;
    TrainerOptions options = Steps(5, 10);
    options.checkpoint_folder = "folder";
    options.checkpoint_every = 2;
    options.observers = {&observed};
    client.HoldSave();
    task.on_step = [&](int64_t step) {
      if (step == 2) client.EndSave(error);
    };
    const absl::Status ended = Trainer(&client, &task, options).Run().status();
    EXPECT_EQ(ended, is_lost ? absl::OkStatus() : error);
    const std::vector<std::string> reports = ReportsOf(client);
    if (is_lost) {
      EXPECT_THAT(observed.checkpoints, ElementsAre("4 folder/4", "5 folder/5"));
      EXPECT_EQ(reports[0], "0 step 2 ps:0: no checkpoint was begun here");
    }
  }
}

TEST(TrainerTest, GoesOnWithTheStepOfTheOthersWhenTheyDidNotWaitForIt) {
  FakeClient client(MakeJob(), 0, 0);
  FakeTask task;
  client.GoOnAt(5);
  TrainerOptions options = Steps(7, 3);
  options.checkpoint_folder = "folder";
  options.checkpoint_every = 4;
  options.evaluate_each_epoch = false;
  const auto summary = Trainer(&client, &task, options).Run();
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_THAT(client.calls(),
              ElementsAre("pull 0", "checkpoint 5 keep 2", "push_pull 5", "push_pull 6",
                          "barrier finish", "pull 7", "status", "checkpoint 7 keep 2", "leave OK"));
  EXPECT_EQ(summary->steps, 2);
}

TEST(TrainerTest, ContinuesAtTheClientsFirstStep) {
  FakeClient client(MakeJob(), 0, 4);
  FakeTask task;
  Observed observed;
  TrainerOptions options = Steps(6, 3);
  options.checkpoint_folder = "folder";
  options.checkpoint_every = 2;  // but not again what was resumed from
  options.observers = {&observed};
  const auto summary = Trainer(&client, &task, options).Run();
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_THAT(client.calls(), ElementsAre("pull 4", "push_pull 4", "push_pull 5", "barrier finish",
                                          "pull 6", "status", "checkpoint 6 keep 2", "leave OK"));
  EXPECT_EQ(task.started_with, 4);
  EXPECT_EQ(summary->steps, 2);
  EXPECT_EQ(observed.steps.front().step, 5);
  EXPECT_EQ(observed.steps.front().epoch, 2);
}

TEST(TrainerTest, AFinishedJobThatIsResumedIsOnlyEvaluated) {
  FakeClient client(MakeJob(), 0, 6);
  FakeTask task;
  Observed observed;
  TrainerOptions options = Steps(6, 3);
  options.observers = {&observed};
  const auto summary = Trainer(&client, &task, options).Run();
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_THAT(client.calls(),
              ElementsAre("pull 6", "barrier finish", "pull 6", "status", "leave OK"));
  EXPECT_EQ(summary->steps, 0);
  EXPECT_EQ(summary->samples_per_second, 0);
  EXPECT_THAT(observed.evaluations, ElementsAre("epoch 2 step 6"));
}

TEST(TrainerTest, EvaluatesAtTheEndOfEachEpoch) {
  Observed observed;
  TrainerOptions options = Steps(5, 2);
  options.observers = {&observed};
  FakeClient client(MakeJob(), 0, 0);
  FakeTask task;
  ASSERT_TRUE(Trainer(&client, &task, options).Run().ok());
  EXPECT_THAT(observed.evaluations,
              ElementsAre("epoch 1 step 2", "epoch 2 step 4", "epoch 3 step 5"));
  EXPECT_THAT(task.evaluated, ElementsAre(2, 4, 5));

  options.steps = 4;  // the last epoch's end is the end, and evaluated once
  FakeClient even(MakeJob(), 0, 0);
  FakeTask twice;
  ASSERT_TRUE(Trainer(&even, &twice, options).Run().ok());
  EXPECT_THAT(twice.evaluated, ElementsAre(2, 4));

  options.steps = 5;
  options.evaluate_each_epoch = false;
  FakeClient again(MakeJob(), 0, 0);
  FakeTask once;
  ASSERT_TRUE(Trainer(&again, &once, options).Run().ok());
  EXPECT_THAT(once.evaluated, ElementsAre(5));
}

TEST(TrainerTest, ProgressTellsRateAndTimeLeftWithoutEvaluations) {
  ManualClock clock;
  class SlowTask : public FakeTask {
   public:
    explicit SlowTask(ManualClock* clock) : clock_(clock) {}
    absl::StatusOr<Evaluation> Evaluate() override {
      clock_->now += absl::Seconds(1000);
      return FakeTask::Evaluate();
    }

   private:
    ManualClock* clock_;
  } task(&clock);
  task.on_step = [&](int64_t) { clock.now += absl::Seconds(2); };
  Observed observed;
  TrainerOptions options = Steps(4, 2);
  options.observers = {&observed};
  options.env = &clock;
  FakeClient client(MakeJob(), 0, 0);
  const auto summary = Trainer(&client, &task, options).Run();
  ASSERT_TRUE(summary.ok()) << summary.status();
  ASSERT_EQ(observed.steps.size(), 4u);
  for (int i = 0; i < 4; ++i) {
    const Progress& progress = observed.steps[i];
    EXPECT_EQ(progress.step, i + 1);
    EXPECT_EQ(progress.epoch, i / 2 + 1);
    EXPECT_EQ(progress.epochs, 2);
    EXPECT_EQ(progress.loss, 0.5);
    EXPECT_EQ(progress.accuracy, 0.75);
    EXPECT_DOUBLE_EQ(progress.samples_per_second, 4);
    EXPECT_EQ(progress.remaining, absl::Seconds(2 * (3 - i)));
  }
  EXPECT_EQ(summary->seconds, absl::Seconds(8));
  EXPECT_DOUBLE_EQ(summary->samples_per_second, 4);
}

TEST(TrainerTest, LeavesWithEachErrorThatItReturns) {
  const struct {
    const char* call;
    int worker;
  } kCases[] = {{"pull 0", 0},         {"push_pull 1", 0}, {"checkpoint 2 keep 2", 0},
                {"barrier finish", 0}, {"pull 3", 0},      {"status", 0},
                {"push 2", 1}};
  for (const auto& c : kCases) {
    SCOPED_TRACE(c.call);
    FakeClient client(MakeJob(), c.worker, 0);
    client.Fail(c.call, absl::InternalError("broken"));
    FakeTask task;
    TrainerOptions options = Steps(3, 10);
    options.checkpoint_folder = "folder";
    options.checkpoint_every = 2;
    const absl::Status status = Trainer(&client, &task, options).Run().status();
    EXPECT_EQ(status, absl::InternalError("broken"));
    const Calls calls = client.calls();
    ASSERT_GE(calls.size(), 2u);
    EXPECT_EQ(calls[calls.size() - 2], c.call);
    EXPECT_EQ(calls.back(), "leave INTERNAL: broken");
  }
}

TEST(TrainerTest, AFailingTaskLeavesWithItsErrorNamingTheStep) {
  FakeClient client(MakeJob(), 1, 0);
  FakeTask task;
  task.failing_step = 2;
  const absl::Status status = Trainer(&client, &task, Steps(5, 10)).Run().status();
  EXPECT_EQ(status, absl::DataLossError("worker:1 step 2: bad batch"));
  EXPECT_THAT(client.calls(), ElementsAre("pull 0", "push_pull 0", "push_pull 1",
                                          "leave DATA_LOSS: worker:1 step 2: bad batch"));

  FakeClient chief(MakeJob(), 0, 0);
  FakeTask blind;
  blind.evaluate_status = absl::DataLossError("no test data");
  EXPECT_EQ(Trainer(&chief, &blind, Steps(2, 2)).Run().status(),
            absl::DataLossError("evaluation after step 2: no test data"));

  FakeClient unused(MakeJob(), 0, 0);
  FakeTask broken;
  broken.start_status = absl::InternalError("cannot start");
  EXPECT_FALSE(Trainer(&unused, &broken, Steps(2, 2)).Run().ok());
  EXPECT_THAT(unused.calls(), ElementsAre("leave INTERNAL: cannot start"));
}

TEST(TrainerTest, AnErrorOfLeavingIsAnError) {
  FakeClient client(MakeJob(), 1, 0);
  client.Fail("leave OK", absl::UnavailableError("ps:0 is gone"));
  FakeTask task;
  EXPECT_EQ(Trainer(&client, &task, Steps(1, 1)).Run().status(),
            absl::UnavailableError("ps:0 is gone"));
}

TEST(TrainerTest, AWorkerThatIsLateAtTheEndIsNotWaitedForForEver) {
  FakeClient client(MakeJob(), 0, 0);
  client.Fail("barrier finish", absl::DeadlineExceededError("worker:1 is missing"));
  FakeTask task;
  ASSERT_TRUE(Trainer(&client, &task, Steps(1, 1)).Run().ok());
  EXPECT_THAT(client.calls(), Contains("leave OK"));
}

TEST(TrainerTest, StopsBetweenSteps) {
  FakeClient client(MakeJob(), 0, 0);
  FakeTask task;
  bool stop = false;
  task.on_step = [&](int64_t step) { stop = step == 1; };
  TrainerOptions options = Steps(100, 100);
  options.checkpoint_folder = "folder";
  options.should_stop = [&] { return stop; };
  EXPECT_EQ(Trainer(&client, &task, options).Run().status(), absl::CancelledError("interrupted"));
  EXPECT_THAT(client.calls(),
              ElementsAre("pull 0", "push_pull 0", "push_pull 1", "leave CANCELLED: interrupted"));
}

TEST(TrainerTest, AChiefThatDrainsSavesAfterItsStepAndEndsTheJob) {
  FakeClient client(MakeJob(), 0, 0);
  FakeTask task;
  bool drain = false;
  task.on_step = [&](int64_t step) { drain = step == 1; };
  TrainerOptions options = Steps(100, 100);
  options.checkpoint_folder = "folder";
  options.should_drain = [&] { return drain; };
  const absl::StatusOr<TrainingSummary> summary = Trainer(&client, &task, options).Run();
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_TRUE(summary->drained);
  EXPECT_EQ(summary->next_step, 2);
  EXPECT_EQ(summary->steps, 2);
  EXPECT_THAT(client.calls(),
              ElementsAre("pull 0", "push_pull 0", "push_pull 1", "checkpoint 2 keep 2",
                          "leave CANCELLED: the job was asked to stop before step 2"));
}

TEST(TrainerTest, AWorkerThatDrainsGoesOnUntilTheChiefHasEndedTheJob) {
  FakeClient client(MakeJob(), 1, 0);
  client.Fail("push_pull 3", absl::AbortedError("ps:0: the job failed with worker:0: the job was "
                                                "asked to stop before step 3"));
  FakeTask task;
  TrainerOptions options = Steps(100, 100);
  options.should_drain = [] { return true; };
  options.drain_timeout = absl::Hours(1);
  const absl::StatusOr<TrainingSummary> summary = Trainer(&client, &task, options).Run();
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_TRUE(summary->drained);
  EXPECT_THAT(client.calls(), ElementsAre("pull 0", "push_pull 0", "push_pull 1", "push_pull 2",
                                          "push_pull 3", "leave OK"));
  // One that was not asked to stop has lost its job.
  FakeClient other(MakeJob(), 1, 0);
  other.Fail("push_pull 0", absl::AbortedError("the job was asked to stop before step 0"));
  FakeTask other_task;
  EXPECT_TRUE(absl::IsAborted(Trainer(&other, &other_task, Steps(9, 9)).Run().status()));
}

TEST(TrainerTest, AWorkerThatDrainsAloneLeavesAfterAWhile) {
  for (const double periods : {1.0, 2.0}) {
    FakeClient client(MakeJob(), 1, 0);
    ManualClock clock;
    FakeTask task;
    task.on_step = [&](int64_t step) {
      if (step == 1) clock.now += periods * absl::Seconds(10);
    };
    TrainerOptions options = Steps(100, 100);
    options.env = &clock;
    options.should_drain = [] { return true; };
    options.drain_timeout = absl::Seconds(10);
    const absl::StatusOr<TrainingSummary> summary = Trainer(&client, &task, options).Run();
    if (periods == 1) {
      ASSERT_TRUE(summary.ok()) << summary.status();
      EXPECT_TRUE(summary->drained);
      EXPECT_THAT(client.calls(), ElementsAre("pull 0", "push_pull 0", "push_pull 1", "leave OK"));
    } else {  // a step that took too long
      EXPECT_EQ(summary.status(), absl::CancelledError("interrupted"));
    }
  }
}

TEST(TrainerTest, StopsWhileItWaits) {
  for (const char* call : {"pull 0", "push_pull 1", "barrier finish"}) {
    SCOPED_TRACE(call);
    FakeClient client(MakeJob(), 0, 0);
    client.Hold(call);
    FakeTask task;
    std::atomic<bool> stop{false};
    TrainerOptions options = Steps(3, 10);
    options.should_stop = [&] { return stop.load(); };
    absl::Status status;
    std::thread training([&] { status = Trainer(&client, &task, options).Run().status(); });
    EXPECT_TRUE(client.AwaitCall(call));
    stop = true;
    training.join();
    EXPECT_EQ(status, absl::CancelledError("interrupted"));
    EXPECT_THAT(client.calls(), Contains("leave CANCELLED: interrupted"));
  }
}

TEST(TrainerTest, RefusesOptionsThatMakeNoSense) {
  const struct {
    void (*change)(TrainerOptions*);
    const char* words;
  } kCases[] = {
      {[](TrainerOptions* o) { o->steps = 0; }, "must be positive"},
      {[](TrainerOptions* o) { o->steps_per_epoch = -1; }, "must be positive"},
      {[](TrainerOptions* o) { o->checkpoint_every = -1; }, "positive number and a folder"},
      {[](TrainerOptions* o) { o->checkpoint_every = 1; }, "positive number and a folder"},
      {[](TrainerOptions* o) {
         o->checkpoint_folder = "folder";
         o->keep_checkpoints = 1;
       },
       "at least 2 checkpoints are kept, not 1"},
      {[](TrainerOptions* o) { o->finish_timeout = absl::ZeroDuration(); }, "must be positive"},
  };
  for (const auto& c : kCases) {
    SCOPED_TRACE(c.words);
    FakeClient client(MakeJob(), 0, 0);
    FakeTask task;
    TrainerOptions options = Steps(3, 10);
    c.change(&options);
    const absl::Status status = Trainer(&client, &task, options).Run().status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(status.message(), HasSubstr(c.words));
    EXPECT_THAT(client.calls(), ElementsAre("leave " + status.ToString()));
  }
}

TEST(TrainerTest, RefusesATaskWithOtherParametersThanTheJob) {
  const struct {
    void (*change)(std::vector<v1::ParameterSpec>*);
    const char* words;
  } kCases[] = {
      {[](auto* p) { p->pop_back(); }, "the task has 1 parameters, but job test has 2"},
      {[](auto* p) { (*p)[0].set_shape(0, 3); }, "parameter 0 is p2 [3] in the task, but p2 [2]"},
      {[](auto* p) { (*p)[1].set_name("q"); }, "parameter 1 is q [1] in the task, but p1 [1]"},
  };
  for (const auto& c : kCases) {
    FakeClient client(MakeJob(), 0, 0);
    FakeTask task;
    c.change(&task.parameters_);
    const absl::Status status = Trainer(&client, &task, Steps(1, 1)).Run().status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(status.message(), HasSubstr(c.words));
    EXPECT_THAT(client.calls(), Not(Contains("pull 0")));
    EXPECT_EQ(task.started_with, -1);
  }
}

}  // namespace
}  // namespace parley
