#include "base/log_tail.h"

#include "gtest/gtest.h"

namespace parley {
namespace {

TEST(LogTailTest, KeepsTheLastEntries) {
  LogTail tail(2);
  LOG(INFO) << "first";
  LOG(WARNING) << "second";
  LOG(INFO) << std::string(5000, 'x');
  const std::vector<LogTail::Entry> entries = tail.entries();
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[0].message, "second");
  EXPECT_EQ(entries[0].severity, "WARNING");
  EXPECT_EQ(entries[1].message, std::string(1000, 'x'));
  EXPECT_GT(entries[0].time, absl::UnixEpoch());
}

TEST(LogTailTest, OneThatIsGoneHearsNothing) {
  { const LogTail tail(2); }
  LOG(INFO) << "nobody hears this";
}

}  // namespace
}  // namespace parley
