#include "data/click_files.h"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/metrics.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace parley::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ClickFilesTest : public testing::Test {
 protected:
  ClickFilesTest() {
    options_.format = ClickFilesOptions::Format::kLibsvm;
    options_.fields = 2;
  }

  std::string Write(const std::string& name, const std::string& text) {
    const std::string path = testing::TempDir() + "/" + name;
    EXPECT_TRUE(WriteFileAtomically(Env::Posix(), path, text).ok());
    return path;
  }
  absl::StatusOr<std::unique_ptr<ClickFiles>> Open(const std::vector<std::string>& paths) {
    return ClickFiles::Open(paths, options_);
  }

  ClickFilesOptions options_;
};

TEST_F(ClickFilesTest, ReadsOneFileAfterAnotherInPasses) {
  auto files = Open({Write("a", "1 1:1\n0 2:1\n"), Write("b", ""), Write("c", "1 3:1")});
  ASSERT_TRUE(files.ok()) << files.status();
  for (int pass = 0; pass < 3; ++pass) {
    ClickBatch batch;
    while (*(*files)->Next(&batch)) {
    }
    EXPECT_THAT(batch.keys, ElementsAre(1, 0, 2, 0, 3, 0)) << pass;
  }
  ClickBatch batch;
  ASSERT_TRUE((*files)->Fill(7, &batch).ok());
  EXPECT_THAT(batch.labels, ElementsAre(1, 0, 1, 1, 0, 1, 1));
}

TEST_F(ClickFilesTest, PartsShareTheLines) {
  std::string text;
  for (int i = 1; i <= 100; ++i) text += "1 " + std::to_string(i) + ":1\n";
  const std::string path = Write("a", text);
  options_.fields = 1;
  ClickBatch batch;
  options_.parts = 3;
  for (options_.part = 0; options_.part < 3; ++options_.part) {
    auto files = Open({path});
    ASSERT_TRUE(files.ok());
    while (*(*files)->Next(&batch)) {
    }
  }
  std::sort(batch.keys.begin(), batch.keys.end());
  ASSERT_EQ(batch.keys.size(), 100u);
  for (uint64_t i = 0; i < 100; ++i) EXPECT_EQ(batch.keys[i], i + 1);
}

TEST_F(ClickFilesTest, AFaultyLineIsNamed) {
  const std::string path = Write("a", "1 1:1\n0 2:1\n1 x:1\n");
  options_.parts = 2;
  options_.part = 1;
  auto files = Open({path});
  ASSERT_TRUE(files.ok());
  ClickBatch batch;
  absl::StatusOr<bool> more = true;
  while (more.ok() && *more) more = (*files)->Next(&batch);
  EXPECT_EQ(more.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(std::string(more.status().message()),
            path + ":3:3: \"x:1\" is not a feature index:value");
}

TEST_F(ClickFilesTest, FaultyLinesCanBePassedOverAndAreCounted) {
  Metrics metrics("worker:0");
  options_.skip_bad_lines = true;
  options_.metrics = &metrics;
  auto files = Open({Write("a", "\n1 1:1\nx\n" + std::string(2 << 20, '1') + "\n0 2:1\n1 1:x")});
  ASSERT_TRUE(files.ok());
  ClickBatch batch;
  while (*(*files)->Next(&batch)) {
  }
  EXPECT_THAT(batch.keys, ElementsAre(1, 0, 2, 0));
  EXPECT_EQ((*files)->bad_lines(), 4);
  EXPECT_EQ(ValueOf(metrics.Collect(), "parley_worker_bad_lines_total").value_or(-1), 4);
}

TEST_F(ClickFilesTest, APassWithoutExamplesIsAnError) {
  options_.skip_bad_lines = true;
  const std::string path = Write("a", "x\ny\n");
  auto files = Open({path});
  ASSERT_TRUE(files.ok());
  ClickBatch batch;
  const absl::Status status = (*files)->Fill(1, &batch);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr(path + ": it has no examples, of part 0 of 1; 2 lines were faulty"));
}

TEST_F(ClickFilesTest, OptionsThatDoNotFitAreRefused) {
  const std::string path = Write("a", "1 1:1\n");
  EXPECT_EQ(Open({}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Open({path + "x"}).status().code(), absl::StatusCode::kNotFound);
  options_.fields = 0;
  EXPECT_EQ(Open({path}).status().code(), absl::StatusCode::kInvalidArgument);
  options_.fields = 2;
  options_.part = 1;
  EXPECT_EQ(Open({path}).status().code(), absl::StatusCode::kInvalidArgument);
  options_.part = 0;
  options_.format = ClickFilesOptions::Format::kCriteo;
  EXPECT_EQ(Open({path}).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace parley::data
