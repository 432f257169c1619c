#include "cuda/cudnn.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace parley {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;

TEST(CudnnTest, OpensOrSaysWhyNot) {
  const auto cudnn = Cudnn::Open(nullptr, false);
  if (cudnn.ok()) return;
  EXPECT_TRUE(cudnn.status().code() == absl::StatusCode::kUnavailable ||
              cudnn.status().code() == absl::StatusCode::kUnimplemented)
      << cudnn.status();
  // Without a device no handle can be made; but no library that is there may lack a function.
  EXPECT_THAT(std::string(cudnn.status().message()),
              AnyOf(HasSubstr("a handle"), HasSubstr("cannot be opened"),
                    HasSubstr("built without"), HasSubstr("workspace")));
}

}  // namespace
}  // namespace parley
