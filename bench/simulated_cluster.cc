#include "bench/simulated_cluster.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <future>
#include <memory>
#include <sstream>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/testing/faulty_env.h"
#include "base/testing/memory_env.h"
#include "base/testing/simulation.h"
#include "deploy/scale_ps.h"
#include "glog/logging.h"
#include "net/discovery.h"
#include "net/resolving_channel.h"
#include "net/shard_records.h"
#include "net/testing/simulated_etcd.h"
#include "net/testing/simulated_network.h"
#include "net/worker_counts.h"
#include "ps/server.h"
#include "worker/client.h"

namespace parley {
namespace {

constexpr char kJob[] = "job";
constexpr int kElements[] = {10, 7};  // of the parameters
constexpr int kParameters = 2;
constexpr int kBlockElements = 4;
constexpr float kMomentum = 0.5f;
constexpr absl::Duration kTimeout = absl::Minutes(2);  // of a worker's calls
// When the faults are over, the job is to end within this, and its ps tasks soon after.
constexpr absl::Duration kPatience = absl::Minutes(4);
constexpr absl::Duration kStandbyPatience = absl::Seconds(10);

using Values = std::vector<std::vector<float>>;  // by parameter

// A gradient, before a synchronous job's mean: of an element its owner's alone is not 0.
float GradientOf(int worker, int64_t step, int parameter, int element) {
  const uint64_t mixed = SimulatedRandom(static_cast<uint64_t>(worker * 1000003 + step * 10007 +
                                                               parameter * 101 + element))
                             .Next();
  return static_cast<float>(1 + mixed % 7);
}

class Cluster {
 public:
  Cluster(const SimulatedScenario& scenario, SimulatedResult* result)
      : scenario_(scenario), result_(result), etcd_(&network_) {}

  void Run();

 private:
  struct PsTask {
    int index;
    std::string host;
    std::string address;
    int starts = 0;
    SimulatedProcess* process = nullptr;  // null: it is not running
    Server* server = nullptr;             // of the process; dropped with it
    uint64_t start = 0;
    absl::Duration started;
    absl::Duration ready;  // when it began to serve
    bool failed = false;   // its program has ended with an error
    bool forgets = false;  // the job is done, and it keeps nothing of it any more
    bool over = false;     // its program has ended in good order
    bool wanted = true;    // whoever starts tasks starts it again
    bool gone = false;     // its program has ended, since the job goes on without it
    std::unique_ptr<FaultyEnv> disk;
  };
  struct WorkerTask {
    int index;
    std::string host;
    uint64_t incarnation = 0;
    SimulatedProcess* process = nullptr;
    int64_t acknowledged = 0;  // steps
    int64_t begun = 0;
    bool member = false;  // has been one
    bool failed = false;  // its program has ended with an error
    bool trained = false;
    bool left = false;
  };

  v1::JobSpec Spec() const;
  int OwnerOf(int element) const { return element % scenario_.workers; }
  // Of those that the job begins with.
  bool IsFirst(const WorkerTask& task) const { return task.index < scenario_.workers; }
  bool takeover() const { return scenario_.keeping == SimulatedKeeping::kTakeover; }
  bool has_log() const { return scenario_.keeping == SimulatedKeeping::kLog; }
  bool has_replica() const { return scenario_.keeping == SimulatedKeeping::kReplica; }

  template <typename... Words>
  void Violate(const Words&... words) {
    if (!result_->violation.empty()) return;
    result_->violation = absl::StrCat(absl::FormatDuration(Simulation::Elapsed()), ": ", words...);
    LOG(ERROR) << result_->violation << Simulation::Describe();
    Simulation::WakeAll(&changed_);
  }
  // Whether there is nothing more to see.
  bool violated() const { return ended_ || !result_->violation.empty(); }
  void Count(const std::string& what) { network_.Count(what); }

  void StartPs(PsTask* task);
  void Serve(PsTask* task);
  void Stop(PsTask* task, std::unique_ptr<ShardRegistration> registration,
            std::unique_ptr<Server> server);
  void Scale();
  void Fail(PsTask* task, std::unique_ptr<Server>* server);
  void EndPs(PsTask* task, bool says_so);
  void StartWorker(WorkerTask* task);
  void Work(WorkerTask* task, uint64_t incarnation);
  absl::Status Train(WorkerTask* task, uint64_t incarnation, std::unique_ptr<Client>* entered);
  // Of a synchronous job, at `version`.
  static Values Reference(int64_t version, const WorkerCounts& counts);
  // `low`: how many steps of each worker they have at least. `counts`: what the worker knows.
  void Check(const WorkerTask& task, int64_t version, const Values& values,
             const std::vector<int64_t>& low, const WorkerCounts& counts);
  // As `parley scale --workers`.
  void ScaleWorkers();
  void AskWorkers(int shard, const PsTask& task);
  void Restart();
  // Restarts what has ended, for so long.
  void Supervise(absl::Duration duration);
  void LookForLeaders();
  void AwaitEnd();
  void Disturb();
  bool MayKill(const PsTask& task);
  bool IsAlive(const TaskStart& who) const;
  void PowerFails();
  void CutSomewhere();
  bool AllTrained() const;
  bool AllLeft() const;

  const SimulatedScenario scenario_;
  SimulatedResult* const result_;
  SimulatedNetwork network_;
  SimulatedEtcd etcd_;
  MemoryEnv files_;
  std::vector<PsTask> ps_;
  std::vector<WorkerTask> workers_;
  bool scaling_ = false;              // somebody has asked for other workers
  std::map<int64_t, int> counts_at_;  // by step: how many workers, as the first one knew who saw it
  // When the last step of those began that all shards have acknowledged, and had not before.
  absl::Duration fresh_step_ = absl::ZeroDuration();
  int num_tasks_ = 0;                               // that there are to be
  std::vector<TaskStart> leaders_;                  // by shard, the last ones
  std::vector<absl::Duration> leaderless_since_;    // by shard
  bool given_up_ = false;                           // one of them
  absl::Duration done_ = absl::InfiniteDuration();  // when the first ps task took the job for done
  int disks_failed_ = 0;
  bool ended_ = false;  // by what no promise is against
  bool faults_over_ = false;
  int changed_ = 0;  // waited on
};

v1::JobSpec Cluster::Spec() const {
  v1::JobSpec spec;
  spec.set_name(kJob);
  spec.set_num_workers(scenario_.workers);
  spec.set_num_shards(scenario_.shards);
  spec.set_block_elements(kBlockElements);
  for (int i = 0; i < kParameters; ++i) {
    v1::ParameterSpec* const parameter = spec.add_parameters();
    parameter->set_name(absl::StrCat("p", i));
    parameter->add_shape(kElements[i]);
    parameter->set_dtype(v1::FLOAT32);
  }
  spec.mutable_optimizer()->set_learning_rate(1);
  if (scenario_.synchronous) {
    spec.mutable_optimizer()->mutable_momentum()->set_momentum(kMomentum);
    spec.mutable_policy()->mutable_synchronous()->set_await_silent(true);
  } else {
    spec.mutable_optimizer()->mutable_sgd();
    if (scenario_.staleness < 0) {
      spec.mutable_policy()->mutable_asynchronous();
    } else {
      spec.mutable_policy()->mutable_bounded_staleness()->set_limit(scenario_.staleness);
    }
  }
  return spec;
}

Values Cluster::Reference(int64_t version, const WorkerCounts& counts) {
  Values values, velocity;
  for (const int elements : kElements) {
    values.emplace_back(elements, 0.0f);
    velocity.emplace_back(elements, 0.0f);
  }
  for (int64_t step = 0; step < version; ++step) {
    for (int p = 0; p < kParameters; ++p) {
      for (int e = 0; e < kElements[p]; ++e) {
        velocity[p][e] = kMomentum * velocity[p][e] + GradientOf(e % counts.At(step), step, p, e);
        values[p][e] -= velocity[p][e];
      }
    }
  }
  return values;
}

void Cluster::StartPs(PsTask* task) {
  ++task->starts;
  task->started = Simulation::Elapsed();
  task->ready = absl::InfiniteDuration();
  task->failed = false;
  task->address = absl::StrCat(task->host, ":", takeover() ? 1000 + task->starts : 1000);
  task->process = Simulation::NewProcess(absl::StrCat("ps:", task->index, "/", task->starts));
  Simulation::Spawn(task->process, "main", [this, task] { Serve(task); });
}

// As ps/ps_program.cc.
void Cluster::Serve(PsTask* task) {
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
  if (takeover()) {
    etcd = etcd_.NewClient(task->host);
    options.etcd = etcd;
    options.job = kJob;
    options.num_shards = scenario_.shards;
    options.num_tasks = scenario_.tasks;
    options.settling = scenario_.settling;
  }
  if (has_log()) {
    options.shard.env = task->disk.get();
    options.shard.log_folder = absl::StrCat("/log/ps-", task->index);
    options.shard.checkpoint_folder = "/checkpoints";
  }
  if (has_replica()) {
    const int next = (task->index + 1) % scenario_.shards;
    options.standby_task = absl::StrCat("ps:", next);
    options.standby_address = absl::StrCat("ps", next, ":1000");
  }
  absl::StatusOr<std::unique_ptr<Server>> started = Server::Start(options);
  if (!started.ok()) {
    if (absl::IsDataLoss(started.status()))
      Violate("a log is damaged: ", started.status().message());
    task->failed = true;
    return;
  }
  task->server = started->get();
  task->start = task->server->start();
  network_.Listen(task->address, task->process, task->server->for_transports());
  std::unique_ptr<ShardRegistration> registration;
  if (takeover()) {
    absl::StatusOr<std::unique_ptr<ShardRegistration>> registered =
        ShardRegistration::Register(etcd, kJob, task->index, task->address);
    if (!registered.ok()) {
      Count("ps tasks that were not registered");
      return Fail(task, &*started);
    }
    registration = *std::move(registered);
    task->server->Lead(task->address);
  }
  task->ready = Simulation::Elapsed();
  for (;;) {
    if (registration != nullptr && !registration->status().ok()) {
      return Fail(task, &*started);
    }
    if (task->server->IsSurplus()) {
      Count("ps tasks that the job went on without");
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
  task->server->RemoveLog();
  absl::SleepFor(absl::Seconds(1));  // the last farewell is being answered
  Stop(task, std::move(registration), *std::move(started));
  task->over = true;
}

void Cluster::Stop(PsTask* task, std::unique_ptr<ShardRegistration> registration,
                   std::unique_ptr<Server> server) {
  server->Stop(absl::Seconds(2));
  network_.Close(task->address);
  task->server = nullptr;
  registration.reset();
  server.reset();
}

// As a program that ends: nothing is destroyed.
void Cluster::Fail(PsTask* task, std::unique_ptr<Server>* server) {
  server->release();
  task->failed = true;
  for (;;) Simulation::Sleep(absl::Hours(1));
}

void Cluster::EndPs(PsTask* task, bool says_so) {
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

void Cluster::StartWorker(WorkerTask* task) {
  ++task->incarnation;
  task->process =
      Simulation::NewProcess(absl::StrCat("worker:", task->index, "/", task->incarnation));
  Simulation::Spawn(task->process, "main",
                    [this, task, incarnation = task->incarnation] { Work(task, incarnation); });
}

void Cluster::Work(WorkerTask* task, uint64_t incarnation) {
  std::unique_ptr<Client> client;  // which leaves when it is destroyed: after this has been said
  const absl::Status status = Train(task, incarnation, &client);
  if (!status.ok() && disks_failed_ > 0 &&
      (absl::StrContains(status.message(), "can write nothing down any more") ||
       absl::StrContains(status.message(), "the disk is broken") ||
       absl::StrContains(status.message(), "ended without leaving"))) {
    Count("jobs ended by a disk");
    ended_ = true;
  } else if (!status.ok() && given_up_) {
    Count("jobs ended for a shard without a leader");
    ended_ = true;
  } else if (!status.ok() && IsFirst(*task) && scenario_.scaled_to > 0 &&
             absl::StrContains(status.message(), "parley scale")) {
    // Killed, and started again, when the job had taken it out.
    Count("workers that came again when they were out of the job");
    task->trained = true;
  } else if (!status.ok() && !IsFirst(*task) &&
             absl::StrContains(status.message(), "parley scale")) {
    // A shard was not asked for it yet, or has forgotten it: whoever starts it does so again.
    Count("workers that came too early");
    task->failed = true;
    Simulation::Sleep(absl::InfiniteDuration());
  } else if (!status.ok() && !IsFirst(*task) && AllLeft()) {
    Count("workers that came too late");
  } else if (absl::IsAlreadyExists(status) && incarnation > 1) {
    // Something that its dead predecessor had sent was heard late: whoever starts it does so again.
    Count("workers that were refused their place");
    task->failed = true;
    Simulation::Sleep(absl::InfiniteDuration());
  } else if (!status.ok() && !ended_) {
    Violate("worker:", task->index, " fails: ", status.ToString());
  }
  task->left = true;
  Simulation::WakeAll(&changed_);
}

// As worker/worker_main.cc.
absl::Status Cluster::Train(WorkerTask* task, uint64_t incarnation,
                            std::unique_ptr<Client>* entered) {
  std::shared_ptr<EtcdClient> etcd;
  std::vector<std::string> addresses;
  if (takeover()) {
    etcd = etcd_.NewClient(task->host);
    for (;;) {
      auto found = FindShards(etcd.get(), kJob, scenario_.shards, kTimeout);
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
    const auto factory = [this, task, name](const std::string& where) {
      return network_.NewChannel(task->host, name, where);
    };
    if (!takeover()) {
      shards.push_back(factory(address));
      continue;
    }
    shards.push_back(NewResolvingChannel(
        name, address,
        [etcd, i, last = address]() mutable {
          absl::StatusOr<std::string> place =
              FindShard(etcd.get(), kJob, i, last, absl::Milliseconds(500));
          if (place.ok()) last = *place;
          return place;
        },
        factory));
  }
  ClientOptions options;
  options.worker = task->index;
  options.incarnation = incarnation;
  options.timeout = kTimeout;
  options.startup_timeout = kTimeout;
  options.request_bytes = 16;  // so that a step is several requests
  options.env = &files_;
  v1::JobSpec spec = Spec();
  if (!IsFirst(*task)) spec.set_num_workers(static_cast<int>(workers_.size()));
  absl::StatusOr<std::unique_ptr<Client>> connected =
      Client::Connect(std::move(spec), std::move(shards), options);
  if (!connected.ok()) return connected.status();
  *entered = *std::move(connected);
  Client& client = **entered;

  const int64_t first = client.first_step();
  const bool comes = !IsFirst(*task) && task->begun == 0;
  const WorkerCounts known = client.workers();
  const bool is_member = task->index < known.At(first);
  if (!comes && is_member && (first < task->acknowledged || first > task->begun)) {
    return absl::InternalError(absl::StrCat("it begins at step ", first, ", with ",
                                            task->acknowledged, " acknowledged and ", task->begun,
                                            " begun"));
  }
  Values values, gradients;
  std::vector<ParameterTarget> targets;
  std::vector<ParameterGradient> sent;
  for (int p = 0; p < kParameters; ++p) {
    values.emplace_back(kElements[p]);
    gradients.emplace_back(kElements[p]);
  }
  for (int p = 0; p < kParameters; ++p) {
    targets.push_back({p, absl::MakeSpan(values[p])});
    sent.push_back({p, absl::MakeConstSpan(gradients[p])});
  }
  const auto acknowledged = [this] {
    std::vector<int64_t> steps;
    for (const WorkerTask& worker : workers_) steps.push_back(worker.acknowledged);
    return steps;
  };
  std::vector<int64_t> low = acknowledged();
  low[task->index] = first;
  const absl::Status pulled = client.PullAsync(first, targets).get();
  if (!pulled.ok()) return pulled;
  if (!comes && is_member) Check(*task, first, values, low, known);
  // A chief says nothing in its first step, which an earlier start may have done in part.
  bool first_step = true;
  for (int64_t step = comes ? client.NextStep(first) : first; step < scenario_.steps; ++step) {
    const WorkerCounts counts = client.workers();
    const absl::optional<int64_t> mine = counts.NextStepOf(task->index, step);
    if (!mine.has_value()) {
      Count("workers that were taken out of the job");
      task->trained = true;
      Simulation::WakeAll(&changed_);
      return client.Leave(absl::OkStatus());
    }
    if (*mine != step) {
      const absl::Status later = client.PullAsync(*mine, targets).get();
      if (!later.ok()) return later;
      step = *mine - 1;
      continue;
    }
    if (comes && first_step) Check(*task, step, values, low, counts);
    task->member = true;
    const int asked = client.WorkersAsked();
    if (!first_step && asked != 0 && step + 1 < scenario_.steps && asked != counts.At(step + 1)) {
      Count("changes of the number of workers");
      if (const absl::Status said = client.SetWorkers(step, asked); !said.ok()) return said;
    }
    first_step = false;
    const int workers = counts.At(step);
    const float scale = scenario_.synchronous ? static_cast<float>(workers) : 1.0f;
    absl::SleepFor(Simulation::random().UpTo(absl::Milliseconds(300)));
    for (int p = 0; p < kParameters; ++p) {
      for (int e = 0; e < kElements[p]; ++e) {
        gradients[p][e] =
            e % workers == task->index ? scale * GradientOf(task->index, step, p, e) : 0.0f;
      }
    }
    task->begun = std::max(task->begun, step + 1);
    const absl::Duration began = Simulation::Elapsed();
    // Not the step itself, where pulls wait for nothing: its values may be asked for beside it.
    low = acknowledged();
    const absl::Status pushed = client.PushPullAsync(step, sent, targets).get();
    if (!pushed.ok()) return pushed;
    task->acknowledged = std::max(task->acknowledged, step + 1);
    if (incarnation == 1) fresh_step_ = std::max(fresh_step_, began);
    const WorkerCounts then = client.workers();
    if (task->index < then.At(step + 1)) Check(*task, step + 1, values, low, then);
    if (violated()) return absl::OkStatus();
    if (has_log() && task->index == 0 && Simulation::random().OneIn(4)) {
      const auto saved = client.SaveCheckpoint(step + 1, "/checkpoints", 2);
      Count(saved.ok() ? "checkpoints" : "checkpoints that were not made");
    }
  }
  task->trained = true;
  Simulation::WakeAll(&changed_);
  while (!AllTrained()) Simulation::Wait(&changed_, absl::InfiniteDuration());
  low = acknowledged();
  const absl::Status last = client.PullAsync(scenario_.steps, targets).get();
  if (!last.ok()) return last;
  Check(*task, scenario_.steps, values, low, client.workers());
  const absl::Status left = client.Leave(absl::OkStatus());
  // A shard ends with the job, which is over with the last farewell, whether or not its answer
  // arrives.
  const bool over =
      std::any_of(ps_.begin(), ps_.end(), [](const PsTask& ps) { return ps.forgets || ps.over; });
  if (left.ok() || !over) return left;
  Count("farewells that were not answered");
  return absl::OkStatus();
}

void Cluster::ScaleWorkers() {
  absl::SleepFor(Simulation::random().UpTo(absl::Seconds(2)));
  scaling_ = true;
  Simulation::WakeAll(&changed_);
  while (!AllLeft()) {
    for (int shard = 0; shard < scenario_.shards; ++shard) {
      for (const PsTask& task : ps_) {
        if (task.server != nullptr && (takeover() || task.index == shard)) AskWorkers(shard, task);
      }
    }
    absl::SleepFor(absl::Milliseconds(200));
  }
}

void Cluster::AskWorkers(int shard, const PsTask& task) {
  const std::shared_ptr<ParameterServer> channel =
      network_.NewChannel("operator", absl::StrCat("ps:", task.index), task.address);
  auto asked = std::make_shared<std::promise<void>>();
  std::future<void> ended = asked->get_future();
  v1::GetStatusRequest status;
  status.set_shard(shard);
  channel->GetStatus(status, [this, shard, channel,
                              asked](const absl::StatusOr<v1::GetStatusResponse>& answer) {
    const bool knows = !answer.ok() || answer->job().empty() ||
                       answer->num_workers() == scenario_.scaled_to ||
                       answer->workers_asked() == scenario_.scaled_to;
    if (knows) return asked->set_value();
    v1::AskRequest request;
    request.set_shard(shard);
    request.set_what(v1::AskRequest::WORKERS);
    request.set_workers(scenario_.scaled_to);
    channel->Ask(request, [asked](const absl::StatusOr<v1::AskResponse>&) { asked->set_value(); });
  });
  ended.wait_for(std::chrono::seconds(1));
}

bool Cluster::AllTrained() const {
  return std::all_of(workers_.begin(), workers_.end(), [this](const WorkerTask& worker) {
    return worker.trained || (!IsFirst(worker) && !worker.member);
  });
}
bool Cluster::AllLeft() const {
  return std::all_of(workers_.begin(), workers_.end(), [this](const WorkerTask& worker) {
    return worker.left || (!IsFirst(worker) && !worker.member);
  });
}

void Cluster::Check(const WorkerTask& task, int64_t version, const Values& values,
                    const std::vector<int64_t>& low, const WorkerCounts& counts) {
  for (int64_t step = 0; step < version; ++step) {
    const auto known = counts_at_.emplace(step, counts.At(step)).first;
    if (known->second == counts.At(step)) continue;
    Violate("worker:", task.index, " at step ", version, " knows of ", counts.At(step),
            " workers in step ", step, ", others of ", known->second);
    return;
  }
  const Values reference = scenario_.synchronous ? Reference(version, counts) : Values();
  for (int p = 0; p < kParameters; ++p) {
    for (int e = 0; e < kElements[p]; ++e) {
      const auto where = [&] {
        return absl::StrCat("worker:", task.index, "/", task.incarnation, " at step ", version,
                            " has parameter ", p, " element ", e, " = ", values[p][e]);
      };
      if (scenario_.synchronous) {
        if (values[p][e] == reference[p][e]) continue;
        Violate(where(), ", which is to be ", reference[p][e]);
        return;
      }
      // The steps of its owner that are in it: all up to one.
      const int owner = OwnerOf(e);
      int64_t steps = 0;
      float sum = 0;
      while (sum < -values[p][e] && steps < scenario_.steps) {
        sum += GradientOf(owner, steps++, p, e);
      }
      if (sum != -values[p][e]) {
        Violate(where(), ", which is no sum of gradients of worker:", owner);
        return;
      }
      const WorkerTask& worker = workers_[static_cast<size_t>(owner)];
      const int64_t least = low[static_cast<size_t>(owner)];
      if (steps < least || steps > worker.begun) {
        Violate(where(), ": ", steps, " steps of worker:", owner, ", of which ", least,
                " were acknowledged and ", worker.begun, " begun");
        return;
      }
      // Later a worker may have been silent for its lease, and is not awaited: shards are cut off,
      // too.
      const bool all_heard = Simulation::Elapsed() < ShardOptions().lease;
      if (scenario_.staleness >= 0 && !scenario_.disturb_workers && all_heard &&
          steps < version - scenario_.staleness) {
        Violate(where(), ": it is ahead of worker:", owner, ", which has done ", steps,
                " steps, by more than ", scenario_.staleness);
        return;
      }
    }
  }
}

bool Cluster::IsAlive(const TaskStart& who) const {
  const PsTask& task = ps_[static_cast<size_t>(who.task)];
  return task.process != nullptr && !task.failed && !task.gone && task.start == who.start;
}

// Whether what this task has is at another one too, or on its disk.
bool Cluster::MayKill(const PsTask& task) {
  switch (scenario_.keeping) {
    case SimulatedKeeping::kNothing:
      return false;
    case SimulatedKeeping::kLog:
      return true;
    case SimulatedKeeping::kReplica: {
      // Its own shard's copy is whole, and so is that of the shard before, which is here.
      const int before = (task.index + scenario_.shards - 1) % scenario_.shards;
      for (const int shard : {task.index, before}) {
        const PsTask& keeps = ps_[static_cast<size_t>((shard + 1) % scenario_.shards)];
        const PsTask& has = ps_[static_cast<size_t>(shard)];
        if (has.process == nullptr || keeps.process == nullptr || has.server == nullptr) {
          return false;
        }
        const auto numbers = has.server->Numbers();
        if (!numbers.has_value() || !numbers->replica.has_value() || !numbers->replica->whole) {
          return false;
        }
        // The sink hears that its copy's task was started again with the next record.
        if (fresh_step_ <= keeps.started) return false;
      }
      return true;
    }
    case SimulatedKeeping::kTakeover:
      break;
  }
  for (int shard = 0; shard < scenario_.shards; ++shard) {
    const EtcdRange range = etcd_.Look(CopiesKey(kJob, shard));
    if (range.entries.empty()) return false;
    const absl::StatusOr<ShardCopies> copies = ParseCopies(range.entries[0].value);
    const bool leads = copies->leader.task == task.index;
    const bool has_copy = copies->copy.has_value() && copies->copy->task == task.index;
    if (leads && (!copies->copy.has_value() || !IsAlive(*copies->copy))) return false;
    if (has_copy && !IsAlive(copies->leader)) return false;
  }
  return true;
}

void Cluster::PowerFails() {
  Count("power failures");
  for (PsTask& task : ps_) EndPs(&task, true);
  SimulatedRandom& random = Simulation::random();
  files_.PowerFails(random.OneIn(2) ? MemoryEnv::Loses::kAll : MemoryEnv::Loses::kSome,
                    static_cast<uint32_t>(random.Next()));
}

void Cluster::CutSomewhere() {
  SimulatedRandom& random = Simulation::random();
  std::vector<std::string> hosts;
  for (const PsTask& task : ps_) hosts.push_back(task.host);
  if (scenario_.disturb_workers) {
    for (const WorkerTask& task : workers_) hosts.push_back(task.host);
  }
  if (takeover()) hosts.push_back(SimulatedEtcd::kHost);
  if (hosts.size() < 2) return;
  const auto draw = [&] {
    return hosts[static_cast<size_t>(random.Below(static_cast<int64_t>(hosts.size())))];
  };
  const std::string from = draw();
  std::string to = draw();
  const bool all = random.OneIn(4);  // from everybody
  const bool one_way = random.OneIn(2);
  const absl::Duration until = random.UpTo(random.OneIn(5) ? absl::Seconds(6) : absl::Seconds(2));
  if (!all && from == to) return;
  Count(absl::StrCat(one_way ? "one-way " : "", all ? "cuts of a host" : "cuts between two hosts"));
  for (const std::string& other : hosts) {
    if (other == from || (!all && other != to)) continue;
    network_.Cut(from, other);
    if (!one_way) network_.Cut(other, from);
    Simulation::After(until, [this, from, other, one_way] {
      network_.Heal(from, other);
      if (!one_way) network_.Heal(other, from);
    });
  }
}

void Cluster::Disturb() {
  SimulatedRandom& random = Simulation::random();
  if (scenario_.scales && random.OneIn(4)) return Scale();
  PsTask& ps = ps_[static_cast<size_t>(random.Below(static_cast<int64_t>(ps_.size())))];
  WorkerTask& worker =
      workers_[static_cast<size_t>(random.Below(static_cast<int64_t>(workers_.size())))];
  switch (random.Below(10)) {
    case 0:
    case 1:
    case 2:
    case 3:
      if (ps.process == nullptr || !MayKill(ps)) return;
      if (has_log() && random.OneIn(3)) return PowerFails();
      if (has_log() && random.OneIn(3)) {
        Count("failing changes of a disk");
        ++disks_failed_;
        ps.disk->FailAt(random.Below(12), FaultyEnv::After::kRecovers,
                        absl::InternalError("the disk is broken"));
        return;
      }
      if (random.OneIn(4)) {
        Count("ps hosts lost");
        EndPs(&ps, false);
      } else {
        Count("ps tasks killed");
        EndPs(&ps, true);
      }
      return;
    case 4:
      if (!scenario_.disturb_workers || worker.process == nullptr || worker.left) return;
      if (worker.trained) return;
      Count("workers killed");
      Simulation::Kill(worker.process);
      worker.process = nullptr;
      worker.failed = false;
      if (random.OneIn(3) && ps.process != nullptr && MayKill(ps)) {
        Count("ps tasks killed with a worker");
        EndPs(&ps, true);
      }
      return;
    case 5:
      if (ps.process == nullptr) return;
      Count("ps tasks stopped for a while");
      Simulation::Pause(ps.process, random.UpTo(absl::Seconds(random.OneIn(3) ? 5 : 1)));
      return;
    case 6:
      if (!scenario_.disturb_workers || worker.process == nullptr) return;
      Count("workers stopped for a while");
      Simulation::Pause(worker.process, random.UpTo(absl::Seconds(2)));
      return;
    case 7:
      if (takeover()) {
        Count("outages of etcd");
        etcd_.GoAway(random.UpTo(absl::Seconds(3)));
        return;
      }
      Count("jumps of the wall clock");
      Simulation::SetWallClock(random.UpTo(absl::Hours(2)) - absl::Hours(1));
      return;
    default:
      return CutSomewhere();
  }
}

// As an operator with `parley scale`, who starts tasks before that or afterwards, and none again
// that is to go.
void Cluster::Scale() {
  SimulatedRandom& random = Simulation::random();
  const int tasks = 2 + static_cast<int>(random.Below(static_cast<int64_t>(ps_.size()) - 1));
  const bool start_before = random.OneIn(2);
  const auto start = [&] {
    num_tasks_ = tasks;
    for (PsTask& task : ps_) task.wanted = task.index < tasks;
    Restart();
  };
  if (start_before) {
    for (PsTask& task : ps_) task.wanted = task.wanted || task.index < tasks;
    Supervise(random.UpTo(absl::Seconds(1)));
  }
  std::ostringstream said;
  const std::unique_ptr<EtcdClient> etcd = etcd_.NewClient("operator");
  const absl::Status scaled = ScalePsTasks(etcd.get(), kJob, tasks, absl::ZeroDuration(), &said);
  const bool knows = scaled.ok() || absl::StrContains(scaled.message(), "goes on all the same");
  Count(knows ? "changes of the number of ps tasks" : "changes of it that were refused, or lost");
  start();
}

// Starts tasks that have ended, sooner or later.
void Cluster::Restart() {
  SimulatedRandom& random = Simulation::random();
  for (PsTask& task : ps_) {
    if (task.gone) {
      EndPs(&task, true);
      task.gone = false;
      task.wanted = task.index < num_tasks_;
    }
    if (task.over || (task.process == nullptr && !task.wanted)) continue;
    if (task.failed) EndPs(&task, true);
    if (task.process != nullptr || (!faults_over_ && !random.OneIn(8))) continue;
    if (has_log()) task.disk->FailAt(-1, FaultyEnv::After::kRecovers, absl::OkStatus());
    StartPs(&task);
  }
  for (WorkerTask& task : workers_) {
    if (task.failed) {
      Simulation::Kill(task.process);
      task.process = nullptr;
      task.failed = false;
    }
    if (!IsFirst(task) && (!scaling_ || AllLeft())) continue;
    if (task.process == nullptr && (faults_over_ || random.OneIn(6))) StartWorker(&task);
  }
}

// A shard that nobody has spoken for, as etcd has it, for the tasks' patience begins anew, and the
// job is over.
void Cluster::LookForLeaders() {
  if (!takeover()) return;
  const absl::Duration now = Simulation::Elapsed();
  for (int shard = 0; shard < scenario_.shards; ++shard) {
    const EtcdRange range = etcd_.Look(LeaderKey(kJob, shard));
    if (!range.entries.empty()) {
      const TaskStart who = ParseLeader(range.entries[0].value)->who;
      TaskStart& last = leaders_[static_cast<size_t>(shard)];
      if (last.task >= 0 && last != who && IsAlive(last)) Count("shards that moved");
      last = who;
    }
    if (faults_over_) continue;
    absl::Duration& since = leaderless_since_[static_cast<size_t>(shard)];
    if (!range.entries.empty()) since = now;
    if (now - since > kStandbyPatience * 0.9) given_up_ = true;
  }
}

void Cluster::Supervise(absl::Duration duration) {
  const absl::Duration end = Simulation::Elapsed() + duration;
  do {
    Restart();
    LookForLeaders();
    Simulation::Wait(&changed_, absl::Milliseconds(100));
  } while (Simulation::Elapsed() < end && !violated() && !AllLeft());
}

void Cluster::Run() {
  SimulatedNetwork::Faults faults;
  faults.break_one_in = scenario_.break_one_in;
  faults.slow_one_in = 50;
  network_.set_faults(faults);
  etcd_.set_lose_one_in(scenario_.break_one_in);
  SimulatedRandom& random = Simulation::random();
  files_.CreateFolders("/log").IgnoreError();
  files_.CreateFolders("/checkpoints").IgnoreError();
  num_tasks_ = scenario_.tasks;
  ps_.resize(static_cast<size_t>(scenario_.scales ? scenario_.tasks + 2 : scenario_.tasks));
  leaders_.resize(static_cast<size_t>(scenario_.shards));
  leaderless_since_.resize(static_cast<size_t>(scenario_.shards));
  workers_.resize(static_cast<size_t>(std::max(scenario_.workers, scenario_.scaled_to)));
  for (int i = 0; i < static_cast<int>(ps_.size()); ++i) {
    ps_[i].index = i;
    ps_[i].host = absl::StrCat("ps", i);
    if (has_log()) ps_[i].disk = std::make_unique<FaultyEnv>(&files_);
    ps_[i].wanted = i < num_tasks_;
    if (ps_[i].wanted) StartPs(&ps_[i]);
  }
  for (size_t i = 0; i < workers_.size(); ++i) {
    workers_[i].index = static_cast<int>(i);
    workers_[i].host = absl::StrCat("worker", i);
    if (IsFirst(workers_[i])) StartWorker(&workers_[i]);
  }
  if (scenario_.scaled_to > 0) {
    Simulation::Spawn(Simulation::NewProcess("operator"), "main", [this] { ScaleWorkers(); });
  }
  for (int i = 0; i < scenario_.faults && !violated() && !AllLeft(); ++i) {
    Supervise(random.UpTo(absl::Milliseconds(700)));
    Disturb();
  }
  faults_over_ = true;
  network_.HealAll();
  network_.set_faults({});
  etcd_.set_lose_one_in(0);
  for (PsTask& task : ps_) {
    if (task.disk != nullptr) {
      task.disk->FailAt(-1, FaultyEnv::After::kRecovers, absl::OkStatus());
    }
  }
  const absl::Duration healed = Simulation::Elapsed();
  while (!violated() && !AllLeft() && Simulation::Elapsed() < healed + kPatience) {
    Supervise(absl::Seconds(1));
  }
  if (!violated() && !AllLeft()) Violate("the job does not end");
  AwaitEnd();
  result_->elapsed = Simulation::Elapsed();
  result_->trace = Simulation::trace();
  result_->counts = network_.counts();
}

// The workers have left: the ps tasks end, and nothing is left of the job in etcd.
void Cluster::AwaitEnd() {
  const absl::Duration left = Simulation::Elapsed();
  done_ = std::min(done_, left);
  // One that was started when the job was about to end knows nothing of it: it waits for another.
  const auto is_late = [&](const PsTask& task) {
    return !has_log() && (task.process == nullptr || task.ready > done_ - absl::Seconds(10));
  };
  const bool any_late = std::any_of(ps_.begin(), ps_.end(), [&](const PsTask& task) {
    return (task.wanted || task.process != nullptr) && !task.gone && is_late(task);
  });
  const auto ended = [&] {
    return std::all_of(ps_.begin(), ps_.end(),
                       [&](const PsTask& task) { return task.over || task.gone || is_late(task); });
  };
  while (!violated() && !ended() && Simulation::Elapsed() < left + absl::Minutes(1)) {
    if (has_log()) Restart();
    Simulation::Sleep(absl::Milliseconds(500));
  }
  if (!violated() && !ended()) Violate("the job is over, and a ps task does not end");
  while (!violated() && !any_late && !etcd_.Look("/").entries.empty()) {
    Simulation::Sleep(absl::Milliseconds(500));
    if (Simulation::Elapsed() > left + absl::Minutes(2)) {
      Violate("the job is over, and etcd still has ", etcd_.Look("/").entries[0].key);
    }
  }
}

}  // namespace

SimulatedScenario::SimulatedScenario(uint64_t of_seed) : seed(of_seed) {
  SimulatedRandom random(of_seed * 77 + 5);
  keeping = static_cast<SimulatedKeeping>(random.Below(5) % 4);
  if (random.OneIn(3)) keeping = SimulatedKeeping::kTakeover;
  synchronous = random.OneIn(2);
  workers = 1 + static_cast<int>(random.Below(3));
  if (synchronous) workers = std::min(workers, 2);  // of whose gradients means are exact
  if (!synchronous && random.OneIn(2)) staleness = static_cast<int>(random.Below(3));
  const bool replicates =
      keeping == SimulatedKeeping::kReplica || keeping == SimulatedKeeping::kTakeover;
  shards = (replicates ? 2 : 1) + static_cast<int>(random.Below(2));
  steps = 4 + random.Below(8);
  SimulatedRandom scale(of_seed * 131 + 9);
  if (synchronous && scale.OneIn(4)) scaled_to = 3 - workers;
  faults = static_cast<int>(random.Below(12));
  disturb_workers = random.OneIn(2);
  break_one_in = random.OneIn(3) ? 0 : 20 + random.Below(200);
  switch_one_in = random.OneIn(3) ? 0 : 2 + random.Below(30);
  tasks = shards;
  if (keeping == SimulatedKeeping::kTakeover) {
    settling = random.UpTo(absl::Seconds(1));
    if (random.OneIn(2)) shards += static_cast<int>(random.Below(4));
    scales = random.OneIn(2);
    if (scales) {
      steps *= 3;
      faults += 4;
    }
  }
}

std::string SimulatedScenario::Describe() const {
  constexpr const char* kNames[] = {"nothing is kept", "log", "replica", "takeover"};
  return absl::StrCat("seed ", seed, ": ", kNames[static_cast<int>(keeping)], ", ", shards,
                      " shards", tasks == shards ? "" : absl::StrCat(" on ", tasks, " tasks"),
                      scales ? ", tasks come and go" : "", ", ", workers, " workers, ",
                      scaled_to == 0 ? "" : absl::StrCat("then ", scaled_to, ", "),
                      synchronous     ? "synchronous"
                      : staleness < 0 ? "asynchronous"
                                      : absl::StrCat("staleness up to ", staleness),
                      ", ", steps, " steps, ", faults, " faults",
                      disturb_workers ? ", of workers too" : "");
}

void RunSimulatedCluster(const SimulatedScenario& scenario,
                         const std::function<void(const SimulatedResult&)>& report) {
  SimulatedResult result;
  SimulationOptions options;
  options.seed = scenario.seed;
  options.switch_one_in = scenario.switch_one_in;
  options.delay_one_in = 10;
  Cluster* cluster = nullptr;
  Simulation::Run(
      options,
      [&] {
        cluster = new Cluster(scenario, &result);
        cluster->Run();
      },
      [&](const std::string& why) {
        if (result.violation.empty()) result.violation = why;
        report(result);
        _exit(0);
      });
  report(result);
  _exit(0);
}

}  // namespace parley
