#include "worker/supervised_task.h"

#include <cmath>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/aligned_buffer.h"
#include "base/initializer.h"
#include "base/testing/temp_folder.h"
#include "data/open_dataset.h"
#include "data/text.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "net/job.h"
#include "worker/testing/far_backend.h"

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
    task->StepEnded(step, result->skip);
    if (result->skip) return result->loss;
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

  Started ahead(Options("mlp", 4, 1, 2), data, 0);  // the job did steps 1 to 6 without it
  ASSERT_TRUE(ahead.task->ComputeGradients(0, [](int) {}).ok());
  ASSERT_TRUE(ahead.task->ComputeGradients(7, [](int) {}).ok());
  EXPECT_EQ(ahead.AllGradients(), through.AllGradients());

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

data::TrainAndTest MakeText(int time) {
  std::string text;
  for (int i = 0; i < 200; ++i) text += "the quick brown fox ";
  TempFolder folder;
  std::ofstream(folder.File("text")) << text;
  auto data = data::OpenText(folder.File("text"), time);
  EXPECT_TRUE(data.ok()) << data.status();
  return *data;
}

TEST(SupervisedTaskTest, LearnsTextByteByByte) {
  for (const char* model : {"lstm", "transformer"}) {
    SupervisedTaskOptions options = Options(model, 4, 0, 1);
    options.layers = 1;
    options.width = 16;
    if (options.model == "transformer") options.heads = 2;
    Started started(options, MakeText(20), 0);
    const auto before = started.task->Evaluate();
    ASSERT_TRUE(before.ok()) << before.status();
    EXPECT_FALSE(before->has_accuracy);
    EXPECT_EQ(before->samples, 19 * 20);  // windows of 20 in 400 bytes, the last has no next byte
    ASSERT_EQ(before->metrics.size(), 1u);
    EXPECT_EQ(before->metrics[0].first, "perplexity");
    EXPECT_NEAR(before->metrics[0].second, std::exp(before->loss), 1e-6 * std::exp(before->loss));
    EXPECT_NEAR(before->loss, std::log(256.0), 1.0);
    for (int64_t step = 0; step < 40; ++step) started.SgdStep(step, 0.5f);
    EXPECT_LT(started.task->Evaluate()->loss, 0.7 * before->loss) << model;
  }
}

// Which of two colours, on a number that says nothing, is it?
data::TrainAndTest MakeColours() {
  TempFolder folder;
  std::ofstream file(folder.File("colours.csv"));
  file << "colour,shape,number,red\n";
  for (int i = 0; i < 60; ++i) {
    file << (i % 2 == 0 ? "red" : "blue") << "," << (i % 3 == 0 ? "disc" : "ring") << "," << i % 7
         << "," << (i % 2 == 0 ? 1 : 0) << "\n";
  }
  file.close();
  data::CsvOptions options;
  options.categorical = {{"colour"}, {"shape", 5}};
  auto data = data::OpenDataset(folder.File("colours.csv"), options);
  EXPECT_TRUE(data.ok()) << data.status();
  return *data;
}

TEST(SupervisedTaskTest, LearnsCategoriesAndReportsTheAreaUnderTheCurve) {
  Started started(Options("wide_deep", 8, 0, 1), MakeColours(), 0);
  for (int64_t step = 0; step < 60; ++step) started.SgdStep(step, 0.1f);
  const auto after = started.task->Evaluate();
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_TRUE(after->has_accuracy);
  EXPECT_EQ(after->accuracy(), 1);
  ASSERT_EQ(after->metrics.size(), 1u);
  EXPECT_EQ(after->metrics[0].first, "auc");
  EXPECT_EQ(after->metrics[0].second, 1);
}

TEST(SupervisedTaskTest, ComputesInSixteenBits) {
  for (const DType dtype : {DType::kBFloat16, DType::kFloat16}) {
    SupervisedTaskOptions options = Options("mlp", 8, 0, 1);
    options.dtype = dtype;
    Started started(options, MakeData(false), 0);
    const double before = started.task->Evaluate()->loss;
    for (int64_t step = 0; step < 60; ++step) started.SgdStep(step, 0.1f);
    EXPECT_LT(started.task->Evaluate()->loss, 0.5 * before) << NameOf(dtype);
  }
}

TEST(SupervisedTaskTest, Float16GradientsAreScaledOnTheirWayOnly) {
  Started whole(Options("mlp", 8, 0, 1), MakeData(false), 0);
  SupervisedTaskOptions options = Options("mlp", 8, 0, 1);
  options.dtype = DType::kFloat16;
  Started half(options, MakeData(false), 0);
  ASSERT_TRUE(whole.task->ComputeGradients(0, [](int) {}).ok());
  const auto result = half.task->ComputeGradients(0, [](int) {});
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_FALSE(result->skip);
  const std::vector<float> expected = whole.AllGradients();
  const std::vector<float> gradients = half.AllGradients();
  double difference = 0, norm = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    difference += std::pow(expected[i] - gradients[i], 2);
    norm += std::pow(expected[i], 2);
  }
  EXPECT_LT(std::sqrt(difference), 0.02 * std::sqrt(norm));
}

TEST(SupervisedTaskTest, AStepThatOverflowsFloat16IsSkippedAndHalvesTheScale) {
  SupervisedTaskOptions options = Options("linear", 8, 0, 1);
  options.dtype = DType::kFloat16;
  Started started(options, MakeData(true), 0);
  // Predictions off by about 30: times 65536, the first scale, that is more than float16 has.
  started.parameters[1][0] = 30;
  int ready = 0;
  int64_t step = 0;
  for (;; ++step) {
    const auto result = started.task->ComputeGradients(step, [&](int) { ++ready; });
    ASSERT_TRUE(result.ok()) << result.status();
    started.task->StepEnded(step, result->skip);
    if (!result->skip) break;
    ASSERT_EQ(ready, 0);
    ASSERT_LT(step, 16);
  }
  EXPECT_GT(step, 0);
  EXPECT_EQ(ready, 2);
  EXPECT_NEAR(started.gradients[1][0], 2 * 31, 8);  // of the bias: 2 * mean(30 - (3x - 1) + ...)
}

// What the Trainer sends at once must be complete by then.
TEST(SupervisedTaskTest, AGradientIsCompleteWhenItIsReady) {
  Started started(Options("mlp", 8, 0, 1), MakeData(false), 0);
  std::vector<int> order;
  std::vector<std::vector<float>> at_ready(started.gradients.size());
  const auto result = started.task->ComputeGradients(0, [&](int i) {
    order.push_back(i);
    at_ready[i].assign(started.gradients[i].begin(), started.gradients[i].end());
    for (float& value : started.parameters[i]) value = 1e30f;  // the next step's values arrive
  });
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_EQ(order.size(), started.gradients.size());
  EXPECT_GT(order.front(), order.back());  // the last layer's come first
  for (size_t i = 0; i < at_ready.size(); ++i) {
    EXPECT_EQ(at_ready[i],
              std::vector<float>(started.gradients[i].begin(), started.gradients[i].end()));
  }
  Started undisturbed(Options("mlp", 8, 0, 1), MakeData(false), 0);
  ASSERT_TRUE(undisturbed.task->ComputeGradients(0, [](int) {}).ok());
  EXPECT_EQ(undisturbed.AllGradients(), started.AllGradients());
}

TEST(SupervisedTaskTest, AnotherDeviceGivesTheSameGradientsInTheTrainersBuffers) {
  const std::unique_ptr<Backend> device = NewFarBackend();
  for (const DType dtype : {DType::kFloat32, DType::kFloat16}) {
    SupervisedTaskOptions options = Options("mlp", 8, 0, 1);
    options.dtype = dtype;
    Started here(options, MakeData(false), 0);
    options.backend = device.get();
    Started there(options, MakeData(false), 0);
    for (int64_t step = 0; step < 3; ++step) {
      const double loss = here.SgdStep(step, 0.1f);
      std::vector<int> order;
      const auto result = there.task->ComputeGradients(step, [&](int i) {
        order.push_back(i);
        // Has arrived: what was there before is far larger.
        for (const float value : there.gradients[i]) ASSERT_LT(std::fabs(value), 1e6f);
        for (size_t j = 0; j < there.parameters[i].size(); ++j) {
          there.parameters[i][j] -= 0.1f * there.gradients[i][j];
          there.gradients[i][j] = 1e30f;
        }
      });
      ASSERT_TRUE(result.ok()) << result.status();
      EXPECT_EQ(result->loss, loss);
      EXPECT_FALSE(result->skip);
      EXPECT_EQ(order.size(), there.parameters.size());
      there.task->StepEnded(step, false);
      for (size_t i = 0; i < there.parameters.size(); ++i) {
        ASSERT_EQ(there.parameters[i], here.parameters[i]) << "step " << step << " parameter " << i;
      }
    }
    EXPECT_EQ(there.task->Evaluate()->loss, here.task->Evaluate()->loss);
  }
}

TEST(SupervisedTaskTest, WhatIsAveragedHasItsOwnOptimizer) {
  TempFolder folder;
  for (const char* name : {"1", "2", "3", "4", "5"}) {
    std::ofstream(folder.File(std::string("data_batch_") + name + ".bin"))
        << std::string(3073, '\0');
  }
  std::ofstream(folder.File("test_batch.bin")) << std::string(3073, '\0');
  const auto data = data::OpenDataset(folder.path(), {});
  ASSERT_TRUE(data.ok()) << data.status();
  const auto task = SupervisedTask::Create(Options("resnet18", 1, 0, 1), *data);
  ASSERT_TRUE(task.ok()) << task.status();
  int averaged = 0;
  for (const v1::ParameterSpec& parameter : (*task)->Parameters()) {
    const bool moving = parameter.name().find("/moving_") != std::string::npos;
    EXPECT_EQ(parameter.has_optimizer(), moving) << parameter.name();
    if (!moving) continue;
    ++averaged;
    EXPECT_TRUE(parameter.optimizer().has_sgd());
    EXPECT_NEAR(parameter.optimizer().learning_rate(), 0.1, 1e-6);
  }
  EXPECT_EQ(averaged, 40);  // two of each of the 20 convolutions
}

TEST(SupervisedTaskTest, RefusesWhatDoesNotFit) {
  const struct {
    SupervisedTaskOptions options;
    const char* words;
  } kCases[] = {
      {Options("transformer", 4, 0, 1), "transformer is for text"},
      {Options("wide_deep", 4, 0, 1), "wide_deep"},  // no column is one of categories
      {Options("mystery", 4, 0, 1), "mystery"},
      {Options("cnn", 4, 0, 1), "cnn"},  // the data are no images
      {Options("linear", 0, 0, 1), "batch"},
      {Options("linear", 40, 0, 2), "48"},  // two workers' batches are more than there is
  };
  for (const auto& c : kCases) {
    const absl::Status status = SupervisedTask::Create(c.options, MakeData(false)).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << c.words;
    EXPECT_THAT(status.message(), HasSubstr(c.words));
  }
  const absl::Status text = SupervisedTask::Create(Options("mlp", 4, 0, 1), MakeText(20)).status();
  EXPECT_THAT(text.message(), HasSubstr("mlp is not for text"));
  const absl::Status table =
      SupervisedTask::Create(Options("mlp", 4, 0, 1), MakeColours()).status();
  EXPECT_THAT(table.message(), HasSubstr("mlp is not for columns of categories"));
  SupervisedTaskOptions options = Options("linear", 4, 0, 1);
  options.dtype = DType::kInt32;
  EXPECT_FALSE(SupervisedTask::Create(options, MakeData(false)).ok());
}

}  // namespace
}  // namespace parley
