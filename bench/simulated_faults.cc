#include "bench/simulated_faults.h"

#include <algorithm>
#include <chrono>
#include <future>
#include <memory>
#include <sstream>
#include <string>

#include "absl/strings/match.h"
#include "absl/time/clock.h"
#include "deploy/scale_ps.h"

namespace parley {

SimulatedFaults::SimulatedFaults(SimulatedTasks* tasks)
    : tasks_(tasks),
      scenario_(tasks->scenario()),
      num_tasks_(scenario_.tasks),
      leaders_(static_cast<size_t>(scenario_.shards)),
      led_since_(leaders_.size()),
      leaderless_since_(leaders_.size()) {}

void SimulatedFaults::Start() {
  SimulatedNetwork::Faults faults;
  faults.break_one_in = scenario_.break_one_in;
  faults.slow_one_in = 50;
  tasks_->network().set_faults(faults);
  tasks_->etcd().set_lose_one_in(scenario_.break_one_in);
  for (PsTask& task : tasks_->ps()) {
    task.wanted = task.index < num_tasks_;
    if (task.wanted) tasks_->StartPs(&task);
  }
  for (WorkerTask& task : tasks_->workers()) {
    if (tasks_->IsFirst(task)) tasks_->StartWorker(&task);
  }
  if (scenario_.scaled_to > 0) {
    Simulation::Spawn(Simulation::NewProcess("operator"), "main", [this] { ScaleWorkers(); });
  }
}

void SimulatedFaults::End() {
  over_ = true;
  tasks_->network().HealAll();
  tasks_->network().set_faults({});
  tasks_->etcd().set_lose_one_in(0);
  for (PsTask& task : tasks_->ps()) {
    if (task.disk == nullptr) continue;
    task.disk->SetFull(false);
    task.disk->FailAt(-1, FaultyEnv::After::kRecovers, absl::OkStatus());
  }
}

// Whether what this task has is at another one too, or on its disk.
bool SimulatedFaults::MayKill(const PsTask& task) {
  switch (scenario_.keeping) {
    case SimulatedKeeping::kNothing:
      return false;
    case SimulatedKeeping::kLog:
      return true;
    case SimulatedKeeping::kReplica: {
      // Its own shard's copy is whole, and so is that of the shard before, which is here.
      const int before = (task.index + scenario_.shards - 1) % scenario_.shards;
      for (const int shard : {task.index, before}) {
        const PsTask& keeps = tasks_->ps()[static_cast<size_t>((shard + 1) % scenario_.shards)];
        const PsTask& has = tasks_->ps()[static_cast<size_t>(shard)];
        if (has.process == nullptr || keeps.process == nullptr || has.server == nullptr) {
          return false;
        }
        const auto numbers = has.server->Numbers();
        if (!numbers.has_value() || !numbers->replica.has_value() || !numbers->replica->whole) {
          return false;
        }
        // The sink hears that its copy's task was started again with the next record.
        if (tasks_->fresh_step() <= keeps.started) return false;
      }
      return true;
    }
    case SimulatedKeeping::kTakeover:
      break;
  }
  for (int shard = 0; shard < scenario_.shards; ++shard) {
    const EtcdRange range = tasks_->etcd().Look(CopiesKey(kSimulatedJob, shard));
    if (range.entries.empty()) return false;
    const absl::StatusOr<ShardCopies> copies = ParseCopies(range.entries[0].value);
    const bool leads = copies->leader.task == task.index;
    const bool has_copy = copies->copy.has_value() && copies->copy->task == task.index;
    // One that is to go takes a copy with it when nobody else is there to have one.
    const bool is_copied = copies->copy.has_value() && tasks_->IsAlive(*copies->copy) &&
                           copies->copy->task < num_tasks_ &&
                           !tasks_->ps()[static_cast<size_t>(copies->copy->task)].asked;
    if (leads && !is_copied) return false;
    // Of a leader whose lease has ended it may be taking over just now.
    const bool is_led = !tasks_->etcd().Look(LeaderKey(kSimulatedJob, shard)).entries.empty();
    if (has_copy && !(is_led && tasks_->IsAlive(copies->leader))) return false;
  }
  return true;
}

bool SimulatedFaults::MayKillAll() {
  if (!takes_over()) return scenario_.logs;
  if (!scenario_.logs) return false;
  // What a shard acknowledges stands in its log behind what it took over.
  LookForLeaders();
  for (int shard = 0; shard < scenario_.shards; ++shard) {
    const size_t i = static_cast<size_t>(shard);
    const EtcdRange range = tasks_->etcd().Look(CopiesKey(kSimulatedJob, shard));
    if (range.entries.empty() || leaderless_since_[i] != Simulation::Elapsed()) return false;
    const absl::StatusOr<ShardCopies> copies = ParseCopies(range.entries[0].value);
    if (copies->leader != leaders_[i] || !tasks_->IsAlive(copies->leader)) return false;
    if (tasks_->fresh_step() <= led_since_[i]) return false;
  }
  return true;
}

void SimulatedFaults::PowerFails() {
  tasks_->Count("power failures");
  if (takes_over()) tasks_->Count("power failures beside etcd");
  for (PsTask& task : tasks_->ps()) {
    task.wanted = task.wanted || task.process != nullptr;  // what it has is on its disk alone
    tasks_->EndPs(&task, true);
  }
  SimulatedRandom& random = Simulation::random();
  tasks_->files().PowerFails(random.OneIn(2) ? MemoryEnv::Loses::kAll : MemoryEnv::Loses::kSome,
                             static_cast<uint32_t>(random.Next()));
}

void SimulatedFaults::FillDisk(PsTask* task) {
  tasks_->Count("disks that were full for a while");
  task->disk->SetFull(true);
  Simulation::After(Simulation::random().UpTo(absl::Seconds(4)),
                    [disk = task->disk.get()] { disk->SetFull(false); });
}

void SimulatedFaults::CutSomewhere() {
  SimulatedRandom& random = Simulation::random();
  std::vector<std::string> hosts;
  for (const PsTask& task : tasks_->ps()) hosts.push_back(task.host);
  if (scenario_.disturb_workers) {
    for (const WorkerTask& task : tasks_->workers()) hosts.push_back(task.host);
  }
  if (takes_over()) hosts.push_back(SimulatedEtcd::kHost);
  if (hosts.size() < 2) return;
  const auto draw = [&] {
    return hosts[static_cast<size_t>(random.Below(static_cast<int64_t>(hosts.size())))];
  };
  const std::string from = draw();
  const std::string to = draw();
  const bool all = random.OneIn(4);  // from everybody
  const bool one_way = random.OneIn(2);
  const absl::Duration until = random.UpTo(random.OneIn(5) ? absl::Seconds(6) : absl::Seconds(2));
  if (!all && from == to) return;
  tasks_->Count(
      absl::StrCat(one_way ? "one-way " : "", all ? "cuts of a host" : "cuts between two hosts"));
  SimulatedNetwork* const network = &tasks_->network();
  for (const std::string& other : hosts) {
    if (other == from || (!all && other != to)) continue;
    network->Cut(from, other);
    if (!one_way) network->Cut(other, from);
    Simulation::After(until, [network, from, other, one_way] {
      network->Heal(from, other);
      if (!one_way) network->Heal(other, from);
    });
  }
}

void SimulatedFaults::Disturb() {
  SimulatedRandom& random = Simulation::random();
  if (scenario_.scales && random.OneIn(4)) return Scale();
  std::vector<PsTask>& all = tasks_->ps();
  PsTask& ps = all[static_cast<size_t>(random.Below(static_cast<int64_t>(all.size())))];
  std::vector<WorkerTask>& workers = tasks_->workers();
  WorkerTask& worker =
      workers[static_cast<size_t>(random.Below(static_cast<int64_t>(workers.size())))];
  if (scenario_.fills_disks && random.OneIn(4)) return FillDisk(&ps);
  switch (random.Below(10)) {
    case 0:
    case 1:
    case 2:
    case 3:
      return DisturbPs(&ps);
    case 4:
      return DisturbWorker(&worker, &ps);
    case 5:
      if (ps.process == nullptr) return;
      tasks_->Count("ps tasks stopped for a while");
      Simulation::Pause(ps.process, random.UpTo(absl::Seconds(random.OneIn(3) ? 5 : 1)));
      return;
    case 6:
      if (!scenario_.disturb_workers || worker.process == nullptr) return;
      tasks_->Count("workers stopped for a while");
      // With somebody else to go on, for longer than a lease, too.
      Simulation::Pause(
          worker.process,
          random.UpTo(absl::Seconds(!scenario_.in_lockstep() && random.OneIn(4) ? 25 : 2)));
      return;
    case 7:
      if (takes_over()) {
        tasks_->Count("outages of etcd");
        tasks_->etcd().GoAway(random.UpTo(absl::Seconds(3)));
        return;
      }
      tasks_->Count("jumps of the wall clock");
      Simulation::SetWallClock(random.UpTo(absl::Hours(2)) - absl::Hours(1));
      return;
    default:
      return CutSomewhere();
  }
}

void SimulatedFaults::DisturbPs(PsTask* task) {
  SimulatedRandom& random = Simulation::random();
  if (scenario_.logs && random.OneIn(3) && MayKillAll()) return PowerFails();
  if (task->process == nullptr || !MayKill(*task)) return;
  if (scenario_.keeping == SimulatedKeeping::kLog && random.OneIn(3)) {
    tasks_->Count("failing changes of a disk");
    tasks_->a_disk_failed();
    task->disk->FailAt(random.Below(12), FaultyEnv::After::kRecovers,
                       absl::InternalError("the disk is broken"));
    return;
  }
  if (scenario_.stops && random.OneIn(3)) {
    task->asked = true;  // which is counted when it has ended
    return;
  }
  const bool says_so = !random.OneIn(4);
  tasks_->Count(says_so ? "ps tasks killed" : "ps hosts lost");
  tasks_->EndPs(task, says_so);
}

void SimulatedFaults::DisturbWorker(WorkerTask* task, PsTask* ps) {
  if (!scenario_.disturb_workers || task->process == nullptr || task->left) return;
  if (task->trained) return;
  tasks_->Count("workers killed");
  tasks_->KillWorker(task);
  if (Simulation::random().OneIn(3) && ps->process != nullptr && MayKill(*ps)) {
    tasks_->Count("ps tasks killed with a worker");
    tasks_->EndPs(ps, true);
  }
}

void SimulatedFaults::Scale() {
  SimulatedRandom& random = Simulation::random();
  std::vector<PsTask>& all = tasks_->ps();
  const int tasks = 2 + static_cast<int>(random.Below(static_cast<int64_t>(all.size()) - 1));
  const bool start_before = random.OneIn(2);
  if (start_before) {
    for (PsTask& task : all) task.wanted = task.wanted || task.index < tasks;
    Supervise(random.UpTo(absl::Seconds(1)));
  }
  std::ostringstream said;
  const std::unique_ptr<EtcdClient> etcd = tasks_->etcd().NewClient("operator");
  const absl::Status scaled =
      ScalePsTasks(etcd.get(), kSimulatedJob, tasks, absl::ZeroDuration(), &said);
  const bool knows = scaled.ok() || absl::StrContains(scaled.message(), "goes on all the same");
  tasks_->Count(knows ? "changes of the number of ps tasks"
                      : "changes of it that were refused, or lost");
  num_tasks_ = tasks;
  for (PsTask& task : all) {
    const bool is_missed = scenario_.logs && task.wanted && task.process == nullptr;
    task.wanted = task.index < tasks || is_missed;
  }
  Restart();
}

void SimulatedFaults::ScaleWorkers() {
  absl::SleepFor(Simulation::random().UpTo(absl::Seconds(2)));
  scaling_ = true;
  Simulation::WakeAll(tasks_->changed());
  while (!tasks_->AllLeft()) {
    for (int shard = 0; shard < scenario_.shards; ++shard) {
      for (const PsTask& task : tasks_->ps()) {
        if (task.server != nullptr && (takes_over() || task.index == shard)) {
          AskWorkers(shard, task);
        }
      }
    }
    absl::SleepFor(absl::Milliseconds(200));
  }
}

void SimulatedFaults::AskWorkers(int shard, const PsTask& task) {
  const std::shared_ptr<ParameterServer> channel =
      tasks_->network().NewChannel("operator", absl::StrCat("ps:", task.index), task.address);
  auto asked = std::make_shared<std::promise<void>>();
  std::future<void> ended = asked->get_future();
  v1::GetStatusRequest status;
  status.set_shard(shard);
  channel->GetStatus(status, [to = scenario_.scaled_to, shard, channel,
                              asked](const absl::StatusOr<v1::GetStatusResponse>& answer) {
    const bool knows = !answer.ok() || answer->job().empty() || answer->num_workers() == to ||
                       answer->workers_asked() == to;
    if (knows) return asked->set_value();
    v1::AskRequest request;
    request.set_shard(shard);
    request.set_what(v1::AskRequest::WORKERS);
    request.set_workers(to);
    channel->Ask(request, [asked](const absl::StatusOr<v1::AskResponse>&) { asked->set_value(); });
  });
  ended.wait_for(std::chrono::seconds(1));
}

void SimulatedFaults::Restart() {
  SimulatedRandom& random = Simulation::random();
  for (PsTask& task : tasks_->ps()) {
    if (task.gone) {
      tasks_->EndPs(&task, true);
      task.gone = false;
      task.wanted = task.index < num_tasks_;
    }
    // Its log may be all that there is of a shard.
    if (task.failed && scenario_.logs) task.wanted = true;
    if (task.over || (task.process == nullptr && !task.wanted)) continue;
    if (task.failed) tasks_->EndPs(&task, true);
    if (task.process != nullptr || (!over_ && !random.OneIn(8))) continue;
    if (scenario_.logs) task.disk->FailAt(-1, FaultyEnv::After::kRecovers, absl::OkStatus());
    tasks_->StartPs(&task);
  }
  for (WorkerTask& task : tasks_->workers()) {
    if (task.failed) tasks_->KillWorker(&task);
    if (!tasks_->IsFirst(task) && (!scaling_ || tasks_->AllLeft())) continue;
    if (task.process == nullptr && (over_ || random.OneIn(6))) tasks_->StartWorker(&task);
  }
}

// A shard that nobody has spoken for, as etcd has it, for the tasks' patience begins anew, and the
// job is over.
void SimulatedFaults::LookForLeaders() {
  if (!takes_over()) return;
  const absl::Duration now = Simulation::Elapsed();
  for (int shard = 0; shard < scenario_.shards; ++shard) {
    const size_t i = static_cast<size_t>(shard);
    const EtcdRange range = tasks_->etcd().Look(LeaderKey(kSimulatedJob, shard));
    if (!range.entries.empty()) {
      const TaskStart who = ParseLeader(range.entries[0].value)->who;
      TaskStart& last = leaders_[i];
      if (last != who) {
        led_since_[i] = now;
        if (last.task >= 0 && tasks_->IsAlive(last)) tasks_->Count("shards that moved");
      }
      last = who;
    }
    if (over_) continue;
    if (!range.entries.empty()) leaderless_since_[i] = now;
    if (now - leaderless_since_[i] > SimulatedTasks::kStandbyPatience * 0.9) {
      tasks_->shard_was_given_up();
    }
  }
}

void SimulatedFaults::Supervise(absl::Duration duration) {
  const absl::Duration end = Simulation::Elapsed() + duration;
  do {
    Restart();
    LookForLeaders();
    Simulation::Wait(tasks_->changed(), absl::Milliseconds(100));
  } while (Simulation::Elapsed() < end && !tasks_->is_over() && !tasks_->AllLeft());
}

}  // namespace parley
