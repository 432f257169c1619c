// parley_worker: one worker task. It trains a built-in model on images, tables or text against the
// shards of its job.

#include <unistd.h>

#include <csignal>
#include <fstream>
#include <iostream>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/env.h"
#include "base/flags.h"
#include "base/keep_freed_memory.h"
#include "base/metrics_flags.h"
#include "base/status.h"
#include "base/task_log.h"
#include "base/trace_flags.h"
#include "cuda/gpu_metrics.h"
#include "gflags/gflags.h"
#include "glog/logging.h"
#include "net/channel.h"
#include "net/check_local_update.h"
#include "net/checkpoint_folder.h"
#include "net/cluster.h"
#include "net/cluster_flags.h"
#include "net/discovery.h"
#include "net/wire_dtype.h"
#include "worker/client.h"
#include "worker/event_log.h"
#include "worker/model_flags.h"
#include "worker/optimizer_flags.h"
#include "worker/policy_flags.h"
#include "worker/report.h"
#include "worker/supervised_task.h"
#include "worker/trainer.h"
#include "worker/training_metrics.h"
#include "worker/verdict.h"

DECLARE_string(job);  // in net/cluster_flags.cc
DEFINE_int32(epochs, 0, "How often to go over the data; 8 when neither this nor --steps is given.");
DEFINE_int64(steps, 0, "How many steps each worker does, instead of --epochs.");
DEFINE_uint64(seed, 1,
              "Of the first values and of the order of the examples; the same for all workers.");
DECLARE_string(policy);  // in worker/policy_flags.cc, for the report
DEFINE_string(checkpoint_dir, "",
              "Where the chief keeps checkpoints; the same folder as that of all ps tasks.");
DEFINE_int64(checkpoint_every, 0,
             "Save every so many steps; 0: only at the end. Needs --checkpoint_dir.");
DEFINE_int32(keep_checkpoints, 2, "How many checkpoints to keep, at least 2.");
DEFINE_int32(
    checkpoint_full_every, 1,
    "Of so many checkpoints that follow each other one is whole; the others have the rows of "
    "tables, and the blocks, that changed since the one before. 1: all are whole.");
DEFINE_bool(resume, false,
            "Continue from the newest valid checkpoint in --checkpoint_dir, if there is one.");
DEFINE_string(transport, "auto",
              "How gradients and parameters travel: shm (shared memory, to ps tasks on this host), "
              "grpc, or auto: shm where the ps task is on this host, else grpc.");
DEFINE_string(
    push_dtype, "float32",
    "How gradients travel: float32, or rounded to bfloat16 or float16, in half the bytes.");
DEFINE_string(pull_dtype, "float32", "How parameters travel, likewise.");
DEFINE_string(timeout, "60s", "The longest wait for the shards and the other workers in a step.");
DEFINE_string(startup_timeout, "60s", "The longest wait for the other tasks to start.");
DEFINE_bool(eval_ema, false,
            "The chief evaluates the moving averages of the parameters. Needs --ema_decay.");
DEFINE_string(finish_timeout, "10m",
              "The longest wait of the chief, at the end, for the other workers.");
DEFINE_string(
    drain_timeout, "10s",
    "After SIGTERM: how long a worker other than the chief goes on until the chief has "
    "ended the job, before it leaves by itself. What takes twice as long is interrupted.");
DEFINE_string(logdir, "",
              "The chief writes event files for TensorBoard into this folder. When it cannot, it "
              "warns and training goes on.");
DEFINE_int64(scalars_every, 100,
             "Steps from one event with scalars (loss, speed) to the next. Needs --logdir.");
DEFINE_int64(
    histograms_every, 1000,
    "Steps from one event with histograms of all parameters and gradients to the next, each "
    "a pass over both; 0: none. Needs --logdir.");
DEFINE_bool(verdict, true,
            "At the end the chief's table says where the steps went, and which flag would change "
            "that; the other workers' logs say it of theirs.");
DEFINE_bool(report_progress, false,
            "Each worker prints its progress, with its own rate, in lines for a program that draws "
            "them, as `parley launch` does on a terminal.");
DEFINE_string(summary_json, "", "The chief writes the final table to this file, as JSON.");

namespace parley {
namespace {

const CommandLine& GetCommandLine() {
  static const auto* const command_line = [] {
    auto* const line = new CommandLine{
        "parley_worker",
        "usage: parley_worker --ps_hosts=a:1,b:2 --worker_hosts=c:3,d:4 --task_index=0 "
        "--data_dir=FOLDER [flags]\n\n"
        "Trains a built-in model against the shards of its job, together with the other workers.",
        {ClusterFlagGroup({"transport", "push_dtype", "pull_dtype"})}};
    for (FlagGroup& group : ModelFlagGroups()) line->groups.push_back(std::move(group));
    line->groups.push_back({"Training", {"epochs", "steps", "seed", "eval_ema"}});
    line->groups.push_back(PolicyFlagGroup());
    line->groups.push_back(OptimizerFlagGroup());
    line->groups.push_back({"Checkpoints",
                            {"checkpoint_dir", "checkpoint_every", "checkpoint_full_every",
                             "keep_checkpoints", "resume"}});
    line->groups.push_back({"Waiting and reporting",
                            {"timeout", "startup_timeout", "finish_timeout", "drain_timeout",
                             "summary_json", "verdict", "report_progress"}});
    line->groups.push_back({"Watching it",
                            {"metrics_port", "logdir", "scalars_every", "histograms_every",
                             "log_json", "profile", "profile_steps"}});
    return line;
  }();
  return *command_line;
}

constexpr absl::Duration kLongestWait = absl::Hours(24 * 365);
// For etcd to say that a shard that was lost is elsewhere; then it is looked for again.
constexpr absl::Duration kMoveWait = absl::Milliseconds(500);

volatile std::sig_atomic_t g_signal = 0;

void OnSignal(int number) { g_signal = number; }

bool WasGiven(const char* flag) {
  gflags::CommandLineFlagInfo info;
  return gflags::GetCommandLineFlagInfo(flag, &info) && !info.is_default;
}

absl::Status Invalid(absl::string_view message) { return absl::InvalidArgumentError(message); }

absl::Status ReadDuration(const char* flag, const std::string& value, absl::Duration* duration) {
  if (!absl::ParseDuration(value, duration) || *duration <= absl::ZeroDuration()) {
    return Invalid(absl::StrCat("--", flag, "=", value, " is not a duration, like 90s or 5m"));
  }
  // Nothing waits for ever.
  if (*duration > kLongestWait) {
    return Invalid(absl::StrCat("--", flag, "=", value, " is longer than a year"));
  }
  return absl::OkStatus();
}

struct Durations {
  absl::Duration timeout, startup, finish, drain;
};

// Flags that contradict each other, or whose values make no sense whatever the data.
absl::Status CheckFlags(Durations* durations) {
  PARLEY_RETURN_IF_ERROR(CheckModelFlags());
  PARLEY_RETURN_IF_ERROR(CheckMetricsFlags());
  PARLEY_RETURN_IF_ERROR(CheckTraceFlags());
  if (WasGiven("epochs") && WasGiven("steps"))
    return Invalid("--epochs and --steps contradict each other");
  if (WasGiven("epochs") && FLAGS_epochs < 1) return Invalid("--epochs is not positive");
  if (WasGiven("steps") && FLAGS_steps < 1) return Invalid("--steps is not positive");
  if (FLAGS_eval_ema && !WasGiven("ema_decay")) return Invalid("--eval_ema needs --ema_decay");
  if (FLAGS_checkpoint_dir.empty()) {
    for (const char* flag :
         {"checkpoint_every", "checkpoint_full_every", "keep_checkpoints", "resume"}) {
      if (WasGiven(flag)) return Invalid(absl::StrCat("--", flag, " needs --checkpoint_dir"));
    }
  }
  if (FLAGS_logdir.empty()) {
    for (const char* flag : {"scalars_every", "histograms_every"}) {
      if (WasGiven(flag)) return Invalid(absl::StrCat("--", flag, " needs --logdir"));
    }
  }
  if (FLAGS_scalars_every < 1) return Invalid("--scalars_every is not positive");
  if (FLAGS_histograms_every < 0) return Invalid("--histograms_every is negative");
  if (FLAGS_checkpoint_every < 0) return Invalid("--checkpoint_every is negative");
  if (FLAGS_checkpoint_full_every < 1) return Invalid("--checkpoint_full_every is not positive");
  if (FLAGS_keep_checkpoints < 2) return Invalid("--keep_checkpoints is less than 2");
  for (const auto& [flag, value] : {std::make_pair("push_dtype", FLAGS_push_dtype),
                                    std::make_pair("pull_dtype", FLAGS_pull_dtype)}) {
    const absl::Status status = ParseWireDType(value).status();
    if (!status.ok()) return Invalid(absl::StrCat("--", flag, "=", status.message()));
  }
  if (const absl::Status status = ParseTransport(FLAGS_transport).status(); !status.ok()) {
    return Invalid(absl::StrCat("--", status.message()));
  }
  PARLEY_RETURN_IF_ERROR(ReadDuration("timeout", FLAGS_timeout, &durations->timeout));
  PARLEY_RETURN_IF_ERROR(
      ReadDuration("startup_timeout", FLAGS_startup_timeout, &durations->startup));
  PARLEY_RETURN_IF_ERROR(ReadDuration("drain_timeout", FLAGS_drain_timeout, &durations->drain));
  return ReadDuration("finish_timeout", FLAGS_finish_timeout, &durations->finish);
}

// The checkpoint to continue from; "" to begin anew. Says which, and what is wrong with newer ones.
absl::StatusOr<std::string> CheckpointToResume() {
  if (!FLAGS_resume) return std::string();
  const absl::StatusOr<Checkpoint> newest = FindNewestValid(Env::Posix(), FLAGS_checkpoint_dir);
  if (absl::IsNotFound(newest.status())) {
    std::cout << "no checkpoint in " << FLAGS_checkpoint_dir << ": starting anew" << std::endl;
    return std::string();
  }
  if (!newest.ok()) return newest.status();
  std::cout << "resuming from " << newest->manifest_file << ", step " << newest->manifest.step()
            << std::endl;
  return newest->manifest_file;
}

// Found now, not when the training is over.
absl::Status CheckSummaryFile() {
  if (FLAGS_summary_json.empty() || std::ofstream(FLAGS_summary_json, std::ios::app)) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("cannot write --summary_json=", FLAGS_summary_json));
}

absl::Status WriteSummary(const std::string& json) {
  std::ofstream file(FLAGS_summary_json);
  file << json;
  file.close();
  return file ? absl::OkStatus()
              : absl::UnavailableError(absl::StrCat("cannot write ", FLAGS_summary_json));
}

// The channels to all shards. With etcd they are found there, and again after they have moved.
absl::StatusOr<std::vector<std::shared_ptr<ParameterServer>>> OpenChannels(
    const Cluster& cluster, const std::shared_ptr<EtcdClient>& etcd, absl::Duration startup_timeout,
    ChannelOptions options) {
  std::vector<std::string> addresses = cluster.ps;
  if (etcd != nullptr) {
    PARLEY_ASSIGN_OR_RETURN(addresses,
                            FindShards(etcd.get(), FLAGS_job, cluster.num_shards, startup_timeout,
                                       kEtcdPatience, /*exactly=*/cluster.shards_told));
  }
  std::vector<std::shared_ptr<ParameterServer>> shards;
  for (int i = 0; i < static_cast<int>(addresses.size()); ++i) {
    if (etcd != nullptr) {
      options.resolver = [etcd, i, last = addresses[static_cast<size_t>(i)]]() mutable {
        absl::StatusOr<std::string> place = FindShard(etcd.get(), FLAGS_job, i, last, kMoveWait);
        if (place.ok()) last = *place;
        return place;
      };
    }
    shards.push_back(
        NewChannel(absl::StrCat("ps:", i), addresses[static_cast<size_t>(i)], options));
  }
  return shards;
}

JobShape ShapeOfJob(const Client& client, int64_t batch_size) {
  JobShape shape;
  shape.workers = client.workers().last();
  shape.shards = client.job().spec().num_shards();
  shape.policy = FLAGS_policy.substr(0, FLAGS_policy.find_first_of(":,"));
  shape.is_half = FLAGS_push_dtype != "float32" && FLAGS_pull_dtype != "float32";
  shape.batch_size = batch_size;
  return shape;
}

struct StepInLog final : TrainingObserver {
  void OnStep(const Progress& progress) override { SetLogStep(progress.step); }
};

// What --logdir asks for; null when nothing, or, with a warning, when it cannot be had.
std::unique_ptr<EventLog> OpenEventLog(const Client& client) {
  if (FLAGS_logdir.empty() || client.worker() != 0) return nullptr;
  EventLogOptions options;
  options.folder = FLAGS_logdir;
  options.scalars_every = FLAGS_scalars_every;
  options.histograms_every = FLAGS_histograms_every;
  for (const Job::Parameter& parameter : client.job().parameters()) {
    options.parameters.push_back(parameter.name);
  }
  // Runs are compared by these, and by what else was said.
  const std::set<std::string> always = {"model", "batch_size", "optimizer", "policy", "seed"};
  const std::set<std::string> never = {"data_dir", "device", "learning_rate"};
  std::vector<FlagGroup> what = ModelFlagGroups();
  what.push_back({"", {"epochs", "steps", "seed", "push_dtype", "pull_dtype"}});
  what.push_back(PolicyFlagGroup());
  what.push_back(OptimizerFlagGroup());
  for (const FlagGroup& group : what) {
    for (const FlagValue& flag : ValuesOf(group)) {
      const bool compared = always.count(flag.name) > 0 || !flag.is_default;
      if (!compared || never.count(flag.name) > 0) continue;
      options.hyper_parameters.emplace_back(flag.name, flag.value);
    }
  }
  // The flag's default is the optimizer's.
  options.hyper_parameters.emplace_back(
      "learning_rate", absl::StrCat(client.job().spec().optimizer().learning_rate()));
  options.hyper_parameters.emplace_back("workers", absl::StrCat(client.job().spec().num_workers()));
  options.hyper_parameters.emplace_back("shards", absl::StrCat(client.job().spec().num_shards()));
  for (const FlagGroup& group : GetCommandLine().groups) {
    for (const FlagValue& flag : ValuesOf(group)) {
      if (!flag.is_default) options.flags.emplace_back(flag.name, flag.value);
    }
  }
  absl::StatusOr<std::unique_ptr<EventLog>> log = EventLog::Create(std::move(options));
  if (log.ok()) return *std::move(log);
  LOG(WARNING) << "worker:0: nothing for TensorBoard: " << log.status().message();
  return nullptr;
}

absl::Status Train(const Cluster& cluster, const std::shared_ptr<EtcdClient>& etcd,
                   v1::Optimizer optimizer, v1::Policy policy, const Durations& durations,
                   const std::shared_ptr<Metrics>& metrics, const std::shared_ptr<Trace>& trace) {
  const int worker = cluster.task_index;
  const int workers = cluster.num_workers;
  if (worker == 0) PARLEY_RETURN_IF_ERROR(CheckSummaryFile());
  PARLEY_ASSIGN_OR_RETURN(data::TrainAndTest data, OpenDataOfFlags());
  PARLEY_ASSIGN_OR_RETURN(SupervisedTaskOptions task_options, TaskOptionsOfFlags());
  if (task_options.dtype == DType::kFloat16 && optimizer.accumulate_rounds() > 1) {
    return Invalid("--accumulate_rounds is not for --dtype=float16, which may skip a step");
  }
  task_options.worker = worker;
  task_options.num_workers = workers;
  task_options.seed = FLAGS_seed;
  task_options.trace = trace;
  PARLEY_ASSIGN_OR_RETURN(const std::unique_ptr<SupervisedTask> task,
                          SupervisedTask::Create(task_options, std::move(data)));

  v1::JobSpec spec;
  spec.set_name(FLAGS_job);
  spec.set_seed(FLAGS_seed);
  spec.set_num_workers(workers);
  for (v1::ParameterSpec& parameter : task->Parameters())
    *spec.add_parameters() = std::move(parameter);
  *spec.mutable_optimizer() = std::move(optimizer);
  *spec.mutable_policy() = std::move(policy);
  PARLEY_RETURN_IF_ERROR(SetGroupPolicies(&spec));

  ChannelOptions channel;
  PARLEY_ASSIGN_OR_RETURN(channel.transport, ParseTransport(FLAGS_transport));
  if (channel.transport != Transport::kGrpc) channel.arena = SharedArena::Create();
  PARLEY_ASSIGN_OR_RETURN(std::vector<std::shared_ptr<ParameterServer>> shards,
                          OpenChannels(cluster, etcd, durations.startup, channel));
  spec.set_num_shards(static_cast<int>(shards.size()));
  ClientOptions client_options;
  client_options.arena = channel.arena;
  client_options.trace = trace;
  PARLEY_ASSIGN_OR_RETURN(client_options.push_dtype, ParseWireDType(FLAGS_push_dtype));
  PARLEY_ASSIGN_OR_RETURN(client_options.pull_dtype, ParseWireDType(FLAGS_pull_dtype));
  client_options.worker = worker;
  client_options.checkpoint_full_every = FLAGS_checkpoint_full_every;
  client_options.timeout = durations.timeout;
  client_options.startup_timeout = durations.startup;
  if (worker == 0) {
    PARLEY_ASSIGN_OR_RETURN(client_options.checkpoint, CheckpointToResume());
  }
  PARLEY_ASSIGN_OR_RETURN(const std::unique_ptr<Client> client,
                          Client::Connect(std::move(spec), std::move(shards), client_options));
  const int declared = client->job().spec().num_workers();
  if (declared != workers) {  // the job was scaled since
    PARLEY_RETURN_IF_ERROR(task->SetWorkers(0, declared));
  }

  TrainerOptions options;
  options.steps_per_epoch = task->steps_per_epoch();
  options.steps = FLAGS_steps > 0 ? FLAGS_steps
                                  : (FLAGS_epochs > 0 ? FLAGS_epochs : 8) * options.steps_per_epoch;
  options.checkpoint_folder = FLAGS_checkpoint_dir;
  options.checkpoint_every = FLAGS_checkpoint_every;
  options.keep_checkpoints = FLAGS_keep_checkpoints;
  options.finish_timeout = durations.finish;
  options.evaluate_averages = FLAGS_eval_ema;
  options.trace = trace;
  options.should_stop = [] { return g_signal != 0 && g_signal != SIGTERM; };
  options.should_drain = [&client] { return g_signal == SIGTERM || client->ShardsDrain(); };
  options.drain_timeout = durations.drain;
  RunDescription run;
  run.model = task_options.model;
  run.policy = FLAGS_policy;
  run.seed = FLAGS_seed;
  run.workers = workers;
  run.shards = client->job().spec().num_shards();
  run.epochs = (options.steps + options.steps_per_epoch - 1) / options.steps_per_epoch;
  const bool terminal = isatty(STDOUT_FILENO) != 0 && !FLAGS_report_progress;
  RunDescription reported = run;
  if (FLAGS_report_progress) reported.workers = 1;
  Report report(reported, task->has_accuracy(), terminal, &std::cout);
  TrainingMetrics training_metrics(metrics, client.get());
  StepInLog step_in_log;
  options.observers = {&step_in_log, &training_metrics};
  const std::unique_ptr<EventLog> events = OpenEventLog(*client);
  if (events != nullptr) options.observers.push_back(events.get());
  if (worker == 0 || FLAGS_report_progress) options.observers.push_back(&report);
  StepShareSum share_sum(client.get());
  if (FLAGS_verdict) options.observers.push_back(&share_sum);

  // SIGTERM ends the training in order, SIGINT after telling the others, a second signal at once.
  for (const int number : {SIGINT, SIGTERM}) {
    struct sigaction action = {};
    action.sa_handler = OnSignal;
    action.sa_flags = static_cast<int>(SA_RESETHAND);
    sigaction(number, &action, nullptr);
  }
  Trainer trainer(client.get(), task.get(), std::move(options));
  PARLEY_ASSIGN_OR_RETURN(const TrainingSummary summary, trainer.Run());
  if (events != nullptr) events->SetSucceeded();
  if (summary.stopped && g_signal == 0) {
    std::cout << "worker:" << worker << " stopped before step " << summary.next_step
              << ", for an operator stopped the job" << std::endl;
    return absl::OkStatus();
  }
  if (summary.released) {
    std::cout << "worker:" << worker << " left before step " << summary.next_step
              << ", for an operator took it out of the job" << std::endl;
    return absl::OkStatus();
  }
  if (summary.drained && g_signal == 0) {
    return absl::AbortedError(absl::StrCat("stopped before step ", summary.next_step,
                                           ", for a ps task was asked to stop"));
  }
  if (summary.drained) {
    std::cout << "worker:" << worker << " stopped before step " << summary.next_step
              << ", as it was asked to" << std::endl;
  } else if (worker == 0) {
    std::cout << FormatTable(run, summary)
              << FormatVerdict(share_sum.Shares(summary),
                               ShapeOfJob(*client, task_options.batch_size))
              << std::flush;
    if (!FLAGS_summary_json.empty()) PARLEY_RETURN_IF_ERROR(WriteSummary(FormatJson(run, summary)));
  } else if (FLAGS_verdict) {
    LOG(INFO) << "worker:" << worker << ": "
              << FormatVerdictLine(share_sum.Shares(summary),
                                   ShapeOfJob(*client, task_options.batch_size));
  }
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  ParseFlags(GetCommandLine(), argc, argv);
  const absl::StatusOr<Cluster> cluster = ClusterFromFlags(TaskType::kWorker);
  const absl::StatusOr<std::shared_ptr<EtcdClient>> etcd = EtcdFromFlags();
  for (const absl::Status& status : {cluster.status(), etcd.status()}) {
    if (!status.ok()) ExitWithFlagError(GetCommandLine(), std::string(status.message()));
  }
  Durations durations;
  const absl::Status checked = CheckFlags(&durations);
  absl::StatusOr<v1::Optimizer> optimizer = OptimizerFromFlags();
  v1::Optimizer none;
  const absl::StatusOr<v1::Policy> policy =
      PolicyFromFlags(optimizer.ok() ? &*optimizer : &none, cluster->num_workers);
  for (const absl::Status& status : {checked, optimizer.status(), policy.status()}) {
    if (!status.ok()) ExitWithFlagError(GetCommandLine(), std::string(status.message()));
  }

  const std::string task = absl::StrCat("worker:", cluster->task_index);
  SetLogTask(task);
  const std::shared_ptr<Metrics> metrics = NewTaskMetrics(task);
  const absl::StatusOr<std::unique_ptr<GpuMetrics>> gpus = GpuMetrics::Open();
  std::unique_ptr<Metrics::Source> gpu_source;  // none where there is no driver
  if (gpus.ok()) {
    gpu_source = metrics->AddSource([&](MetricSamples* samples) { (*gpus)->AddTo(samples); });
  }
  const std::unique_ptr<MetricsEndpoint> endpoint = ServeMetricsOfFlags(task, metrics);
  const std::shared_ptr<Trace> trace = NewTraceOfFlags(task);
  const TraceWriter trace_writer(trace);
  const absl::Status status =
      Train(*cluster, *etcd, *optimizer, *policy, durations, metrics, trace);
  if (status.ok()) return 0;
  LogFailure("parley_worker", absl::StrCat(task, ": ", status.message()));
  return g_signal != 0 ? 128 + g_signal : 1;
}

}  // namespace
}  // namespace parley

int main(int argc, char** argv) {
  parley::StartLog(argv[0]);
  parley::KeepFreedMemory();
  return parley::Main(argc, argv);
}
