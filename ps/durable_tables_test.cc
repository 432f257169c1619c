// Tables of a shard that writes its changes down (ShardOptions::log_folder), dies, and goes on.

#include <cstdint>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/testing/faulty_env.h"
#include "base/testing/temp_folder.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "ps/testing/one_shard.h"

namespace parley {
namespace {

constexpr uint64_t kKeys = 400;
constexpr uint64_t kWidth = 2;

v1::JobSpec Spec(bool synchronous, const std::string& more = "") {
  v1::JobSpec spec = OneShardSpec(/*workers=*/1, synchronous);
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(
      absl::StrCat("name: 'rows' width: 2 dtype: FLOAT32 virtual_shards: 8 initializer { normal { "
                   "stddev: 1 } } optimizer { learning_rate: 0.5 adam {} } ",
                   more),
      spec.add_tables()));
  return spec;
}

// A job of one worker, whose shard dies when a test says so.
class DurableJob {
 public:
  explicit DurableJob(v1::JobSpec spec, Env* env = Env::Posix()) : task_(std::move(spec), env) {}

  // Returns whether it goes on from a log.
  bool Start() {
    ShardOptions options;
    options.checkpoint_folder = task_.checkpoints();
    options.log_folder = task_.log_folder();
    options.spill_folder = spilled_.path();
    task_.StartWith(options);
    const absl::StatusOr<bool> recovered = task_.shard().Recover();
    EXPECT_TRUE(recovered.ok()) << recovered.status();
    return recovered.ok() && *recovered;
  }
  void StartNew() {
    ASSERT_FALSE(Start());
    const absl::Status declared = task_.Declare();
    ASSERT_TRUE(declared.ok()) << declared;
    ASSERT_TRUE(task_.Join(0).ok());
  }
  absl::Status PushRows(int64_t step, uint64_t sequence, const std::vector<uint64_t>& keys,
                        const std::vector<float>& gradients) {
    v1::PushPullRequest request = Request();
    request.set_step(step);
    request.set_sequence(sequence);
    request.add_push_rows()->mutable_keys()->Add(keys.begin(), keys.end());
    const auto values = std::make_shared<std::vector<float>>(gradients);
    Payload payload;
    payload.Append(values->data(), values->size() * sizeof(float), values);
    return Begin<ParameterServer::PushPullReply>([&](auto done) {
             task_.shard().PushPull(request, std::move(payload), std::move(done));
           })
        .get()
        .status();
  }
  // Keys and gradients that follow from `number`, some keys twice.
  absl::Status PushSome(int64_t step, uint64_t number) {
    std::mt19937_64 random(number);
    std::vector<uint64_t> keys(random() % 60);
    for (uint64_t& key : keys) key = random() % (1 + random() % kKeys);
    std::vector<float> gradients(keys.size() * kWidth);
    for (float& value : gradients) value = static_cast<float>(random() % 2001) * 1e-3f - 1;
    return PushRows(step, number, keys, gradients);
  }
  std::vector<float> Rows(int64_t step) {
    v1::PushPullRequest request = Request();
    request.set_pull_step(step);
    request.add_pull_rows();
    for (uint64_t key = 0; key < kKeys; ++key) request.mutable_pull_rows(0)->add_keys(key);
    const auto reply = Begin<ParameterServer::PushPullReply>([&](auto done) {
                         task_.shard().PushPull(request, Payload(), std::move(done));
                       }).get();
    EXPECT_TRUE(reply.ok()) << reply.status();
    std::vector<float> rows(kKeys * kWidth);
    if (reply.ok()) reply->payload.CopyTo(rows.data());
    return rows;
  }
  OneShard& task() { return task_; }

 private:
  static v1::PushPullRequest Request() {
    v1::PushPullRequest request;
    request.mutable_sender()->set_job("job");
    request.mutable_sender()->set_incarnation(1);
    request.set_wait_ms(30000);
    request.set_dtype(v1::FLOAT32);
    return request;
  }

  TempFolder spilled_;
  OneShard task_;
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
      DurableJob whole(Spec(synchronous, more)), job(Spec(synchronous, more));
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
    DurableJob job(Spec(synchronous));
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
  DurableJob job(Spec(/*synchronous=*/false), &faulty);
  job.StartNew();
  ASSERT_TRUE(job.PushSome(0, 1).ok());
  faulty.FailAt(0, FaultyEnv::After::kCrashes, absl::UnavailableError("crashed"));
  EXPECT_FALSE(job.PushSome(1, 2).ok());
}

// Whichever change of the disk is the last: what was acknowledged is there, once.
TEST(DurableTablesTest, WhateverChangeIsTheLastNothingAcknowledgedIsLostOrTakenTwice) {
  for (int64_t crash = 0; crash < 60; crash += 3) {
    SCOPED_TRACE(crash);
    DurableJob whole(Spec(/*synchronous=*/false));
    whole.StartNew();
    FaultyEnv faulty(Env::Posix());
    DurableJob job(Spec(/*synchronous=*/false), &faulty);
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
  DurableJob job(Spec(/*synchronous=*/false, "admit_after_rounds: 2"));
  ASSERT_FALSE(job.Start());
  const absl::Status refused = job.task().Declare();
  EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
  EXPECT_TRUE(absl::StrContains(refused.message(), "table rows has admit_after_rounds")) << refused;
}

}  // namespace
}  // namespace parley
