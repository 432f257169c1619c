// A job gets more workers and then fewer while it trains, against real shards: its values are, bit
// for bit, those of a plain computation with as many workers as it had in each step.

#include <atomic>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/mutex.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "net/worker_counts.h"
#include "ps/shard.h"
#include "tests/toy_task.h"
#include "worker/client.h"
#include "worker/trainer.h"

namespace parley {
namespace {

using ::testing::HasSubstr;
using Values = std::vector<std::vector<float>>;

constexpr float kRate = 0.25f;
constexpr int kMost = 4;  // workers

// One that is told how many workers there are.
class ScaledToyTask final : public ToyTask {
 public:
  explicit ScaledToyTask(int worker) : ToyTask(worker) {}

  absl::Status SetWorkers(int64_t step, int workers) override {
    if (workers == refused) {
      on_refusal();
      return absl::InvalidArgumentError("no examples for so many");
    }
    const absl::Status added = counts.Add(step, workers);
    EXPECT_TRUE(added.ok()) << added;
    return absl::OkStatus();
  }
  absl::StatusOr<StepResult> ComputeGradients(int64_t step, GradientReady ready) override {
    EXPECT_LT(worker_, counts.At(step)) << "step " << step;
    return ToyTask::ComputeGradients(step, std::move(ready));
  }

  WorkerCounts counts{2};
  int refused = -1;
  std::function<void()> on_refusal;
};

v1::JobSpec Spec(int workers, int shards) {
  v1::JobSpec spec;
  spec.set_name("scale");
  spec.set_num_workers(workers);
  spec.set_num_shards(shards);
  spec.set_block_elements(100);
  for (v1::ParameterSpec& parameter : ScaledToyTask(0).Parameters())
    *spec.add_parameters() = parameter;
  spec.mutable_optimizer()->set_learning_rate(kRate);
  spec.mutable_optimizer()->mutable_sgd();
  spec.mutable_policy()->mutable_synchronous();
  return spec;
}

Values Expected(const WorkerCounts& counts, int64_t steps) {
  Values values;
  for (const int size : kToySizes) values.emplace_back(size, 0.5f);
  for (int64_t step = 0; step < steps; ++step) {
    const int workers = counts.At(step);
    for (std::vector<float>& each : values) {
      for (size_t j = 0; j < each.size(); ++j) {
        float sum = 0;
        for (int worker = 0; worker < workers; ++worker) {
          const float gradient = each[j] - Target(worker, step, j);
          sum = worker == 0 ? gradient : sum + gradient;
        }
        each[j] = each[j] - kRate * (sum * (1.0f / static_cast<float>(workers)));
      }
    }
  }
  return values;
}

// A job of two workers at first, each a thread.
class ScaledJob {
 public:
  // `refused` is a number of workers that the tasks will not have.
  explicit ScaledJob(v1::JobSpec spec, int refused = -1)
      : spec_(std::move(spec)), refused_(refused) {
    for (int i = 0; i < spec_.num_shards(); ++i) {
      ShardOptions options;
      options.shard_index = i;
      options.replace_after = absl::Milliseconds(50);
      shards_.push_back(std::make_shared<Shard>(options));
    }
    for (int worker = 0; worker < 2; ++worker) Start(worker, 2);
  }
  ~ScaledJob() {
    draining_ = true;
    for (auto& [worker, thread] : threads_) thread.join();
  }

  // `workers`: that it was told the job has.
  void Start(int worker, int workers) {
    if (const auto it = threads_.find(worker); it != threads_.end()) {
      it->second.join();
      threads_.erase(it);
    }
    v1::JobSpec spec = spec_;
    spec.set_num_workers(workers);
    threads_[worker] = std::thread([this, worker, spec] { Run(worker, spec); });
  }

  absl::Status Ask(int workers) {
    absl::Status status;
    for (const std::shared_ptr<ParameterServer>& shard : shards_) {
      v1::AskRequest request;
      request.set_what(v1::AskRequest::WORKERS);
      request.set_workers(workers);
      shard->Ask(request,
                 [&](absl::StatusOr<v1::AskResponse> answer) { status.Update(answer.status()); });
    }
    return status;
  }

  // With mutex_ held: until something has come about, for a minute at most.
  void Await(const std::function<bool()>& reached) {
    const absl::Time deadline = absl::Now() + absl::Minutes(1);
    while (!reached()) {
      ASSERT_LT(absl::Now(), deadline)
          << "the chief is at step " << step_ << ", of " << workers_now_ << " workers";
      changed_.WaitFor(&mutex_, absl::Seconds(1));
    }
  }
  // Until the chief begins a step with so many workers.
  void AwaitWorkers(int workers) {
    MutexLock lock(&mutex_);
    Await([&] { return workers_now_ == workers; });
  }
  void AwaitRefusal() {
    MutexLock lock(&mutex_);
    Await([&] { return has_refused_; });
  }
  // Until it has done so many more steps.
  void AwaitSteps(int64_t steps) {
    MutexLock lock(&mutex_);
    const int64_t step = step_ + steps;
    Await([&] { return step_ >= step; });
  }
  // The chief ends the job. All others have to be out of it.
  TrainingSummary End() {
    draining_ = true;
    for (auto& [worker, thread] : threads_) thread.join();
    threads_.clear();
    return summaries_[0].value();
  }

  void Run(int worker, const v1::JobSpec& spec) {
    ClientOptions client_options;
    client_options.worker = worker;
    auto client = Client::Connect(spec, shards_, client_options);
    ASSERT_TRUE(client.ok()) << client.status();
    EXPECT_EQ((*client)->job().spec().num_workers(), 2);
    ScaledToyTask task(worker);
    task.refused = refused_;
    task.on_refusal = [this] {
      MutexLock lock(&mutex_);
      has_refused_ = true;
      changed_.NotifyAll();
    };
    if (worker == 0) {
      task.on_step = [&](int64_t step) {
        MutexLock lock(&mutex_);
        step_ = step;
        workers_now_ = task.counts.At(step);
        changed_.NotifyAll();
      };
    }
    TrainerOptions options;
    options.steps = int64_t{1} << 40;
    options.steps_per_epoch = options.steps;
    options.should_drain = [&] { return worker == 0 && draining_; };
    Trainer trainer((*client).get(), &task, options);
    absl::StatusOr<TrainingSummary> summary = trainer.Run();
    EXPECT_TRUE(summary.ok()) << "worker:" << worker << ": " << summary.status();
    Values values;
    for (const absl::Span<float> each : trainer.parameters()) {
      values.emplace_back(each.begin(), each.end());
    }
    MutexLock lock(&mutex_);
    summaries_[worker] = std::move(summary);
    values_[worker] = std::move(values);
    counts_.insert_or_assign(worker, task.counts);
  }

  const v1::JobSpec spec_;
  const int refused_;
  std::vector<std::shared_ptr<ParameterServer>> shards_;
  std::map<int, std::thread> threads_;
  std::atomic<bool> draining_{false};
  Mutex mutex_;
  CondVar changed_;
  int64_t step_ = 0;
  int workers_now_ = 2;
  bool has_refused_ = false;
  std::map<int, absl::StatusOr<TrainingSummary>> summaries_;
  std::map<int, Values> values_;
  std::map<int, WorkerCounts> counts_;
};

TEST(ScaledJobTest, EachStepIsOfTheWorkersThatTheJobHadThen) {
  for (const int shards : {1, 3}) {
    ScaledJob job(Spec(2, shards));
    job.AwaitSteps(5);
    ASSERT_TRUE(job.Ask(kMost).ok());
    job.Start(2, kMost);
    job.Start(3, kMost);
    job.AwaitWorkers(kMost);
    job.AwaitSteps(5);
    ASSERT_TRUE(job.Ask(1).ok());
    job.AwaitWorkers(1);
    job.AwaitSteps(5);
    // One that was out comes again.
    ASSERT_TRUE(job.Ask(2).ok());
    job.Start(1, 2);
    job.AwaitWorkers(2);
    job.AwaitSteps(5);
    ASSERT_TRUE(job.Ask(1).ok());
    job.AwaitWorkers(1);
    const TrainingSummary summary = job.End();
    EXPECT_TRUE(summary.drained);
    const WorkerCounts& counts = job.counts_.at(0);
    EXPECT_EQ(counts.changes().size(), 4u);
    EXPECT_EQ(job.values_[0], Expected(counts, summary.next_step)) << shards << " shards";
    for (int worker = 1; worker < kMost; ++worker) {
      ASSERT_TRUE(job.summaries_[worker].ok());
      EXPECT_TRUE(job.summaries_[worker]->released) << "worker:" << worker;
    }
  }
}

TEST(ScaledJobTest, ANumberThatTheChiefsTaskWillNotHaveChangesNothing) {
  ScaledJob job(Spec(2, 1), /*refused=*/3);
  job.AwaitSteps(5);
  ASSERT_TRUE(job.Ask(3).ok());
  job.Start(2, 3);
  job.AwaitRefusal();
  job.AwaitSteps(5);
  ASSERT_TRUE(job.Ask(1).ok());
  job.AwaitWorkers(1);
  const TrainingSummary summary = job.End();
  EXPECT_EQ(job.counts_.at(0).changes().size(), 1u);
  EXPECT_EQ(job.values_[0], Expected(job.counts_.at(0), summary.next_step));
}

TEST(ScaledJobTest, WorkersWithValuesOfTheirOwnCannotBecomeMore) {
  v1::JobSpec spec = Spec(1, 1);
  spec.mutable_optimizer()->set_learning_rate(1);
  v1::LocalSgd* const policy = spec.mutable_policy()->mutable_local_sgd();
  policy->set_every(2);
  policy->mutable_local()->set_learning_rate(kRate);
  policy->mutable_local()->mutable_sgd();
  Shard shard{ShardOptions()};
  absl::Status asked, too_many;
  v1::DeclareRequest declare;
  *declare.mutable_spec() = spec;
  declare.set_wait_ms(10000);
  std::promise<absl::Status> done;
  shard.Declare(declare, [&](absl::StatusOr<v1::DeclareResponse> answer) {
    done.set_value(answer.status());
  });
  ASSERT_TRUE(done.get_future().get().ok());
  v1::AskRequest request;
  request.set_what(v1::AskRequest::WORKERS);
  request.set_workers(2);
  shard.Ask(request, [&](absl::StatusOr<v1::AskResponse> answer) { asked = answer.status(); });
  EXPECT_EQ(asked.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(asked.message(), HasSubstr("values of their own"));
  request.set_workers(1 << 20);
  shard.Ask(request, [&](absl::StatusOr<v1::AskResponse> answer) { too_many = answer.status(); });
  EXPECT_EQ(too_many.code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace parley
