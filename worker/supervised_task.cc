#include "worker/supervised_task.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <numeric>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/status.h"
#include "data/prefetcher.h"
#include "data/sampler.h"
#include "net/job.h"
#include "nn/loss.h"
#include "nn/metrics.h"
#include "nn/models.h"
#include "tensor/backend.h"
#include "tensor/cpu_backend.h"
#include "worker/loss_scale.h"

namespace parley {
namespace {

// Samples that are evaluated at once; the same for every batch size, so that the result is too.
constexpr int64_t kEvaluationBatch = 200;
constexpr int64_t kEvaluationTokens = 4096;
// Filling a batch only copies memory: what takes this long has stopped.
constexpr absl::Duration kBatchTimeout = absl::Minutes(1);
constexpr char kWideDeep[] = "wide_deep";

enum class Objective { kClasses, kTwoClasses, kTokens, kNumbers };

Objective ObjectiveOf(const std::string& model, const data::Dataset& data) {
  if (IsLanguageModel(model)) return Objective::kTokens;
  if (data.num_classes() == 0) return Objective::kNumbers;
  return model == kWideDeep && data.num_classes() == 2 ? Objective::kTwoClasses
                                                       : Objective::kClasses;
}

// Gradients on their way from a device to the Trainer's buffers.
class Downloads {
 public:
  explicit Downloads(GradientReady ready) : ready_(ready) {}
  // Until it is done the buffers are in use.
  ~Downloads() { Finish().IgnoreError(); }

  void Add(int parameter, std::unique_ptr<Transfer> transfer) {
    under_way_.emplace_back(parameter, std::move(transfer));
    while (!under_way_.empty() && under_way_.front().second->done()) FinishFirst();
  }
  absl::Status Finish() {
    while (!under_way_.empty()) FinishFirst();
    return status_;
  }

 private:
  void FinishFirst() {
    status_.Update(under_way_.front().second->Wait());
    if (status_.ok()) ready_(under_way_.front().first);
    under_way_.pop_front();
  }

  const GradientReady ready_;
  std::deque<std::pair<int, std::unique_ptr<Transfer>>> under_way_;
  absl::Status status_;
};

class Task final : public SupervisedTask {
 public:
  Task(const SupervisedTaskOptions& options, Backend* backend, data::TrainAndTest data,
       data::Sampler sampler, std::unique_ptr<nn::Module> model)
      : backend_(backend),
        on_cpu_(backend == CpuBackend()),
        worker_(options.worker),
        dtype_(options.dtype),
        // Workers drop different units.
        dropout_seed_(options.seed + 0x9e3779b97f4a7c15u * static_cast<uint64_t>(worker_ + 1)),
        trace_(options.trace),
        objective_(ObjectiveOf(options.model, *data.train)),
        data_(std::move(data)),
        sampler_(std::move(sampler)),
        model_(std::move(model)),
        parameters_(model_->parameters()) {
    int32_t first = 0;
    for (const int vocabulary : data_.train->vocabularies()) {
      first_ids_.push_back(objective_ == Objective::kTokens ? 0 : first);
      first += vocabulary;
    }
  }

  int64_t steps_per_epoch() const override { return sampler_.steps_per_epoch(); }
  bool has_accuracy() const override {
    return objective_ == Objective::kClasses || objective_ == Objective::kTwoClasses;
  }

  std::vector<v1::ParameterSpec> Parameters() const override {
    std::vector<v1::ParameterSpec> specs;
    for (const nn::Parameter& parameter : parameters_) {
      v1::ParameterSpec& spec = specs.emplace_back();
      spec.set_name(parameter.name);
      for (const int64_t dimension : parameter.variable.shape().ToVector())
        spec.add_shape(dimension);
      spec.set_dtype(v1::FLOAT32);
      *spec.mutable_initializer() = ToProto(parameter.initializer);
      if (parameter.averaged.has_value()) {
        spec.mutable_optimizer()->set_learning_rate(*parameter.averaged);
        spec.mutable_optimizer()->mutable_sgd();
      }
    }
    return specs;
  }

  absl::Status Start(absl::Span<const absl::Span<float>> parameters,
                     absl::Span<const absl::Span<float>> gradients,
                     int64_t /*first_step*/) override {
    host_parameters_.assign(parameters.begin(), parameters.end());
    host_gradients_.assign(gradients.begin(), gradients.end());
    for (size_t i = 0; i < parameters_.size(); ++i) {
      nn::Variable& variable = parameters_[i].variable;
      const Shape& shape = variable.shape();
      if (on_cpu_) {
        variable.Bind(Tensor::Borrow(backend_, shape, parameters[i].data()),
                      Tensor::Borrow(backend_, shape, gradients[i].data()));
      } else {
        variable.Bind(Tensor(backend_, shape), Tensor(backend_, shape));
      }
      numbers_[variable.id()] = static_cast<int>(i);
    }
    return absl::OkStatus();
  }

  absl::Status SetWorkers(int64_t step, int workers) override {
    PARLEY_RETURN_IF_ERROR(sampler_.SetWorkers(step, workers));
    prefetcher_ = nullptr;  // what it has prepared may be another's now
    return absl::OkStatus();
  }

  absl::StatusOr<StepResult> ComputeGradients(int64_t step, GradientReady ready) override {
    PARLEY_ASSIGN_OR_RETURN(const data::Batch* const batch, NextBatch(step));
    Upload();
    for (nn::Parameter& parameter : parameters_) parameter.variable.ClearGradient();
    nn::ForwardContext context;
    context.training = true;
    context.seed = dropout_seed_;
    context.step = step;
    context.dtype = dtype_;
    const bool scaled = dtype_ == DType::kFloat16;
    if (scaled) context.loss_scale = loss_scale_.value();
    const Computed computed = [&] {
      const TraceScope scope(trace_.get(), "forward", step);
      return Compute(*batch, context);
    }();

    Downloads downloads(ready);
    std::vector<bool> sent(parameters_.size(), false);
    const auto send = [&](int i) {
      const Tensor& gradient = parameters_[i].variable.gradient();  // zeros where none came
      sent[i] = true;
      if (on_cpu_) {
        ready(i);
      } else {
        downloads.Add(i, backend_->StartCopyToHost(gradient, host_gradients_[i].data()));
      }
    };
    nn::BackwardOptions backward;
    backward.scale = context.loss_scale;
    // What overflowed is known when all are there.
    if (!scaled) {
      backward.ready = [&](const nn::Variable& parameter) { send(numbers_.at(parameter.id())); };
    }
    {
      const TraceScope scope(trace_.get(), "backward", step);
      nn::Backward(computed.loss, backward);
    }
    StepResult result;
    if (scaled) PARLEY_RETURN_IF_ERROR(Unscale(context.loss_scale, &result.skip));
    if (!result.skip) {
      for (size_t i = 0; i < parameters_.size(); ++i) {
        if (!sent[i]) send(static_cast<int>(i));
      }
    }
    PARLEY_RETURN_IF_ERROR(Measure(*batch, computed, &result, nullptr));
    PARLEY_RETURN_IF_ERROR(downloads.Finish());
    return result;
  }

  void StepEnded(int64_t, bool skipped) override { loss_scale_.StepEnded(skipped); }

  absl::StatusOr<Evaluation> Evaluate() override {
    const nn::NoGradientScope no_gradient;
    Upload();
    nn::ForwardContext context;
    context.dtype = dtype_;
    Evaluation evaluation;
    evaluation.has_accuracy = has_accuracy();
    nn::Auc auc;
    const int64_t at_once =
        objective_ == Objective::kTokens
            ? std::max<int64_t>(1, kEvaluationTokens / data_.test->labels_each())
            : kEvaluationBatch;
    data::Batch batch;
    for (int64_t begin = 0; begin < data_.test->size(); begin += at_once) {
      std::vector<int64_t> indices(
          static_cast<size_t>(std::min(at_once, data_.test->size() - begin)));
      std::iota(indices.begin(), indices.end(), begin);
      data_.test->Fill(indices, &batch);
      StepResult result;
      PARLEY_RETURN_IF_ERROR(Measure(batch, Compute(batch, context), &result, &auc));
      evaluation.loss += result.loss * static_cast<double>(result.samples);
      evaluation.samples += result.samples;
      evaluation.correct += result.correct;
    }
    evaluation.loss /= static_cast<double>(evaluation.samples);
    if (objective_ == Objective::kTokens) {
      evaluation.metrics.emplace_back("perplexity", std::exp(evaluation.loss));
    } else if (objective_ == Objective::kTwoClasses) {
      evaluation.metrics.emplace_back("auc", auc.value());
    }
    return evaluation;
  }

 private:
  struct Computed {
    nn::Variable output;
    nn::Variable loss;
  };

  absl::StatusOr<const data::Batch*> NextBatch(int64_t step) {
    const TraceScope scope(trace_.get(), "batch", step);
    if (prefetcher_ == nullptr) {
      prefetcher_ = std::make_unique<data::Prefetcher>(data_.train, sampler_, worker_, step);
    }
    const data::Batch* batch;
    do {  // the job did earlier steps without this worker
      PARLEY_ASSIGN_OR_RETURN(batch, prefetcher_->Next(kBatchTimeout));
    } while (batch->step < step);
    return batch;
  }

  // Brings the Trainer's parameters to the device. A buffer is in use until what was computed from
  // it is back.
  void Upload() {
    if (on_cpu_) return;
    for (size_t i = 0; i < parameters_.size(); ++i) {
      backend_->StartCopyFromHost(host_parameters_[i].data(), parameters_[i].variable.value());
    }
  }

  nn::Variable Features(const data::Batch& batch) {
    std::vector<int64_t> shape = {batch.size};
    for (const int dimension : data_.train->feature_shape()) shape.push_back(dimension);
    const Tensor features(backend_, Shape(shape));
    if (features.num_elements() > 0) backend_->CopyFromHost(batch.feature_data(), features);
    return nn::Variable::Input(features);
  }

  nn::Variable Ids(const data::Batch& batch) {
    const size_t columns = first_ids_.size();
    std::vector<int32_t> ids = batch.ids;
    for (size_t i = 0; i < ids.size(); ++i) ids[i] += first_ids_[i % columns];
    const Tensor tensor(backend_, Shape({batch.size, static_cast<int64_t>(columns)}),
                        DType::kInt32);
    backend_->CopyFromHost(ids.data(), tensor);
    return nn::Variable::Input(tensor);
  }

  Computed Compute(const data::Batch& batch, const nn::ForwardContext& context) {
    Computed computed;
    if (objective_ == Objective::kTokens) {
      computed.output = model_->Forward(Ids(batch), context);
    } else if (!first_ids_.empty()) {
      computed.output = model_->ForwardInputs({Ids(batch), Features(batch)}, context);
    } else {
      computed.output = model_->Forward(Features(batch), context);
    }
    switch (objective_) {
      case Objective::kClasses:
      case Objective::kTokens:
        computed.loss = nn::SoftmaxCrossEntropyLoss(computed.output, batch.labels);
        break;
      case Objective::kTwoClasses:
        computed.loss = nn::BinaryCrossEntropyLoss(
            computed.output, std::vector<float>(batch.labels.begin(), batch.labels.end()));
        break;
      case Objective::kNumbers:
        computed.loss = nn::MeanSquaredError(computed.output, batch.targets);
        break;
    }
    return computed;
  }

  // Waits for the device: so it comes last. `auc`, if not null, gets the scores of two classes.
  absl::Status Measure(const data::Batch& batch, const Computed& computed, StepResult* result,
                       nn::Auc* auc) {
    float loss;
    PARLEY_RETURN_IF_ERROR(backend_->CopyToHost(computed.loss.value(), &loss));
    result->loss = static_cast<double>(loss);
    result->samples = static_cast<int64_t>(batch.size) * data_.train->labels_each();
    if (objective_ == Objective::kClasses) {
      result->correct = nn::CountCorrect(computed.output.value(), batch.labels);
    } else if (objective_ == Objective::kTwoClasses) {
      std::vector<float> scores(batch.labels.size());
      PARLEY_RETURN_IF_ERROR(backend_->CopyToHost(computed.output.value(), scores.data()));
      for (size_t i = 0; i < scores.size(); ++i) {
        result->correct += (scores[i] > 0) == (batch.labels[i] == 1) ? 1 : 0;
        if (auc != nullptr) auc->Add(scores[i], batch.labels[i] == 1);
      }
    }
    return absl::OkStatus();
  }

  // Divides all gradients by the scale that they were computed with; `overflowed` when one is not
  // finite.
  absl::Status Unscale(double scale, bool* overflowed) {
    *overflowed = false;
    for (nn::Parameter& parameter : parameters_) {
      const Tensor& gradient = parameter.variable.gradient();
      PARLEY_ASSIGN_OR_RETURN(const bool finite, backend_->AllFinite(gradient));
      if (!finite) {
        *overflowed = true;
        return absl::OkStatus();
      }
      backend_->Affine(1 / scale, gradient, 0, Write::kReplace, gradient);
    }
    return absl::OkStatus();
  }

  Backend* const backend_;
  const bool on_cpu_;
  const int worker_;
  const DType dtype_;
  const uint64_t dropout_seed_;
  const std::shared_ptr<Trace> trace_;
  const Objective objective_;
  const data::TrainAndTest data_;
  data::Sampler sampler_;
  const std::unique_ptr<nn::Module> model_;
  std::vector<int32_t> first_ids_;  // what is added to the ids of each column
  std::vector<nn::Parameter> parameters_;
  std::unordered_map<const void*, int> numbers_;  // by the variable's id
  std::vector<absl::Span<float>> host_parameters_;
  std::vector<absl::Span<float>> host_gradients_;
  LossScale loss_scale_;
  std::unique_ptr<data::Prefetcher> prefetcher_;
};

// Whether the model takes examples of this kind at all; their shape is checked by nn::NewModel.
absl::Status CheckKind(const std::string& model, const data::Dataset& data) {
  const absl::Span<const int> vocabularies = data.vocabularies();
  const bool text = data.num_classes() > 0 && data.feature_shape() == std::vector<int>{0} &&
                    static_cast<int>(vocabularies.size()) == data.labels_each() &&
                    std::all_of(vocabularies.begin(), vocabularies.end(),
                                [&](int vocabulary) { return vocabulary == data.num_classes(); });
  if (IsLanguageModel(model) && !text) {
    return absl::InvalidArgumentError(
        absl::StrCat("the model ", model, " is for text, not for images or tables"));
  }
  if (!IsLanguageModel(model) && data.labels_each() != 1) {
    return absl::InvalidArgumentError(absl::StrCat("the model ", model, " is not for text"));
  }
  if (!IsLanguageModel(model) && model != kWideDeep && !vocabularies.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the model ", model, " is not for columns of categories, ", kWideDeep, " is"));
  }
  return absl::OkStatus();
}

}  // namespace

bool IsLanguageModel(absl::string_view model) { return model == "lstm" || model == "transformer"; }

absl::StatusOr<std::unique_ptr<SupervisedTask>> SupervisedTask::Create(
    const SupervisedTaskOptions& options, data::TrainAndTest data) {
  if (options.dtype != DType::kFloat32 && options.dtype != DType::kBFloat16 &&
      options.dtype != DType::kFloat16) {
    return absl::InvalidArgumentError("a task computes in float32, bfloat16 or float16");
  }
  PARLEY_ASSIGN_OR_RETURN(data::Sampler sampler,
                          data::Sampler::Create(data.train->size(), options.batch_size,
                                                options.num_workers, options.seed));
  PARLEY_RETURN_IF_ERROR(CheckKind(options.model, *data.train));
  nn::ModelOptions model_options;
  model_options.name = options.model;
  model_options.layers = options.layers;
  model_options.width = options.width;
  model_options.heads = options.heads;
  model_options.dropout = options.dropout;
  model_options.feature_shape = data.train->feature_shape();
  const Objective objective = ObjectiveOf(options.model, *data.train);
  model_options.outputs =
      objective == Objective::kTwoClasses ? 1 : std::max(1, data.train->num_classes());
  if (objective == Objective::kTokens) {
    model_options.feature_shape = {data.train->labels_each()};
  } else {
    model_options.category_columns = static_cast<int>(data.train->vocabularies().size());
    for (const int vocabulary : data.train->vocabularies()) model_options.categories += vocabulary;
    if (model_options.categories > std::numeric_limits<int32_t>::max()) {
      return absl::InvalidArgumentError(
          absl::StrCat("the columns have ", model_options.categories, " categories together"));
    }
  }
  Backend* const backend = options.backend != nullptr ? options.backend : CpuBackend();
  PARLEY_ASSIGN_OR_RETURN(std::unique_ptr<nn::Module> model, nn::NewModel(backend, model_options));
  return std::make_unique<Task>(options, backend, std::move(data), std::move(sampler),
                                std::move(model));
}

}  // namespace parley
