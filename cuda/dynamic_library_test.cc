#include "cuda/dynamic_library.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace parley {
namespace {

using ::testing::HasSubstr;

TEST(DynamicLibraryTest, FindsAFunctionInTheFirstThatOpens) {
  const auto library = DynamicLibrary::Open({"libparley_none.so.9", "libm.so.6"});
  ASSERT_TRUE(library.ok()) << library.status();
  double (*cosine)(double) = nullptr;
  const absl::Status found = library->Find("cos", &cosine);
  ASSERT_TRUE(found.ok()) << found;
  EXPECT_EQ(cosine(0.0), 1.0);
}

TEST(DynamicLibraryTest, AMissingFunctionIsNamed) {
  const auto library = DynamicLibrary::Open({"libm.so.6"});
  ASSERT_TRUE(library.ok()) << library.status();
  void (*none)() = nullptr;
  const absl::Status status = library->Find("parley_no_such_function", &none);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("libm.so.6 has no parley_no_such_function"));
  EXPECT_EQ(none, nullptr);
}

TEST(DynamicLibraryTest, AMissingLibraryIsNamedWithEveryPlace) {
  const auto library = DynamicLibrary::Open({"libparley_none.so.9"}, {"/nowhere"});
  ASSERT_EQ(library.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(library.status().message()), HasSubstr("libparley_none.so.9"));
  EXPECT_THAT(std::string(library.status().message()), HasSubstr("/nowhere/libparley_none.so.9"));
}

}  // namespace
}  // namespace parley
