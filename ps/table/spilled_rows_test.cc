#include "ps/table/spilled_rows.h"

#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/testing/temp_folder.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "net/table_placement.h"
#include "ps/table/spill_file.h"
#include "ps/table/table_layout.h"
#include "ps/table/table_part.h"

namespace parley {
namespace {

constexpr uint32_t kVirtualShards = 4;
constexpr size_t kWidth = 3;

TableLayout Layout(const std::string& more) {
  v1::TableSpec spec;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(
      absl::StrCat("name: 'rows' width: 3 virtual_shards: ", kVirtualShards,
                   " initializer { normal { stddev: 1 } } ", more),
      &spec));
  absl::StatusOr<TableLayout> layout = TableLayout::Create(spec, 7);
  EXPECT_TRUE(layout.ok()) << layout.status();
  return *std::move(layout);
}

std::vector<uint32_t> AllVirtualShards() {
  std::vector<uint32_t> all(kVirtualShards);
  for (uint32_t i = 0; i < kVirtualShards; ++i) all[i] = i;
  return all;
}

// A map that fails when it is told to.
class MapSpill final : public RowSpill {
 public:
  explicit MapSpill(size_t row_bytes) : row_bytes_(row_bytes) {}

  absl::Status Put(absl::Span<const Row> rows) override {
    for (const Row& row : rows) {
      std::vector<std::byte>& to = map_[{row.name.virtual_shard, row.name.key}];
      EXPECT_EQ(row.replaces, !to.empty()) << row.name.key;
      to.assign(row.bytes, row.bytes + row_bytes_);
      notes_[{row.name.virtual_shard, row.name.key}] = row.note;
    }
    written_ += rows.size();
    return failure;
  }
  absl::Status Get(
      absl::Span<const Name> names,
      absl::FunctionRef<void(size_t i, uint16_t note, const std::byte* row)> visit) const override {
    for (size_t i = 0; i < names.size(); ++i) {
      const auto row = map_.find({names[i].virtual_shard, names[i].key});
      if (row != map_.end()) visit(i, notes_.at(row->first), row->second.data());
    }
    return failure;
  }
  absl::Status Erase(absl::Span<const Name> names) override {
    for (const Name& name : names) EXPECT_EQ(map_.erase({name.virtual_shard, name.key}), 1u);
    return failure;
  }
  absl::Status ForEach(
      uint32_t virtual_shard,
      absl::FunctionRef<void(uint64_t key, const std::byte* row)> visit) const override {
    for (const auto& [name, row] : map_) {
      if (name.first == virtual_shard) visit(name.second, row.data());
    }
    return failure;
  }

  size_t memory() const override { return 0; }

  size_t size() const { return map_.size(); }
  size_t written() const { return written_; }

  absl::Status failure;

 private:
  const size_t row_bytes_;
  std::map<std::pair<uint32_t, uint64_t>, std::vector<std::byte>> map_;
  std::map<std::pair<uint32_t, uint64_t>, uint16_t> notes_;
  size_t written_ = 0;
};

// A part with little memory beside one with all that it wants.
class Pair {
 public:
  Pair(const TableLayout* layout, RowSpill* spill, size_t memory)
      : layout_(layout),
        whole_(layout, AllVirtualShards()),
        part_(layout, AllVirtualShards()),
        spilled_(layout, &part_, spill, memory) {}

  absl::Status Update(const std::vector<uint64_t>& keys, std::mt19937_64* random) {
    ++round_;
    std::vector<float> values(keys.size() * kWidth);
    for (float& value : values) value = static_cast<float>((*random)() % 2001) * 1e-3f - 1;
    std::vector<const float*> gradients;
    for (size_t i = 0; i < keys.size(); ++i) gradients.push_back(&values[i * kWidth]);
    whole_.Update(round_, keys, gradients);
    const size_t cut = keys.size() / 2;
    for (const auto& [begin, size] :
         {std::make_pair(size_t{0}, cut), std::make_pair(cut, keys.size() - cut)}) {
      const absl::Span<const uint64_t> some = absl::MakeConstSpan(keys).subspan(begin, size);
      const absl::Status back = spilled_.BringBack(some);
      if (!back.ok()) return back;
      part_.UpdateRows(round_, some, absl::MakeConstSpan(gradients).subspan(begin, size),
                       spilled_.slots());
      spilled_.Changed(some);
      const absl::Status gone = spilled_.LetGo();
      if (!gone.ok()) return gone;
    }
    return spilled_.Sweep(round_);
  }
  absl::Status Compare(const std::vector<uint64_t>& keys) {
    const absl::Status back = spilled_.BringBack(keys);
    if (!back.ok()) return back;
    std::vector<float> expected(keys.size() * kWidth), rows(expected.size());
    whole_.Gather(round_, keys, {}, v1::FLOAT32, reinterpret_cast<std::byte*>(expected.data()));
    part_.Gather(round_, keys, {}, v1::FLOAT32, reinterpret_cast<std::byte*>(rows.data()),
                 spilled_.slots());
    EXPECT_EQ(0, std::memcmp(rows.data(), expected.data(), rows.size() * sizeof(float)));
    return spilled_.LetGo();
  }
  // All that is there, and has not expired, bit by bit, with what the optimizer keeps.
  void CompareAll() {
    for (uint32_t number = 0; number < kVirtualShards; ++number) {
      std::vector<uint64_t> found;
      uint64_t before = 0;
      EXPECT_TRUE(spilled_
                      .ForEach(number,
                               [&](uint64_t key, const std::byte* row) {
                                 EXPECT_TRUE(found.empty() || key > before);
                                 before = key;
                                 if (layout_->HasExpired(row, round_)) return;
                                 found.push_back(key);
                                 const std::byte* const there = whole_.FindRow(key);
                                 ASSERT_NE(there, nullptr) << key;
                                 EXPECT_EQ(0, std::memcmp(row, there, layout_->row_bytes)) << key;
                               })
                      .ok());
      std::vector<uint64_t> expected;
      for (const uint64_t key : whole_.KeysOf(number)) {
        if (!layout_->HasExpired(whole_.FindRow(key), round_)) expected.push_back(key);
      }
      EXPECT_EQ(found, expected);
    }
  }
  size_t memory() const { return part_.memory() + spilled_.memory(); }
  size_t rows_in_memory() const { return part_.num_rows(); }
  size_t rows() const { return whole_.num_rows(); }

 private:
  const TableLayout* const layout_;
  TablePart whole_;
  TablePart part_;
  SpilledRows spilled_;
  int64_t round_ = 0;
};

std::vector<uint64_t> RandomKeys(std::mt19937_64* random, uint64_t range, bool distinct) {
  std::vector<uint64_t> keys(1 + (*random)() % 300);
  std::map<uint64_t, int> seen;
  // Small ones more often, as ids do.
  for (uint64_t& key : keys) key = (*random)() % (1 + (*random)() % range) * 0x9e3779b97f4a7c15;
  if (!distinct) return keys;
  std::vector<uint64_t> once;
  for (const uint64_t key : keys) {
    if (seen[key]++ == 0) once.push_back(key);
  }
  return once;
}

TEST(SpilledRowsTest, AreTheSameAsInMemory) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  TempFolder folder;
  int trial = 0;
  for (const char* more :
       {"dtype: FLOAT32 optimizer { learning_rate: 0.1 adagrad {} }",
        "dtype: BFLOAT16 optimizer { learning_rate: 0.1 adam {} } expire_after_rounds: 40",
        "dtype: FLOAT32 optimizer { learning_rate: 0.1 sgd {} } expire_after_rounds: 25 "
        "admit_after_rounds: 2"}) {
    const TableLayout layout = Layout(more);
    auto spill = NewSpillFile(folder.path(), layout.row_bytes, kVirtualShards);
    ASSERT_TRUE(spill.ok()) << spill.status();
    // Indices have pages of 4 KiB, and do not shrink.
    const size_t memory = 400000 + random() % 100000;
    Pair pair(&layout, spill->get(), memory);
    for (int i = 0; i < 200; ++i) {
      ASSERT_TRUE(pair.Update(RandomKeys(&random, 20000, true), &random).ok());
      ASSERT_TRUE(pair.Compare(RandomKeys(&random, 25000, false)).ok());
      ASSERT_LE(pair.memory(), memory);
      if (i % 50 == 49) pair.CompareAll();
      if (testing::Test::HasFailure()) FAIL() << more << ", memory " << memory;
    }
    // Where rows expire there may be room for all that are left.
    if (++trial == 1) {
      EXPECT_LT(pair.rows_in_memory(), pair.rows());
    }
  }
}

TEST(SpilledRowsTest, RowsThatDidNotChangeAreNotWrittenAgain) {
  std::mt19937_64 random(1);
  const TableLayout layout = Layout("dtype: FLOAT32 optimizer { learning_rate: 0.1 sgd {} }");
  MapSpill spill(layout.row_bytes);
  Pair pair(&layout, &spill, 40000);
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(pair.Update(RandomKeys(&random, 5000, true), &random).ok());
  }
  ASSERT_GT(spill.written(), 0u);
  // Those that are still to be written are, when all have been in memory.
  for (int times = 0; times < 2; ++times) {
    const size_t written = spill.written();
    for (uint64_t i = 0; i < 5000; i += 100) {
      std::vector<uint64_t> keys(100);
      for (uint64_t j = 0; j < 100; ++j) keys[j] = (i + j) * 0x9e3779b97f4a7c15;
      ASSERT_TRUE(pair.Compare(keys).ok());
    }
    if (times == 1) {
      EXPECT_EQ(spill.written(), written);
    }
  }
}

TEST(SpilledRowsTest, WhatHasExpiredLeavesTheDisk) {
  std::mt19937_64 random(1);
  const TableLayout layout =
      Layout("dtype: FLOAT32 optimizer { learning_rate: 0.1 sgd {} } expire_after_rounds: 20");
  MapSpill spill(layout.row_bytes);
  Pair pair(&layout, &spill, 40000);
  for (int i = 0; i < 30; ++i) {
    ASSERT_TRUE(pair.Update(RandomKeys(&random, 50000, true), &random).ok());
  }
  ASSERT_GT(spill.size(), 0u);
  for (int i = 0; i < 40; ++i) ASSERT_TRUE(pair.Update({1}, &random).ok());
  EXPECT_LE(spill.size(), 1u);
}

TEST(SpilledRowsTest, AnErrorOfTheDiskIsTold) {
  std::mt19937_64 random(1);
  const TableLayout layout = Layout("dtype: FLOAT32 optimizer { learning_rate: 0.1 sgd {} }");
  MapSpill spill(layout.row_bytes);
  Pair pair(&layout, &spill, 40000);
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(pair.Update(RandomKeys(&random, 5000, true), &random).ok());
  }
  spill.failure = absl::UnavailableError("no disk");
  EXPECT_EQ(pair.Compare(RandomKeys(&random, 5000, false)), spill.failure);
  EXPECT_EQ(pair.Update(RandomKeys(&random, 5000, true), &random), spill.failure);
}

}  // namespace
}  // namespace parley
