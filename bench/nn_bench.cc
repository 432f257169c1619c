// What one core computes of the built-in models, against a large square product of Eigen's (gemm)
// measured in the same run. One JSON line a case; seconds are the thread's own processor time, so
// neighbours disturb little.
//
//   nn_bench [--benchmark_filter=EXPRESSION]
//
//   matmul/WHAT   products of the models, [m, k] times [k, n]; attention's: one for each head
//   conv/WHAT     forward, filter_gradient and input_gradient of the models' convolutions;
//                 GFLOP/s count the products of the definition, also those with padding, so that
//                 a case may be above the limit
//   pool/WHAT     the maximum of 2x2, in GB/s read; its limit is memcpy
//   train/MODEL   forward and backward of a batch; its limit is what gemm's speed would give if
//                 nothing but the products of its layers took time. bench/train_bench.cc trains
//                 whole steps.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <ctime>
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

// One case: `work` runs once an iteration and does `amount` of the limit's unit, and `samples`.
struct Case {
  std::string name;
  bool moves;  // bytes, not operations
  double amount;
  double samples;  // 0: the figure is the rate of `amount`
  std::function<std::function<void()>()> prepare;
};

using Work = std::function<void()>;

Tensor Filled(const Shape& shape) {
  Tensor tensor(CpuBackend(), shape);
  for (int64_t i = 0; i < tensor.num_elements(); ++i) {
    tensor.data()[i] = static_cast<float>(i % 17 - 8) / 8;
  }
  return tensor;
}

// `batch` products.
Case Product(const std::string& name, int64_t batch, int64_t m, int64_t k, int64_t n,
             bool transpose_a, bool transpose_b) {
  return {"matmul/" + name, false, 2.0 * static_cast<double>(batch * m * k * n), 0, [=]() -> Work {
            Backend* const cpu = CpuBackend();
            const Tensor a = Filled(transpose_a ? Shape{batch, k, m} : Shape{batch, m, k});
            const Tensor b = Filled(transpose_b ? Shape{batch, n, k} : Shape{batch, k, n});
            const Tensor c(cpu, {batch, m, n});
            return [=] { cpu->BatchMatMul(1, a, transpose_a, b, transpose_b, Write::kReplace, c); };
          }};
}

// A dense layer of `rows` examples: forward, and the gradients of its kernel and input.
void AddDense(const std::string& name, int64_t rows, int64_t inputs, int64_t outputs,
              std::vector<Case>* cases) {
  cases->push_back(Product(name + "/forward", 1, rows, inputs, outputs, false, false));
  cases->push_back(Product(name + "/kernel_gradient", 1, inputs, rows, outputs, true, false));
  cases->push_back(Product(name + "/input_gradient", 1, rows, outputs, inputs, false, true));
}

void AddConvolution(const std::string& name, int64_t batch, int64_t size, int64_t inputs,
                    int64_t outputs, const Window& window, std::vector<Case>* cases) {
  const int64_t out = window.OutputHeight(size);
  const Shape shapes[] = {{batch, size, size, inputs},
                          {window.height, window.width, inputs, outputs},
                          {batch, out, out, outputs}};
  const double flops =
      2.0 * static_cast<double>(shapes[2].num_elements() * window.height * window.width * inputs);
  const Shape x = shapes[0], filter = shapes[1], y = shapes[2];
  cases->push_back({"conv/" + name + "/forward", false, flops, 0, [=]() -> Work {
                      const Tensor in = Filled(x), taps = Filled(filter), to = Filled(y);
                      return [=] { CpuBackend()->Conv2d(in, taps, window, to); };
                    }});
  cases->push_back({"conv/" + name + "/filter_gradient", false, flops, 0, [=]() -> Work {
                      const Tensor in = Filled(x), to = Filled(filter), dy = Filled(y);
                      return [=] {
                        CpuBackend()->Conv2dFilterGradient(in, dy, window, Write::kReplace, to);
                      };
                    }});
  cases->push_back({"conv/" + name + "/input_gradient", false, flops, 0, [=]() -> Work {
                      const Tensor to = Filled(x), taps = Filled(filter), dy = Filled(y);
                      return [=] {
                        CpuBackend()->Conv2dInputGradient(dy, taps, window, Write::kReplace, to);
                      };
                    }});
}

void AddPool(const std::string& name, int64_t batch, int64_t size, int64_t channels,
             std::vector<Case>* cases) {
  const Window window = {2, 2, 2, 0};
  const Shape in = {batch, size, size, channels}, out = {batch, size / 2, size / 2, channels};
  const double bytes = static_cast<double>(in.num_elements() * 4);
  cases->push_back({"pool/" + name + "/forward", true, bytes, 0, [=]() -> Work {
                      const Tensor x = Filled(in), y(CpuBackend(), out);
                      const Tensor argmax(CpuBackend(), out, DType::kInt32);
                      return [=] { CpuBackend()->MaxPool2d(x, window, y, argmax); };
                    }});
  cases->push_back({"pool/" + name + "/gradient", true, bytes, 0, [=]() -> Work {
                      const Tensor x = Filled(in), y(CpuBackend(), out);
                      const Tensor argmax(CpuBackend(), out, DType::kInt32);
                      CpuBackend()->MaxPool2d(x, window, y, argmax);
                      return [=] {
                        CpuBackend()->MaxPool2dGradient(y, argmax, window, Write::kReplace, x);
                      };
                    }});
}

// `macs`: multiplications of a sample forward; `first_macs`: of the first layer, whose input wants
// no gradient. A sample is an example, or a token of a text.
Case Train(const nn::ModelOptions& options, int64_t batch, double macs, double first_macs) {
  const bool text = options.name == "transformer";
  const int64_t rows = text ? batch * options.feature_shape[0] : batch;
  const auto samples = static_cast<double>(rows);
  return {"train/" + options.name, false, 2 * samples * (3 * macs - first_macs), samples,
          [=]() -> Work {
            std::vector<int64_t> shape = {batch};
            for (const int size : options.feature_shape) shape.push_back(size);
            Tensor input =
                text ? Tensor(CpuBackend(), Shape(shape), DType::kInt32) : Filled(Shape(shape));
            for (int64_t i = 0; text && i < input.num_elements(); ++i) {
              input.As<int32_t>()[i] = static_cast<int32_t>(i * 7 % options.outputs);
            }
            std::vector<int32_t> labels;
            for (int64_t i = 0; i < rows; ++i) {
              labels.push_back(static_cast<int32_t>(i % options.outputs));
            }
            const std::shared_ptr<nn::Module> model = nn::NewModel(CpuBackend(), options).value();
            nn::InitializeParameters(model.get(), 1);
            const std::vector<nn::Parameter> parameters = model->parameters();
            return [=] {
              for (nn::Parameter parameter : parameters) parameter.variable.ClearGradient();
              nn::ForwardContext context;
              context.training = true;
              nn::Backward(nn::SoftmaxCrossEntropyLoss(
                  model->Forward(nn::Variable::Input(input), context), labels));
            };
          }};
}

nn::ModelOptions Model(const std::string& name, const std::vector<int>& feature_shape,
                       int outputs) {
  nn::ModelOptions options;
  options.name = name;
  options.feature_shape = feature_shape;
  options.outputs = outputs;
  return options;
}

std::vector<Case> Cases() {
  std::vector<Case> cases;
  AddDense("mlp", 64, 784, 256, &cases);
  AddDense("wide_mlp", 128, 1024, 1024, &cases);
  AddDense("transformer", 1024, 256, 1024, &cases);
  cases.push_back(Product("attention/scores", 64, 128, 32, 128, false, true));
  cases.push_back(Product("attention/values", 64, 128, 128, 32, false, false));
  const Window same = {3, 3, 1, 1};
  AddConvolution("cnn1", 64, 28, 1, 16, same, &cases);
  AddConvolution("cnn2", 64, 14, 16, 32, same, &cases);
  AddConvolution("resnet_64", 32, 32, 64, 64, same, &cases);
  AddConvolution("resnet_128", 32, 16, 128, 128, same, &cases);
  AddConvolution("resnet_256", 32, 8, 256, 256, same, &cases);
  AddConvolution("resnet_512", 32, 4, 512, 512, same, &cases);
  AddConvolution("resnet_128_half", 32, 32, 64, 128, {3, 3, 2, 1}, &cases);
  AddConvolution("resnet_shortcut", 32, 32, 64, 128, {1, 1, 2, 0}, &cases);
  AddPool("cnn1", 64, 28, 16, &cases);

  cases.push_back(
      Train(Model("mlp", {28, 28, 1}, 10), 64, 784 * 256 + 256 * 128 + 128 * 10, 784 * 256));
  const double conv1 = 28 * 28 * 9 * 16, conv2 = 14 * 14 * 9 * 16 * 32;
  cases.push_back(
      Train(Model("cnn", {28, 28, 1}, 10), 64, conv1 + conv2 + 1568 * 128 + 128 * 10, conv1));
  const double stem = 1024.0 * 9 * 3 * 64;
  double resnet = stem + 4 * 1024.0 * 9 * 64 * 64 + 512 * 10;
  for (double width = 128, pixels = 256; width <= 512; width *= 2, pixels /= 4) {
    resnet += pixels * width * width * (3 * 9 + 9.0 / 2 + 1.0 / 2);
  }
  cases.push_back(Train(Model("resnet18", {32, 32, 3}, 10), 32, resnet, stem));
  nn::ModelOptions transformer = Model("transformer", {128}, 96);
  transformer.heads = 8;
  const double block = 12 * 256.0 * 256 + 2 * 128.0 * 256;
  cases.push_back(Train(transformer, 8, 4 * block + 256 * 96, 0));
  return cases;
}

double Seconds() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

// The best of some runs.
template <typename Run>
double FewestSeconds(Run run) {
  double fewest = 1e9;
  for (int i = 0; i < 10; ++i) {
    const double begin = Seconds();
    run();
    fewest = std::min(fewest, Seconds() - begin);
  }
  return fewest;
}

double GemmSpeed() {
  constexpr int kSize = 1024;
  const Eigen::MatrixXf a = Eigen::MatrixXf::Random(kSize, kSize);
  const Eigen::MatrixXf b = Eigen::MatrixXf::Random(kSize, kSize);
  Eigen::MatrixXf c(kSize, kSize);
  return 2.0 * kSize * kSize * kSize / FewestSeconds([&] { c.noalias() = a * b; });
}

double MemcpySpeed() {
  const std::vector<char> from(size_t{64} << 20, 1);
  std::vector<char> to(from.size());
  return static_cast<double>(from.size()) / FewestSeconds([&] {
           std::memcpy(to.data(), from.data(), from.size());
           benchmark::DoNotOptimize(to.data());
         });
}

void Register(const Case& each) {
  benchmark::RegisterBenchmark(each.name.c_str(), [each](benchmark::State& state) {
    const Work work = each.prepare();
    work();  // what is made once, is made
    for (auto unused : state) work();
    const auto rate = benchmark::Counter::kIsIterationInvariantRate;
    state.counters[each.moves ? "bytes" : "flops"] = benchmark::Counter(each.amount, rate);
    if (each.samples > 0) state.counters["samples"] = benchmark::Counter(each.samples, rate);
  });
}

class JsonLines final : public benchmark::BenchmarkReporter {
 public:
  JsonLines(double gemm, double memcpy) : gemm_(gemm), memcpy_(memcpy) {}

  bool ReportContext(const Context&) override { return true; }
  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& run : runs) {
      const auto& counters = run.counters;
      const bool moves = counters.find("bytes") != counters.end();
      const bool trains = counters.find("samples") != counters.end();
      const double rate = counters.at(moves ? "bytes" : "flops");
      const double limit = moves ? memcpy_ : gemm_;
      const double unit = trains ? counters.at("samples") / rate : 1e-9;
      std::cout
          << absl::StrFormat(
                 "{\"benchmark\": \"nn\", \"case\": \"%s\", \"figure\": %.1f, \"unit\": \"%s\", "
                 "\"limit_name\": \"%s\", \"limit\": %.1f, \"ratio\": %.3f}",
                 run.run_name.function_name, rate * unit,
                 trains  ? "samples/s"
                 : moves ? "GB/s"
                         : "GFLOP/s",
                 moves ? "memcpy" : "gemm", limit * unit, rate / limit)
          << std::endl;
    }
  }

 private:
  const double gemm_, memcpy_;  // a second
};

int Run(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  for (const Case& each : Cases()) Register(each);
  JsonLines lines(GemmSpeed(), MemcpySpeed());
  benchmark::RunSpecifiedBenchmarks(&lines);
  benchmark::Shutdown();
  return 0;
}

}  // namespace
}  // namespace parley

int main(int argc, char** argv) { return parley::Run(argc, argv); }
