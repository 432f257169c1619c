// A shard with a log, and its checkpoints, on a disk that forgets what was not synced when the
// power fails (base/testing/memory_env.h).

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/testing/faulty_env.h"
#include "base/testing/memory_env.h"
#include "glog/logging.h"
#include "gtest/gtest.h"
#include "net/checkpoint_folder.h"
#include "ps/testing/one_shard.h"

namespace parley {
namespace {

constexpr int64_t kSteps = 4;

float GradientOf(int64_t step) { return 0.25f * static_cast<float>(step + 1); }

// A job of one worker, with a checkpoint after each step, until the disk fails.
class DisturbedJob {
 public:
  DisturbedJob(bool synchronous, Env* env) : env_(env), task_(OneShardSpec(1, synchronous), env) {}

  // Whether it came to its end.
  bool Run() {
    if (!task_.Start().ok() || !task_.Declare().ok() || !task_.Join(0).ok()) return false;
    return GoOn(kSteps, true);
  }
  // Of the job's steps, at most so many.
  void RunAgain(int64_t steps = kSteps, bool saves = true) {
    const absl::StatusOr<bool> recovered = task_.Start();
    ASSERT_TRUE(recovered.ok()) << recovered.status();
    EXPECT_TRUE(*recovered || acknowledged_ == 0);
    ASSERT_TRUE(task_.Declare().ok());
    ASSERT_TRUE(task_.Join(0).ok());
    if (saved_ > 0) {
      const auto newest = FindNewestValid(env_, task_.checkpoints());
      ASSERT_TRUE(newest.ok()) << newest.status();
      EXPECT_GE(newest->manifest.step(), saved_);
    }
    ASSERT_TRUE(GoOn(std::min(acknowledged_ + steps, kSteps), saves));
  }
  void Stop() { task_.Stop(); }
  std::vector<float> Values() { return task_.Pull(kSteps); }

 private:
  bool GoOn(int64_t end, bool saves) {
    while (acknowledged_ < end) {
      const int64_t step = acknowledged_;
      // One that was not acknowledged comes again, with its number.
      if (!task_.Push(0, step, static_cast<uint64_t>(step) + 1, GradientOf(step)).ok()) {
        return false;
      }
      ++acknowledged_;
      if (!saves) continue;
      if (!task_.Checkpoint(acknowledged_).ok()) return false;
      saved_ = acknowledged_;
    }
    return true;
  }

  Env* const env_;
  OneShard task_;
  int64_t acknowledged_ = 0;
  int64_t saved_ = 0;  // the step of the newest checkpoint that was acknowledged
};

TEST(PowerFailureTest, WheneverItComesWhatWasAcknowledgedIsThereAndCountsOnce) {
  const google::LogSeverity level = std::exchange(FLAGS_minloglevel, google::FATAL);
  const uint32_t seed = std::random_device()();
  for (const bool synchronous : {true, false}) {
    MemoryEnv intact;
    DisturbedJob whole(synchronous, &intact);
    ASSERT_TRUE(whole.Run());
    const std::vector<float> expected = whole.Values();
    for (const MemoryEnv::Loses loses : {MemoryEnv::Loses::kAll, MemoryEnv::Loses::kSome}) {
      bool ended = false;
      for (int64_t change = 0; !ended; ++change) {
        SCOPED_TRACE(absl::StrCat("synchronous ", synchronous, ", loses ", static_cast<int>(loses),
                                  ", change ", change, ", seed ", seed));
        MemoryEnv disk;
        FaultyEnv env(&disk);
        env.FailAt(change, FaultyEnv::After::kCrashes, absl::InternalError("no power"));
        DisturbedJob job(synchronous, &env);
        ended = job.Run();
        job.Stop();
        disk.PowerFails(loses, seed + static_cast<uint32_t>(change));
        env.FailAt(-1, FaultyEnv::After::kRecovers, absl::OkStatus());
        ASSERT_NO_FATAL_FAILURE(job.RunAgain());
        ASSERT_EQ(job.Values(), expected);
      }
    }
  }
  FLAGS_minloglevel = level;
}

// Who comes back after a process that died goes on from what that one had written, and may not have
// synced.
TEST(PowerFailureTest, WhatAProcessThatDiedHadNotSyncedIsKeptByTheNext) {
  const google::LogSeverity level = std::exchange(FLAGS_minloglevel, google::FATAL);
  MemoryEnv intact;
  DisturbedJob whole(true, &intact);
  ASSERT_TRUE(whole.Run());
  const std::vector<float> expected = whole.Values();
  bool ended = false;
  for (int64_t change = 0; !ended; ++change) {
    SCOPED_TRACE(absl::StrCat("change ", change));
    MemoryEnv disk;
    FaultyEnv env(&disk);
    env.FailAt(change, FaultyEnv::After::kCrashes, absl::InternalError("dead"));
    DisturbedJob job(true, &env);
    ended = job.Run();
    job.Stop();
    env.FailAt(-1, FaultyEnv::After::kRecovers, absl::OkStatus());
    ASSERT_NO_FATAL_FAILURE(job.RunAgain(1, /*saves=*/false));
    job.Stop();
    disk.PowerFails(MemoryEnv::Loses::kAll, 1);
    ASSERT_NO_FATAL_FAILURE(job.RunAgain());
    ASSERT_EQ(job.Values(), expected);
  }
  FLAGS_minloglevel = level;
}

}  // namespace
}  // namespace parley
