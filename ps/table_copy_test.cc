// A table that is made again from its rows and its rounds.

#include "ps/table_copy.h"

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "base/testing/temp_folder.h"
#include "gtest/gtest.h"
#include "ps/table_state.h"
#include "ps/testing/table_rounds.h"

namespace parley {
namespace {

// A table, and what a shard writes down of it.
class TableCopyTest : public ::testing::Test {
 protected:
  TableCopyTest() : seed_(std::random_device()()), random_(seed_) {}

  void Begin(const std::string& more) {
    job_ = std::make_unique<Job>(JobOfATable(more));
    table_ = std::move(*ShardTable::Create(*job_, 0, /*shard=*/0, /*num_parts=*/2, /*version=*/0,
                                           spilled_.path()));
  }
  std::unique_ptr<TableCopy> NewCopy() {
    auto copy = TableCopy::Create(*job_, 0, 0, /*num_parts=*/1 + random_() % 3, table_->version(0),
                                  spilled_.path());
    EXPECT_TRUE(copy.ok()) << copy.status();
    return *std::move(copy);
  }
  ShardRecord Round() {
    TableRound round(*table_, random_() % 60, 1 + random_() % 400, &random_);
    uint32_t digest = 0;
    for (size_t part = 0; part < table_->num_parts(); ++part) {
      table_->Apply(part, round.pushes);
      if (table_->spill_folder().empty()) digest += table_->Digest(part, round.pushes);
    }
    v1::LogRecord::Round* const record = round.record.record.mutable_round();
    record->set_version(table_->version(0));
    if (table_->spill_folder().empty()) record->set_state_crc32c(digest);
    return std::move(round.record);
  }
  // Of virtual shards [begin, end) of a part.
  std::vector<ShardRecord> State(size_t part, size_t begin, size_t end) {
    auto records = TableStateOf(*table_, job_->BlockOfTable(0), part, &begin, end);
    EXPECT_TRUE(records.ok()) << records.status();
    EXPECT_EQ(begin, end);
    return *std::move(records);
  }
  static absl::Status Take(const std::vector<ShardRecord>& records, TableCopy* copy) {
    for (const ShardRecord& each : records) {
      const absl::Status taken = copy->TakeState(each.record.table_state(), each.payload);
      if (!taken.ok()) return taken;
    }
    return absl::OkStatus();
  }

  const unsigned seed_;
  std::mt19937_64 random_;
  TempFolder spilled_;
  std::unique_ptr<Job> job_;
  std::unique_ptr<ShardTable> table_;
};

TEST_F(TableCopyTest, RowsThatComeAmongTheRoundsMakeTheTable) {
  SCOPED_TRACE(testing::Message() << "seed " << seed_);
  for (const char* more : {"width: 2", "width: 3 dtype: BFLOAT16 expire_after_rounds: 4",
                           "width: 2 admit_after_rounds: 3 expire_after_rounds: 9",
                           "width: 2 memory_limit: 6000 expire_after_rounds: 6"}) {
    SCOPED_TRACE(more);
    Begin(more);
    for (int i = 0; i < 20; ++i) Round();
    const std::unique_ptr<TableCopy> copy = NewCopy();
    for (size_t part = 0; part < table_->num_parts(); ++part) {
      for (size_t i = 0; i < table_->virtual_shards(part).size(); ++i) {
        EXPECT_FALSE(copy->IsWhole());
        const std::vector<ShardRecord> state = State(part, i, i + 1);
        ASSERT_TRUE(Take(state, copy.get()).ok());
        // One that comes again, from who began twice, changes nothing.
        ASSERT_TRUE(Take(state, copy.get()).ok());
        const ShardRecord round = Round();
        ASSERT_TRUE(copy->TakeRound(round.record.round(), round.payload).ok());
      }
    }
    EXPECT_TRUE(copy->IsWhole());
    for (int i = 0; i < 10; ++i) {
      const ShardRecord round = Round();
      const absl::Status taken = copy->TakeRound(round.record.round(), round.payload);
      ASSERT_TRUE(taken.ok()) << taken;
    }
    EXPECT_EQ(copy->version(), table_->version(0));
    EXPECT_TRUE(TableContents(copy->table()) == TableContents(*table_));
  }
}

TEST_F(TableCopyTest, AVirtualShardOfManyRowsIsSeveralRecords) {
  Begin("width: 256");
  TableRound round(*table_, 4000, 1 << 30, &random_);
  for (size_t part = 0; part < table_->num_parts(); ++part) table_->Apply(part, round.pushes);
  const std::unique_ptr<TableCopy> copy = NewCopy();
  for (size_t part = 0; part < table_->num_parts(); ++part) {
    const std::vector<ShardRecord> state = State(part, 0, 1);
    EXPECT_GT(state.size(), 1u);
    for (const ShardRecord& each : state) EXPECT_LE(each.payload.size(), size_t{2} << 20);
    ASSERT_TRUE(Take(state, copy.get()).ok());
    for (size_t i = 1; i < table_->virtual_shards(part).size(); ++i) {
      ASSERT_TRUE(Take(State(part, i, i + 1), copy.get()).ok());
    }
  }
  EXPECT_TRUE(copy->IsWhole());
  EXPECT_TRUE(TableContents(copy->table()) == TableContents(*table_));
}

TEST_F(TableCopyTest, WhatDoesNotFollowIsRefused) {
  Begin("width: 256");
  TableRound many(*table_, 4000, 1 << 30, &random_);
  for (size_t part = 0; part < table_->num_parts(); ++part) table_->Apply(part, many.pushes);
  const std::vector<ShardRecord> early = State(0, 0, 1);
  const auto refuses = [](const absl::Status& status, const std::string& why) {
    EXPECT_TRUE(absl::IsDataLoss(status)) << status;
    EXPECT_TRUE(absl::StrContains(status.message(), why)) << status;
  };
  const ShardRecord round = Round();
  std::unique_ptr<TableCopy> copy = NewCopy();
  refuses(Take(early, copy.get()), "it is of round 1");
  refuses(copy->TakeRound(round.record.round(), round.payload), "is not the next");

  const std::vector<ShardRecord> state = State(0, 0, 1);
  ASSERT_TRUE(Take({state[0]}, copy.get()).ok());
  const ShardRecord next = Round();
  refuses(copy->TakeRound(next.record.round(), next.payload), "in the middle of it");

  const auto wrong = [&](std::vector<ShardRecord> records, const std::string& why) {
    for (ShardRecord& each : records) {
      each.record.mutable_table_state()->set_version(table_->version(0));
    }
    refuses(Take(records, NewCopy().get()), why);
  };
  std::vector<ShardRecord> other = state;
  other[0].record.mutable_table_state()->mutable_virtual_shards(0)->set_number(100);
  wrong(other, "of another shard");
  other = state;
  other[0].record.mutable_table_state()->mutable_virtual_shards(0)->set_number(7);
  wrong(other, "in the wrong place");
  other = state;
  other[0].record.mutable_table_state()->set_row_bytes(12);
  wrong(other, "its rows have 12 bytes");
  other = state;
  other[0].payload = other[0].payload.Sub(0, other[0].payload.size() - 1);
  wrong(other, "cut short");
  other = state;
  other.insert(other.begin(), other[0]);
  wrong(other, "comes twice");
  wrong({state[0], State(1, 0, 1)[0]}, "does not go on");
}

TEST_F(TableCopyTest, ARoundThatMakesOtherRowsIsFound) {
  SCOPED_TRACE(testing::Message() << "seed " << seed_);
  Begin("width: 2");
  const std::unique_ptr<TableCopy> copy = NewCopy();
  for (size_t part = 0; part < table_->num_parts(); ++part) {
    ASSERT_TRUE(Take(State(part, 0, table_->virtual_shards(part).size()), copy.get()).ok());
  }
  ShardRecord round;
  do {
    round = Round();
    if (round.payload.empty()) {
      ASSERT_TRUE(copy->TakeRound(round.record.round(), round.payload).ok());
    }
  } while (round.payload.empty());
  round.record.mutable_round()->set_state_crc32c(round.record.round().state_crc32c() + 1);
  const absl::Status diverged = copy->TakeRound(round.record.round(), round.payload);
  EXPECT_TRUE(absl::IsDataLoss(diverged)) << diverged;
  EXPECT_TRUE(absl::StrContains(diverged.message(), "diverged")) << diverged;
}

}  // namespace
}  // namespace parley
