#ifndef PARLEY_PS_TESTING_TABLE_ROUNDS_H_
#define PARLEY_PS_TESTING_TABLE_ROUNDS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "net/job.h"
#include "ps/gradient.h"
#include "ps/record_sink.h"
#include "ps/shard_table.h"

namespace parley {

// A job of nothing but a table of 8 virtual shards, optimized by Adam; `more` is of the table.
inline Job JobOfATable(const std::string& more) {
  v1::JobSpec spec;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(
      absl::StrCat("name: 'job' num_workers: 1 num_shards: 1 seed: 3 optimizer { learning_rate: 1 "
                   "sgd {} } policy { asynchronous {} } tables { name: 'rows' "
                   "virtual_shards: 8 initializer { normal { stddev: 1 } } optimizer { "
                   "learning_rate: 0.5 adam {} } ",
                   more, absl::StrContains(more, "dtype") ? " }" : " dtype: FLOAT32 }"),
      &spec));
  absl::StatusOr<Job> job = Job::Create(spec);
  EXPECT_TRUE(job.ok()) << job.status();
  return *std::move(job);
}

// One push of a round, of keys below `range`; as it came, and as it is written down.
struct TableRound {
  TableRound(const ShardTable& table, size_t keys, uint64_t range, std::mt19937_64* random) {
    const size_t width = static_cast<size_t>(table.layout().width);
    const auto named = std::make_shared<std::vector<uint64_t>>(keys);
    const auto values = std::make_shared<std::vector<float>>(keys * width);
    v1::TableRows rows;
    for (uint64_t& key : *named) key = (*random)() % range;
    for (float& value : *values) value = static_cast<float>((*random)() % 2001) * 1e-3f - 1;
    rows.mutable_keys()->Add(named->begin(), named->end());
    Payload gradients;
    gradients.Append(values->data(), values->size() * sizeof(float), values);
    PayloadReader reader(gradients);
    auto taken = table.TakeGradients(rows, v1::FLOAT32, &reader);
    EXPECT_TRUE(taken.ok()) << taken.status();
    pushes.emplace_back().rows = *std::move(taken);
    record.record.mutable_round()->add_rows(static_cast<uint32_t>(keys));
    record.payload.Append(named->data(), named->size() * sizeof(uint64_t), named);
    record.payload.Append(gradients);
  }

  std::vector<Gradient> pushes;
  ShardRecord record;  // of a round without block and version
};

// All that a table holds: rows by key, and how often keys without one were named.
struct TableContents {
  explicit TableContents(const ShardTable& table) {
    for (size_t part = 0; part < table.num_parts(); ++part) {
      for (const uint32_t number : table.virtual_shards(part)) {
        const absl::Status read =
            table.ForEachRow(part, number, [&](uint64_t key, const std::byte* row) {
              rows[key].assign(row, row + table.layout().row_bytes);
            });
        EXPECT_TRUE(read.ok()) << read;
        table.ForEachSighting(part, number,
                              [&](uint64_t key, uint32_t count) { counted[key] = count; });
      }
    }
  }
  bool operator==(const TableContents& other) const {
    return rows == other.rows && counted == other.counted;
  }

  std::map<uint64_t, std::vector<std::byte>> rows;
  std::map<uint64_t, uint32_t> counted;
};

}  // namespace parley

#endif  // PARLEY_PS_TESTING_TABLE_ROUNDS_H_
