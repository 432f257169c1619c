#include "base/status.h"

#include <cerrno>

#include "gtest/gtest.h"

namespace parley {
namespace {

absl::StatusOr<int> Half(int value) {
  if (value % 2 != 0) return absl::InvalidArgumentError("odd");
  return value / 2;
}

absl::Status Quarter(int value, int* out) {
  PARLEY_ASSIGN_OR_RETURN(const int half, Half(value));
  PARLEY_ASSIGN_OR_RETURN(*out, Half(half));
  PARLEY_RETURN_IF_ERROR(absl::OkStatus());
  return absl::OkStatus();
}

TEST(StatusTest, AnnotateSaysWhoAndKeepsTheCode) {
  EXPECT_EQ(Annotate(absl::NotFoundError("gone"), "ps:1"), absl::NotFoundError("ps:1: gone"));
  EXPECT_TRUE(Annotate(absl::OkStatus(), "ps:1").ok());
}

TEST(StatusTest, MacrosReturnTheFirstError) {
  int out = 0;
  EXPECT_TRUE(Quarter(12, &out).ok());
  EXPECT_EQ(out, 3);
  EXPECT_EQ(Quarter(6, &out), absl::InvalidArgumentError("odd"));
}

TEST(StatusTest, ErrnoBecomesTheCodeThatFits) {
  EXPECT_EQ(ErrnoToStatus(ENOENT, "f").code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ErrnoToStatus(ENOSPC, "f").code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ErrnoToStatus(EADDRINUSE, "f").code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(ErrnoToStatus(EIO, "f").message(), "f: Input/output error");
}

}  // namespace
}  // namespace parley
