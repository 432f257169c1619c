#include "ps/table/table_part.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "google/protobuf/text_format.h"
#include "net/table_placement.h"
#include "net/wire_dtype.h"
#include "ps/table/table_layout.h"

namespace parley {
namespace {

TableLayout LayoutOf(const std::string& text) {
  v1::TableSpec spec;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &spec)) << text;
  return *TableLayout::Create(spec, /*seed=*/9);
}

std::string Spec(int width, const std::string& dtype, const std::string& optimizer) {
  return "name: 'rows' virtual_shards: 37 initializer { normal { stddev: 0.5 } } width: " +
         std::to_string(width) + " dtype: " + dtype + " optimizer { learning_rate: 0.1 " +
         optimizer + " }";
}

// A table whose virtual shards are dealt out to so many parts.
class Table {
 public:
  Table(const TableLayout* layout, int parts) : layout_(layout), parts_count_(parts) {
    for (int i = 0; i < parts; ++i) {
      std::vector<uint32_t> shards;
      for (uint32_t s = 0; s < layout->virtual_shards; ++s) {
        if (ShardOfVirtual(s, layout->virtual_shards, parts) == i) shards.push_back(s);
      }
      parts_.push_back(std::make_unique<TablePart>(layout, shards));
    }
  }

  size_t PartOf(uint64_t key) const {
    return static_cast<size_t>(ShardOfVirtual(VirtualShardOf(MixKey(key), layout_->virtual_shards),
                                              layout_->virtual_shards, parts_count_));
  }

  std::vector<float> Gather(const std::vector<uint64_t>& keys) const {
    std::vector<float> out(keys.size() * static_cast<size_t>(layout_->width), -1);
    for (size_t part = 0; part < parts_.size(); ++part) {
      std::vector<uint64_t> some;
      std::vector<uint32_t> places;
      for (size_t i = 0; i < keys.size(); ++i) {
        if (PartOf(keys[i]) != part) continue;
        some.push_back(keys[i]);
        places.push_back(static_cast<uint32_t>(i));
      }
      parts_[part]->Gather(round_, some, places, v1::FLOAT32,
                           reinterpret_cast<std::byte*>(out.data()));
    }
    return out;
  }

  void Update(int64_t round, const std::vector<uint64_t>& keys, const std::vector<float>& rows) {
    round_ = round;
    for (size_t part = 0; part < parts_.size(); ++part) {
      std::vector<uint64_t> some;
      std::vector<const float*> gradients;
      for (size_t i = 0; i < keys.size(); ++i) {
        if (PartOf(keys[i]) != part) continue;
        some.push_back(keys[i]);
        gradients.push_back(rows.data() + i * static_cast<size_t>(layout_->width));
      }
      parts_[part]->Update(round, some, gradients);
    }
  }

  std::vector<std::unique_ptr<TablePart>>& parts() { return parts_; }
  size_t num_rows() const {
    size_t rows = 0;
    for (const auto& part : parts_) rows += part->num_rows();
    return rows;
  }

 private:
  const TableLayout* const layout_;
  const int parts_count_;
  std::vector<std::unique_ptr<TablePart>> parts_;
  int64_t round_ = 0;  // the last one
};

// The same with a map, and one row at a time.
class PlainTable {
 public:
  explicit PlainTable(const TableLayout* layout) : layout_(layout) {}

  struct Row {
    std::vector<float> values;
    std::vector<float> state;
    int64_t updated = 0;  // in this round
  };

  // As it is after the round that was Ended last.
  Row RowOf(uint64_t key) const {
    const auto known = rows_.find(key);
    if (known != rows_.end()) return known->second;
    Row row = {std::vector<float>(static_cast<size_t>(layout_->width)),
               std::vector<float>(static_cast<size_t>(layout_->optimizer->state_floats()), 0.0f)};
    layout_->initializer.Fill(key, absl::MakeSpan(row.values));
    Round(&row);
    return row;
  }
  void Update(int64_t round, uint64_t key, const float* gradient) {
    if (rows_.count(key) == 0 && ++sightings_[key] < layout_->admit_after) return;
    sightings_.erase(key);
    Row row = RowOf(key);
    row.updated = round;
    const RowOptimizer::Row update = {row.values.data(), row.state.data(), gradient};
    layout_->optimizer->Update(round, {&update, 1});
    Round(&row);
    rows_[key] = row;
  }
  void End(int64_t round) {
    const int64_t time = layout_->expire_after;
    for (auto row = rows_.begin(); time > 0 && row != rows_.end();) {
      row = round - row->second.updated >= time ? rows_.erase(row) : std::next(row);
    }
    for (auto each = sightings_.begin(); time > 0 && each != sightings_.end();) {
      const uint32_t shard = VirtualShardOf(MixKey(each->first), layout_->virtual_shards);
      each = (round + shard) % time == 0 ? sightings_.erase(each) : std::next(each);
    }
  }
  const std::map<uint64_t, Row>& rows() const { return rows_; }

 private:
  void Round(Row* row) const {
    std::vector<std::byte> bytes(row->values.size() * WireBytes(layout_->dtype));
    ToWire(layout_->dtype, row->values.data(), row->values.size(), bytes.data());
    FromWire(layout_->dtype, bytes.data(), row->values.size(), row->values.data());
  }

  const TableLayout* const layout_;
  std::map<uint64_t, Row> rows_;
  std::map<uint64_t, uint32_t> sightings_;  // of keys without a row
};

struct Kind {
  int width;
  std::string dtype;
  std::string optimizer;  // and what else the spec says
};

class TablePartTest : public ::testing::TestWithParam<Kind> {};

// Random rounds and reads, with 1, 2 and 5 parts and in another order of the keys in each, are the
// same bits as a map's.
TEST_P(TablePartTest, DoesWhatAMapDoes) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(::testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal(0, 1);
  const TableLayout layout =
      LayoutOf(Spec(GetParam().width, GetParam().dtype, GetParam().optimizer));
  const size_t width = static_cast<size_t>(layout.width);
  Table one(&layout, 1), two(&layout, 2), five(&layout, 5);
  Table* const tables[] = {&one, &two, &five};
  PlainTable plain(&layout);
  for (int round = 1; round <= 40; ++round) {
    std::map<uint64_t, std::vector<float>> gradients;
    const size_t count = random() % 300;
    for (size_t i = 0; i < count; ++i) {
      std::vector<float> gradient(width);
      for (float& value : gradient) value = normal(random);
      gradients[random() % 2000] = gradient;
    }
    for (const auto& [key, gradient] : gradients) plain.Update(round, key, gradient.data());
    plain.End(round);
    for (Table* table : tables) {
      std::vector<uint64_t> keys;
      for (const auto& each : gradients) keys.push_back(each.first);
      std::shuffle(keys.begin(), keys.end(), random);
      std::vector<float> rows;
      for (const uint64_t key : keys) {
        rows.insert(rows.end(), gradients[key].begin(), gradients[key].end());
      }
      table->Update(round, keys, rows);
      // Those that have expired may not be swept yet.
      if (layout.expire_after <= 1) {
        ASSERT_EQ(table->num_rows(), plain.rows().size());
      }
      ASSERT_GE(table->num_rows(), plain.rows().size());
    }
    std::vector<uint64_t> asked;
    for (size_t i = random() % 200; i > 0; --i) asked.push_back(random() % 2500);
    std::vector<float> expected;
    for (const uint64_t key : asked) {
      const std::vector<float> values = plain.RowOf(key).values;
      expected.insert(expected.end(), values.begin(), values.end());
    }
    for (Table* table : tables) ASSERT_EQ(table->Gather(asked), expected);
  }
}

TEST_P(TablePartTest, ARestoredTableGoesOnAlike) {
  const TableLayout layout =
      LayoutOf(Spec(GetParam().width, GetParam().dtype, GetParam().optimizer));
  Table table(&layout, 2), restored(&layout, 3);
  std::vector<uint64_t> keys(500);
  std::iota(keys.begin(), keys.end(), 1000);
  const std::vector<float> gradients(keys.size() * static_cast<size_t>(layout.width), 0.3f);
  // Enough for all to be admitted.
  for (int64_t round = 1; round <= 5; ++round) table.Update(round, keys, gradients);
  for (const auto& part : table.parts()) {
    for (const uint32_t shard : part->virtual_shards()) {
      const std::vector<uint64_t> saved = part->KeysOf(shard);
      EXPECT_TRUE(std::is_sorted(saved.begin(), saved.end()));
      for (const uint64_t key : saved) {
        EXPECT_EQ(VirtualShardOf(MixKey(key), layout.virtual_shards), shard);
        restored.parts()[restored.PartOf(key)]->RestoreRow(key, part->FindRow(key));
      }
    }
  }
  EXPECT_EQ(restored.num_rows(), keys.size());
  table.Update(6, keys, gradients);
  restored.Update(6, keys, gradients);
  EXPECT_EQ(restored.Gather(keys), table.Gather(keys));
  EXPECT_EQ(table.parts()[table.PartOf(7)]->FindRow(7), nullptr);
}

INSTANTIATE_TEST_SUITE_P(
    All, TablePartTest,
    ::testing::Values(Kind{1, "FLOAT32", "sgd {}"}, Kind{16, "FLOAT32", "adagrad {}"},
                      Kind{10, "FLOAT32", "rowwise_adagrad {}"}, Kind{33, "FLOAT32", "adam {}"},
                      Kind{7, "BFLOAT16", "lazy_adam {}"}, Kind{8, "BFLOAT16", "adagrad {}"},
                      Kind{4, "FLOAT32", "ftrl { l1: 0.01 }"},
                      Kind{3, "FLOAT32", "adam {} } expire_after_rounds: 1 #"},
                      Kind{5, "BFLOAT16", "adam {} } expire_after_rounds: 6 #"},
                      Kind{6, "FLOAT32", "adagrad {} } admit_after_rounds: 2 #"},
                      Kind{2, "FLOAT32",
                           "sgd {} } expire_after_rounds: 9 admit_after_rounds: 3 #"}));

TEST(TablePartGatherTest, AnswersInNarrowTypes) {
  const TableLayout layout = LayoutOf(Spec(5, "FLOAT32", "sgd {}"));
  Table table(&layout, 1);
  const std::vector<uint64_t> keys = {1, 2};
  table.Update(1, {2}, std::vector<float>(5, 0.25f));
  const std::vector<float> wide = table.Gather(keys);
  for (const v1::DType dtype : {v1::BFLOAT16, v1::FLOAT16}) {
    std::vector<std::byte> expected(20), got(20);
    ToWire(dtype, wide.data(), wide.size(), expected.data());
    table.parts()[0]->Gather(1, keys, {}, dtype, got.data());
    EXPECT_EQ(got, expected);
  }
}

TEST(TablePartGatherTest, CopiesRowsOfEveryWidthToTheirPlaces) {
  for (const int width : {1, 3, 8, 16, 17, 32, 64, 100}) {
    for (const char* const dtype : {"FLOAT32", "BFLOAT16"}) {
      SCOPED_TRACE(testing::Message() << "width " << width << " " << dtype);
      const TableLayout layout = LayoutOf(Spec(width, dtype, "adagrad {}"));
      std::vector<uint32_t> all(layout.virtual_shards);
      std::iota(all.begin(), all.end(), 0);
      TablePart part(&layout, all);
      std::vector<uint64_t> keys(600);  // more than are looked up together
      std::iota(keys.begin(), keys.end(), 1000);
      std::vector<float> gradients(keys.size() * static_cast<size_t>(width));
      std::iota(gradients.begin(), gradients.end(), 1.0f);
      std::vector<const float*> rows;
      for (size_t i = 0; i < keys.size(); ++i) {
        rows.push_back(gradients.data() + i * static_cast<size_t>(width));
      }
      part.Update(1, keys, rows);
      std::vector<uint32_t> places;  // the other way round
      for (size_t i = keys.size(); i-- > 0;) places.push_back(static_cast<uint32_t>(i));
      for (const bool missing : {false, true}) {
        if (missing) keys[300] = 1;
        std::vector<uint32_t> slots(keys.size());
        part.FindSlots(keys, slots.data());
        const size_t bytes = layout.value_bytes;
        // A byte more, which must stay.
        std::vector<std::byte> out(keys.size() * bytes + 1, std::byte{7}), there = out, known = out;
        part.Gather(1, keys, {}, layout.dtype, out.data());
        part.Gather(1, keys, places, layout.dtype, there.data());
        part.Gather(1, keys, {}, layout.dtype, known.data(), slots.data());
        EXPECT_TRUE(known == out);
        EXPECT_EQ(out.back(), std::byte{7});
        EXPECT_EQ(there.back(), std::byte{7});
        for (size_t i = 0; i < keys.size(); ++i) {
          const std::byte* const row = part.FindRow(keys[i]);
          ASSERT_EQ(row == nullptr, missing && i == 300);
          const std::byte* const to = out.data() + i * bytes;
          ASSERT_EQ(0, std::memcmp(to, there.data() + places[i] * bytes, bytes)) << i;
          if (row == nullptr) continue;
          ASSERT_EQ(0, std::memcmp(to, row, bytes)) << i;
        }
      }
    }
  }
}

TEST(TablePartMemoryTest, WhatHasExpiredGivesItsMemoryToOthers) {
  const TableLayout layout = LayoutOf(Spec(4, "FLOAT32", "sgd {} } expire_after_rounds: 4 #"));
  Table table(&layout, 1);
  const std::vector<float> gradients(1000 * 4, 0.1f);
  size_t most = 0;
  for (int64_t round = 1; round <= 60; ++round) {
    std::vector<uint64_t> keys(1000);
    std::iota(keys.begin(), keys.end(), static_cast<uint64_t>(round) * 1000);
    table.Update(round, keys, gradients);
    ASSERT_LE(table.num_rows(), 7000u);
    if (round == 20) most = table.parts()[0]->memory();
  }
  EXPECT_LT(table.parts()[0]->memory(), most * 5 / 4);
}

TEST(TablePartMemoryTest, ARowTakesUnder40BytesBeyondItsData) {
  TableLayout layout = LayoutOf(Spec(4, "FLOAT32", "adagrad {}"));
  Table table(&layout, 1);
  std::vector<uint64_t> keys;
  uint64_t key = 0;
  const std::vector<float> gradients(1000 * 4, 0.1f);
  while (table.num_rows() < 200000) {
    keys.clear();
    while (keys.size() < 1000) keys.push_back(key++);
    table.Update(1, keys, gradients);
    const size_t rows = table.num_rows();
    if (rows < 20000) continue;
    ASSERT_LT(table.parts()[0]->memory(), rows * (layout.row_bytes + 40)) << rows;
  }
}

}  // namespace
}  // namespace parley
