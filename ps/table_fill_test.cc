// A table that is sent while rounds go on, to who takes it slowly.

#include "ps/table_fill.h"

#include <algorithm>
#include <atomic>
#include <deque>
#include <future>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "gtest/gtest.h"
#include "ps/table_copy.h"
#include "ps/testing/table_rounds.h"

namespace parley {
namespace {

constexpr size_t kParts = 2;

// A shard's table, whose rounds its queues apply; and what was appended.
class TableFillTest : public ::testing::Test {
 protected:
  TableFillTest()
      : seed_(std::random_device()()),
        random_(seed_),
        job_(JobOfATable("width: 256")),
        table_(std::move(*ShardTable::Create(job_, 0, 0, kParts, 0, ""))),
        pool_(std::make_unique<TaskPool>(2)) {
    for (size_t part = 0; part < kParts; ++part) {
      queues_.push_back(std::make_unique<TaskQueue>(pool_.get()));
    }
    fill_ = std::make_unique<TableFill>(
        std::vector<TableFill::Table>{{table_.get(), job_.BlockOfTable(0)}},
        std::vector<TaskQueue*>{queues_[0].get(), queues_[1].get()},
        [this](std::vector<ShardRecord> records) { Append(std::move(records)); });
  }
  ~TableFillTest() override {
    fill_->Stop();
    pool_ = nullptr;
  }

  void Append(std::vector<ShardRecord> records) {
    MutexLock lock(&mutex_);
    pieces_.push_back(std::move(records));
    changed_.NotifyAll();
  }
  // As Shard::PostTableRounds does.
  void PostRound(size_t keys, uint64_t range) {
    struct Shared {
      explicit Shared(TableRound made) : round(std::move(made)) {}
      TableRound round;
      std::atomic<size_t> missing{kParts};
    };
    auto shared = std::make_shared<Shared>(TableRound(*table_, keys, range, &random_));
    for (size_t part = 0; part < kParts; ++part) {
      queues_[part]->Post([this, part, shared] {
        table_->Apply(part, shared->round.pushes);
        if (shared->missing.fetch_sub(1) > 1) return;
        const int64_t version = table_->version(part);
        shared->round.record.record.mutable_round()->set_version(version);
        std::vector<ShardRecord> records;
        records.push_back(std::move(shared->round.record));
        Append(std::move(records));
        fill_->Recorded(0, version);
      });
    }
  }
  // Until the queue has done what was posted so far.
  void Await(size_t part) {
    std::promise<void> done;
    queues_[part]->Post([&done] { done.set_value(); });
    done.get_future().wait();
  }
  // What was appended first, when there is something; its records are the caller's to keep.
  std::vector<ShardRecord> TakePiece() {
    MutexLock lock(&mutex_);
    while (pieces_.empty()) changed_.Wait(&mutex_);
    std::vector<ShardRecord> piece = std::move(pieces_.front());
    pieces_.pop_front();
    return piece;
  }
  size_t num_pieces() {
    MutexLock lock(&mutex_);
    return pieces_.size();
  }
  std::unique_ptr<TableCopy> NewCopy() {
    return std::move(*TableCopy::Create(job_, 0, 0, 1, table_->version(0), ""));
  }
  static void Take(const std::vector<ShardRecord>& piece, TableCopy* copy) {
    for (const ShardRecord& each : piece) {
      const absl::Status taken = each.record.has_round()
                                     ? copy->TakeRound(each.record.round(), each.payload)
                                     : copy->TakeState(each.record.table_state(), each.payload);
      ASSERT_TRUE(taken.ok()) << taken;
    }
  }

  const unsigned seed_;
  std::mt19937_64 random_;
  const Job job_;
  const std::unique_ptr<ShardTable> table_;
  std::unique_ptr<TaskPool> pool_;
  std::vector<std::unique_ptr<TaskQueue>> queues_;
  std::unique_ptr<TableFill> fill_;
  Mutex mutex_;
  CondVar changed_;
  std::deque<std::vector<ShardRecord>> pieces_ ABSL_GUARDED_BY(mutex_);
};

TEST_F(TableFillTest, TheCopyIsTheTableWhateverComesMeanwhile) {
  SCOPED_TRACE(testing::Message() << "seed " << seed_);
  PostRound(4000, 1 << 20);  // 12 MiB
  for (size_t part = 0; part < kParts; ++part) Await(part);
  TakePiece();
  const std::unique_ptr<TableCopy> copy = NewCopy();
  fill_->Begin();
  size_t most = 0;
  while (!copy->IsWhole()) {
    for (uint64_t rounds = random_() % 3; rounds > 0; --rounds) PostRound(50, 1 << 20);
    most = std::max(most, num_pieces());
    Take(TakePiece(), copy.get());
    ASSERT_FALSE(HasFatalFailure());
  }
  EXPECT_GT(most, 0u);
  for (size_t part = 0; part < kParts; ++part) Await(part);
  while (num_pieces() > 0) Take(TakePiece(), copy.get());
  EXPECT_TRUE(TableContents(copy->table()) == TableContents(*table_));
}

TEST_F(TableFillTest, NoMoreIsMadeThanIsTaken) {
  PostRound(4000, 1 << 20);
  for (size_t part = 0; part < kParts; ++part) Await(part);
  TakePiece();
  fill_->Begin();
  std::unique_ptr<TableCopy> copy = NewCopy();
  size_t pieces = 0;
  while (!copy->IsWhole()) {
    // By now what may be made is made.
    for (int times = 0; times < 3; ++times) {
      for (size_t part = 0; part < kParts; ++part) Await(part);
    }
    EXPECT_LE(num_pieces(), 2 * kParts);
    Take(TakePiece(), copy.get());
    ++pieces;
  }
  EXPECT_EQ(pieces, 8u);  // each virtual shard is more than a MiB
  EXPECT_EQ(num_pieces(), 0u);
}

TEST_F(TableFillTest, APartThatIsAheadWaitsForTheRecordOfItsRound) {
  PostRound(100, 1000);
  for (size_t part = 0; part < kParts; ++part) Await(part);
  TakePiece();
  std::promise<void> release;
  queues_[1]->Post([&release] { release.get_future().wait(); });
  const std::unique_ptr<TableCopy> copy = NewCopy();
  PostRound(100, 1000);
  Await(0);
  fill_->Begin();
  Await(0);
  Await(0);
  EXPECT_EQ(num_pieces(), 0u);  // part 0 has the round, part 1 has not
  release.set_value();
  while (!copy->IsWhole()) {
    Take(TakePiece(), copy.get());
    ASSERT_FALSE(HasFatalFailure());
  }
  for (size_t part = 0; part < kParts; ++part) Await(part);
  EXPECT_EQ(copy->version(), 2);
  EXPECT_TRUE(TableContents(copy->table()) == TableContents(*table_));
}

TEST_F(TableFillTest, WhoBeginsLaterGetsAllToo) {
  PostRound(4000, 1 << 20);
  for (size_t part = 0; part < kParts; ++part) Await(part);
  TakePiece();
  fill_->Begin();
  const std::vector<ShardRecord> lost = TakePiece();  // of a copy that is no more
  fill_->Begin();
  const std::unique_ptr<TableCopy> copy = NewCopy();
  while (!copy->IsWhole()) Take(TakePiece(), copy.get());
  EXPECT_TRUE(TableContents(copy->table()) == TableContents(*table_));
}

TEST_F(TableFillTest, WhatIsLetGoAfterTheEndSetsNothingOff) {
  PostRound(4000, 1 << 20);
  for (size_t part = 0; part < kParts; ++part) Await(part);
  TakePiece();
  fill_->Begin();
  const std::vector<ShardRecord> kept = TakePiece();
  fill_->Stop();
  pool_ = nullptr;
  {
    MutexLock lock(&mutex_);
    pieces_.clear();
  }
  fill_->Begin();
  EXPECT_EQ(num_pieces(), 0u);
}

}  // namespace
}  // namespace parley
