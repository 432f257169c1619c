#include "ps/row_spool.h"

#include <memory>
#include <random>
#include <string>

#include "base/testing/temp_folder.h"
#include "gtest/gtest.h"

namespace parley {
namespace {

void ExpectKeeps(RowSpool* spool) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  std::string all;
  while (all.size() < 5'000'000) {
    std::string some(random() % 300'000, '\0');
    for (size_t i = 0; i < some.size(); i += 1 + random() % 64)
      some[i] = static_cast<char>(random());
    ASSERT_TRUE(spool->Append(some.data(), some.size()).ok());
    all += some;
  }
  ASSERT_EQ(spool->size(), static_cast<int64_t>(all.size()));
  for (int i = 0; i < 30; ++i) {
    const size_t begin = i == 0 ? 0 : random() % all.size();
    const size_t size = i == 0 ? all.size() : random() % (all.size() - begin);
    std::string read;
    ASSERT_TRUE(spool
                    ->Read(static_cast<int64_t>(begin), static_cast<int64_t>(size),
                           [&](const void* data, size_t some) {
                             read.append(static_cast<const char*>(data), some);
                             return absl::OkStatus();
                           })
                    .ok());
    ASSERT_TRUE(read == all.substr(begin, size)) << begin << " " << size;
  }
}

TEST(RowSpoolTest, KeepsWhatIsAppendedInMemory) {
  RowSpool spool;
  ExpectKeeps(&spool);
}

TEST(RowSpoolTest, KeepsWhatIsAppendedInAFile) {
  TempFolder folder;
  const auto spool = RowSpool::InFile(folder.path());
  ASSERT_TRUE(spool.ok()) << spool.status();
  ExpectKeeps(spool->get());
}

TEST(RowSpoolTest, AFolderThatCannotBeIsAnError) {
  EXPECT_FALSE(RowSpool::InFile("/proc/nowhere").ok());
}

}  // namespace
}  // namespace parley
