// Tables of a shard whose changes another task has too (ShardOptions::standby): the copy is filled
// and follows, and the shard dies and goes on with it.

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "ps/standby.h"
#include "ps/testing/table_job.h"
#include "ps/testing/wire.h"

namespace parley {
namespace {

// A job whose shard dies when a test says so, with its copy behind a wire.
class ReplicatedJob : public TableJob {
 public:
  ReplicatedJob(v1::JobSpec spec, uint32_t seed)
      : TableJob(std::move(spec)), random_(seed), wire_(std::make_shared<Wire>(seed)) {
    Replace();
  }

  // The copy's task is another one from now on, which has nothing.
  void Replace(int64_t memory_limit = 0) {
    Standby::Options options;
    options.spill_folder = spill_folder();
    options.table_parts = 1 + random_() % 3;
    options.memory_limit = memory_limit;
    standby_ = NewStandby(std::move(options));
    wire_->ConnectTo(standby_);
  }
  ShardOptions Options(bool log = false) {
    ShardOptions options;
    options.standby = wire_;
    options.standby_patience = patience;
    if (log) options.log_folder = task().log_folder();
    options.checkpoint_folder = task().checkpoints();
    return options;
  }
  // A shard that takes its state back, if there is any.
  void Start(bool log = false) {
    StartWith(Options(log));
    task().shard().RecoverFromStandby();
  }
  // One in the task that has the copy.
  void TakeOver(bool log = false) {
    absl::optional<ShardCopy> copy = standby_->Release(0, ++term_);
    ASSERT_TRUE(copy.has_value());
    Replace();
    StartWith(Options(log));
    const absl::Status taken = task().shard().TakeOver(*std::move(copy));
    ASSERT_TRUE(taken.ok()) << taken;
  }
  // Pushes rows and a gradient for the parameter, each until it is taken: calls that come too early
  // are sent again.
  void Push(int64_t step) {
    const uint64_t number = static_cast<uint64_t>(2 * step + 1);
    absl::Status pushed;
    do {
      pushed = PushSome(step, number);
      if (pushed.ok()) pushed = task().Push(0, step, number + 1, 0.25f);
      ASSERT_TRUE(pushed.ok() || absl::IsUnavailable(pushed)) << pushed;
    } while (!pushed.ok());
  }
  Wire& wire() { return *wire_; }

  absl::Duration patience = absl::Minutes(1);

 private:
  std::mt19937 random_;
  const std::shared_ptr<Wire> wire_;
  std::shared_ptr<Standby> standby_;
  uint64_t term_ = 1000;
};

// A job that nobody disturbs.
class QuietJob : public TableJob {
 public:
  explicit QuietJob(v1::JobSpec spec) : TableJob(std::move(spec)) {
    StartWith(ShardOptions());
    Declare();
  }
  void Push(int64_t step) {
    const uint64_t number = static_cast<uint64_t>(2 * step + 1);
    ASSERT_TRUE(PushSome(step, number).ok());
    ASSERT_TRUE(task().Push(0, step, number + 1, 0.25f).ok());
  }
};

class ReplicatedTablesTest : public ::testing::Test {
 protected:
  ReplicatedTablesTest() : seed_(std::random_device()()), random_(seed_) {}

  const uint32_t seed_;
  std::mt19937 random_;
};

constexpr const char* kTables[] = {
    "", "memory_limit: 6000", "expire_after_rounds: 4", "admit_after_rounds: 2",
    "memory_limit: 6000 expire_after_rounds: 7 admit_after_rounds: 2 policy { asynchronous {} }"};

TEST_F(ReplicatedTablesTest, AShardThatIsStartedAgainOrTakenOverHasItsRows) {
  SCOPED_TRACE(testing::Message() << "seed " << seed_);
  for (const bool synchronous : {true, false}) {
    for (const char* more : kTables) {
      SCOPED_TRACE(testing::Message() << synchronous << " " << more);
      QuietJob quiet(TableJobSpec(synchronous, more));
      ReplicatedJob job(TableJobSpec(synchronous, more), random_());
      job.Start();
      job.Declare();
      for (int64_t step = 0; step < 24; ++step) {
        // The next push waits until the new copy is whole.
        if (random_() % 4 == 0) job.Replace();
        quiet.Push(step);
        job.Push(step);
        switch (random_() % 6) {
          case 0:
            job.Start();
            job.Push(step);  // taken when it has its state back
            break;
          case 1:
            job.TakeOver();
            break;
        }
        if (random_() % 3 == 0) job.Push(step);  // its answer was lost, for all the worker knows
        ASSERT_FALSE(HasFatalFailure());
      }
      job.Push(23);
      EXPECT_EQ(job.Rows(24), quiet.Rows(24));
      EXPECT_EQ(job.task().Pull(24), quiet.task().Pull(24));
    }
  }
}

TEST_F(ReplicatedTablesTest, LostAnswersMakeNoDifference) {
  SCOPED_TRACE(testing::Message() << "seed " << seed_);
  QuietJob quiet(TableJobSpec(/*synchronous=*/true));
  ReplicatedJob job(TableJobSpec(/*synchronous=*/true), seed_);
  job.wire().LoseAnswers(0.4);
  job.Start();
  job.Declare();
  for (int64_t step = 0; step < 12; ++step) {
    if (step == 6) job.Replace();
    quiet.Push(step);
    job.Push(step);
  }
  job.Start();
  job.Push(11);
  EXPECT_EQ(job.Rows(12), quiet.Rows(12));
}

TEST_F(ReplicatedTablesTest, ACopyWhoseRowsHaveDivergedIsFoundAndFilledAnew) {
  QuietJob quiet(TableJobSpec(/*synchronous=*/true));
  ReplicatedJob job(TableJobSpec(/*synchronous=*/true), seed_);
  job.Start();
  job.Declare();
  const std::vector<uint64_t> keys = {1, 2, 3};
  for (int64_t step = 0; step < 65; ++step) {
    const std::vector<float> gradients(keys.size() * TableJob::kWidth, 0.5f);
    const uint64_t number = static_cast<uint64_t>(2 * step + 1);
    if (step == 20) job.wire().ChangeNextRound();
    for (TableJob* const each : {static_cast<TableJob*>(&quiet), static_cast<TableJob*>(&job)}) {
      ASSERT_TRUE(each->PushRows(step, number, keys, gradients).ok());
      ASSERT_TRUE(each->task().Push(0, step, number + 1, 0.25f).ok());
    }
  }
  job.TakeOver();
  EXPECT_EQ(job.Rows(65), quiet.Rows(65));
}

TEST_F(ReplicatedTablesTest, ALogBeginsWithTheRowsOfTheCopy) {
  SCOPED_TRACE(testing::Message() << "seed " << seed_);
  for (const bool with_checkpoint : {false, true}) {
    for (const char* more : {"", "memory_limit: 6000 expire_after_rounds: 7"}) {
      SCOPED_TRACE(testing::Message() << with_checkpoint << " " << more);
      QuietJob quiet(TableJobSpec(/*synchronous=*/true, more));
      ReplicatedJob job(TableJobSpec(/*synchronous=*/true, more), random_());
      job.Start(/*log=*/true);
      job.Declare();
      int64_t step = 0;
      const auto push = [&](int64_t until) {
        for (; step < until; ++step) {
          quiet.Push(step);
          job.Push(step);
        }
      };
      push(6);
      job.TakeOver(/*log=*/true);
      push(8);
      if (with_checkpoint) {
        ASSERT_TRUE(job.task().Checkpoint(8).ok());
      }
      push(10);
      job.Replace();  // the copy is gone with its task; the log is not
      job.StartWith(job.Options(/*log=*/true));
      const absl::StatusOr<bool> recovered = job.task().shard().Recover();
      ASSERT_TRUE(recovered.ok()) << recovered.status();
      ASSERT_TRUE(*recovered);
      push(12);
      EXPECT_EQ(job.Rows(12), quiet.Rows(12));
      EXPECT_EQ(job.task().Pull(12), quiet.task().Pull(12));
    }
  }
}

TEST_F(ReplicatedTablesTest, ATaskWithoutRoomForTheRowsHasNoCopyAndTheShardGoesOn) {
  ReplicatedJob job(TableJobSpec(/*synchronous=*/false), seed_);
  job.patience = absl::Milliseconds(20);
  job.Replace(/*memory_limit=*/10000);
  job.Start();
  job.Declare();
  for (int64_t step = 0; step < 30; ++step) job.Push(step);
  const auto found = Begin<ParameterServer::FetchReplicaReply>([&](auto done) {
                       job.wire().FetchReplica(v1::FetchReplicaRequest(), std::move(done));
                     }).get();
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_FALSE(found->response.has_books());
}

}  // namespace
}  // namespace parley
