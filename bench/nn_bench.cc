// What one core computes of the built-in models, against a large square product of Eigen's (gemm)
// measured in the same run. One JSON line a case; seconds are the thread's own processor time, so
// neighbours disturb little.
//
//   convN/forward, convN/filter_gradient, convN/input_gradient
//                 the convolutions of `cnn` on 64 images of 28x28; GFLOP/s count the products of
//                 the definition
//   dense1/...    its large dense layer, likewise
//   train/MODEL   forward and backward of a batch of 64; its limit is what gemm's speed would give
//   if nothing but the
//                 products of its layers took time
#include <cstdint>
#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "Eigen/Core"
#include "absl/strings/str_format.h"
#include "benchmark/benchmark.h"
#include "nn/init.h"
#include "nn/loss.h"
#include "nn/models.h"
#include "tensor/cpu_backend.h"

namespace parley {
namespace {

constexpr int64_t kBatch = 64;

// One case: `work` runs once an iteration and does `flops` and `samples`.
struct Case {
  std::string name;
  double flops;
  double samples;  // 0: the figure is GFLOP/s
  std::function<void()> work;
};

Tensor Filled(const Shape& shape) {
  Tensor tensor(CpuBackend(), shape);
  for (int64_t i = 0; i < tensor.num_elements(); ++i) {
    tensor.data()[i] = static_cast<float>(i % 17 - 8) / 8;
  }
  return tensor;
}

Case Gemm() {
  constexpr int kSize = 1024;
  const Eigen::MatrixXf a = Eigen::MatrixXf::Random(kSize, kSize);
  const Eigen::MatrixXf b = Eigen::MatrixXf::Random(kSize, kSize);
  auto c = std::make_shared<Eigen::MatrixXf>(kSize, kSize);
  return {"gemm", 2.0 * kSize * kSize * kSize, 0, [=] { c->noalias() = a * b; }};
}

void AddConvolution(const std::string& name, int64_t size, int64_t inputs, int64_t outputs,
                    std::vector<Case>* cases) {
  Backend* const cpu = CpuBackend();
  const Window window = {3, 3, 1, 1};
  const Tensor x = Filled({kBatch, size, size, inputs}), dx(cpu, x.shape());
  const Tensor filter = Filled({3, 3, inputs, outputs}), dfilter(cpu, filter.shape());
  const Tensor y(cpu, {kBatch, size, size, outputs}), dy = Filled(y.shape());
  const double flops = 2.0 * static_cast<double>(kBatch * size * size * 9 * inputs * outputs);
  cases->push_back({name + "/forward", flops, 0, [=] { cpu->Conv2d(x, filter, window, y); }});
  cases->push_back({name + "/filter_gradient", flops, 0,
                    [=] { cpu->Conv2dFilterGradient(x, dy, window, Write::kReplace, dfilter); }});
  cases->push_back({name + "/input_gradient", flops, 0,
                    [=] { cpu->Conv2dInputGradient(dy, filter, window, Write::kReplace, dx); }});
}

void AddDense(const std::string& name, int64_t inputs, int64_t outputs, std::vector<Case>* cases) {
  Backend* const cpu = CpuBackend();
  const Tensor x = Filled({kBatch, inputs}), dx(cpu, x.shape());
  const Tensor kernel = Filled({inputs, outputs}), dkernel(cpu, kernel.shape());
  const Tensor y(cpu, {kBatch, outputs}), dy = Filled(y.shape());
  const double flops = 2.0 * static_cast<double>(kBatch * inputs * outputs);
  cases->push_back({name + "/forward", flops, 0,
                    [=] { cpu->MatMul(x, false, kernel, false, Write::kReplace, y); }});
  cases->push_back({name + "/kernel_gradient", flops, 0,
                    [=] { cpu->MatMul(x, true, dy, false, Write::kReplace, dkernel); }});
  cases->push_back({name + "/input_gradient", flops, 0,
                    [=] { cpu->MatMul(dy, false, kernel, true, Write::kReplace, dx); }});
}

// `macs`: multiplications of a sample forward; `first_macs`: of the first layer, whose input wants
// no gradient.
Case Train(const std::string& name, double macs, double first_macs) {
  const std::shared_ptr<nn::Module> model =
      nn::NewModel(CpuBackend(), name, {28, 28, 1}, 10).value();
  nn::InitializeParameters(model.get(), 1);
  const Tensor images = Filled({kBatch, 28, 28, 1});
  std::vector<int32_t> labels;
  for (int64_t i = 0; i < kBatch; ++i) labels.push_back(static_cast<int32_t>(i % 10));
  const std::vector<nn::Parameter> parameters = model->parameters();
  return {"train/" + name, 2 * kBatch * (3 * macs - first_macs), kBatch, [=] {
            for (nn::Parameter parameter : parameters) parameter.variable.ClearGradient();
            nn::Backward(
                nn::SoftmaxCrossEntropyLoss(model->Forward(nn::Variable::Input(images)), labels));
          }};
}

// Prints a line a case, each against the first, which is gemm.
class JsonLines final : public benchmark::BenchmarkReporter {
 public:
  bool ReportContext(const Context&) override { return true; }
  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& run : runs) {
      const double gflops = run.counters.at("flops") * 1e-9;
      if (gemm_ == 0) {
        gemm_ = gflops;
        continue;
      }
      const auto samples = run.counters.find("samples");
      const bool trains = samples != run.counters.end();
      const double figure = trains ? static_cast<double>(samples->second) : gflops;
      std::cout << absl::StrFormat(
                       "{\"benchmark\": \"nn\", \"case\": \"%s\", \"figure\": %.1f, \"unit\": "
                       "\"%s\", \"limit_name\": \"gemm\", \"limit\": %.1f, \"ratio\": %.3f}",
                       run.run_name.function_name, figure, trains ? "samples/s" : "GFLOP/s",
                       figure * gemm_ / gflops, gflops / gemm_)
                << std::endl;
    }
  }

 private:
  double gemm_ = 0;
};

int Run() {
  std::vector<Case> cases = {Gemm()};
  AddConvolution("conv1", 28, 1, 16, &cases);
  AddConvolution("conv2", 14, 16, 32, &cases);
  AddDense("dense1", 7 * 7 * 32, 128, &cases);
  const double conv1 = 28 * 28 * 9 * 16, conv2 = 14 * 14 * 9 * 16 * 32;
  cases.push_back(Train("linear", 784 * 10, 784 * 10));
  cases.push_back(Train("mlp", 784 * 256 + 256 * 128 + 128 * 10, 784 * 256));
  cases.push_back(Train("cnn", conv1 + conv2 + 1568 * 128 + 128 * 10, conv1));
  for (const Case& each : cases) {
    benchmark::RegisterBenchmark(each.name.c_str(), [&each](benchmark::State& state) {
      for (auto unused : state) each.work();
      const auto rate = benchmark::Counter::kIsIterationInvariantRate;
      state.counters["flops"] = benchmark::Counter(each.flops, rate);
      if (each.samples > 0) state.counters["samples"] = benchmark::Counter(each.samples, rate);
    });
  }
  JsonLines lines;
  benchmark::RunSpecifiedBenchmarks(&lines);
  benchmark::Shutdown();
  return 0;
}

}  // namespace
}  // namespace parley

int main() { return parley::Run(); }
