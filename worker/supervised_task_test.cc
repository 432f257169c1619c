#include "worker/supervised_task.h"

#include <cmath>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/aligned_buffer.h"
#include "base/initializer.h"
#include "base/testing/temp_folder.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "net/job.h"

namespace parley {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Two well separated classes, or with `regression` y = 3x - 1, on a line of points in [-1, 1).
data::TrainAndTest MakeData(bool regression, int points = 60) {
  TempFolder folder;
  std::ofstream file(folder.File("points.csv"));
  for (int i = 0; i < points; ++i) {
    const double x = 2.0 * i / points - 1;
    file << x << "," << (regression ? 3 * x - 1 : (x > 0 ? 1 : 0)) << "\n";
  }
  file.close();
  auto data = data::OpenDataset(folder.File("points.csv"), {"", !regression});
  EXPECT_TRUE(data.ok()) << data.status();
  return *data;
}

// A task with the buffers that a Trainer would give it, holding the first values of seed 1.
struct Started {
  Started(const SupervisedTaskOptions& options, const data::TrainAndTest& data,
          int64_t first_step) {
    auto created = SupervisedTask::Create(options, data);
    EXPECT_TRUE(created.ok()) << created.status();
    task = *std::move(created);
    for (const v1::ParameterSpec& spec : task->Parameters()) {
      size_t size = 1;
      for (const int64_t dimension : spec.shape()) size *= static_cast<size_t>(dimension);
      parameters.push_back(NewBuffer(size));
      gradients.push_back(NewBuffer(size));
      Initialize(FromProto(spec.initializer()), 1, spec.name(), 0, parameters.back());
      // A gradient that is only added to, or not written, shows.
      for (float& value : gradients.back()) value = 1e30f;
    }
    const absl::Status status = task->Start(parameters, gradients, first_step);
    EXPECT_TRUE(status.ok()) << status;
  }

  absl::Span<float> NewBuffer(size_t size) {
    buffers.push_back(NewAlignedBytes(size * sizeof(float)));
    return {reinterpret_cast<float*>(buffers.back().get()), size};
  }

  // Returns the loss before it.
  double SgdStep(int64_t step, float rate) {
    const auto result = task->ComputeGradients(step, [](int) {});
    EXPECT_TRUE(result.ok()) << result.status();
    for (size_t i = 0; i < parameters.size(); ++i) {
      for (size_t j = 0; j < parameters[i].size(); ++j) {
        parameters[i][j] -= rate * gradients[i][j];
      }
    }
    return result->loss;
  }

  std::vector<float> AllGradients() const {
    std::vector<float> all;
    for (const absl::Span<float> gradient : gradients) {
      all.insert(all.end(), gradient.begin(), gradient.end());
    }
    return all;
  }

  std::unique_ptr<SupervisedTask> task;
  std::vector<AlignedBytes> buffers;
  std::vector<absl::Span<float>> parameters, gradients;
};

SupervisedTaskOptions Options(const std::string& model, int batch_size, int worker, int workers) {
  SupervisedTaskOptions options;
  options.model = model;
  options.batch_size = batch_size;
  options.worker = worker;
  options.num_workers = workers;
  return options;
}

TEST(SupervisedTaskTest, LearnsClassesInTheTrainersBuffers) {
  Started started(Options("linear", 8, 0, 1), MakeData(false), 0);
  EXPECT_EQ(started.task->steps_per_epoch(), 6);  // 48 of the 60 points, the rest is for the test
  const double before = started.task->Evaluate()->loss;
  for (int64_t step = 0; step < 60; ++step) started.SgdStep(step, 1.0f);
  const auto after = started.task->Evaluate();
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_TRUE(after->has_accuracy);
  EXPECT_EQ(after->samples, 12);
  EXPECT_LT(after->loss, 0.5 * before);
  EXPECT_GE(after->accuracy(), 0.9);
}

TEST(SupervisedTaskTest, LearnsNumbersBySquaredError) {
  Started started(Options("linear", 8, 0, 1), MakeData(true), 0);
  for (int64_t step = 0; step < 300; ++step) started.SgdStep(step, 0.1f);
  const auto evaluation = started.task->Evaluate();
  ASSERT_TRUE(evaluation.ok()) << evaluation.status();
  EXPECT_FALSE(evaluation->has_accuracy);
  EXPECT_LT(evaluation->loss, 1e-4);
  EXPECT_NEAR(started.parameters[0][0] + started.parameters[1][0], 2, 0.05);  // at x = 1
}

TEST(SupervisedTaskTest, EvaluatesTheMeanOverEveryTestExampleOnce) {
  constexpr int kPoints = 6000;  // 1200 of them held out: more than are computed at once
  Started started(Options("linear", 8, 0, 1), MakeData(true, kPoints), 0);
  for (const absl::Span<float> parameter : started.parameters) {
    for (float& value : parameter) value = 0;
  }
  double sum = 0;
  for (int i = 4; i < kPoints; i += 5) sum += std::pow(3 * (2.0 * i / kPoints - 1) - 1, 2);
  const auto evaluation = started.task->Evaluate();
  ASSERT_TRUE(evaluation.ok()) << evaluation.status();
  EXPECT_EQ(evaluation->samples, kPoints / 5);
  EXPECT_NEAR(evaluation->loss, sum / (kPoints / 5), 1e-3);
}

TEST(SupervisedTaskTest, AStepsGradientsDependOnTheStepAndTheParametersAlone) {
  const data::TrainAndTest data = MakeData(false);
  Started through(Options("mlp", 4, 1, 2), data, 0);
  for (int64_t step = 0; step < 8; ++step) {  // beyond the first epoch
    ASSERT_TRUE(through.task->ComputeGradients(step, [](int) {}).ok());
  }
  Started resumed(Options("mlp", 4, 1, 2), data, 7);
  ASSERT_TRUE(resumed.task->ComputeGradients(7, [](int) {}).ok());
  EXPECT_EQ(resumed.AllGradients(), through.AllGradients());

  Started other(Options("mlp", 4, 0, 2), data, 7);
  ASSERT_TRUE(other.task->ComputeGradients(7, [](int) {}).ok());
  EXPECT_NE(other.AllGradients(), through.AllGradients());  // it has other examples
}

TEST(SupervisedTaskTest, OverwritesEveryGradient) {
  Started started(Options("mlp", 4, 0, 1), MakeData(false), 0);
  ASSERT_TRUE(started.task->ComputeGradients(0, [](int) {}).ok());
  for (const float value : started.AllGradients()) ASSERT_LT(std::fabs(value), 1e6f);
}

TEST(SupervisedTaskTest, ItsParametersMakeALegalJob) {
  const auto task = SupervisedTask::Create(Options("linear", 4, 0, 1), MakeData(false));
  ASSERT_TRUE(task.ok()) << task.status();
  std::vector<std::string> shapes;
  v1::JobSpec spec;
  for (const v1::ParameterSpec& parameter : (*task)->Parameters()) {
    shapes.push_back(
        absl::StrCat(parameter.shape_size(), ":", parameter.shape(parameter.shape_size() - 1)));
    *spec.add_parameters() = parameter;
  }
  EXPECT_THAT(shapes, ElementsAre("2:2", "1:2"));  // weights of one input for two classes, biases
  spec.set_name("test");
  spec.set_num_workers(1);
  spec.set_num_shards(1);
  spec.mutable_optimizer()->mutable_sgd();
  spec.mutable_policy()->mutable_synchronous();
  EXPECT_TRUE(Job::Create(spec).ok()) << Job::Create(spec).status();
}

TEST(SupervisedTaskTest, RefusesWhatDoesNotFit) {
  const struct {
    SupervisedTaskOptions options;
    const char* words;
  } kCases[] = {
      {Options("transformer", 4, 0, 1), "transformer"},
      {Options("cnn", 4, 0, 1), "cnn"},  // the data are no images
      {Options("linear", 0, 0, 1), "batch"},
      {Options("linear", 40, 0, 2), "48"},  // two workers' batches are more than there is
  };
  for (const auto& c : kCases) {
    const absl::Status status = SupervisedTask::Create(c.options, MakeData(false)).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << c.words;
    EXPECT_THAT(status.message(), HasSubstr(c.words));
  }
}

}  // namespace
}  // namespace parley
