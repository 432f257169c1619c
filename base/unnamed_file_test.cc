#include "base/unnamed_file.h"

#include <unistd.h>

#include <string>

#include "base/env.h"
#include "base/testing/temp_folder.h"
#include "gtest/gtest.h"

namespace parley {
namespace {

TEST(UnnamedFileTest, IsReadAndWrittenAndSeenByNobody) {
  TempFolder folder;
  const absl::StatusOr<int> file = OpenUnnamedFile(folder.File("a/b"));
  ASSERT_TRUE(file.ok()) << file.status();
  const auto names = Env::Posix()->ListFolder(folder.File("a/b"));
  ASSERT_TRUE(names.ok());
  EXPECT_TRUE(names->empty());
  ASSERT_EQ(pwrite(*file, "bytes", 5, 100), 5);
  char read[5] = {};
  ASSERT_EQ(pread(*file, read, 5, 100), 5);
  EXPECT_EQ(std::string(read, 5), "bytes");
  close(*file);
}

TEST(UnnamedFileTest, ErrorsNameTheFolder) {
  const absl::StatusOr<int> file = OpenUnnamedFile("/proc/nowhere");
  ASSERT_FALSE(file.ok());
  EXPECT_NE(std::string(file.status().message()).find("/proc/nowhere"), std::string::npos);
}

}  // namespace
}  // namespace parley
