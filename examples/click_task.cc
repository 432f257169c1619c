#include "examples/click_task.h"

#include <algorithm>
#include <utility>

#include "base/status.h"
#include "net/job.h"
#include "nn/elementwise.h"
#include "nn/loss.h"
#include "nn/metrics.h"
#include "tensor/cpu_backend.h"

namespace parley {

// Some examples, and what belongs to them.
struct ClickTask::Batch {
  data::ClickBatch examples;
  std::vector<double> logits;  // those that made the log
  std::vector<uint64_t> keys;  // of the features that are not 0
  std::vector<size_t> places;  // of these in `rows`
  nn::Variable rows;           // [batch, fields, 1 + width]
  nn::Variable input;          // rows times values
};

ClickTask::ClickTask(const ClickTaskOptions& options)
    : options_(options),
      fields_(options.train_files.empty() ? options.log.fields : options.files.fields),
      log_(options.log) {
  nn::ClickModelOptions model;
  model.kind = options.model;
  model.fields = fields_;
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
  if (options_.train_files.empty()) return absl::OkStatus();
  data::ClickFilesOptions mine = options_.files;
  mine.part = options_.worker;
  mine.parts = options_.num_workers;
  PARLEY_ASSIGN_OR_RETURN(train_files_, data::ClickFiles::Open(options_.train_files, mine));
  for (int64_t step = 0; step < first_step; ++step) {
    data::ClickBatch passed;
    PARLEY_RETURN_IF_ERROR(train_files_->Fill(options_.batch_size, &passed));
  }
  return absl::OkStatus();
}

ClickTask::Batch ClickTask::FromLog(int64_t first, int64_t size) const {
  const size_t fields = static_cast<size_t>(fields_);
  Batch batch;
  batch.examples.keys.resize(static_cast<size_t>(size) * fields);
  batch.examples.values.resize(batch.examples.keys.size(), 1.0f);
  for (int64_t i = 0; i < size; ++i) {
    const data::ClickLog::Example example = log_.Get(
        first + i,
        absl::MakeSpan(batch.examples.keys).subspan(static_cast<size_t>(i) * fields, fields));
    batch.examples.labels.push_back(example.label);
    batch.logits.push_back(example.logit);
  }
  return batch;
}

absl::Status ClickTask::PullRows(int64_t step, Batch* batch) {
  const std::vector<float>& values = batch->examples.values;
  const int64_t size = static_cast<int64_t>(batch->examples.labels.size());
  const size_t width = 1 + static_cast<size_t>(options_.width);
  bool all_ones = true;
  for (size_t i = 0; i < values.size(); ++i) {
    all_ones = all_ones && values[i] == 1;
    if (values[i] == 0) continue;
    batch->keys.push_back(batch->examples.keys[i]);
    batch->places.push_back(i);
  }
  const Tensor rows(CpuBackend(), {size, fields_, static_cast<int64_t>(width)});
  const absl::Span<float> elements = rows.span();
  const absl::Span<float> pulled = elements.subspan(0, batch->keys.size() * width);
  PARLEY_RETURN_IF_ERROR(client_->PullRows(/*table=*/0, step, batch->keys, pulled));
  // Rows go backwards to places that are not before them; zeros to the others.
  size_t left = batch->places.size();
  for (size_t i = values.size(); i-- > 0;) {
    float* const to = elements.data() + i * width;
    if (values[i] == 0) {
      std::fill_n(to, width, 0.0f);
    } else if (--left != i) {
      std::copy_n(elements.data() + left * width, width, to);
    }
  }
  batch->rows = nn::Variable::Parameter(rows);
  batch->input = batch->rows;
  if (!all_ones) {
    const Tensor factors(CpuBackend(), {size, fields_, 1});
    std::copy(values.begin(), values.end(), factors.span().begin());
    batch->input = nn::Multiply(batch->rows, nn::Variable::Input(factors));
  }
  return absl::OkStatus();
}

absl::StatusOr<StepResult> ClickTask::ComputeGradients(int64_t step, GradientReady) {
  Batch batch;
  if (train_files_ != nullptr) {
    PARLEY_RETURN_IF_ERROR(train_files_->Fill(options_.batch_size, &batch.examples));
  } else {
    const int64_t batches = std::max<int64_t>(1, options_.train_examples / options_.batch_size);
    const int64_t batch_index = (step * options_.num_workers + options_.worker) % batches;
    batch = FromLog(batch_index * options_.batch_size, options_.batch_size);
  }
  PARLEY_RETURN_IF_ERROR(PullRows(step, &batch));
  for (nn::Parameter& parameter : parameters_) parameter.variable.ClearGradient();
  nn::ForwardContext context;
  context.training = true;
  context.step = step;
  const nn::Variable loss =
      nn::BinaryCrossEntropyLoss(model_->Forward(batch.input, context), batch.examples.labels);
  nn::Backward(loss);
  if (pushed_.valid()) PARLEY_RETURN_IF_ERROR(pushed_.get());
  const absl::Span<float> gradients = batch.rows.gradient().span();
  const size_t width = 1 + static_cast<size_t>(options_.width);
  for (size_t i = 0; i < batch.places.size(); ++i) {
    if (batch.places[i] == i) continue;
    std::copy_n(gradients.data() + batch.places[i] * width, width, gradients.data() + i * width);
  }
  pushed_ = client_->PushRowsAsync(/*table=*/0, step, batch.keys,
                                   gradients.subspan(0, batch.keys.size() * width));
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
  std::unique_ptr<data::ClickFiles> files;
  if (train_files_ != nullptr) {
    PARLEY_ASSIGN_OR_RETURN(files, data::ClickFiles::Open(options_.test_files, options_.files));
  }
  nn::Auc auc;
  nn::Auc best;
  Evaluation evaluation;
  double losses = 0;
  bool more = true;
  while (more && evaluation.samples < options_.test_examples) {
    int64_t size = std::min(kBatch, options_.test_examples - evaluation.samples);
    Batch batch;
    if (files == nullptr) {
      batch = FromLog(options_.train_examples + evaluation.samples, size);
    } else {
      while (more && static_cast<int64_t>(batch.examples.labels.size()) < size) {
        PARLEY_ASSIGN_OR_RETURN(more, files->Next(&batch.examples));
      }
      size = static_cast<int64_t>(batch.examples.labels.size());
      if (size == 0) break;
    }
    PARLEY_RETURN_IF_ERROR(PullRows(next_step_, &batch));
    const std::vector<float>& labels = batch.examples.labels;
    const nn::Variable logits = model_->Forward(batch.input);
    losses += static_cast<double>(nn::BinaryCrossEntropyLoss(logits, labels).value().data()[0]) *
              static_cast<double>(size);
    for (size_t i = 0; i < labels.size(); ++i) {
      auc.Add(logits.value().data()[i], labels[i] != 0);
      if (files == nullptr) best.Add(static_cast<float>(batch.logits[i]), labels[i] != 0);
    }
    evaluation.samples += size;
  }
  evaluation.loss = losses / static_cast<double>(evaluation.samples);
  evaluation.metrics = {{"auc", auc.value()}};
  if (files == nullptr) evaluation.metrics.emplace_back("best_auc", best.value());
  return evaluation;
}

}  // namespace parley
