// Training steps of a model without shards: forward, backward, and plain SGD in place, of the same
// batch again and again. bench/peers/train.py does the same in PyTorch, and bench/peers/compare
// runs both. Prints one JSON line: samples/s, a text's tokens for the transformer, by processor
// time on a CPU and by the clock on a GPU, the median of some groups of steps; how much the
// process's memory rose at most over what it was before the model was made; and what was run.
//
//   train_bench --model=NAME [--device=cpu] [--dtype=float32] [--batch=N] [--steps=N]
//
//   mlp          784 features to 10 classes
//   cnn          images of 28x28 to 10 classes
//   transformer  texts of 128 ids out of 256
//   resnet18     images of 32x32x3 to 10 classes
//   mlp1g        four dense layers of 8192x8192, ReLU between: 1 GiB of parameters in float32
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_format.h"
#include "base/flags.h"
#include "cuda/cuda_backend.h"
#include "gflags/gflags.h"
#include "nn/elementwise.h"
#include "nn/init.h"
#include "nn/layers/activations.h"
#include "nn/layers/dense.h"
#include "nn/layers/sequential.h"
#include "nn/loss.h"
#include "nn/models.h"
#include "tensor/cpu_backend.h"

DEFINE_string(model, "mlp", "mlp, cnn, transformer, resnet18 or mlp1g.");
DEFINE_string(device, "cpu", "cpu, or cuda: the first GPU that is visible.");
DEFINE_string(dtype, "float32", "float32, bfloat16 or float16; parameters stay float32.");
DEFINE_bool(tf32, false, "Round the factors of products in float32 to 10 bits, on a GPU.");
DEFINE_int32(batch, 0, "Examples in a step. 0: the model's own.");
DEFINE_int32(steps, 0, "Steps that are measured. 0: the model's own.");

namespace parley {
namespace {

constexpr double kLearningRate = 0.01;
constexpr int kGroups = 5;
constexpr int64_t kWide = 8192;

struct Workload {
  const char* name;
  std::vector<int> feature_shape;
  int outputs;
  // Of a step, and how many steps take some seconds.
  int cpu_batch;
  int cpu_steps;
  int cuda_batch;
  int cuda_steps;
};

const Workload kWorkloads[] = {
    {"mlp", {28, 28, 1}, 10, 64, 1000, 1024, 2000},
    {"cnn", {28, 28, 1}, 10, 64, 150, 1024, 1000},
    {"transformer", {128}, 256, 8, 10, 64, 300},
    {"resnet18", {32, 32, 3}, 10, 32, 5, 256, 100},
    {"mlp1g", {static_cast<int>(kWide)}, static_cast<int>(kWide), 64, 3, 2048, 50},
};

CommandLine GetCommandLine() {
  CommandLine command_line;
  command_line.program = "train_bench";
  command_line.usage = "train_bench [flags]\n\nMeasures training steps of a model, without shards.";
  command_line.groups = {{"What is run", {"model", "device", "dtype", "tf32", "batch", "steps"}}};
  return command_line;
}

void Require(const absl::Status& status) {
  if (status.ok()) return;
  std::cerr << "train_bench: " << status << std::endl;
  std::exit(1);
}

std::unique_ptr<nn::Module> NewWideMlp(Backend* backend) {
  std::vector<std::unique_ptr<nn::Module>> layers;
  for (int i = 1; i <= 4; ++i) {
    if (i > 1) layers.push_back(nn::NewRelu());
    layers.push_back(nn::NewDense(backend, "dense" + std::to_string(i), kWide, kWide,
                                  Initializer::GlorotUniform(kWide, kWide)));
  }
  return nn::NewSequential(std::move(layers));
}

// It computes in the dtype of its input, as the layers do; the others cast theirs.
std::unique_ptr<nn::Module> NewModel(Backend* backend, const Workload& workload) {
  if (std::string(workload.name) == "mlp1g") return NewWideMlp(backend);
  absl::StatusOr<std::unique_ptr<nn::Module>> model =
      nn::NewModel(backend, workload.name, workload.feature_shape, workload.outputs);
  Require(model.status());
  return *std::move(model);
}

// Numbers that look random: an integer hash of the index.
uint32_t Scrambled(int64_t i) {
  auto bits = static_cast<uint32_t>(i) * 0x9e3779b9u;
  bits ^= bits >> 15;
  return bits * 0x85ebca6bu;
}

Tensor NewIds(Backend* backend, const Shape& shape, int below) {
  std::vector<int32_t> ids(static_cast<size_t>(shape.num_elements()));
  for (size_t i = 0; i < ids.size(); ++i) {
    ids[i] = static_cast<int32_t>((Scrambled(static_cast<int64_t>(i)) >> 8) %
                                  static_cast<uint32_t>(below));
  }
  const Tensor tensor(backend, shape, DType::kInt32);
  backend->CopyFromHost(ids.data(), tensor);
  return tensor;
}

// In [-1, 1).
Tensor NewFeatures(Backend* backend, const Shape& shape, DType dtype) {
  std::vector<float> values(static_cast<size_t>(shape.num_elements()));
  for (size_t i = 0; i < values.size(); ++i) {
    const uint32_t bits = Scrambled(static_cast<int64_t>(i)) >> 8;
    values[i] = static_cast<float>(bits) * 0x1p-23f - 1;
  }
  const Tensor tensor(backend, shape);
  backend->CopyFromHost(values.data(), tensor);
  if (dtype == DType::kFloat32) return tensor;
  Tensor cast(backend, shape, dtype);
  backend->Cast(tensor, Write::kReplace, cast);
  return cast;
}

double Seconds(bool of_processor) {
  if (!of_processor) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
  }
  timespec time;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

// "VmRSS", now; "VmHWM", the most since ForgetPeak.
double MemoryMib(const std::string& field) {
  std::ifstream file("/proc/self/status");
  std::string word;
  while (file >> word) {
    double kib = 0;
    if (word == field + ":" && file >> kib) return kib / 1024;
  }
  return 0;
}

void ForgetPeak() { std::ofstream("/proc/self/clear_refs") << "5"; }

class Training {
 public:
  Training(Backend* backend, const Workload& workload, DType dtype, int64_t batch)
      : backend_(backend), model_(NewModel(backend, workload)), parameters_(model_->parameters()) {
    nn::InitializeParameters(model_.get(), 1);
    std::vector<int64_t> shape = {batch};
    for (const int size : workload.feature_shape) shape.push_back(size);
    const bool text = std::string(workload.name) == "transformer";
    samples_ = text ? batch * workload.feature_shape[0] : batch;
    // The models take float32 and cast it, mlp1g what it computes in.
    const bool wide = std::string(workload.name) == "mlp1g";
    input_ = text ? NewIds(backend, Shape(shape), workload.outputs)
                  : NewFeatures(backend, Shape(shape), wide ? dtype : DType::kFloat32);
    labels_ = NewIds(backend, {samples_}, workload.outputs);
    context_.training = true;
    context_.dtype = dtype;
  }

  void Step() {
    loss_ = nn::SoftmaxCrossEntropyLoss(model_->Forward(nn::Variable::Input(input_), context_),
                                        labels_);
    nn::Backward(loss_);
    for (nn::Parameter& parameter : parameters_) {
      const double rate = parameter.averaged.value_or(static_cast<float>(kLearningRate));
      backend_->Affine(-rate, parameter.variable.gradient(), 0, Write::kAdd,
                       parameter.variable.value());
      parameter.variable.ClearGradient();
    }
    ++context_.step;
  }

  int64_t samples() const { return samples_; }
  double Loss() const {
    float loss = 0;
    Require(backend_->CopyToHost(loss_.value(), &loss));
    return static_cast<double>(loss);
  }

 private:
  Backend* const backend_;
  const std::unique_ptr<nn::Module> model_;
  std::vector<nn::Parameter> parameters_;
  nn::ForwardContext context_;
  int64_t samples_ = 0;
  Tensor input_;
  Tensor labels_;
  nn::Variable loss_;
};

// The program's pages are read when they are first used: that is no memory of the model's.
void LoadProgram(Backend* backend) {
  const std::unique_ptr<nn::Module> dense =
      nn::NewDense(backend, "dense", 8, 4, Initializer::HeNormal(8));
  nn::InitializeParameters(dense.get(), 1);
  const Tensor input = NewFeatures(backend, {2, 8}, DType::kFloat32);
  const nn::Variable loss = nn::SoftmaxCrossEntropyLoss(
      nn::Relu(dense->Forward(nn::Variable::Input(input))), NewIds(backend, {2}, 4));
  nn::Backward(loss);
  Require(backend->Synchronize());
}

int Run(const Workload& workload, Backend* backend, DType dtype) {
  const bool on_cpu = backend == CpuBackend();
  const int own_batch = on_cpu ? workload.cpu_batch : workload.cuda_batch;
  const int own_steps = on_cpu ? workload.cpu_steps : workload.cuda_steps;
  const int batch = FLAGS_batch > 0 ? FLAGS_batch : own_batch;
  const int groups = std::min(kGroups, FLAGS_steps > 0 ? FLAGS_steps : own_steps);
  const int group = (FLAGS_steps > 0 ? FLAGS_steps : own_steps) / groups;
  const int warm_up = on_cpu ? 1 : 20;

  LoadProgram(backend);
  ForgetPeak();
  const double before = MemoryMib("VmRSS");
  Training training(backend, workload, dtype, batch);
  for (int i = 0; i < warm_up; ++i) training.Step();
  Require(backend->Synchronize());
  std::vector<double> seconds;
  for (int i = 0; i < groups; ++i) {
    const double begin = Seconds(on_cpu);
    for (int j = 0; j < group; ++j) training.Step();
    Require(backend->Synchronize());
    seconds.push_back((Seconds(on_cpu) - begin) / group);
  }
  std::sort(seconds.begin(), seconds.end());
  const double step = seconds[seconds.size() / 2];
  std::cout << absl::StrFormat(
                   "{\"benchmark\": \"train\", \"case\": \"%s\", \"figure\": %.1f, \"unit\": "
                   "\"samples/s\", \"step_ms\": %.3f, \"growth_mib\": %.1f, \"peak_mib\": %.1f, "
                   "\"loss\": %.4f, \"device\": \"%s\", \"dtype\": \"%s\", \"tf32\": %s, "
                   "\"batch\": %d, \"warm_up\": %d, \"groups\": %d, \"group\": %d}",
                   workload.name, static_cast<double>(training.samples()) / step, step * 1e3,
                   MemoryMib("VmHWM") - before, MemoryMib("VmHWM"), training.Loss(), FLAGS_device,
                   NameOf(dtype), FLAGS_tf32 ? "true" : "false", batch, warm_up, groups, group)
            << std::endl;
  return 0;
}

int Main(int argc, char** argv) {
  const CommandLine command_line = GetCommandLine();
  ParseFlags(command_line, argc, argv);
  const Workload* workload = nullptr;
  for (const Workload& each : kWorkloads) {
    if (FLAGS_model == each.name) workload = &each;
  }
  if (workload == nullptr) ExitWithFlagError(command_line, "there is no --model=" + FLAGS_model);
  DType dtype = DType::kInt32;
  for (const DType each : {DType::kFloat32, DType::kBFloat16, DType::kFloat16}) {
    if (FLAGS_dtype == NameOf(each)) dtype = each;
  }
  if (!IsFloating(dtype)) ExitWithFlagError(command_line, "there is no --dtype=" + FLAGS_dtype);
  if (FLAGS_batch < 0) ExitWithFlagError(command_line, "--batch is negative");
  if (FLAGS_steps < 0) ExitWithFlagError(command_line, "--steps is negative");
  if (FLAGS_device == "cpu") return Run(*workload, CpuBackend(), dtype);
  if (FLAGS_device != "cuda") {
    ExitWithFlagError(command_line, "--device=" + FLAGS_device + " is none of cpu, cuda");
  }
  CudaBackendOptions options;
  options.allow_tf32 = FLAGS_tf32;
  const absl::StatusOr<Backend*> backend = CudaBackend(0, options);
  Require(backend.status());
  return Run(*workload, *backend, dtype);
}

}  // namespace
}  // namespace parley

int main(int argc, char** argv) { return parley::Main(argc, argv); }
