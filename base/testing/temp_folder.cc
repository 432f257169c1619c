#include "base/testing/temp_folder.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <system_error>

namespace parley {

TempFolder::TempFolder() : path_(testing::TempDir() + "/parley-XXXXXX") {
  EXPECT_NE(mkdtemp(&path_[0]), nullptr) << path_;
}

TempFolder::~TempFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace parley
