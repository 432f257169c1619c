// Tables of a shard that writes its changes down (ShardOptions::log_folder), dies, and goes on.

#include <cstdint>
#include <random>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "base/testing/faulty_env.h"
#include "gtest/gtest.h"
#include "ps/testing/table_job.h"

namespace parley {
namespace {

// A job whose shard dies when a test says so.
class DurableJob : public TableJob {
 public:
  using TableJob::TableJob;

  // Returns whether it goes on from a log.
  bool Start() {
    ShardOptions options;
    options.checkpoint_folder = task().checkpoints();
    options.log_folder = task().log_folder();
    StartWith(std::move(options));
    const absl::StatusOr<bool> recovered = task().shard().Recover();
    EXPECT_TRUE(recovered.ok()) << recovered.status();
    return recovered.ok() && *recovered;
  }
  void StartNew() {
    ASSERT_FALSE(Start());
    Declare();
  }
};

TEST(DurableTablesTest, AShardThatIsStartedAgainHasItsRows) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  for (const bool synchronous : {true, false}) {
    for (const char* more :
         {"", "memory_limit: 6000", "expire_after_rounds: 4",
          "memory_limit: 6000 expire_after_rounds: 4 policy { asynchronous {} }"}) {
      SCOPED_TRACE(testing::Message() << synchronous << " " << more);
      DurableJob whole(TableJobSpec(synchronous, more)), job(TableJobSpec(synchronous, more));
      whole.StartNew();
      job.StartNew();
      for (int64_t step = 0; step < 24; ++step) {
        const uint64_t number = static_cast<uint64_t>(2 * step + 1);
        for (DurableJob* const each : {&whole, &job}) {
          ASSERT_TRUE(each->PushSome(step, number).ok());
          ASSERT_TRUE(each->task().Push(0, step, number + 1, 0.25f).ok());
        }
        if (random() % 5 == 0) {
          ASSERT_TRUE(job.task().Checkpoint(step + 1).ok());
        }
        if (random() % 3 == 0) {
          ASSERT_TRUE(job.Start());
        }
      }
      ASSERT_TRUE(job.Start());
      EXPECT_EQ(job.Rows(24), whole.Rows(24));
      EXPECT_EQ(job.task().Pull(24), whole.task().Pull(24));
    }
  }
}

TEST(DurableTablesTest, APushWhoseAnswerWasLostIsNotAppliedAgain) {
  for (const bool synchronous : {true, false}) {
    DurableJob job(TableJobSpec(synchronous));
    job.StartNew();
    ASSERT_TRUE(job.PushSome(0, 1).ok());
    ASSERT_TRUE(job.task().Push(0, 0, 2, 1).ok());
    ASSERT_TRUE(job.PushSome(1, 3).ok());
    ASSERT_TRUE(job.task().Push(0, 1, 4, 1).ok());
    const std::vector<float> rows = job.Rows(2);
    ASSERT_TRUE(job.Start());
    EXPECT_TRUE(job.PushSome(1, 3).ok());
    EXPECT_EQ(job.Rows(2), rows);
    // Nor when a checkpoint has it.
    ASSERT_TRUE(job.task().Checkpoint(2).ok());
    ASSERT_TRUE(job.Start());
    EXPECT_TRUE(job.PushSome(1, 3).ok());
    EXPECT_EQ(job.Rows(2), rows);
  }
}

TEST(DurableTablesTest, APushIsAcknowledgedWhenItsRowsAreOnDisk) {
  FaultyEnv faulty(Env::Posix());
  DurableJob job(TableJobSpec(/*synchronous=*/false), &faulty);
  job.StartNew();
  ASSERT_TRUE(job.PushSome(0, 1).ok());
  faulty.FailAt(0, FaultyEnv::After::kCrashes, absl::UnavailableError("crashed"));
  EXPECT_FALSE(job.PushSome(1, 2).ok());
}

// Whichever change of the disk is the last: what was acknowledged is there, once.
TEST(DurableTablesTest, WhateverChangeIsTheLastNothingAcknowledgedIsLostOrTakenTwice) {
  for (int64_t crash = 0; crash < 60; crash += 3) {
    SCOPED_TRACE(crash);
    DurableJob whole(TableJobSpec(/*synchronous=*/false));
    whole.StartNew();
    FaultyEnv faulty(Env::Posix());
    DurableJob job(TableJobSpec(/*synchronous=*/false), &faulty);
    job.StartNew();
    faulty.FailAt(crash, FaultyEnv::After::kCrashes, absl::UnavailableError("crashed"));
    uint64_t acknowledged = 0;
    for (uint64_t number = 1; number <= 8; ++number) {
      if (!job.PushSome(static_cast<int64_t>(number), number).ok()) break;
      acknowledged = number;
      if (number == 4) job.task().Checkpoint(5).IgnoreError();
    }
    faulty.FailAt(-1, FaultyEnv::After::kCrashes, absl::OkStatus());
    ASSERT_TRUE(job.Start());
    // The one whose answer was lost may be there or not: it is pushed again.
    for (uint64_t number = acknowledged + 1; number <= 8; ++number) {
      ASSERT_TRUE(job.PushSome(static_cast<int64_t>(number), number).ok());
    }
    for (uint64_t number = 1; number <= 8; ++number) {
      ASSERT_TRUE(whole.PushSome(static_cast<int64_t>(number), number).ok());
    }
    ASSERT_EQ(job.Rows(0), whole.Rows(0));
  }
}

TEST(DurableTablesTest, WhatNoLogHasIsRefused) {
  DurableJob job(TableJobSpec(/*synchronous=*/false, "admit_after_rounds: 2"));
  ASSERT_FALSE(job.Start());
  const absl::Status refused = job.task().Declare();
  EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
  EXPECT_TRUE(absl::StrContains(refused.message(), "table rows has admit_after_rounds")) << refused;
}

}  // namespace
}  // namespace parley
