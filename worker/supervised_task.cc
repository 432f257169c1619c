#include "worker/supervised_task.h"

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "base/status.h"
#include "data/prefetcher.h"
#include "data/sampler.h"
#include "net/job.h"
#include "nn/loss.h"
#include "nn/metrics.h"
#include "nn/models.h"
#include "tensor/cpu_backend.h"

namespace parley {
namespace {

constexpr int64_t kEvaluationBatch = 500;
// Filling a batch only copies memory: what takes this long has stopped.
constexpr absl::Duration kBatchTimeout = absl::Minutes(1);

class Task final : public SupervisedTask {
 public:
  Task(const SupervisedTaskOptions& options, data::TrainAndTest data, data::Sampler sampler,
       std::unique_ptr<nn::Module> model)
      : worker_(options.worker),
        data_(std::move(data)),
        sampler_(std::move(sampler)),
        model_(std::move(model)),
        parameters_(model_->parameters()) {}

  int64_t steps_per_epoch() const override { return sampler_.steps_per_epoch(); }

  std::vector<v1::ParameterSpec> Parameters() const override {
    std::vector<v1::ParameterSpec> specs;
    for (const nn::Parameter& parameter : parameters_) {
      v1::ParameterSpec& spec = specs.emplace_back();
      spec.set_name(parameter.name);
      for (const int64_t dimension : parameter.variable.shape().ToVector())
        spec.add_shape(dimension);
      spec.set_dtype(v1::FLOAT32);
      *spec.mutable_initializer() = ToProto(parameter.initializer);
    }
    return specs;
  }

  absl::Status Start(absl::Span<const absl::Span<float>> parameters,
                     absl::Span<const absl::Span<float>> gradients, int64_t first_step) override {
    for (size_t i = 0; i < parameters_.size(); ++i) {
      nn::Variable& variable = parameters_[i].variable;
      variable.Bind(Tensor::Borrow(backend_, variable.shape(), parameters[i].data()),
                    Tensor::Borrow(backend_, variable.shape(), gradients[i].data()));
    }
    prefetcher_ = std::make_unique<data::Prefetcher>(data_.train, sampler_, worker_, first_step);
    return absl::OkStatus();
  }

  absl::StatusOr<StepResult> ComputeGradients(int64_t, GradientReady) override {
    PARLEY_ASSIGN_OR_RETURN(const data::Batch* batch, prefetcher_->Next(kBatchTimeout));
    for (nn::Parameter& parameter : parameters_) parameter.variable.ClearGradient();
    StepResult result;
    PARLEY_ASSIGN_OR_RETURN(const nn::Variable loss, Loss(*batch, &result));
    nn::Backward(loss);
    for (nn::Parameter& parameter : parameters_)
      parameter.variable.gradient();  // zeros where none came
    return result;
  }

  absl::StatusOr<Evaluation> Evaluate() override {
    Evaluation evaluation;
    evaluation.has_accuracy = data_.train->num_classes() > 0;
    data::Batch batch;
    for (int64_t begin = 0; begin < data_.test->size(); begin += kEvaluationBatch) {
      std::vector<int64_t> indices(
          static_cast<size_t>(std::min(kEvaluationBatch, data_.test->size() - begin)));
      std::iota(indices.begin(), indices.end(), begin);
      data_.test->Fill(indices, &batch);
      StepResult result;
      PARLEY_RETURN_IF_ERROR(Loss(batch, &result).status());
      evaluation.loss += result.loss * static_cast<double>(result.samples);
      evaluation.samples += result.samples;
      evaluation.correct += result.correct;
    }
    evaluation.loss /= static_cast<double>(evaluation.samples);
    return evaluation;
  }

 private:
  absl::StatusOr<nn::Variable> Loss(const data::Batch& batch, StepResult* result) {
    std::vector<int64_t> shape = {batch.size};
    for (const int dimension : data_.train->feature_shape()) shape.push_back(dimension);
    const Tensor features(backend_, Shape(shape));
    backend_->CopyFromHost(batch.feature_data(), features);
    const nn::Variable output = model_->Forward(nn::Variable::Input(features));
    nn::Variable loss;
    if (data_.train->num_classes() > 0) {
      loss = nn::SoftmaxCrossEntropyLoss(output, batch.labels);
      result->correct = nn::CountCorrect(output.value(), batch.labels);
    } else {
      loss = nn::MeanSquaredError(output, batch.targets);
    }
    float value;
    PARLEY_RETURN_IF_ERROR(backend_->CopyToHost(loss.value(), &value));
    result->loss = static_cast<double>(value);
    result->samples = batch.size;
    return loss;
  }

  Backend* const backend_ = CpuBackend();
  const int worker_;
  const data::TrainAndTest data_;
  const data::Sampler sampler_;
  const std::unique_ptr<nn::Module> model_;
  std::vector<nn::Parameter> parameters_;
  std::unique_ptr<data::Prefetcher> prefetcher_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<SupervisedTask>> SupervisedTask::Create(
    const SupervisedTaskOptions& options, data::TrainAndTest data) {
  PARLEY_ASSIGN_OR_RETURN(data::Sampler sampler,
                          data::Sampler::Create(data.train->size(), options.batch_size,
                                                options.num_workers, options.seed));
  PARLEY_ASSIGN_OR_RETURN(std::unique_ptr<nn::Module> model,
                          nn::NewModel(CpuBackend(), options.model, data.train->feature_shape(),
                                       std::max(1, data.train->num_classes())));
  return std::make_unique<Task>(options, std::move(data), std::move(sampler), std::move(model));
}

}  // namespace parley
