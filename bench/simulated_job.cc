#include "bench/simulated_job.h"

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <queue>
#include <tuple>
#include <utility>

#include "base/crc32c.h"
#include "base/env.h"
#include "base/philox.h"
#include "base/status.h"
#include "ps/shard.h"
#include "worker/local_update.h"
#include "worker/supervised_task.h"

namespace parley::bench {
namespace {

// No wait of the job may end because the machine is slow.
constexpr absl::Duration kPatience = absl::Hours(24);

// The shard's clock, which the event loop moves.
class SimulatedClock final : public Env {
 public:
  void Set(absl::Duration time) { nanoseconds_ = absl::ToInt64Nanoseconds(time); }

  absl::Time Now() override { return absl::UnixEpoch() + absl::Nanoseconds(nanoseconds_.load()); }
  absl::StatusOr<std::unique_ptr<WritableFile>> NewWritableFile(const std::string& path) override {
    return Env::Posix()->NewWritableFile(path);
  }
  absl::StatusOr<std::unique_ptr<ReadableFile>> OpenFile(const std::string& path) override {
    return Env::Posix()->OpenFile(path);
  }
  absl::Status RenameFile(const std::string& from, const std::string& to) override {
    return Env::Posix()->RenameFile(from, to);
  }
  absl::Status RemoveFile(const std::string& path) override {
    return Env::Posix()->RemoveFile(path);
  }
  absl::StatusOr<std::vector<std::string>> ListFolder(const std::string& folder) override {
    return Env::Posix()->ListFolder(folder);
  }
  absl::Status CreateFolders(const std::string& folder) override {
    return Env::Posix()->CreateFolders(folder);
  }
  absl::Status SyncFolder(const std::string& folder) override {
    return Env::Posix()->SyncFolder(folder);
  }

 private:
  std::atomic<int64_t> nanoseconds_{0};
};

// What a Trainer does, cut where it waits.
class SimulatedWorker {
 public:
  enum class State {
    kComputing,  // until the event loop calls Computed
    kWaiting,    // for the shard
    kDone,
  };

  static absl::StatusOr<std::unique_ptr<SimulatedWorker>> Create(const SimulatedJob& job, int index,
                                                                 std::shared_ptr<Shard> shard) {
    auto worker = std::unique_ptr<SimulatedWorker>(new SimulatedWorker(job, index));
    PARLEY_RETURN_IF_ERROR(worker->Start(std::move(shard)));
    return worker;
  }

  State state() const { return state_; }
  int64_t step() const { return step_; }
  Client& client() { return *client_; }
  // Whether the last step has brought the shard's values, which Evaluate then evaluates.
  bool has_fresh_values() const { return fresh_; }

  // The step has been computed.
  absl::Status Computed() {
    fresh_ = false;
    PARLEY_ASSIGN_OR_RETURN(const StepResult result, task_->ComputeGradients(step_, [](int) {}));
    ++step_;
    if (result.skip) return absl::InternalError("a float32 step was skipped");
    if (local_ == nullptr) return Send(client_->PushPullAsync(step_ - 1, Gradients(), Targets()));
    local_->Step();
    if (step_ % local_->every() != 0 && step_ != job_.steps) return Proceed();
    if (local_->pulls_first()) {
      pulling_ = true;
      return Send(client_->PullAsync(exchanges_, Targets()));
    }
    local_->MakeDifference();
    return Send(client_->PushPullAsync(exchanges_, Gradients(), Targets()));
  }

  // Goes on when the shard has answered; false when it has not.
  absl::StatusOr<bool> GoOn() {
    if (state_ != State::kWaiting ||
        call_.wait_for(std::chrono::seconds(0)) != std::future_status::ready) {
      return false;
    }
    PARLEY_RETURN_IF_ERROR(call_.get());
    if (pulling_) {
      pulling_ = false;
      local_->MakeDifference();
      PARLEY_RETURN_IF_ERROR(Send(client_->PushAsync(exchanges_, Gradients())));
      return true;
    }
    if (local_ != nullptr && !local_->pulls_first()) local_->TakeShared();
    ++exchanges_;
    if (local_ == nullptr) step_ = client_->NextStep(step_);
    fresh_ = true;
    PARLEY_RETURN_IF_ERROR(Proceed());
    return true;
  }

  // Of the shard's values as they were pulled last.
  absl::StatusOr<Evaluation> Evaluate() {
    if (local_ != nullptr) local_->SwapShared();
    absl::StatusOr<Evaluation> evaluation = task_->Evaluate();
    if (local_ != nullptr) local_->SwapShared();
    return evaluation;
  }

  uint32_t Checksum() const {
    uint32_t crc = 0;
    for (const absl::Span<float> values : local_ == nullptr ? parameters_ : local_->shared()) {
      crc = ExtendCrc32c(crc, values.data(), values.size() * sizeof(float));
    }
    return crc;
  }

  // After the last step: the values that all workers have made.
  absl::Status PullFinal() {
    return client_->Pull(local_ == nullptr ? step_ : exchanges_, Targets());
  }

 private:
  SimulatedWorker(const SimulatedJob& job, int index) : job_(job), index_(index) {}

  absl::Status Start(std::shared_ptr<Shard> shard) {
    SupervisedTaskOptions task;
    task.model = job_.model;
    task.batch_size = job_.batch_size;
    task.worker = index_;
    task.num_workers = job_.workers;
    task.seed = job_.seed;
    PARLEY_ASSIGN_OR_RETURN(task_, SupervisedTask::Create(task, job_.data));
    v1::JobSpec spec;
    spec.set_name("simulated");
    spec.set_seed(job_.seed);
    spec.set_num_workers(job_.workers);
    spec.set_num_shards(1);
    for (v1::ParameterSpec& parameter : task_->Parameters()) *spec.add_parameters() = parameter;
    *spec.mutable_optimizer() = job_.optimizer;
    *spec.mutable_policy() = job_.policy;
    ClientOptions options;
    options.worker = index_;
    options.incarnation = 1;
    options.timeout = kPatience;
    options.request_bytes = size_t{1} << 40;  // a step is one request
    PARLEY_ASSIGN_OR_RETURN(client_, Client::Connect(spec, {std::move(shard)}, options));
    for (const Job::Parameter& parameter : client_->job().parameters()) {
      for (std::vector<absl::Span<float>>* part : {&parameters_, &gradients_}) {
        buffers_.push_back(client_->NewBuffer(parameter.size));
        part->push_back(absl::MakeSpan(buffers_.back().get(), parameter.size));
      }
    }
    PARLEY_RETURN_IF_ERROR(task_->Start(parameters_, gradients_, 0));
    PARLEY_RETURN_IF_ERROR(client_->Pull(0, Targets()));
    local_ = LocalUpdate::Create(spec);
    if (local_ != nullptr) local_->Start(parameters_, gradients_);
    return absl::OkStatus();
  }

  absl::Status Send(std::future<absl::Status> call) {
    call_ = std::move(call);
    state_ = State::kWaiting;
    return absl::OkStatus();
  }

  absl::Status Proceed() {
    state_ = step_ < job_.steps ? State::kComputing : State::kDone;
    // Worker 0 stays for the final pull.
    return state_ == State::kDone && index_ != 0 ? client_->Leave(absl::OkStatus())
                                                 : absl::OkStatus();
  }

  std::vector<Client::Gradient> Gradients() const {
    std::vector<Client::Gradient> gradients;
    for (size_t i = 0; i < gradients_.size(); ++i) {
      gradients.push_back({static_cast<int>(i), gradients_[i]});
    }
    return gradients;
  }

  std::vector<Client::Target> Targets() const {
    std::vector<Client::Target> targets;
    for (size_t i = 0; i < parameters_.size(); ++i) {
      targets.push_back(
          {static_cast<int>(i), local_ == nullptr ? parameters_[i] : local_->shared()[i]});
    }
    return targets;
  }

  const SimulatedJob& job_;
  const int index_;
  std::unique_ptr<SupervisedTask> task_;
  std::unique_ptr<Client> client_;
  std::unique_ptr<LocalUpdate> local_;
  std::vector<std::shared_ptr<float>> buffers_;
  std::vector<absl::Span<float>> parameters_, gradients_;
  std::future<absl::Status> call_;
  State state_ = State::kComputing;
  bool pulling_ = false;  // before the push of an exchange
  bool fresh_ = false;
  int64_t step_ = 0;       // the next; while waiting, that after the one computed
  int64_t exchanges_ = 0;  // or steps, done
};

class Simulation {
 public:
  explicit Simulation(const SimulatedJob& job) : job_(job) {
    ShardOptions options;
    options.threads = 1;
    options.lease = kPatience;
    options.env = &clock_;
    shard_ = std::make_shared<Shard>(options);
  }

  absl::StatusOr<SimulatedResult> Run() {
    for (int i = 0; i < job_.workers; ++i) {
      PARLEY_ASSIGN_OR_RETURN(std::unique_ptr<SimulatedWorker> worker,
                              SimulatedWorker::Create(job_, i, shard_));
      workers_.push_back(std::move(worker));
      Schedule(i);
    }
    while (!events_.empty() && !result_.stopped) {
      const auto [time, index] = events_.top();
      events_.pop();
      result_.time = time;
      clock_.Set(time);
      PARLEY_RETURN_IF_ERROR(workers_[index]->Computed());
      PARLEY_RETURN_IF_ERROR(Settle(index));
    }
    if (!result_.stopped) {
      for (const auto& worker : workers_) {
        if (worker->state() == SimulatedWorker::State::kDone) continue;
        return absl::InternalError("a worker waits for ever");
      }
      PARLEY_RETURN_IF_ERROR(workers_[0]->PullFinal());
    }
    PARLEY_ASSIGN_OR_RETURN(result_.evaluation, workers_[0]->Evaluate());
    result_.checksum = workers_[0]->Checksum();
    PARLEY_ASSIGN_OR_RETURN(result_.status, workers_[0]->client().Status());
    for (int i = job_.workers; i-- > 0;) {
      const auto& worker = workers_[i];
      if (i > 0 && worker->state() == SimulatedWorker::State::kDone) continue;  // has left
      PARLEY_RETURN_IF_ERROR(worker->client().Leave(absl::OkStatus()));
    }
    return std::move(result_);
  }

 private:
  using Event = std::tuple<absl::Duration, int>;  // a worker's step ends

  void Schedule(int index) {
    events_.push({result_.time + job_.step_time(index, workers_[index]->step()), index});
  }

  // Lets the shard answer, and the workers go on, until all compute or wait for others. `computed`
  // has just computed a step.
  absl::Status Settle(int computed) {
    using State = SimulatedWorker::State;
    if (workers_[computed]->state() == State::kComputing) Schedule(computed);
    for (bool again = true; again;) {
      again = false;
      shard_->Settle();
      for (int i = 0; i < job_.workers; ++i) {
        PARLEY_ASSIGN_OR_RETURN(const bool went_on, workers_[i]->GoOn());
        again = again || went_on;
        if (!went_on || workers_[i]->state() == State::kWaiting) continue;
        if (i == 0) PARLEY_RETURN_IF_ERROR(EvaluateIfDue());
        if (workers_[i]->state() == State::kComputing) Schedule(i);
      }
    }
    return absl::OkStatus();
  }

  absl::Status EvaluateIfDue() {
    const int64_t step = workers_[0]->step();
    if (job_.evaluate_every == 0 || step < next_evaluation_ || !workers_[0]->has_fresh_values()) {
      return absl::OkStatus();
    }
    next_evaluation_ = (step / job_.evaluate_every + 1) * job_.evaluate_every;
    PARLEY_ASSIGN_OR_RETURN(const Evaluation evaluation, workers_[0]->Evaluate());
    result_.points.push_back({result_.time, step, evaluation.accuracy()});
    result_.stopped = result_.SmoothedAccuracy() >= job_.stop_at_accuracy;
    return absl::OkStatus();
  }

  const SimulatedJob& job_;
  SimulatedClock clock_;
  std::shared_ptr<Shard> shard_;  // after its clock, before its clients
  std::vector<std::unique_ptr<SimulatedWorker>> workers_;
  std::priority_queue<Event, std::vector<Event>, std::greater<Event>> events_;
  int64_t next_evaluation_ = job_.evaluate_every;
  SimulatedResult result_;
};

}  // namespace

double SimulatedResult::SmoothedAccuracy() const {
  constexpr size_t kSmoothed = 4;
  if (points.size() < kSmoothed) return 0;
  double sum = 0;
  for (size_t i = points.size() - kSmoothed; i < points.size(); ++i) sum += points[i].accuracy;
  return sum / kSmoothed;
}

absl::StatusOr<SimulatedResult> Simulate(const SimulatedJob& job) {
  if (job.steps < 1 || job.workers < 1 || job.evaluate_every < 0 || !job.step_time) {
    return absl::InvalidArgumentError("a simulated job needs steps, workers and their step_time");
  }
  return Simulation(job).Run();
}

std::function<absl::Duration(int worker, int64_t step)> StepTime(Stragglers stragglers, int workers,
                                                                 uint64_t seed) {
  return [=](int worker, int64_t step) {
    constexpr uint64_t kWhoIsSlow = uint64_t{1} << 32;  // a stream that is no worker's
    const uint64_t index = static_cast<uint64_t>(step);
    const float random = PhiloxUniform(seed, static_cast<uint64_t>(worker), index);
    const bool passing = stragglers == Stragglers::kPassing &&
                         PhiloxBelow(seed, kWhoIsSlow, index, static_cast<uint64_t>(workers)) ==
                             static_cast<uint64_t>(worker);
    const bool lasting = stragglers == Stragglers::kLasting && worker == workers - 1;
    const double milliseconds = (9.0 + 2.0 * random) * (passing || lasting ? 3 : 1);
    return absl::Nanoseconds(static_cast<int64_t>(milliseconds * 1e6));
  };
}

}  // namespace parley::bench
