// What it costs to be watched: steps of a real model with one shard in another thread of this
// process, through shared memory, five times over: alone; alone once more, which shows how well
// this measures; with the numbers for Prometheus, which are read every second; with event files for
// TensorBoard; with both; all at their defaults. The five take turns of some steps each, so that
// whatever else the machine does meets all of them. Prints one JSON line for each but the first:
// the processor time of a turn by that of a turn alone, of each the tenth part that is quickest,
// for what other programs do only adds to it; the same by the clock; the step's time; and what the
// observers' own calls took of the worker's thread, histograms included, which are in few turns.
//
//   watching [--data_dir=FOLDER] [--model=mlp] [--batch=64] [--turn=100] [--rounds=100]

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "base/flags.h"
#include "base/metrics.h"
#include "base/mutex.h"
#include "base/process_metrics.h"
#include "base/status.h"
#include "data/open_dataset.h"
#include "gflags/gflags.h"
#include "net/channel.h"
#include "ps/server.h"
#include "worker/client.h"
#include "worker/event_log.h"
#include "worker/supervised_task.h"
#include "worker/trainer.h"
#include "worker/training_metrics.h"

DEFINE_string(data_dir, "/usr/share/datasets/fashion-mnist", "Images in IDX files.");
DEFINE_string(model, "mlp", "What is trained: linear, mlp or cnn.");
DEFINE_int32(batch, 64, "Examples in a step.");
DEFINE_int32(turn, 100, "Steps of a turn; scalars are written in each 100.");
DEFINE_int32(rounds, 100, "How many turns of each are measured.");

namespace parley {
namespace {

struct Variant {
  const char* name;
  bool metrics;
  bool events;
};
constexpr Variant kVariants[] = {{"alone", false, false},
                                 {"alone again", false, false},
                                 {"metrics", true, false},
                                 {"event files", false, true},
                                 {"metrics and event files", true, true}};
constexpr int kCount = 5;

struct Times {
  double clock = 0;
  double processor = 0;  // of the whole process
};

double Seconds(clockid_t clock) {
  timespec time;
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

double ThreadSeconds() { return Seconds(CLOCK_THREAD_CPUTIME_ID); }

Times Now() { return {Seconds(CLOCK_MONOTONIC), Seconds(CLOCK_PROCESS_CPUTIME_ID)}; }

// Whose turn it is, and what the turns took. Thread safety: safe from any thread.
class Turns {
 public:
  // Ends the turn of `variant`, if it has one, and waits for its next. False: it is over.
  bool AwaitNext(int variant) {
    MutexLock lock(&mutex_);
    if (begun_[variant]) {
      const Times now = Now();
      taken_[variant].push_back({now.clock - began_.clock, now.processor - began_.processor});
      // Each round begins with another, so that all come after all others.
      ++turns_;
      current_ = (turns_ % kCount + turns_ / kCount) % kCount;
      // The first round warms up.
      if (turns_ == kCount * (FLAGS_rounds + 1)) over_ = true;
      changed_.NotifyAll();
    }
    begun_[variant] = true;
    while (current_ != variant && !over_) changed_.Wait(&mutex_);
    if (over_) return false;
    began_ = Now();
    return true;
  }
  // Nobody goes on.
  void Stop() {
    MutexLock lock(&mutex_);
    over_ = true;
    changed_.NotifyAll();
  }
  // Waits for `timeout`, at most. Returns whose turn it then is; -1: it is over.
  int Wait(absl::Duration timeout) {
    MutexLock lock(&mutex_);
    if (!over_) changed_.WaitFor(&mutex_, timeout);
    return over_ ? -1 : current_;
  }
  bool over() {
    MutexLock lock(&mutex_);
    return over_;
  }
  std::vector<Times> Taken(int variant) {
    MutexLock lock(&mutex_);
    return taken_[variant];
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  int turns_ ABSL_GUARDED_BY(mutex_) = 0;  // that are over
  int current_ ABSL_GUARDED_BY(mutex_) = 0;
  bool over_ ABSL_GUARDED_BY(mutex_) = false;
  bool begun_[kCount] ABSL_GUARDED_BY(mutex_) = {};
  Times began_ ABSL_GUARDED_BY(mutex_);
  std::vector<Times> taken_[kCount] ABSL_GUARDED_BY(mutex_);
};

// Another task, which waits for its turn before each so many steps.
class TakingTurns final : public TrainingTask {
 public:
  TakingTurns(TrainingTask* task, Turns* turns, int variant)
      : task_(task), turns_(turns), variant_(variant) {}

  std::vector<v1::ParameterSpec> Parameters() const override { return task_->Parameters(); }
  absl::Status Start(absl::Span<const absl::Span<float>> parameters,
                     absl::Span<const absl::Span<float>> gradients, int64_t first_step) override {
    return task_->Start(parameters, gradients, first_step);
  }
  absl::StatusOr<StepResult> ComputeGradients(int64_t step, GradientReady ready) override {
    if (step % FLAGS_turn == 0 && !turns_->AwaitNext(variant_)) {
      return absl::CancelledError("measured");
    }
    return task_->ComputeGradients(step, ready);
  }
  absl::StatusOr<Evaluation> Evaluate() override { return task_->Evaluate(); }

 private:
  TrainingTask* const task_;
  Turns* const turns_;
  const int variant_;
};

// What ThreadSeconds itself takes, which is a call of the system.
double ClockSeconds() {
  constexpr int kCalls = 10000;
  const double began = ThreadSeconds();
  for (int i = 0; i < kCalls; ++i) ThreadSeconds();
  return (ThreadSeconds() - began) / kCalls;
}

// Another observer, whose calls' processor time it adds up.
class Timed final : public TrainingObserver {
 public:
  Timed(TrainingObserver* observer, double* seconds)
      : observer_(observer), seconds_(seconds), clock_(ClockSeconds()) {}
  void OnStep(const Progress& progress) override {
    const double began = ThreadSeconds();
    observer_->OnStep(progress);
    *seconds_ += ThreadSeconds() - began - clock_;
  }
  bool WantsValues(const Progress& progress) override { return observer_->WantsValues(progress); }
  void OnValues(const Progress& progress, absl::Span<const absl::Span<float>> parameters,
                absl::Span<const absl::Span<float>> gradients) override {
    const double began = ThreadSeconds();
    observer_->OnValues(progress, parameters, gradients);
    *seconds_ += ThreadSeconds() - began - clock_;
  }

 private:
  TrainingObserver* const observer_;
  double* const seconds_;
  const double clock_;
};

absl::Status Train(int number, const data::TrainAndTest& data, const std::string& folder,
                   const std::shared_ptr<Metrics>& metrics, Turns* turns, double* observers_share) {
  const Variant& variant = kVariants[number];
  ServerOptions server_options;
  server_options.address = "localhost:0";
  server_options.shard.metrics = metrics;
  PARLEY_ASSIGN_OR_RETURN(const auto server, Server::Start(server_options));

  SupervisedTaskOptions task_options;
  task_options.model = FLAGS_model;
  task_options.batch_size = FLAGS_batch;
  PARLEY_ASSIGN_OR_RETURN(const auto task, SupervisedTask::Create(task_options, data));
  v1::JobSpec spec;
  spec.set_name("watching");
  spec.set_num_workers(1);
  spec.set_num_shards(1);
  for (v1::ParameterSpec& parameter : task->Parameters()) {
    *spec.add_parameters() = std::move(parameter);
  }
  spec.mutable_optimizer()->set_learning_rate(0.01f);
  spec.mutable_optimizer()->mutable_momentum()->set_momentum(0.9f);
  spec.mutable_policy()->mutable_synchronous();

  ChannelOptions channel;
  channel.arena = SharedArena::Create();
  ClientOptions client_options;
  client_options.arena = channel.arena;
  std::vector<std::shared_ptr<ParameterServer>> shards;
  shards.push_back(NewChannel("ps:0", absl::StrFormat("localhost:%d", server->port()), channel));
  PARLEY_ASSIGN_OR_RETURN(const auto client,
                          Client::Connect(std::move(spec), std::move(shards), client_options));

  double observers = 0;  // seconds
  std::vector<std::unique_ptr<Timed>> timed;
  TrainerOptions options;
  const auto observe = [&](TrainingObserver* observer) {
    timed.push_back(std::make_unique<Timed>(observer, &observers));
    options.observers.push_back(timed.back().get());
  };
  options.steps = int64_t{1} << 40;
  options.steps_per_epoch = options.steps;
  std::unique_ptr<TrainingMetrics> training_metrics;
  if (variant.metrics) {
    training_metrics = std::make_unique<TrainingMetrics>(metrics, client.get());
    observe(training_metrics.get());
  }
  std::unique_ptr<EventLog> events;
  if (variant.events) {
    EventLogOptions log;
    log.folder = absl::StrFormat("%s/%d", folder, number);
    for (const Job::Parameter& parameter : client->job().parameters()) {
      log.parameters.push_back(parameter.name);
    }
    PARLEY_ASSIGN_OR_RETURN(events, EventLog::Create(std::move(log)));
    observe(events.get());
  }
  TakingTurns turn_taking(task.get(), turns, number);
  const double began = ThreadSeconds();
  const absl::Status status =
      Trainer(client.get(), &turn_taking, std::move(options)).Run().status();
  *observers_share = observers / (ThreadSeconds() - began);
  return absl::IsCancelled(status) && turns->over() ? absl::OkStatus() : status;
}

// Seconds of a turn that is quicker than nine in ten; the first round warms up.
double Quick(const std::vector<Times>& turns, double Times::*part) {
  std::vector<double> seconds;
  for (size_t i = 1; i < turns.size(); ++i) seconds.push_back(turns[i].*part);
  const auto tenth = seconds.begin() + static_cast<std::ptrdiff_t>(seconds.size() / 10);
  std::nth_element(seconds.begin(), tenth, seconds.end());
  return *tenth;
}

void Print(int number, Turns* turns, double observers_share) {
  const std::vector<Times> alone = turns->Taken(0);
  const std::vector<Times> watched = turns->Taken(number);
  std::cout << absl::StrFormat(
                   "{\"benchmark\": \"watching\", \"case\": \"%s, %s\", \"figure\": %.4f, "
                   "\"unit\": \"of the processor time alone\", \"by_the_clock\": %.4f, "
                   "\"observers_share\": %.5f, \"step_us\": %.1f, \"turn_steps\": %d, "
                   "\"rounds\": %d}",
                   FLAGS_model, kVariants[number].name,
                   Quick(watched, &Times::processor) / Quick(alone, &Times::processor),
                   Quick(watched, &Times::clock) / Quick(alone, &Times::clock), observers_share,
                   1e6 * Quick(watched, &Times::processor) / FLAGS_turn, FLAGS_turn, FLAGS_rounds)
            << std::endl;
}

int Main(int argc, char** argv) {
  const CommandLine command_line = {
      "watching",
      "usage: watching [flags]\n\nMeasures what numbers for Prometheus and event files cost.",
      {{"What is run", {"data_dir", "model", "batch", "turn", "rounds"}}}};
  ParseFlags(command_line, argc, argv);
  if (FLAGS_turn < 1 || FLAGS_rounds < 1 || FLAGS_batch < 1) {
    ExitWithFlagError(command_line, "--turn, --rounds and --batch must be positive");
  }
  const absl::StatusOr<data::TrainAndTest> data = data::OpenDataset(FLAGS_data_dir, {});
  std::string folder = (std::filesystem::temp_directory_path() / "parley-watching-XXXXXX").string();
  if (!data.ok() || mkdtemp(folder.data()) == nullptr) {
    std::cerr << "watching: " << (data.ok() ? "no folder for event files" : data.status().message())
              << std::endl;
    return 1;
  }

  Turns turns;
  std::shared_ptr<Metrics> metrics[kCount];
  std::vector<std::unique_ptr<Metrics::Source>> sources;
  for (int i = 0; i < kCount; ++i) {
    if (!kVariants[i].metrics) continue;
    metrics[i] = std::make_shared<Metrics>("ps:0");
    sources.push_back(metrics[i]->AddSource(&AddProcessMetrics));
  }
  absl::Status results[kCount];
  double shares[kCount] = {};
  std::vector<std::thread> threads;
  for (int i = 0; i < kCount; ++i) {
    threads.emplace_back([&, i] {
      results[i] = Train(i, *data, folder, metrics[i], &turns, &shares[i]);
      if (!results[i].ok()) turns.Stop();
    });
  }
  // Prometheus, which asks oftener than by default.
  absl::Duration since_read;
  for (double last = Now().clock;;) {
    const int current = turns.Wait(absl::Milliseconds(100));
    if (current < 0) break;
    const double now = Now().clock;
    if (metrics[current] != nullptr) since_read += absl::Seconds(now - last);
    last = now;
    if (since_read < absl::Seconds(1)) continue;
    since_read = absl::ZeroDuration();
    if (metrics[current] != nullptr) metrics[current]->Collect();
  }
  for (std::thread& thread : threads) thread.join();
  sources.clear();
  std::filesystem::remove_all(folder);
  for (const absl::Status& result : results) {
    if (result.ok()) continue;
    std::cerr << "watching: " << result.message() << std::endl;
    return 1;
  }
  for (int i = 1; i < kCount; ++i) Print(i, &turns, shares[i]);
  return 0;
}

}  // namespace
}  // namespace parley

int main(int argc, char** argv) { return parley::Main(argc, argv); }
