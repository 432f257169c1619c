#include "ps/table/spill_file.h"

#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>

#include <cstring>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/testing/temp_folder.h"
#include "gtest/gtest.h"
#include "net/table_placement.h"

namespace parley {
namespace {

constexpr uint32_t kVirtualShards = 3;

RowSpill::Name NameOf(uint64_t key) { return {VirtualShardOf(MixKey(key), kVirtualShards), key}; }

// The inverse of MixKey, so that a test can choose hashes.
uint64_t KeyOfMixed(uint64_t mixed) {
  mixed ^= mixed >> 33;
  mixed *= 0x9cb4b2f8129337db;
  mixed ^= mixed >> 33;
  mixed *= 0x4f74430c22a54005;
  mixed ^= mixed >> 33;
  return mixed;
}

uint16_t NoteOf(const std::string& row) {
  return static_cast<uint16_t>(65535 - static_cast<unsigned char>(row.back()));
}

// A spill, and a map that is told the same.
class Compared {
 public:
  Compared(RowSpill* spill, size_t row_bytes) : spill_(spill), row_bytes_(row_bytes) {}

  void Put(const std::map<uint64_t, std::string>& rows) {
    std::vector<RowSpill::Row> put;
    for (const auto& [key, row] : rows) {
      put.push_back({NameOf(key), reinterpret_cast<const std::byte*>(row.data()), NoteOf(row),
                     map_.count(key) != 0});
    }
    const absl::Status done = spill_->Put(put);
    ASSERT_TRUE(done.ok()) << done;
    for (const auto& [key, row] : rows) map_[key] = row;
  }
  void Erase(const std::vector<uint64_t>& keys) {
    std::vector<RowSpill::Name> names;
    for (const uint64_t key : keys) {
      if (map_.erase(key) != 0) names.push_back(NameOf(key));
    }
    ASSERT_TRUE(spill_->Erase(names).ok());
  }
  void Get(const std::vector<uint64_t>& keys) {
    std::vector<RowSpill::Name> names;
    for (const uint64_t key : keys) names.push_back(NameOf(key));
    std::vector<int> times(keys.size(), 0);
    const absl::Status got = spill_->Get(names, [&](size_t i, uint16_t note, const std::byte* row) {
      ++times[i];
      const auto expected = map_.find(keys[i]);
      ASSERT_NE(expected, map_.end()) << keys[i];
      EXPECT_EQ(std::string(reinterpret_cast<const char*>(row), row_bytes_), expected->second);
      EXPECT_EQ(note, NoteOf(expected->second));
    });
    ASSERT_TRUE(got.ok()) << got;
    for (size_t i = 0; i < keys.size(); ++i)
      ASSERT_EQ(times[i], static_cast<int>(map_.count(keys[i]))) << keys[i];
  }
  void CompareAll() {
    std::map<uint64_t, std::string> all;
    for (uint32_t number = 0; number < kVirtualShards; ++number) {
      uint64_t before = 0;
      bool first = true;
      ASSERT_TRUE(spill_
                      ->ForEach(number,
                                [&](uint64_t key, const std::byte* row) {
                                  EXPECT_TRUE(first || key > before);
                                  first = false;
                                  before = key;
                                  EXPECT_EQ(NameOf(key).virtual_shard, number);
                                  all[key].assign(reinterpret_cast<const char*>(row), row_bytes_);
                                })
                      .ok());
    }
    ASSERT_TRUE(all == map_);
  }
  size_t size() const { return map_.size(); }

 private:
  RowSpill* const spill_;
  const size_t row_bytes_;
  std::map<uint64_t, std::string> map_;
};

TEST(SpillFileTest, IsTheSameAsAMapWhileHolesAreFilled) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  TempFolder folder;
  constexpr size_t kRowBytes = 4096;  // so that there are some segments
  auto spill = NewSpillFile(folder.File("spill"), kRowBytes, kVirtualShards);
  ASSERT_TRUE(spill.ok()) << spill.status();
  Compared compared(spill->get(), kRowBytes);
  for (int i = 0; i < 300; ++i) {
    // Rows of a fifth of the keys are there at the end of some phases, of most in others.
    std::map<uint64_t, std::string> rows;
    for (int j = 0; j < 60; ++j) {
      rows[random() % 2000] = std::string(kRowBytes, static_cast<char>(random()));
    }
    compared.Put(rows);
    std::vector<uint64_t> keys;
    for (int j = 0; j < (i / 50 % 2 == 0 ? 20 : 200); ++j) keys.push_back(random() % 2000);
    compared.Erase(keys);
    for (uint64_t& key : keys) key = random() % 2500;
    compared.Get(keys);
    if (i % 50 == 49) compared.CompareAll();
    if (HasFatalFailure()) return;
  }
}

TEST(SpillFileTest, KeysOfOneHashAreApart) {
  TempFolder folder;
  auto spill = NewSpillFile(folder.path(), 8, kVirtualShards);
  ASSERT_TRUE(spill.ok()) << spill.status();
  Compared compared(spill->get(), 8);
  std::vector<uint64_t> keys;
  for (uint64_t i = 0; i < 5; ++i) keys.push_back(KeyOfMixed(i << 32 | 12345));
  ASSERT_EQ(MixKey(keys[3]), uint64_t{3} << 32 | 12345);
  for (size_t i = 0; i + 1 < keys.size(); ++i)
    compared.Put({{keys[i], "row " + std::to_string(1000 + i)}});
  compared.Get(keys);
  compared.Put({{keys[1], "replaced"}});
  compared.Get(keys);
  compared.Erase({keys[0], keys[2]});
  compared.Get(keys);
  compared.CompareAll();
}

TEST(SpillFileTest, LeavesNothingBehindWhateverEndsIt) {
  TempFolder folder;
  auto spill = NewSpillFile(folder.path(), 8, kVirtualShards);
  ASSERT_TRUE(spill.ok()) << spill.status();
  DIR* const listed = opendir(folder.path().c_str());
  ASSERT_NE(listed, nullptr);
  while (const dirent* entry = readdir(listed)) EXPECT_EQ(entry->d_name[0], '.') << entry->d_name;
  closedir(listed);
}

TEST(SpillFileTest, AFolderThatCannotBeIsAnError) {
  const auto spill = NewSpillFile("/proc/nowhere", 12, kVirtualShards);
  ASSERT_FALSE(spill.ok());
  EXPECT_NE(spill.status().message().find("/proc/nowhere"), std::string::npos) << spill.status();
}

TEST(SpillFileTest, ADiskThatTakesNoMoreIsTold) {
  TempFolder folder;
  constexpr size_t kRowBytes = 4096;
  auto spill = NewSpillFile(folder.path(), kRowBytes, kVirtualShards);
  ASSERT_TRUE(spill.ok()) << spill.status();
  // What the system does with a file that is longer than allowed, as with one on a full disk.
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = signal(SIGXFSZ, SIG_IGN);
  rlimit small = before;
  small.rlim_cur = 1 << 20;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::vector<std::byte> row(kRowBytes);
  absl::Status status;
  for (uint64_t key = 0; key < 1000 && status.ok(); ++key) {
    status = (*spill)->Put({{NameOf(key), row.data(), 0, false}});
  }
  setrlimit(RLIMIT_FSIZE, &before);
  signal(SIGXFSZ, handler);
  ASSERT_FALSE(status.ok());
  EXPECT_NE(status.message().find(folder.path()), std::string::npos) << status;
}

}  // namespace
}  // namespace parley
