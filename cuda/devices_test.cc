#include "cuda/devices.h"

#include "gtest/gtest.h"

namespace parley {
namespace {

TEST(DevicesTest, AreListedOrTheReasonIsGiven) {
  const auto devices = ListCudaDevices();
  if (devices.ok()) {
    ASSERT_FALSE(devices->empty());
    for (const CudaDevice& device : *devices) {
      EXPECT_FALSE(device.name.empty());
      EXPECT_GT(device.memory, 0);
    }
    return;
  }
  EXPECT_TRUE(devices.status().code() == absl::StatusCode::kUnavailable ||
              devices.status().code() == absl::StatusCode::kUnimplemented)
      << devices.status();
  EXPECT_FALSE(devices.status().message().empty());
}

}  // namespace
}  // namespace parley
