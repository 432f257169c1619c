// What one core moves and computes in the operations of the CPU backend that are not products:
// GB/s of their inputs and outputs, each read or written once, beside memcpy's in the same run.
//
//   memcpy/N                      a copy of N floats
//   add, scale_add, bias, multiply_column
//                                 elementwise sums: of two tensors, axpy, and with broadcasting
//   relu, gelu, tanh, exp, sigmoid, gelu_gradient
//   sum, column_sums, row_sums    reductions of [N / 512, 512]
//   transpose, heads, slice       [N / 512, 512] transposed; [b, t, h, d] to [b, h, t, d]; half
//   softmax, cross_entropy, layer_norm, layer_norm_gradient, batch_norm, batch_norm_gradient
//                                 of [N / 512, 512], or images of 64 channels
//   dropout, to_bfloat16, gather, scatter_add
//
// Names end in the dtype and N, the number of elements: 2^16 stay in the caches, 2^22 do not.
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "benchmark/benchmark.h"
#include "tensor/cpu_backend.h"

namespace parley {
namespace {

Tensor Filled(const Shape& shape, DType dtype) {
  const Tensor values(CpuBackend(), shape), tensor(CpuBackend(), shape, dtype);
  for (int64_t i = 0; i < values.num_elements(); ++i) {
    values.data()[i] = static_cast<float>(i % 41 - 20) / 8;
  }
  CpuBackend()->Cast(values, Write::kReplace, tensor);
  return tensor;
}

// A case that reads and writes `passes` tensors of N elements.
void Add(const std::string& name, DType dtype, int64_t count, double passes,
         std::function<void()> work) {
  benchmark::RegisterBenchmark(
      absl::StrCat(name, "/", NameOf(dtype), "/", count).c_str(), [=](benchmark::State& state) {
        for (auto _ : state) {
          work();
          benchmark::ClobberMemory();
        }
        state.counters["GB/s"] =
            benchmark::Counter(static_cast<double>(state.iterations() * count) * passes *
                                   static_cast<double>(SizeOf(dtype)) / 1e9,
                               benchmark::Counter::kIsRate);
      });
}

void AddCases(DType dtype, int64_t count) {
  Backend* const cpu = CpuBackend();
  constexpr int64_t kColumns = 512;
  constexpr Write kReplace = Write::kReplace;
  const int64_t rows = count / kColumns;
  const Shape matrix = {rows, kColumns};
  const Tensor a = Filled(matrix, dtype), b = Filled(matrix, dtype), c = Filled(matrix, dtype);
  const Tensor row = Filled({kColumns}, dtype), column = Filled({rows, 1}, dtype);
  const Tensor scalar = Filled({}, dtype);
  const auto add = [&](const std::string& name, double passes, std::function<void()> work) {
    Add(name, dtype, count, passes, std::move(work));
  };
  add("memcpy", 2, [=] { std::memcpy(c.As<void>(), a.As<void>(), a.bytes()); });
  add("add", 3, [=] { cpu->Binary(BinaryOp::kAdd, a, b, kReplace, c); });
  add("scale_add", 3, [=] { cpu->Affine(0.0001, a, 0, Write::kAdd, c); });
  add("bias", 2, [=] { cpu->Binary(BinaryOp::kAdd, a, row, kReplace, c); });
  add("multiply_column", 2, [=] { cpu->Binary(BinaryOp::kMultiply, a, column, kReplace, c); });
  const auto unary = [&](const std::string& name, UnaryOp op) {
    add(name, 2, [=] { cpu->Unary(op, a, c); });
  };
  unary("relu", UnaryOp::kRelu);
  unary("gelu", UnaryOp::kGelu);
  unary("tanh", UnaryOp::kTanh);
  unary("exp", UnaryOp::kExp);
  unary("sigmoid", UnaryOp::kSigmoid);
  add("gelu_gradient", 3, [=] { cpu->UnaryGradient(UnaryOp::kGelu, a, {}, b, kReplace, c); });
  add("sum", 1, [=] { cpu->Reduce(Reduction::kSum, a, kReplace, scalar); });
  add("column_sums", 1, [=] { cpu->Reduce(Reduction::kSum, a, kReplace, row); });
  add("row_sums", 1, [=] { cpu->Reduce(Reduction::kSum, a, kReplace, column); });
  const Tensor transposed(cpu, {kColumns, rows}, dtype);
  add("transpose", 2, [=] { cpu->Permute(a, {1, 0}, kReplace, transposed); });
  const Tensor heads = a.Reshape({rows / 64, 64, 8, 64}), apart = c.Reshape({rows / 64, 8, 64, 64});
  add("heads", 2, [=] { cpu->Permute(heads, {0, 2, 1, 3}, kReplace, apart); });
  const Tensor half(cpu, {rows, kColumns / 2}, dtype);
  add("slice", 1, [=] { cpu->ReadSlice(a, {0, kColumns / 2}, kReplace, half); });
  add("softmax", 2, [=] { cpu->Softmax(a, false, c); });
  const Tensor labels(cpu, {rows}, DType::kInt32);
  cpu->Fill(3, labels);
  add("cross_entropy", 2, [=] { cpu->SoftmaxCrossEntropy(a, labels, c, scalar); });

  const DType statistics = DType::kFloat32;
  const Tensor gamma = Filled({kColumns}, statistics), mean(cpu, {rows}, statistics);
  const Tensor rstd(cpu, {rows}, statistics), dgamma(cpu, {kColumns}, statistics);
  const Tensor dbeta(cpu, {kColumns}, statistics);
  cpu->LayerNorm(a, gamma, gamma, 1e-5, c, mean, rstd);
  add("layer_norm", 2, [=] { cpu->LayerNorm(a, gamma, gamma, 1e-5, c, mean, rstd); });
  add("layer_norm_gradient", 5, [=] {
    cpu->LayerNormGradient(a, gamma, mean, rstd, b, kReplace, c);
    cpu->LayerNormParameterGradient(a, mean, rstd, b, dgamma, dbeta);
  });
  const Shape image = {count / 64, 64};
  const Tensor x = a.Reshape(image), dy = b.Reshape(image), y = c.Reshape(image);
  const Tensor scale = Filled({64}, statistics), means = Filled({64}, statistics);
  const Tensor variance = Filled({64}, statistics), dscale(cpu, {64}, statistics);
  const Tensor dshift(cpu, {64}, statistics);
  add("batch_norm", 3, [=] { cpu->BatchNorm(x, scale, scale, 1e-5, y, means, variance); });
  add("batch_norm_gradient", 5, [=] {
    cpu->BatchNormGradient(x, scale, means, variance, 1e-5, dy, kReplace, y, dscale, dshift);
  });
  add("dropout", 2, [=] { cpu->Dropout(a, 0.1, 1, 2, kReplace, c); });
  const Tensor narrow(cpu, matrix, DType::kBFloat16);
  add("to_bfloat16", dtype == DType::kFloat32 ? 1.5 : 2, [=] { cpu->Cast(a, kReplace, narrow); });
  const Tensor indices(cpu, {rows}, DType::kInt32);
  for (int64_t i = 0; i < rows; ++i) {
    indices.int_data()[i] = static_cast<int32_t>(i * 7919 % rows);
  }
  add("gather", 2, [=] { cpu->GatherRows(a, indices, c); });
  add("scatter_add", 3, [=] { cpu->ScatterAddRows(a, indices, kReplace, c); });
}

}  // namespace
}  // namespace parley

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  for (const parley::DType dtype : {parley::DType::kFloat32, parley::DType::kBFloat16}) {
    for (const int64_t count : {int64_t{1} << 16, int64_t{1} << 22}) {
      parley::AddCases(dtype, count);
    }
  }
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
