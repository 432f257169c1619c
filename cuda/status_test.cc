#include "cuda/status.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace parley {
namespace {

using ::testing::HasSubstr;

TEST(CudaStatusTest, SuccessIsOk) {
  EXPECT_TRUE(CudaStatus(cudaSuccess, "x").ok());
  EXPECT_TRUE(CublasStatus(CUBLAS_STATUS_SUCCESS, "x").ok());
}

TEST(CudaStatusTest, AnErrorHasItsNameAndWhatWasTried) {
  const absl::Status status = CudaStatus(cudaErrorIllegalAddress, "cuda:1: Softmax");
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), HasSubstr("cuda:1: Softmax"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("cudaErrorIllegalAddress"));
  const absl::Status product = CublasStatus(CUBLAS_STATUS_NOT_SUPPORTED, "cuda:1: MatMul");
  EXPECT_THAT(std::string(product.message()), HasSubstr("cuda:1: MatMul"));
  EXPECT_THAT(std::string(product.message()), HasSubstr("CUBLAS_STATUS_NOT_SUPPORTED"));
}

TEST(CudaStatusTest, TellsExhaustedMemoryAndMissingDevicesApart) {
  EXPECT_EQ(CudaStatus(cudaErrorMemoryAllocation, "x").code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(CublasStatus(CUBLAS_STATUS_ALLOC_FAILED, "x").code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(CudaStatus(cudaErrorNoDevice, "x").code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(CudaStatus(cudaErrorInsufficientDriver, "x").code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace parley
