#include "cuda/cuda_backend.h"

#include <string>

#include "cuda/collective.h"
#include "cuda/devices.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tensor/cpu_backend.h"

namespace parley {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;

// With or without a toolkit, a driver and a device.
TEST(CudaBackendTest, IsThereOrSaysWhyNot) {
  const auto devices = ListCudaDevices();
  const auto backend = CudaBackend(0);
  if (backend.ok()) {
    ASSERT_TRUE(devices.ok()) << devices.status();
    EXPECT_EQ(std::string((*backend)->name()), "cuda:0");
    EXPECT_EQ(*CudaBackend(0), *backend);
    CudaBackendOptions other;
    other.allow_tf32 = true;
    EXPECT_EQ(CudaBackend(0, other).status().code(), absl::StatusCode::kFailedPrecondition);
    return;
  }
  EXPECT_THAT(backend.status().code(),
              AnyOf(absl::StatusCode::kUnavailable, absl::StatusCode::kUnimplemented))
      << backend.status();
  EXPECT_THAT(std::string(backend.status().message()),
              AnyOf(HasSubstr("no CUDA device is usable"), HasSubstr("cuda:0")));
}

TEST(CudaBackendTest, ADeviceThatIsNotThereIsRefused) {
  for (const int device : {-1, 1000}) {
    EXPECT_THAT(CudaBackend(device).status().code(),
                AnyOf(absl::StatusCode::kUnavailable, absl::StatusCode::kUnimplemented));
  }
}

TEST(CollectiveTest, OneDeviceIsNotEnough) {
  Backend* const cpu = CpuBackend();
  EXPECT_THAT(NewCollective({cpu}).status().code(),
              AnyOf(absl::StatusCode::kUnavailable, absl::StatusCode::kUnimplemented));
}

TEST(CollectiveTest, TakesOnlyCudaDevices) {
  Backend* const cpu = CpuBackend();
  EXPECT_THAT(NewCollective({cpu, cpu}).status().code(),
              AnyOf(absl::StatusCode::kInvalidArgument, absl::StatusCode::kUnimplemented));
}

}  // namespace
}  // namespace parley
