#include "net/grpc_status.h"

#include <gtest/gtest.h>

#include <string>

namespace parley {
namespace {

TEST(GrpcStatus, EveryCodeComesBackWithItsMessage) {
  for (int code = 0; code <= 16; ++code) {
    const absl::Status status(static_cast<absl::StatusCode>(code), code == 0 ? "" : "ps:1: why");
    EXPECT_EQ(static_cast<int>(ToGrpcStatus(status).error_code()), code);
    EXPECT_EQ(FromGrpcStatus(ToGrpcStatus(status)), status);
  }
}

TEST(GrpcStatus, UnknownCodesBecomeUnknown) {
  for (const int code : {-1, 17, 31}) {
    const absl::Status status =
        FromGrpcStatus(grpc::Status(static_cast<grpc::StatusCode>(code), "from a later version"));
    EXPECT_EQ(status, absl::UnknownError("from a later version"));
  }
}

TEST(GrpcStatus, LongMessagesAreCut) {
  const grpc::Status status = ToGrpcStatus(absl::AbortedError(std::string(100'000, 'x')));
  EXPECT_EQ(status.error_message(), std::string(2000, 'x') + "...");
}

}  // namespace
}  // namespace parley
