// Jobs that are slow in one place each, by a clock that moves only there: their verdicts say where.

#include "worker/verdict.h"

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/env.h"
#include "base/mutex.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "net/forwarding_parameter_server.h"
#include "ps/optimizer.h"
#include "ps/shard.h"
#include "worker/client.h"
#include "worker/trainer.h"

namespace parley {
namespace {

using ::testing::HasSubstr;

constexpr int kSize = 1000;
constexpr int kSteps = 20;

// Stands still but when it is told to go on. Files are Posix's.
class SlowPlaces final : public Env {
 public:
  void Advance(absl::Duration time) { nanoseconds_ += absl::ToInt64Nanoseconds(time); }
  absl::Time Now() override { return absl::UnixEpoch() + absl::Nanoseconds(nanoseconds_.load()); }
  absl::StatusOr<std::unique_ptr<WritableFile>> NewWritableFile(const std::string& path) override {
    return Posix()->NewWritableFile(path);
  }
  absl::StatusOr<std::unique_ptr<ReadableFile>> OpenFile(const std::string& path) override {
    return Posix()->OpenFile(path);
  }
  absl::Status RenameFile(const std::string& from, const std::string& to) override {
    return Posix()->RenameFile(from, to);
  }
  absl::Status RemoveFile(const std::string& path) override { return Posix()->RemoveFile(path); }
  absl::StatusOr<std::vector<std::string>> ListFolder(const std::string& folder) override {
    return Posix()->ListFolder(folder);
  }
  absl::Status CreateFolders(const std::string& folder) override {
    return Posix()->CreateFolders(folder);
  }
  absl::Status SyncFolder(const std::string& folder) override {
    return Posix()->SyncFolder(folder);
  }

 private:
  std::atomic<int64_t> nanoseconds_{int64_t{1} << 40};
};

// What each place takes each time.
struct Slowness {
  absl::Duration compute;        // of each worker
  absl::Duration wire;           // each way
  absl::Duration shard;          // of a round
  absl::Duration second_worker;  // after the first one's push
};

class SlowOptimizer final : public Optimizer {
 public:
  SlowOptimizer(SlowPlaces* clock, absl::Duration time) : clock_(clock), time_(time) {}
  std::vector<absl::string_view> slot_names() const override { return {}; }
  void Update(const UpdateContext&, absl::Span<const float>, absl::Span<const float> values,
              absl::Span<float> new_values, absl::Span<float* const>) const override {
    for (size_t i = 0; i < values.size(); ++i) new_values[i] = values[i];
  }
  void UpdateTiles(const UpdateContext& context, GradientTiles& tiles,
                   absl::Span<const float> values, absl::Span<float> new_values,
                   absl::Span<float* const> slots) const override {
    clock_->Advance(time_);
    Optimizer::UpdateTiles(context, tiles, values, new_values, slots);
  }

 private:
  SlowPlaces* const clock_;
  const absl::Duration time_;
};

// How many pushes of a worker its shard has.
class PushCount {
 public:
  void Add() {
    MutexLock lock(&mutex_);
    ++count_;
    changed_.NotifyAll();
  }
  void Await(int count) {
    MutexLock lock(&mutex_);
    while (count_ < count) changed_.Wait(&mutex_);
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  int count_ ABSL_GUARDED_BY(mutex_) = 0;
};

class Wire final : public ForwardingParameterServer {
 public:
  Wire(ParameterServer* shard, SlowPlaces* clock, absl::Duration time, PushCount* pushes)
      : ForwardingParameterServer(shard),
        shard_(shard),
        clock_(clock),
        time_(time),
        pushes_(pushes) {}
  void PushPull(v1::PushPullRequest request, Payload payload, Done<PushPullReply> done) override {
    const bool pushes = request.push_size() > 0;
    clock_->Advance(time_);
    shard_->PushPull(std::move(request), std::move(payload),
                     [clock = clock_, time = time_,
                      done = std::move(done)](absl::StatusOr<PushPullReply> reply) mutable {
                       clock->Advance(time);
                       done(std::move(reply));
                     });
    if (pushes) pushes_->Add();
  }

 private:
  ParameterServer* const shard_;
  SlowPlaces* const clock_;
  const absl::Duration time_;
  PushCount* const pushes_;
};

v1::JobSpec Spec(int workers) {
  v1::JobSpec spec;
  spec.set_name("slow");
  spec.set_num_workers(workers);
  spec.set_num_shards(1);
  v1::ParameterSpec* parameter = spec.add_parameters();
  parameter->set_name("w");
  parameter->add_shape(kSize);
  parameter->set_dtype(v1::FLOAT32);
  spec.mutable_optimizer()->set_learning_rate(1);
  spec.mutable_optimizer()->mutable_custom()->set_name("slow");
  spec.mutable_policy()->mutable_synchronous();
  return spec;
}

class Task final : public TrainingTask {
 public:
  explicit Task(std::function<void(int64_t)> compute) : compute_(std::move(compute)) {}
  std::vector<v1::ParameterSpec> Parameters() const override {
    const v1::JobSpec spec = Spec(1);
    return {spec.parameters().begin(), spec.parameters().end()};
  }
  absl::Status Start(absl::Span<const absl::Span<float>>,
                     absl::Span<const absl::Span<float>> gradients, int64_t) override {
    for (float& element : gradients[0]) element = 0;
    return absl::OkStatus();
  }
  absl::StatusOr<StepResult> ComputeGradients(int64_t step, GradientReady) override {
    compute_(step);
    return StepResult{0.5, 8, 6};
  }
  absl::StatusOr<Evaluation> Evaluate() override { return Evaluation(); }

 private:
  const std::function<void(int64_t)> compute_;
};

// The shares of each worker.
std::vector<StepShares> RunJob(int workers, const Slowness& slow) {
  SlowPlaces clock;
  ShardOptions options;
  options.env = &clock;
  options.optimizers["slow"] = [&](const std::map<std::string, float>&) {
    return std::make_unique<SlowOptimizer>(&clock, slow.shard);
  };
  Shard shard(options);
  PushCount first_pushes;
  std::vector<StepShares> shares(static_cast<size_t>(workers));
  std::vector<std::thread> threads;
  for (int worker = 0; worker < workers; ++worker) {
    threads.emplace_back([&, worker] {
      PushCount others;
      const auto wire =
          std::make_shared<Wire>(&shard, &clock, slow.wire, worker == 0 ? &first_pushes : &others);
      ClientOptions client_options;
      client_options.worker = worker;
      client_options.env = &clock;
      const auto client = Client::Connect(Spec(workers), {wire}, client_options);
      ASSERT_TRUE(client.ok()) << client.status();
      Task task([&](int64_t step) {
        clock.Advance(slow.compute);
        if (worker != 1) return;
        first_pushes.Await(static_cast<int>(step) + 1);
        clock.Advance(slow.second_worker);
      });
      StepShareSum sum(client->get());
      TrainerOptions trainer_options;
      trainer_options.env = &clock;
      trainer_options.steps = trainer_options.steps_per_epoch = kSteps;
      trainer_options.observers = {&sum};
      const auto summary = Trainer(client->get(), &task, trainer_options).Run();
      ASSERT_TRUE(summary.ok()) << summary.status();
      shares[static_cast<size_t>(worker)] = sum.Shares(*summary);
    });
  }
  for (std::thread& thread : threads) thread.join();
  return shares;
}

JobShape Shape(int workers) {
  JobShape shape;
  shape.workers = workers;
  return shape;
}

TEST(VerdictTest, SlowComputing) {
  Slowness slow;
  slow.compute = absl::Milliseconds(10);
  const StepShares shares = RunJob(1, slow)[0];
  EXPECT_EQ(shares.steps, kSteps - 1);
  EXPECT_EQ(shares.compute, absl::Milliseconds(10) * (kSteps - 1));
  EXPECT_EQ(shares.whole, shares.compute);
  EXPECT_THAT(Advise(shares, Shape(1)), HasSubstr("computing bounds it"));
}

TEST(VerdictTest, ASlowWire) {
  Slowness slow;
  slow.compute = absl::Milliseconds(1);
  slow.wire = absl::Milliseconds(10);
  const StepShares shares = RunJob(1, slow)[0];
  EXPECT_EQ(shares.wire, absl::Milliseconds(20) * (kSteps - 1));
  EXPECT_EQ(shares.bytes_per_step, 2.0 * kSize * sizeof(float));
  // The last pull: up and down, which is as long as the way of a step's bytes, that are twice as
  // many.
  EXPECT_DOUBLE_EQ(shares.alone_bytes_per_second, kSize * sizeof(float) / 0.020);
  EXPECT_THAT(Advise(shares, Shape(1)), HasSubstr("the wire bounds it"));
}

TEST(VerdictTest, ASlowShard) {
  Slowness slow;
  slow.compute = absl::Milliseconds(1);
  slow.wire = absl::Milliseconds(1);
  slow.shard = absl::Milliseconds(30);
  const StepShares shares = RunJob(1, slow)[0];
  EXPECT_EQ(shares.shards, absl::Milliseconds(30) * (kSteps - 1));
  EXPECT_EQ(shares.wire, absl::Milliseconds(2) * (kSteps - 1));
  EXPECT_THAT(Advise(shares, Shape(1)), HasSubstr("--ps=2"));
}

TEST(VerdictTest, ASlowWorker) {
  Slowness slow;
  slow.second_worker = absl::Milliseconds(30);
  const std::vector<StepShares> shares = RunJob(2, slow);
  EXPECT_EQ(shares[0].slowest(), 1);
  EXPECT_GE(shares[0].for_workers(), absl::Milliseconds(30) * (kSteps - 1));
  EXPECT_GE(shares[0].for_workers(), shares[0].whole * 0.99);
  EXPECT_THAT(Advise(shares[0], Shape(2)), HasSubstr("waiting for worker:1"));
  EXPECT_EQ(shares[1].compute, shares[1].whole);
  EXPECT_THAT(Advise(shares[1], Shape(2)), HasSubstr("computing bounds it"));
}

}  // namespace
}  // namespace parley
