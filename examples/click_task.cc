#include "examples/click_task.h"

#include <algorithm>
#include <utility>

#include "base/status.h"
#include "net/job.h"
#include "nn/loss.h"
#include "nn/metrics.h"
#include "tensor/cpu_backend.h"

namespace parley {

// Some examples of the log.
struct ClickTask::Batch {
  std::vector<uint64_t> keys;  // one for each field of each example
  std::vector<float> labels;
  std::vector<double> logits;  // those that made the log
  nn::Variable rows;
};

ClickTask::ClickTask(const ClickTaskOptions& options) : options_(options), log_(options.log) {
  nn::ClickModelOptions model;
  model.kind = options.model;
  model.fields = options.log.fields;
  model.width = options.width;
  model.hidden = options.hidden;
  model_ = nn::NewClickModel(CpuBackend(), model);
  parameters_ = model_->parameters();
}

ClickTask::~ClickTask() = default;

v1::TableSpec ClickTask::Table(int width, float learning_rate) {
  v1::TableSpec table;
  table.set_name("ids");
  table.set_width(1 + width);
  table.set_dtype(v1::FLOAT32);
  table.mutable_initializer()->mutable_normal()->set_stddev(0.05f);
  table.mutable_optimizer()->set_learning_rate(learning_rate);
  table.mutable_optimizer()->mutable_adagrad()->set_initial_accumulator(1e-4f);
  return table;
}

std::vector<v1::ParameterSpec> ClickTask::Parameters() const {
  std::vector<v1::ParameterSpec> specs;
  for (const nn::Parameter& parameter : parameters_) {
    v1::ParameterSpec& spec = specs.emplace_back();
    spec.set_name(parameter.name);
    for (const int64_t size : parameter.variable.shape().ToVector()) spec.add_shape(size);
    spec.set_dtype(v1::FLOAT32);
    *spec.mutable_initializer() = ToProto(parameter.initializer);
  }
  return specs;
}

absl::Status ClickTask::Start(absl::Span<const absl::Span<float>> parameters,
                              absl::Span<const absl::Span<float>> gradients, int64_t first_step) {
  if (client_ == nullptr) return absl::FailedPreconditionError("a ClickTask needs a client");
  for (size_t i = 0; i < parameters_.size(); ++i) {
    nn::Variable& variable = parameters_[i].variable;
    const Shape shape = variable.shape();
    variable.Bind(Tensor::Borrow(CpuBackend(), shape, parameters[i].data()),
                  Tensor::Borrow(CpuBackend(), shape, gradients[i].data()));
  }
  next_step_ = first_step;
  return absl::OkStatus();
}

absl::StatusOr<ClickTask::Batch> ClickTask::Load(int64_t step, int64_t first, int64_t size) {
  const size_t fields = static_cast<size_t>(log_.fields());
  Batch batch;
  batch.keys.resize(static_cast<size_t>(size) * fields);
  for (int64_t i = 0; i < size; ++i) {
    const data::ClickLog::Example example = log_.Get(
        first + i, absl::MakeSpan(batch.keys).subspan(static_cast<size_t>(i) * fields, fields));
    batch.labels.push_back(example.label);
    batch.logits.push_back(example.logit);
  }
  const Tensor rows(CpuBackend(), {size, log_.fields(), 1 + options_.width});
  PARLEY_RETURN_IF_ERROR(client_->PullRows(/*table=*/0, step, batch.keys, rows.span()));
  batch.rows = nn::Variable::Parameter(rows);
  return batch;
}

absl::StatusOr<StepResult> ClickTask::ComputeGradients(int64_t step, GradientReady) {
  const int64_t batches = std::max<int64_t>(1, options_.train_examples / options_.batch_size);
  const int64_t batch_index = (step * options_.num_workers + options_.worker) % batches;
  PARLEY_ASSIGN_OR_RETURN(const Batch batch,
                          Load(step, batch_index * options_.batch_size, options_.batch_size));
  for (nn::Parameter& parameter : parameters_) parameter.variable.ClearGradient();
  nn::ForwardContext context;
  context.training = true;
  context.step = step;
  const nn::Variable loss =
      nn::BinaryCrossEntropyLoss(model_->Forward(batch.rows, context), batch.labels);
  nn::Backward(loss);
  if (pushed_.valid()) PARLEY_RETURN_IF_ERROR(pushed_.get());
  pushed_ = client_->PushRowsAsync(/*table=*/0, step, batch.keys, batch.rows.gradient().span());
  next_step_ = step + 1;
  StepResult result;
  result.loss = static_cast<double>(loss.value().data()[0]);
  result.samples = options_.batch_size;
  return result;
}

absl::StatusOr<Evaluation> ClickTask::Evaluate() {
  if (pushed_.valid()) PARLEY_RETURN_IF_ERROR(pushed_.get());
  constexpr int64_t kBatch = 2000;
  const nn::NoGradientScope no_gradients;
  nn::Auc auc;
  nn::Auc best;
  Evaluation evaluation;
  double losses = 0;
  for (int64_t done = 0; done < options_.test_examples; done += kBatch) {
    const int64_t size = std::min(kBatch, options_.test_examples - done);
    PARLEY_ASSIGN_OR_RETURN(const Batch batch,
                            Load(next_step_, options_.train_examples + done, size));
    const nn::Variable logits = model_->Forward(batch.rows);
    losses +=
        static_cast<double>(nn::BinaryCrossEntropyLoss(logits, batch.labels).value().data()[0]) *
        static_cast<double>(size);
    for (size_t i = 0; i < batch.labels.size(); ++i) {
      auc.Add(logits.value().data()[i], batch.labels[i] != 0);
      best.Add(static_cast<float>(batch.logits[i]), batch.labels[i] != 0);
    }
  }
  evaluation.samples = options_.test_examples;
  evaluation.loss = losses / static_cast<double>(options_.test_examples);
  evaluation.metrics = {{"auc", auc.value()}, {"best_auc", best.value()}};
  return evaluation;
}

}  // namespace parley
