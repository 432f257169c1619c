// Jobs of one shard that dies, or whose standby does, again and again, at random moments: of what
// the workers push, each gradient counts exactly once. Gradients are small integers, so that sums
// are exact in any order.
//
// PARLEY_STORM_SEEDS in the environment: how many jobs, 24 unless told; PARLEY_STORM_SEED: the
// first one's seed, random unless told; PARLEY_STORM_LOG: not silently.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <future>
#include <iostream>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/testing/faulty_env.h"
#include "glog/logging.h"
#include "gtest/gtest.h"
#include "ps/testing/one_shard.h"
#include "ps/testing/wire.h"

namespace parley {
namespace {

constexpr int kWorkers = 2;
constexpr int64_t kSteps = 12;

int64_t FromEnvironment(const char* name, int64_t otherwise) {
  const char* const value = std::getenv(name);
  return value == nullptr ? otherwise : std::atoll(value);
}

enum class Keeps { kLog, kReplica, kBoth };

class Storm {
 public:
  // With `norms` gradients are to be shortened, though none is that long.
  Storm(uint32_t seed, Keeps keeps, bool synchronous, bool norms)
      : random_(seed),
        keeps_(keeps),
        synchronous_(synchronous),
        env_(Env::Posix()),
        shard_(Spec(synchronous, norms), &env_),
        wire_(std::make_shared<Wire>(seed)) {
    wire_->ConnectTo(NewStandby());
    if (Chance(0.5)) wire_->LoseAnswers(0.2);
  }

  void Run() {
    Start();
    ASSERT_TRUE(shard_.Declare().ok());
    for (int worker = 0; worker < kWorkers; ++worker) Join(worker);
    while (!failed_ && (next_[0] < kSteps || next_[1] < kSteps)) {
      Disturb();
      PushAll();
    }
    if (failed_) return;
    std::vector<float> expected(kElements, 0);
    for (int worker = 0; worker < kWorkers; ++worker) {
      for (int64_t step = 0; step < kSteps; ++step) {
        for (int i = 0; i < kElements; ++i) {
          const float gradient = GradientOf(worker, step) + static_cast<float>(i);
          expected[i] -= synchronous_ ? gradient / kWorkers : gradient;
        }
      }
    }
    Settle();
    EXPECT_EQ(shard_.Pull(kSteps, incarnation_[0]), expected);
    Restart();
    Settle();
    EXPECT_EQ(shard_.Pull(kSteps, incarnation_[0]), expected);
  }

  int deaths() const { return deaths_; }

 private:
  static v1::JobSpec Spec(bool synchronous, bool norms) {
    v1::JobSpec spec = OneShardSpec(kWorkers, synchronous);
    spec.mutable_optimizer()->mutable_sgd();
    if (norms) spec.mutable_optimizer()->set_clip_norm(1e9);
    return spec;
  }
  static float GradientOf(int worker, int64_t step) {
    return static_cast<float>(2 * (worker + 1) * (step + 1));
  }

  bool Chance(double part) { return std::uniform_real_distribution<double>(0, 1)(random_) < part; }

  bool has_log() const { return keeps_ != Keeps::kReplica; }
  bool has_replica() const { return keeps_ != Keeps::kLog; }

  // The shard's task is started, with an intact disk.
  void Start() {
    ShardOptions options;
    if (has_log()) options.log_folder = shard_.log_folder();
    if (has_replica()) options.standby = wire_;
    options.checkpoint_folder = shard_.checkpoints();
    options.standby_patience = absl::Minutes(1);
    options.replace_after =
        absl::Milliseconds(20);  // so that a worker that is started again is soon in
    shard_.StartWith(std::move(options));
    env_.FailAt(-1, FaultyEnv::After::kRecovers, absl::OkStatus());
    const absl::StatusOr<bool> recovered = shard_.shard().Recover();
    ASSERT_TRUE(recovered.ok()) << recovered.status();
    if (has_replica() && !*recovered) shard_.shard().RecoverFromStandby();
  }

  void Restart() {
    ++deaths_;
    shard_.Stop();
    Start();
  }

  // Something goes wrong now, or soon.
  void Disturb() {
    if (Chance(0.3)) {
      // It dies at one of the next changes of its disk, or where it has none, at once.
      if (has_log() && Chance(0.7)) {
        env_.FailAt(std::uniform_int_distribution<int64_t>(0, 12)(random_),
                    FaultyEnv::After::kCrashes, absl::InternalError("the process is dead"));
      } else {
        Restart();
      }
    }
    // The standby's task comes again with nothing. What it had is lost, and so is the shard, should
    // it die before it has filled another copy, unless there is a log.
    if (has_replica() && Chance(0.15)) {
      if (!has_log()) Settle();
      wire_->ConnectTo(NewStandby());
      if (!has_log()) Settle();
    }
    if (Chance(0.15)) Join(static_cast<int>(random_() % kWorkers));  // a worker is started again
    if (Chance(0.1)) {
      const int64_t step = std::min(next_[0], next_[1]);
      if (!synchronous_ || next_[0] == next_[1])
        shard_.Checkpoint(step, incarnation_[0]).IgnoreError();
    }
  }

  // A worker enters, as another start of itself. Until it is in: the shard may die meanwhile.
  void Join(int worker) {
    ++incarnation_[worker];
    for (int attempt = 0;; ++attempt) {
      const absl::StatusOr<int64_t> step =
          shard_.Join(worker, incarnation_[worker], absl::Milliseconds(300));
      if (step.ok()) {
        next_[worker] = *step;
        sequence_[worker] = 0;
        return;
      }
      if (attempt == 40) {
        ADD_FAILURE() << "worker " << worker << " cannot join: " << step.status();
        failed_ = true;
        return;
      }
      Restart();
    }
  }

  // A step of every worker that has one to do, until the shard has acknowledged it.
  void PushAll() {
    struct Pushed {
      int worker;
      int64_t step;
      uint64_t sequence;
      std::future<absl::StatusOr<OneShard::Reply>> answer;
    };
    std::vector<Pushed> pushes;
    int64_t least = std::min(next_[0], next_[1]);
    for (int worker = 0; worker < kWorkers; ++worker) {
      if (next_[worker] == kSteps || (synchronous_ && next_[worker] > least)) continue;
      pushes.push_back({worker, next_[worker], ++sequence_[worker], {}});
    }
    for (int attempt = 0;; ++attempt) {
      for (Pushed& push : pushes) {
        push.answer = shard_.BeginPush(push.worker, push.step, push.sequence,
                                       GradientOf(push.worker, push.step), {0, 1, 2},
                                       /*wait_ms=*/300, incarnation_[push.worker]);
      }
      std::vector<Pushed> left;
      absl::Status why;
      for (Pushed& push : pushes) {
        const absl::Status status = push.answer.get().status();
        if (status.ok()) {
          next_[push.worker] = push.step + 1;
          continue;
        }
        why = status;
        left.push_back({push.worker, push.step, push.sequence, {}});
      }
      if (left.empty()) return;
      if (absl::StrContains(why.message(), "taking its state back")) --attempt;
      if (attempt == 40) {
        ADD_FAILURE() << why;
        failed_ = true;
        return;
      }
      pushes = std::move(left);
      // It is dead; or it waits for a copy, and the worker's time is over.
      const bool waits = absl::IsDeadlineExceeded(why) && !has_log();
      if (!waits && !absl::StrContains(why.message(), "taking its state back")) Restart();
    }
  }

  // Until all is kept: so that the copy is whole.
  void Settle() {
    if (!has_replica()) return;
    for (int attempt = 0; attempt < 40; ++attempt) {
      // A heartbeat that is kept: the worker joins again, as itself.
      if (shard_.Join(0, incarnation_[0], absl::Seconds(10)).ok()) return;
      Restart();
    }
    failed_ = true;
    ADD_FAILURE() << "the copy does not become whole";
  }

  std::mt19937 random_;
  const Keeps keeps_;
  const bool synchronous_;
  FaultyEnv env_;
  OneShard shard_;
  const std::shared_ptr<Wire> wire_;
  int64_t next_[kWorkers] = {};
  uint64_t sequence_[kWorkers] = {};
  uint64_t incarnation_[kWorkers] = {};
  int deaths_ = 0;
  bool failed_ = false;
};

TEST(DurabilityStormTest, EachGradientCountsExactlyOnce) {
  if (std::getenv("PARLEY_STORM_LOG") == nullptr) FLAGS_minloglevel = google::FATAL;
  const int64_t jobs = FromEnvironment("PARLEY_STORM_SEEDS", 24);
  const int64_t first = FromEnvironment("PARLEY_STORM_SEED", std::random_device()() % 1000000);
  int deaths = 0;
  for (int64_t seed = first; seed < first + jobs && !::testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(absl::StrCat("repeat with PARLEY_STORM_SEEDS=1 PARLEY_STORM_SEED=", seed));
    const bool synchronous = seed / 3 % 2 == 0;
    Storm storm(static_cast<uint32_t>(seed), static_cast<Keeps>(seed % 3), synchronous,
                synchronous && seed / 6 % 2 == 0);
    storm.Run();
    deaths += storm.deaths();
  }
  if (jobs >= 6) {
    EXPECT_GT(deaths, jobs);
  }
  std::cout << jobs << " jobs, " << deaths << " deaths of shards" << std::endl;
}

}  // namespace
}  // namespace parley
