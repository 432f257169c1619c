#include "cuda/device_backend.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cuda/convolution.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace parley {
namespace {

using ::testing::HasSubstr;

// A backend of its own on the first device, which may fail without harm to others.
class DeviceBackendTest : public ::testing::Test {
 protected:
  std::unique_ptr<DeviceBackend> NewBackend(size_t memory_limit) {
    Context::Options options;
    options.memory_limit = memory_limit;
    absl::StatusOr<std::unique_ptr<Context>> context = Context::Create(0, options);
    if (!context.ok()) {
      reason_ = context.status();
      return nullptr;
    }
    context_ = context->get();
    return std::make_unique<DeviceBackend>(*std::move(context));
  }

  absl::Status reason_;
  Context* context_ = nullptr;
};

TEST_F(DeviceBackendTest, BeyondTheMemoryLimitItFailsForGood) {
  const auto backend = NewBackend(size_t{64} << 20);
  if (backend == nullptr) GTEST_SKIP() << reason_;
  const Tensor small(backend.get(), {4});
  backend->Fill(3, small);
  {
    const Tensor big(backend.get(), {int64_t{1} << 28});
    backend->Fill(1, big);
    backend->StartCopyToHost(big, nullptr)->Wait().IgnoreError();
  }
  for (int i = 0; i < 2; ++i) {
    const absl::Status status = backend->Synchronize();
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("cuda:0"));
  }
  float values[4];
  EXPECT_EQ(backend->CopyToHost(small, values).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(backend->AllFinite(small).status().code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(DeviceBackendTest, AStepLikeTheLastTakesNoNewMemory) {
  const auto backend = NewBackend(0);
  if (backend == nullptr) GTEST_SKIP() << reason_;
  int64_t after_first = 0;
  for (int step = 0; step < 4; ++step) {
    const Tensor x(backend.get(), {256, 1024}), y(backend.get(), {256, 512});
    const Tensor w(backend.get(), {1024, 512}), sums(backend.get(), {512});
    backend->Fill(0.5, x);
    backend->Fill(0.25, w);
    backend->MatMul(x, false, w, false, Write::kReplace, y);
    backend->Reduce(Reduction::kSum, y, Write::kReplace, sums);
    ASSERT_TRUE(backend->Synchronize().ok()) << backend->Synchronize();
    if (step == 0) after_first = context_->memory().usage().raw_allocations;
  }
  EXPECT_EQ(context_->memory().usage().raw_allocations, after_first);
}

// cuDNN, where it is found, against the products that do without.
TEST_F(DeviceBackendTest, BothWaysOfConvolvingAgree) {
  const auto backend = NewBackend(0);
  if (backend == nullptr) GTEST_SKIP() << reason_;
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  std::mt19937 random(seed);
  const auto uploaded = [&](const Shape& shape) {
    std::vector<float> values(shape.num_elements());
    for (float& value : values) value = static_cast<float>(random() % 2001) / 1000 - 1;
    const Tensor tensor(backend.get(), shape);
    backend->CopyFromHost(values.data(), tensor);
    return tensor;
  };
  for (const DType dtype : {DType::kFloat32, DType::kFloat64, DType::kBFloat16, DType::kFloat16}) {
    for (const Window& window : {Window{3, 3, 1, 1}, Window{3, 3, 2, 1}, Window{5, 2, 1, 2}}) {
      ConvolutionSizes sizes;
      sizes.batch = 3;
      sizes.height = sizes.width = 13;
      sizes.in_channels = 16;
      sizes.out_channels = 24;
      sizes.window = window;
      sizes.dtype = dtype;
      const Shape x = {3, 13, 13, 16}, y = {3, sizes.out_height(), sizes.out_width(), 24};
      const Shape filter = {window.height, window.width, 16, 24};
      for (const ConvolutionPass pass : {ConvolutionPass::kForward, ConvolutionPass::kInputGradient,
                                         ConvolutionPass::kFilterGradient}) {
        const bool forward = pass == ConvolutionPass::kForward;
        const bool of_filter = pass == ConvolutionPass::kFilterGradient;
        const Tensor first(backend.get(), pass == ConvolutionPass::kInputGradient ? y : x, dtype);
        const Tensor second(backend.get(), of_filter ? y : filter, dtype);
        const Shape out_shape = forward ? y : of_filter ? filter : x;
        backend->Cast(uploaded(first.shape()), Write::kReplace, first);
        backend->Cast(uploaded(second.shape()), Write::kReplace, second);
        std::vector<std::vector<float>> results;
        for (auto* const convolve : {&Convolve, &ConvolveByProducts}) {
          const Tensor out(backend.get(), out_shape, dtype), wide(backend.get(), out_shape);
          backend->Fill(1, out);
          backend->Enqueue("Convolve", {&first, &second}, {&out}, [&](Context& context) {
            return convolve(context, pass, sizes, first.As<void>(), second.As<void>(), Write::kAdd,
                            out.As<void>());
          });
          backend->Cast(out, Write::kReplace, wide);
          results.emplace_back(out_shape.num_elements());
          const absl::Status status = backend->CopyToHost(wide, results.back().data());
          ASSERT_TRUE(status.ok()) << status;
        }
        double largest = 1;
        for (const float value : results[1]) largest = std::max<double>(largest, std::abs(value));
        // Each rounds once.
        const double tolerance = dtype == DType::kBFloat16  ? 0.02
                                 : dtype == DType::kFloat16 ? 0.0025
                                                            : 1e-4;
        for (size_t i = 0; i < results[0].size(); ++i) {
          ASSERT_NEAR(results[0][i], results[1][i], tolerance * largest)
              << NameOf(dtype) << " pass " << static_cast<int>(pass) << " window " << window.height
              << "x" << window.width << "/" << window.stride << " element " << i;
        }
      }
    }
  }
}

TEST_F(DeviceBackendTest, TellsWhyThereIsNone) {
  const auto backend = NewBackend(0);
  if (backend != nullptr) GTEST_SKIP() << "there is one";
  EXPECT_EQ(reason_.code(), absl::StatusCode::kUnavailable) << reason_;
  EXPECT_THAT(std::string(reason_.message()), HasSubstr("no CUDA device is usable"));
}

}  // namespace
}  // namespace parley
