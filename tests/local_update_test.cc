// Workers that train values of their own, against real shards: what their exchanges come to, and
// what is left of one that is lost or of a worker that dies.

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "net/forwarding_parameter_server.h"
#include "ps/shard.h"
#include "tests/toy_task.h"
#include "worker/client.h"
#include "worker/trainer.h"

namespace parley {
namespace {

using ::testing::HasSubstr;
using Values = std::vector<std::vector<float>>;

constexpr int kBlocks = 1 + 3;  // of 100 elements
constexpr float kRate = 0.25f;
constexpr int kEvery = 3;
constexpr int64_t kSteps = 11;  // the last exchange comes early
constexpr int kExchanges = 4;

enum class Kind { kLocalSgd, kElastic, kGeo };

v1::JobSpec Spec(Kind kind, int workers, int shards) {
  v1::JobSpec spec;
  spec.set_name("local_update");
  spec.set_num_workers(workers);
  spec.set_num_shards(shards);
  spec.set_block_elements(100);
  for (v1::ParameterSpec& parameter : ToyTask(0).Parameters()) *spec.add_parameters() = parameter;
  spec.mutable_optimizer()->set_learning_rate(1);
  spec.mutable_optimizer()->mutable_sgd();
  v1::Optimizer local;
  local.set_learning_rate(kRate);
  local.mutable_sgd();
  v1::Policy* const policy = spec.mutable_policy();
  if (kind == Kind::kLocalSgd) {
    policy->mutable_local_sgd()->set_every(kEvery);
    *policy->mutable_local_sgd()->mutable_local() = local;
  } else if (kind == Kind::kElastic) {
    policy->mutable_elastic_averaging()->set_every(kEvery);
    *policy->mutable_elastic_averaging()->mutable_local() = local;
  } else {
    policy->mutable_geo()->set_every(kEvery);
    *policy->mutable_geo()->mutable_local() = local;
  }
  return spec;
}

std::vector<std::shared_ptr<ParameterServer>> MakeShards(int count) {
  std::vector<std::shared_ptr<ParameterServer>> shards;
  for (int i = 0; i < count; ++i) {
    ShardOptions options;
    options.shard_index = i;
    options.replace_after = absl::Milliseconds(50);
    shards.push_back(std::make_shared<Shard>(options));
  }
  return shards;
}

struct Result {
  Values values;
  int64_t pushes = 0;  // of block gradients, as the shards counted
};

absl::StatusOr<Result> RunWorker(const v1::JobSpec& spec, int worker,
                                 std::vector<std::shared_ptr<ParameterServer>> shards,
                                 std::function<void(int64_t)> on_step = nullptr,
                                 std::function<bool()> should_stop = nullptr) {
  ClientOptions client_options;
  client_options.worker = worker;
  auto client = Client::Connect(spec, std::move(shards), client_options);
  if (!client.ok()) return client.status();
  ToyTask task(worker);
  task.on_step = std::move(on_step);
  TrainerOptions options;
  options.steps = kSteps;
  options.steps_per_epoch = 4;  // evaluations stand between exchanges
  options.should_stop = std::move(should_stop);
  Trainer trainer(client->get(), &task, options);
  const absl::StatusOr<TrainingSummary> summary = trainer.Run();
  if (!summary.ok()) return summary.status();
  Result result;
  result.pushes = summary->status.total.pushes();
  for (const absl::Span<float> values : trainer.parameters()) {
    result.values.emplace_back(values.begin(), values.end());
  }
  return result;
}

Result RunJob(const v1::JobSpec& spec) {
  const auto shards = MakeShards(spec.num_shards());
  Result result;
  std::vector<std::thread> threads;
  for (int worker = 0; worker < spec.num_workers(); ++worker) {
    threads.emplace_back([&, worker] {
      const absl::StatusOr<Result> ended = RunWorker(spec, worker, shards);
      EXPECT_TRUE(ended.ok()) << ended.status();
      if (ended.ok() && worker == 0) result = *ended;
    });
  }
  for (std::thread& thread : threads) thread.join();
  return result;
}

TEST(LocalUpdateTest, LocalSgdIsTheMeanOfWhatEachWorkerComesToAlone) {
  constexpr int kWorkers = 3;
  Values shared;
  for (const int size : kToySizes) shared.emplace_back(size, 0.5f);
  for (int64_t first = 0; first < kSteps; first += kEvery) {
    std::vector<Values> own(kWorkers, shared);
    for (int worker = 0; worker < kWorkers; ++worker) {
      for (int64_t step = first; step < std::min(first + kEvery, kSteps); ++step) {
        for (std::vector<float>& values : own[worker]) {
          for (size_t j = 0; j < values.size(); ++j) {
            const float gradient = values[j] - Target(worker, step, j);
            values[j] = values[j] - kRate * gradient;
          }
        }
      }
    }
    for (size_t i = 0; i < shared.size(); ++i) {
      for (size_t j = 0; j < shared[i].size(); ++j) {
        float sum = 0;
        for (const Values& values : own) sum = sum + (shared[i][j] - values[i][j]);
        shared[i][j] = shared[i][j] - sum * (1.0f / kWorkers);
      }
    }
  }
  for (const int shards : {1, 2, 3}) {
    const Result result = RunJob(Spec(Kind::kLocalSgd, kWorkers, shards));
    EXPECT_EQ(result.values, shared) << shards << " shards";
    EXPECT_EQ(result.pushes, kBlocks * kExchanges * kWorkers);
  }
}

// The answers of some requests are lost on their way, after the shard has done what they ask.
class LosesAnswers final : public ForwardingParameterServer {
 public:
  explicit LosesAnswers(std::shared_ptr<ParameterServer> target)
      : ForwardingParameterServer(target.get()), target_(std::move(target)) {}

  void PushPull(v1::PushPullRequest request, Payload payload, Done<PushPullReply> done) override {
    const bool loses = request.push_size() > 0 && calls_.fetch_add(1) % 2 == 0;
    ForwardingParameterServer::PushPull(
        std::move(request), std::move(payload),
        [this, loses, done = std::move(done)](absl::StatusOr<PushPullReply> reply) mutable {
          if (!loses) return done(std::move(reply));
          lost.fetch_add(1);
          done(absl::UnavailableError("the answer was lost"));
        });
  }

  std::atomic<int> lost{0};

 private:
  const std::shared_ptr<ParameterServer> target_;
  std::atomic<int> calls_{0};
};

TEST(LocalUpdateTest, AnExchangeWhoseAnswerIsLostCountsOnce) {
  for (const Kind kind : {Kind::kLocalSgd, Kind::kElastic, Kind::kGeo}) {
    const v1::JobSpec spec = Spec(kind, 1, 1);
    const Result expected = RunJob(spec);
    const auto lossy = std::make_shared<LosesAnswers>(MakeShards(1)[0]);
    const absl::StatusOr<Result> result = RunWorker(spec, 0, {lossy});
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_GT(lossy->lost, 0);
    EXPECT_EQ(result->values, expected.values);
    EXPECT_EQ(result->pushes, expected.pushes);
  }
}

// A worker behind it vanishes without a word.
class HearsNoLeave final : public ForwardingParameterServer {
 public:
  explicit HearsNoLeave(std::shared_ptr<ParameterServer> target)
      : ForwardingParameterServer(target.get()), target_(std::move(target)) {}
  void Leave(v1::LeaveRequest, Done<v1::LeaveResponse> done) override { done(v1::LeaveResponse()); }

 private:
  const std::shared_ptr<ParameterServer> target_;
};

// Worker 1 of two vanishes after `dies_after` steps, and is started again. `continued_at` is where.
absl::StatusOr<Result> RunJobWithADeath(const v1::JobSpec& spec, int64_t dies_after,
                                        int64_t* continued_at) {
  const auto shards = MakeShards(spec.num_shards());
  absl::StatusOr<Result> chief = absl::UnknownError("not run");
  std::thread other([&] { chief = RunWorker(spec, 0, shards); });
  std::vector<std::shared_ptr<ParameterServer>> mute;
  for (const auto& shard : shards) mute.push_back(std::make_shared<HearsNoLeave>(shard));
  int64_t done = 0;
  const absl::Status died =
      RunWorker(
          spec, 1, mute, [&](int64_t step) { done = step + 1; }, [&] { return done == dies_after; })
          .status();
  EXPECT_EQ(died.code(), absl::StatusCode::kCancelled) << died;
  *continued_at = -1;
  const absl::Status second = RunWorker(spec, 1, shards, [&](int64_t step) {
                                if (*continued_at < 0) *continued_at = step;
                              }).status();
  EXPECT_TRUE(second.ok()) << second;
  other.join();
  return chief;
}

TEST(LocalUpdateTest, AWorkerOfLocalSgdThatIsStartedAgainDoesItsPeriodAgainToTheSameBits) {
  const v1::JobSpec spec = Spec(Kind::kLocalSgd, 2, 2);
  int64_t continued_at;
  const absl::StatusOr<Result> result = RunJobWithADeath(spec, 5, &continued_at);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(continued_at, 3);
  EXPECT_EQ(result->values, RunJob(spec).values);
}

TEST(LocalUpdateTest, AnAsynchronousExchangeOfAWorkerThatIsStartedAgainCountsOnce) {
  for (const Kind kind : {Kind::kElastic, Kind::kGeo}) {
    int64_t continued_at;
    const absl::StatusOr<Result> result = RunJobWithADeath(Spec(kind, 2, 2), 7, &continued_at);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(continued_at, 6);
    EXPECT_EQ(result->pushes, 2 * kBlocks * kExchanges);
    for (const std::vector<float>& values : result->values) {
      for (const float value : values) {
        // All that is ever added is on the way to targets in [0, 1).
        EXPECT_GE(value, -0.5f);
        EXPECT_LE(value, 1.5f);
      }
    }
  }
}

TEST(LocalUpdateTest, DifferencesDoNotTravelIn16Bits) {
  ClientOptions options;
  options.push_dtype = v1::BFLOAT16;
  const absl::Status status =
      Client::Connect(Spec(Kind::kGeo, 1, 1), MakeShards(1), options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("allowed as push_dtype"));
}

}  // namespace
}  // namespace parley
