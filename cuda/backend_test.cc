// What every backend keeps to, and that the GPU computes what the CPU does. Each test runs on the
// CPU, which shows that the test itself is right, and on the first CUDA device, where one is
// usable.
#include "tensor/backend.h"

#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cuda/cuda_backend.h"
#include "gtest/gtest.h"
#include "tensor/cpu_backend.h"
#include "tensor/tensor.h"
#include "tensor/testing/backend_suite.h"

namespace parley {
namespace {

constexpr size_t kMiB = size_t{1} << 20;

absl::StatusOr<Backend*> BackendOf(const std::string& device) {
  if (device == "cpu") return CpuBackend();
  return CudaBackend(0);
}

class DeviceTest : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    const absl::StatusOr<Backend*> backend = BackendOf(GetParam());
    if (!backend.ok()) GTEST_SKIP() << backend.status();
    backend_ = *backend;
    ASSERT_TRUE(backend_->Synchronize().ok()) << backend_->Synchronize();
  }

  Tensor Upload(const std::vector<float>& values, const Shape& shape) {
    Tensor tensor(backend_, shape);
    backend_->CopyFromHost(values.data(), tensor);
    return tensor;
  }

  std::vector<float> Download(const Tensor& tensor) {
    std::vector<float> values(tensor.num_elements());
    const absl::Status status = backend_->CopyToHost(tensor, values.data());
    EXPECT_TRUE(status.ok()) << status;
    return values;
  }

  // Long enough, on a GPU, for everything that is called after it to be enqueued before it ends.
  void Busy() {
    const Tensor a(backend_, {Size()[0], Size()[0]}), b(backend_, a.shape());
    backend_->Fill(1, a);
    for (int i = 0; i < (GetParam() == "cpu" ? 1 : 20); ++i) {
      backend_->MatMul(a, false, a, false, Write::kReplace, b);
    }
  }
  Shape Size() const { return {GetParam() == "cpu" ? 64 : 4096}; }

  Backend* backend_ = nullptr;
};

Backend* FirstCudaDevice() {
  const absl::StatusOr<Backend*> backend = CudaBackend(0);
  return backend.ok() ? *backend : nullptr;
}

// The CPU's own test holds it to the same.
INSTANTIATE_TEST_SUITE_P(Cuda, BackendSuite,
                         ::testing::Combine(::testing::Values(&FirstCudaDevice),
                                            ::testing::ValuesIn(kFloatingTypes)),
                         BackendSuiteName);

INSTANTIATE_TEST_SUITE_P(All, DeviceTest, ::testing::Values("cpu", "cuda"),
                         [](const auto& device) { return device.param; });

TEST_P(DeviceTest, ABufferMayBeReusedWhenCopyFromHostReturns) {
  for (const int64_t elements : {int64_t{1}, int64_t{1000}, int64_t{1} << 20, int64_t{5} << 20}) {
    Busy();
    std::vector<float> values(elements, 3);
    const Tensor tensor = Upload(values, {elements});
    std::fill(values.begin(), values.end(), 7);
    EXPECT_EQ(Download(tensor), std::vector<float>(elements, 3)) << elements;
  }
}

TEST_P(DeviceTest, AComputationComesAfterTheTransferOfItsInput) {
  constexpr int64_t kElements = 8 << 20;
  const std::shared_ptr<void> host = backend_->AllocateHost(kElements * sizeof(float));
  auto* const values = static_cast<float*>(host.get());
  const Tensor x(backend_, {kElements}), y(backend_, {kElements});
  for (int round = 1; round <= 3; ++round) {
    backend_->Fill(0, x);
    std::fill_n(values, kElements, static_cast<float>(round));
    const auto transfer = backend_->StartCopyFromHost(values, x);
    backend_->Affine(2, x, 0, Write::kReplace, y);
    ASSERT_TRUE(transfer->Wait().ok()) << transfer->Wait();
    EXPECT_TRUE(transfer->done());
    ASSERT_EQ(Download(y), std::vector<float>(kElements, 2.0f * round));
  }
}

TEST_P(DeviceTest, ATransferToTheDeviceComesAfterTheComputationsBeforeIt) {
  const Tensor x(backend_, {1024}), y(backend_, {1024});
  const std::shared_ptr<void> host = backend_->AllocateHost(x.bytes());
  std::fill_n(static_cast<float*>(host.get()), 1024, 5.0f);
  backend_->Fill(1, x);
  Busy();
  backend_->Affine(1, x, 0, Write::kReplace, y);
  const auto transfer = backend_->StartCopyFromHost(host.get(), x);
  EXPECT_EQ(Download(y), std::vector<float>(1024, 1));
  EXPECT_EQ(Download(x), std::vector<float>(1024, 5));
  EXPECT_TRUE(transfer->Wait().ok());
}

TEST_P(DeviceTest, ATransferToTheHostTakesWhatWasThereWhenItBegan) {
  constexpr int64_t kElements = 8 << 20;
  const Tensor x(backend_, {kElements});
  const std::shared_ptr<void> host = backend_->AllocateHost(x.bytes());
  const auto* const values = static_cast<const float*>(host.get());
  for (int round = 1; round <= 3; ++round) {
    backend_->Fill(round, x);
    const auto transfer = backend_->StartCopyToHost(x, host.get());
    backend_->Fill(-1, x);
    ASSERT_TRUE(transfer->Wait().ok()) << transfer->Wait();
    for (int64_t i = 0; i < kElements; ++i) ASSERT_EQ(values[i], round) << i;
  }
  EXPECT_EQ(Download(x), std::vector<float>(kElements, -1));
}

// The memory of a tensor that is gone may be the next tensor's, but not under a transfer.
TEST_P(DeviceTest, MemoryOfATransferIsNotReusedBeforeItIsDone) {
  constexpr int64_t kElements = 4 << 20;
  const std::shared_ptr<void> up = backend_->AllocateHost(kElements * sizeof(float));
  const std::shared_ptr<void> down = backend_->AllocateHost(kElements * sizeof(float));
  std::fill_n(static_cast<float*>(up.get()), kElements, 9.0f);
  Busy();
  std::unique_ptr<Transfer> upward, downward;
  {
    const Tensor gone(backend_, {kElements});
    upward = backend_->StartCopyFromHost(up.get(), gone);
  }
  const Tensor next(backend_, {kElements});
  backend_->Fill(1, next);
  {
    const Tensor gone(backend_, {kElements});
    backend_->Fill(2, gone);
    downward = backend_->StartCopyToHost(gone, down.get());
  }
  const Tensor last(backend_, {kElements});
  backend_->Fill(3, last);
  ASSERT_TRUE(downward->Wait().ok());
  ASSERT_TRUE(upward->Wait().ok());
  EXPECT_EQ(Download(next), std::vector<float>(kElements, 1));
  EXPECT_EQ(Download(last), std::vector<float>(kElements, 3));
  for (int64_t i = 0; i < kElements; ++i) ASSERT_EQ(static_cast<float*>(down.get())[i], 2) << i;
}

TEST_P(DeviceTest, ATransferThatNobodyHoldsIsDoneAllTheSame) {
  const std::shared_ptr<void> host = backend_->AllocateHost(kMiB);
  std::fill_n(static_cast<float*>(host.get()), kMiB / sizeof(float), 4.0f);
  const Tensor x(backend_, {static_cast<int64_t>(kMiB / sizeof(float))});
  backend_->StartCopyFromHost(host.get(), x).reset();
  EXPECT_EQ(Download(x), std::vector<float>(x.num_elements(), 4));
  std::fill_n(static_cast<float*>(host.get()), kMiB / sizeof(float), 0.0f);
  backend_->StartCopyToHost(x, host.get()).reset();
  ASSERT_TRUE(backend_->Synchronize().ok());
  EXPECT_EQ(static_cast<float*>(host.get())[1], 4);
}

TEST_P(DeviceTest, EmptyTensorsAreCopiedLikeOthers) {
  const Tensor x(backend_, {0, 3});
  backend_->CopyFromHost(nullptr, x);
  EXPECT_TRUE(backend_->CopyToHost(x, nullptr).ok());
  EXPECT_TRUE(backend_->StartCopyFromHost(nullptr, x)->Wait().ok());
  EXPECT_TRUE(backend_->StartCopyToHost(x, nullptr)->Wait().ok());
  EXPECT_TRUE(*backend_->AllFinite(x));
}

TEST_P(DeviceTest, AllFiniteFindsTheOneThatIsNot) {
  std::vector<float> values(100003, 1);
  EXPECT_TRUE(*backend_->AllFinite(Upload(values, {100003})));
  for (const size_t place : {size_t{0}, size_t{50001}, size_t{100002}}) {
    for (const float bad : {INFINITY, -INFINITY, NAN}) {
      values[place] = bad;
      EXPECT_FALSE(*backend_->AllFinite(Upload(values, {100003}))) << place << " " << bad;
    }
    values[place] = 1;
  }
}

// One operation for which the devices have to agree: its inputs, what it makes of them, and how far
// the results may be apart, relative to the largest.
struct Agreement {
  std::string name;
  std::vector<Shape> inputs;
  Shape output;
  double tolerance;
  std::function<void(Backend*, const std::vector<Tensor>&, const Tensor&)> run;
};

constexpr double kElement = 1e-5, kSum = 1e-4;

std::vector<Agreement> Agreements() {
  std::vector<Agreement> all;
  const Write replace = Write::kReplace, add = Write::kAdd;
  using Inputs = const std::vector<Tensor>&;
  for (const UnaryOp op : {UnaryOp::kRelu, UnaryOp::kSigmoid, UnaryOp::kTanh, UnaryOp::kGelu,
                           UnaryOp::kExp, UnaryOp::kSquare, UnaryOp::kSoftplus}) {
    const std::string name = absl::StrCat("Unary", static_cast<int>(op));
    all.push_back(
        {name,
         {{1000, 37}},
         {1000, 37},
         kElement,
         [=](Backend* backend, Inputs in, const Tensor& out) { backend->Unary(op, in[0], out); }});
    all.push_back({name + "Gradient",
                   {{1000, 37}, {1000, 37}},
                   {1000, 37},
                   kElement,
                   [=](Backend* backend, Inputs in, const Tensor& out) {
                     const Tensor y(backend, in[0].shape());
                     backend->Unary(op, in[0], y);
                     backend->Fill(1, out);
                     backend->UnaryGradient(op, in[0], y, in[1], add, out);
                   }});
  }
  all.push_back({"BinaryBias",
                 {{512, 129}, {129}},
                 {512, 129},
                 kElement,
                 [=](Backend* backend, Inputs in, const Tensor& out) {
                   backend->Binary(BinaryOp::kAdd, in[0], in[1], replace, out);
                 }});
  all.push_back({"BinaryBothRepeated",
                 {{7, 1, 65}, {33, 1}},
                 {7, 33, 65},
                 kElement,
                 [=](Backend* backend, Inputs in, const Tensor& out) {
                   backend->Binary(BinaryOp::kMultiply, in[0], in[1], replace, out);
                 }});
  all.push_back({"ReduceLast",
                 {{16, 4096}},
                 {16, 1},
                 kSum,
                 [=](Backend* backend, Inputs in, const Tensor& out) {
                   backend->Reduce(Reduction::kSum, in[0], replace, out);
                 }});
  all.push_back({"ReduceRows",
                 {{4096, 131}},
                 {131},
                 kSum,
                 [=](Backend* backend, Inputs in, const Tensor& out) {
                   backend->Reduce(Reduction::kSum, in[0], replace, out);
                 }});
  all.push_back({"ReduceMiddle",
                 {{9, 4096, 5}},
                 {9, 1, 5},
                 kSum,
                 [=](Backend* backend, Inputs in, const Tensor& out) {
                   backend->Fill(1, out);
                   backend->Reduce(Reduction::kSum, in[0], add, out);
                 }});
  for (const bool transpose_a : {false, true}) {
    for (const bool transpose_b : {false, true}) {
      all.push_back({absl::StrCat("MatMul", transpose_a, transpose_b),
                     {transpose_a ? Shape({1000, 65}) : Shape({65, 1000}),
                      transpose_b ? Shape({33, 1000}) : Shape({1000, 33})},
                     {65, 33},
                     kSum,
                     [=](Backend* backend, Inputs in, const Tensor& out) {
                       backend->Fill(1, out);
                       backend->MatMul(in[0], transpose_a, in[1], transpose_b, add, out);
                     }});
    }
  }
  all.push_back({"BatchMatMul",
                 {{3, 4, 32, 64}, {3, 4, 50, 64}},
                 {3, 4, 32, 50},
                 kSum,
                 [=](Backend* backend, Inputs in, const Tensor& out) {
                   backend->BatchMatMul(0.125, in[0], false, in[1], true, replace, out);
                 }});
  struct Convolution {
    int64_t size, in, out;
    Window window;
  };
  for (const Convolution& c :
       {Convolution{17, 3, 16, {3, 3, 1, 1}}, Convolution{16, 16, 32, {3, 3, 2, 1}},
        Convolution{16, 16, 24, {1, 1, 1, 0}}, Convolution{16, 16, 24, {1, 1, 2, 0}},
        Convolution{14, 5, 7, {5, 3, 1, 2}}}) {
    const Shape x = {4, c.size, c.size, c.in};
    const Shape y = {4, c.window.OutputHeight(c.size), c.window.OutputWidth(c.size), c.out};
    const Shape filter = {c.window.height, c.window.width, c.in, c.out};
    const std::string name =
        absl::StrCat("Conv2d_", c.size, "_", c.window.height, "_", c.window.stride);
    const Window window = c.window;
    all.push_back({name, {x, filter}, y, kSum, [=](Backend* backend, Inputs in, const Tensor& out) {
                     backend->Conv2d(in[0], in[1], window, out);
                   }});
    all.push_back({name + "InputGradient",
                   {y, filter},
                   x,
                   kSum,
                   [=](Backend* backend, Inputs in, const Tensor& out) {
                     backend->Fill(1, out);
                     backend->Conv2dInputGradient(in[0], in[1], window, add, out);
                   }});
    all.push_back({name + "FilterGradient",
                   {x, y},
                   filter,
                   kSum,
                   [=](Backend* backend, Inputs in, const Tensor& out) {
                     backend->Fill(1, out);
                     backend->Conv2dFilterGradient(in[0], in[1], window, add, out);
                   }});
  }
  all.push_back({"Softmax",
                 {{6, 40, 40}},
                 {6, 40, 40},
                 kElement,
                 [=](Backend* backend, Inputs in, const Tensor& out) {
                   backend->Softmax(in[0], /*causal=*/true, out);
                 }});
  all.push_back(
      {"LogSoftmax",
       {{64, 1000}},
       {64, 1000},
       kSum,
       [=](Backend* backend, Inputs in, const Tensor& out) { backend->LogSoftmax(in[0], out); }});
  all.push_back({"LayerNorm",
                 {{200, 768}, {768}, {768}},
                 {200, 768},
                 kSum,
                 [=](Backend* backend, Inputs in, const Tensor& out) {
                   const Tensor mean(backend, {200}), rstd(backend, {200});
                   backend->LayerNorm(in[0], in[1], in[2], 1e-5, out, mean, rstd);
                 }});
  all.push_back({"BatchNorm",
                 {{8, 16, 16, 48}, {48}, {48}},
                 {8, 16, 16, 48},
                 kSum,
                 [=](Backend* backend, Inputs in, const Tensor& out) {
                   const Tensor mean(backend, {48}), variance(backend, {48});
                   backend->BatchNorm(in[0], in[1], in[2], 1e-5, out, mean, variance);
                 }});
  all.push_back({"MaxPool2d",
                 {{4, 15, 15, 20}},
                 {4, 8, 8, 20},
                 0,
                 [=](Backend* backend, Inputs in, const Tensor& out) {
                   const Tensor argmax(backend, out.shape(), DType::kInt32);
                   backend->MaxPool2d(in[0], {3, 3, 2, 1}, out, argmax);
                 }});
  all.push_back({"Dropout",
                 {{999, 13}},
                 {999, 13},
                 kElement,
                 [=](Backend* backend, Inputs in, const Tensor& out) {
                   backend->Dropout(in[0], 0.3, 77, 5, replace, out);
                 }});
  all.push_back({"Permute",
                 {{5, 33, 65, 3}},
                 {65, 3, 5, 33},
                 0,
                 [=](Backend* backend, Inputs in, const Tensor& out) {
                   backend->Permute(in[0], {2, 3, 0, 1}, replace, out);
                 }});
  return all;
}

class AgreementTest : public ::testing::TestWithParam<std::tuple<std::string, Agreement>> {
 protected:
  // The result on a device.
  std::vector<float> Run(Backend* backend, const std::vector<std::vector<float>>& inputs) {
    const Agreement& agreement = std::get<1>(GetParam());
    std::vector<Tensor> tensors;
    for (size_t i = 0; i < inputs.size(); ++i) {
      tensors.emplace_back(backend, agreement.inputs[i]);
      backend->CopyFromHost(inputs[i].data(), tensors.back());
    }
    const Tensor out(backend, agreement.output);
    agreement.run(backend, tensors, out);
    std::vector<float> values(out.num_elements());
    const absl::Status status = backend->CopyToHost(out, values.data());
    EXPECT_TRUE(status.ok()) << status;
    return values;
  }
};

INSTANTIATE_TEST_SUITE_P(All, AgreementTest,
                         ::testing::Combine(::testing::Values("cpu", "cuda"),
                                            ::testing::ValuesIn(Agreements())),
                         [](const auto& test) {
                           return absl::StrCat(std::get<0>(test.param), "_",
                                               std::get<1>(test.param).name);
                         });

TEST_P(AgreementTest, WithTheCpuAndWithItself) {
  const auto& [device, agreement] = GetParam();
  const absl::StatusOr<Backend*> backend = BackendOf(device);
  if (!backend.ok()) GTEST_SKIP() << backend.status();
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> uniform(-2, 2);
  std::vector<std::vector<float>> inputs;
  for (const Shape& shape : agreement.inputs) {
    inputs.emplace_back(shape.num_elements());
    for (float& value : inputs.back()) value = uniform(random);
  }
  const std::vector<float> expected = Run(CpuBackend(), inputs);
  const std::vector<float> actual = Run(*backend, inputs);
  // Where a sum nearly vanishes it is as exact as the others, not more; a single element is
  // compared with itself, unless it is small for its operation.
  double largest = 1;
  for (const float value : expected) largest = std::max<double>(largest, std::fabs(value));
  for (size_t i = 0; i < expected.size(); ++i) {
    const double scale =
        agreement.tolerance == kElement ? std::max(0.1, std::fabs(expected[i] * 1.0)) : largest;
    ASSERT_NEAR(actual[i], expected[i], agreement.tolerance * scale) << "element " << i;
  }
  const std::vector<float> again = Run(*backend, inputs);
  EXPECT_EQ(std::memcmp(actual.data(), again.data(), actual.size() * sizeof(float)), 0)
      << "the same inputs gave other bits";
}

}  // namespace
}  // namespace parley
