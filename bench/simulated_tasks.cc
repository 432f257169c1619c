#include "bench/simulated_tasks.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/time/clock.h"
#include "base/status.h"
#include "glog/logging.h"
#include "net/resolving_channel.h"
#include "net/worker_counts.h"

namespace parley {

SimulatedTasks::SimulatedTasks(const SimulatedScenario& scenario)
    : scenario_(scenario), etcd_(&network_), oracle_(scenario) {
  files_.CreateFolders("/log").IgnoreError();
  files_.CreateFolders("/checkpoints").IgnoreError();
  ps_.resize(static_cast<size_t>(scenario.scales ? scenario.tasks + 2 : scenario.tasks));
  for (size_t i = 0; i < ps_.size(); ++i) {
    ps_[i].index = static_cast<int>(i);
    ps_[i].host = absl::StrCat("ps", i);
    if (scenario.logs) ps_[i].disk = std::make_unique<FaultyEnv>(&files_);
  }
  workers_.resize(static_cast<size_t>(std::max(scenario.workers, scenario.scaled_to)));
  for (size_t i = 0; i < workers_.size(); ++i) {
    workers_[i].index = static_cast<int>(i);
    workers_[i].host = absl::StrCat("worker", i);
  }
}

void SimulatedTasks::Violated(const std::string& why) {
  if (!violation_.empty()) return;
  violation_ = absl::StrCat(absl::FormatDuration(Simulation::Elapsed()), ": ", why);
  LOG(ERROR) << violation_ << Simulation::Describe();
  Simulation::WakeAll(&changed_);
}

bool SimulatedTasks::IsAlive(const TaskStart& who) const {
  const PsTask& task = ps_[static_cast<size_t>(who.task)];
  return task.process != nullptr && !task.failed && !task.gone && task.start == who.start;
}

bool SimulatedTasks::AllTrained() const {
  return std::all_of(workers_.begin(), workers_.end(), [this](const WorkerTask& worker) {
    return worker.trained || (!IsFirst(worker) && !worker.member);
  });
}
bool SimulatedTasks::AllLeft() const {
  return std::all_of(workers_.begin(), workers_.end(), [this](const WorkerTask& worker) {
    return worker.left || (!IsFirst(worker) && !worker.member);
  });
}

void SimulatedTasks::StartPs(PsTask* task) {
  ++task->starts;
  task->started = Simulation::Elapsed();
  task->ready = absl::InfiniteDuration();
  task->failed = task->asked = false;
  task->address =
      absl::StrCat(task->host, ":", scenario_.takes_over() ? 1000 + task->starts : 1000);
  task->process = Simulation::NewProcess(absl::StrCat("ps:", task->index, "/", task->starts));
  Simulation::Spawn(task->process, "main", [this, task] { Serve(task); });
}

// As ps/ps_program.cc.
void SimulatedTasks::Serve(PsTask* task) {
  ServerOptions options;
  options.shard.shard_index = task->index;
  options.shard.threads = 2;
  options.shard.standby_patience = kStandbyPatience;
  options.shared_memory = false;
  options.channel = [this, task](const std::string& to, const std::string& address) {
    return network_.NewChannel(task->host, to, address);
  };
  options.is_refused = [this, task](const std::string& address) {
    return network_.IsRefused(task->host, address, absl::Milliseconds(200));
  };
  std::shared_ptr<EtcdClient> etcd;
  if (scenario_.takes_over()) {
    etcd = etcd_.NewClient(task->host);
    options.etcd = etcd;
    options.job = kSimulatedJob;
    options.num_shards = scenario_.shards;
    options.num_tasks = scenario_.tasks;
    options.settling = scenario_.settling;
  }
  if (scenario_.logs) {
    options.shard.env = task->disk.get();
    options.shard.log_folder = absl::StrCat("/log/ps-", task->index);
    options.shard.checkpoint_folder = "/checkpoints";
  }
  if (scenario_.keeping == SimulatedKeeping::kReplica) {
    const int next = (task->index + 1) % scenario_.shards;
    options.standby_task = absl::StrCat("ps:", next);
    options.standby_address = absl::StrCat("ps", next, ":1000");
  }
  absl::StatusOr<std::unique_ptr<Server>> started = Server::Start(options);
  if (!started.ok()) {
    if (absl::IsDataLoss(started.status())) {
      Violate("a log is damaged: ", started.status().message());
    }
    task->failed = true;
    return;
  }
  task->server = started->get();
  task->start = task->server->start();
  network_.Listen(task->address, task->process, task->server->for_transports());
  std::unique_ptr<ShardRegistration> registration;
  if (scenario_.takes_over()) {
    absl::StatusOr<std::unique_ptr<ShardRegistration>> registered =
        ShardRegistration::Register(etcd, kSimulatedJob, task->index, task->address);
    if (!registered.ok()) {
      Count("ps tasks that were not registered");
      return Fail(task, &*started);
    }
    registration = *std::move(registered);
    task->server->Lead(task->address);
  }
  task->ready = Simulation::Elapsed();
  bool leaves = false;
  for (;;) {
    if (registration != nullptr && !registration->status().ok()) {
      return Fail(task, &*started);
    }
    if (task->asked && !leaves) {
      leaves = true;
      task->server->Leave();
    }
    if (task->server->IsSurplus()) {
      Count(leaves ? "ps tasks that ended when they were asked to"
                   : "ps tasks that the job went on without");
      Stop(task, std::move(registration), *std::move(started));
      task->gone = true;
      return;
    }
    const bool standby_done = task->server->IsStandbyDone();
    const bool done = task->server->WaitUntilDone(absl::Milliseconds(100));
    if (!task->server->durability_status().ok()) {
      Count("tasks that ended for their disk");
      task->server->Stop(absl::Seconds(1));
      return Fail(task, &*started);
    }
    if (!done) continue;
    if (standby_done) break;
    absl::SleepFor(absl::Milliseconds(10));
  }
  task->forgets = true;
  done_ = std::min(done_, Simulation::Elapsed());
  task->server->ForgetJob();
  absl::SleepFor(absl::Seconds(1));  // the last farewell is being answered
  Stop(task, std::move(registration), *std::move(started));
  task->over = true;
}

void SimulatedTasks::Stop(PsTask* task, std::unique_ptr<ShardRegistration> registration,
                          std::unique_ptr<Server> server) {
  server->Stop(absl::Seconds(2));
  network_.Close(task->address);
  task->server = nullptr;
  registration.reset();
  server.reset();
}

// As a program that ends: nothing is destroyed.
void SimulatedTasks::Fail(PsTask* task, std::unique_ptr<Server>* server) {
  server->release();
  task->failed = true;
  for (;;) Simulation::Sleep(absl::Hours(1));
}

void SimulatedTasks::EndPs(PsTask* task, bool says_so) {
  if (task->process == nullptr) return;
  if (says_so) {
    network_.Close(task->address);
  } else {
    network_.Vanish(task->address);
  }
  Simulation::Kill(task->process);
  task->process = nullptr;
  task->server = nullptr;
  task->over = task->forgets;
}

void SimulatedTasks::StartWorker(WorkerTask* task) {
  ++task->incarnation;
  task->process =
      Simulation::NewProcess(absl::StrCat("worker:", task->index, "/", task->incarnation));
  Simulation::Spawn(task->process, "main",
                    [this, task, incarnation = task->incarnation] { Work(task, incarnation); });
}

void SimulatedTasks::KillWorker(WorkerTask* task) {
  Simulation::Kill(task->process);
  task->process = nullptr;
  task->failed = false;
}

void SimulatedTasks::Work(WorkerTask* task, uint64_t incarnation) {
  std::unique_ptr<Client> client;  // which leaves when it is destroyed: after this has been said
  const absl::Status status = Train(task, incarnation, &client);
  const bool comes_again =
      !status.ok() && !ended_ &&
      ((!IsFirst(*task) && absl::StrContains(status.message(), "parley scale")) ||
       (absl::IsAlreadyExists(status) && incarnation > 1) ||
       (scenario_.fills_disks && absl::IsResourceExhausted(status) &&
        absl::StrContains(status.message(), "Declare")));
  if (!status.ok() && Excuses(task, status)) {
    // said
  } else if (comes_again) {
    // A shard was not asked for it yet, or has forgotten it; or something that its dead predecessor
    // had sent was heard late; or a job cannot be declared on a full disk: whoever starts it does
    // so again.
    Count(absl::IsAlreadyExists(status)       ? "workers that were refused their place"
          : absl::IsResourceExhausted(status) ? "jobs that were declared on a full disk"
                                              : "workers that came too early");
    task->failed = true;
    Simulation::Sleep(absl::InfiniteDuration());
  } else if (!status.ok() && !ended_) {
    Violate("worker:", task->index, " fails: ", status.ToString());
  }
  task->left = true;
  oracle_.Left(task->index);
  Simulation::WakeAll(&changed_);
}

bool SimulatedTasks::Excuses(WorkerTask* task, const absl::Status& status) {
  const absl::string_view why = status.message();
  if (disk_failed_ && (absl::StrContains(why, "can write nothing down any more") ||
                       absl::StrContains(why, "the disk is broken") ||
                       absl::StrContains(why, "ended without leaving"))) {
    Count("jobs ended by a disk");
    ended_ = true;
    return true;
  }
  if (given_up_) {
    Count("jobs ended for a shard without a leader");
    ended_ = true;
    return true;
  }
  if (IsFirst(*task) && scenario_.scaled_to > 0 && absl::StrContains(why, "parley scale")) {
    // Killed, and started again, when the job had taken it out.
    Count("workers that came again when they were out of the job");
    task->trained = true;
    return true;
  }
  if (scenario_.policy == SimulatedPolicy::kBackupWorkers && absl::IsDeadlineExceeded(status) &&
      (absl::StrContains(why, "waited for worker:") || absl::StrContains(why, "no answer by")) &&
      std::any_of(workers_.begin(), workers_.end(),
                  [](const WorkerTask& other) { return other.trained; })) {
    // "Not promised": those that are done push nothing that it could be in a round with.
    Count("steps that nobody else did any more");
    task->trained = true;
    return true;
  }
  if (workers_[0].left && oracle_.MayBeLeftOut(task->index)) {
    Count("workers that came back when the job was over");
    task->trained = true;
    return true;
  }
  if (!IsFirst(*task) && AllLeft()) {
    Count("workers that came too late");
    return true;
  }
  return false;
}

absl::StatusOr<std::unique_ptr<Client>> SimulatedTasks::Connect(const WorkerTask& task,
                                                                uint64_t incarnation) {
  std::shared_ptr<EtcdClient> etcd;
  std::vector<std::string> addresses;
  if (scenario_.takes_over()) {
    etcd = etcd_.NewClient(task.host);
    for (;;) {
      auto found = FindShards(etcd.get(), kSimulatedJob, scenario_.shards, kTimeout);
      if (found.ok()) {
        addresses = *std::move(found);
        break;
      }
      if (!absl::IsUnavailable(found.status()) && !absl::IsDeadlineExceeded(found.status())) {
        return found.status();
      }
      absl::SleepFor(absl::Milliseconds(200));  // whoever starts it does so again
    }
  } else {
    for (const PsTask& ps : ps_) addresses.push_back(absl::StrCat(ps.host, ":1000"));
  }
  std::vector<std::shared_ptr<ParameterServer>> shards;
  for (int i = 0; i < scenario_.shards; ++i) {
    const std::string name = absl::StrCat("ps:", i);
    const std::string& address = addresses[static_cast<size_t>(i)];
    const auto factory = [this, host = task.host, name](const std::string& where) {
      return network_.NewChannel(host, name, where);
    };
    if (!scenario_.takes_over()) {
      shards.push_back(factory(address));
      continue;
    }
    shards.push_back(NewResolvingChannel(
        name, address,
        [etcd, i, last = address]() mutable {
          absl::StatusOr<std::string> place =
              FindShard(etcd.get(), kSimulatedJob, i, last, absl::Milliseconds(500));
          if (place.ok()) last = *place;
          return place;
        },
        factory));
  }
  ClientOptions options;
  options.worker = task.index;
  options.incarnation = incarnation;
  options.timeout = kTimeout;
  options.startup_timeout = kTimeout;
  options.request_bytes = 16;  // so that a step is several requests
  options.env = &files_;
  v1::JobSpec spec = scenario_.Spec();
  if (!IsFirst(task)) spec.set_num_workers(static_cast<int>(workers_.size()));
  return Client::Connect(std::move(spec), std::move(shards), options);
}

void SimulatedTasks::Check(const WorkerTask& task, int64_t version, const SimulatedValues& values,
                           const SimulatedOracle::Seen& seen, const WorkerCounts& counts) {
  const std::string wrong =
      oracle_.Check(absl::StrCat("worker:", task.index, "/", task.incarnation), task.index, version,
                    values, seen, counts);
  if (!wrong.empty()) Violate(wrong);
}

// As worker/worker_main.cc.
absl::Status SimulatedTasks::Train(WorkerTask* task, uint64_t incarnation,
                                   std::unique_ptr<Client>* entered) {
  absl::Duration began = Simulation::Elapsed();
  PARLEY_ASSIGN_OR_RETURN(*entered, Connect(*task, incarnation));
  Client& client = **entered;
  const int64_t first = client.first_step();
  const bool comes = !IsFirst(*task) && task->begun == 0;
  if (!comes && task->index < client.workers().At(first)) {
    if (const std::string wrong = oracle_.Joined(task->index, first); !wrong.empty()) {
      return absl::InternalError(wrong);
    }
  }
  oracle_.Heard(task->index, began);
  SimulatedValues values, gradients;
  std::vector<ParameterTarget> targets;
  for (const int elements : kSimulatedElements) values.emplace_back(elements);
  for (int p = 0; p < kSimulatedParameters; ++p) targets.push_back({p, absl::MakeSpan(values[p])});
  SimulatedOracle::Seen seen = oracle_.Look();
  began = Simulation::Elapsed();
  PARLEY_RETURN_IF_ERROR(client.PullAsync(first, targets).get());
  oracle_.Heard(task->index, began);
  // The answer may say that the job goes on without it from this step on, or from the next, where
  // it is told to do again what its predecessor did; and is of a later one.
  if (!comes && task->index < client.workers().At(first) &&
      task->index < client.workers().At(first + 1)) {
    Check(*task, first, values, seen, client.workers());
  }
  // A chief says nothing in its first step, which an earlier start may have done in part.
  bool first_step = true;
  for (int64_t step = client.NextStep(first); step < scenario_.steps;) {
    const WorkerCounts counts = client.workers();
    const absl::optional<int64_t> mine = counts.NextStepOf(task->index, step);
    if (!mine.has_value()) {
      Count("workers that were taken out of the job");
      task->trained = true;
      Simulation::WakeAll(&changed_);
      return client.Leave(absl::OkStatus());
    }
    if (*mine != step) {
      PARLEY_RETURN_IF_ERROR(client.PullAsync(*mine, targets).get());
      step = *mine;
      continue;
    }
    if (comes && first_step) Check(*task, step, values, seen, counts);
    task->member = true;
    const int asked = client.WorkersAsked();
    if (!first_step && asked != 0 && step + 1 < scenario_.steps && asked != counts.At(step + 1)) {
      Count("changes of the number of workers");
      PARLEY_RETURN_IF_ERROR(client.SetWorkers(step, asked));
    }
    first_step = false;
    absl::SleepFor(Simulation::random().UpTo(absl::Milliseconds(300)));
    gradients = oracle_.GradientsOf(task->index, step, counts.At(step));
    std::vector<ParameterGradient> sent;
    for (int p = 0; p < kSimulatedParameters; ++p) {
      sent.push_back({p, absl::MakeConstSpan(gradients[p])});
    }
    // Not the step itself, where pulls wait for nothing: its values may be asked for beside it.
    seen = oracle_.Look();
    task->begun = std::max(task->begun, step + 1);
    oracle_.Begun(task->index, step);
    began = Simulation::Elapsed();
    PARLEY_RETURN_IF_ERROR(client.PushPullAsync(step, sent, targets).get());
    oracle_.Acknowledged(task->index, step, began);
    // With backup workers a gradient may come too late, and change nothing.
    if (incarnation == 1 && oracle_.Counts(task->index, step, values)) {
      fresh_step_ = std::max(fresh_step_, began);
    }
    const WorkerCounts then = client.workers();
    if (task->index < then.At(step + 1)) Check(*task, step + 1, values, seen, then);
    if (is_over()) return absl::OkStatus();
    if (scenario_.logs && task->index == 0 && Simulation::random().OneIn(4)) {
      const auto saved = client.SaveCheckpoint(step + 1, "/checkpoints", 2);
      Count(saved.ok() ? "checkpoints" : "checkpoints that were not made");
    }
    const int64_t next = client.NextStep(step + 1);
    const bool may_leave_out = scenario_.policy == SimulatedPolicy::kBackupWorkers ||
                               scenario_.policy == SimulatedPolicy::kBoundedStaleness;
    const bool is_in = task->index < then.At(step + 1);
    if (next != step + 1 && !may_leave_out && is_in) {
      return absl::InternalError(absl::StrCat("after step ", step, " it is to do ", next));
    }
    if (next != step + 1 && is_in) Count("steps that were left out", next - step - 1);
    step = next;
  }
  task->trained = true;
  Simulation::WakeAll(&changed_);
  while (!AllTrained()) Simulation::Wait(&changed_, absl::InfiniteDuration());
  seen = oracle_.Look();
  PARLEY_RETURN_IF_ERROR(client.PullAsync(scenario_.steps, targets).get());
  Check(*task, scenario_.steps, values, seen, client.workers());
  const absl::Status left = client.Leave(absl::OkStatus());
  // A shard ends with the job, which is over with the last farewell, whether or not its answer
  // arrives.
  const bool over =
      std::any_of(ps_.begin(), ps_.end(), [](const PsTask& ps) { return ps.forgets || ps.over; });
  if (left.ok() || !over) return left;
  Count("farewells that were not answered");
  return absl::OkStatus();
}

}  // namespace parley
