#include "ps/shard.h"

#include <unistd.h>

#include <algorithm>
#include <future>
#include <new>

#include "absl/strings/str_cat.h"
#include "base/machine_memory.h"
#include "base/planted_bug.h"
#include "base/status.h"
#include "ps/shard_status.h"

namespace parley {
namespace {

// Of the last level, which all cores of most machines share.
int64_t CacheBytes() {
  const int64_t bytes = sysconf(_SC_LEVEL3_CACHE_SIZE);
  return bytes > 0 ? bytes : int64_t{32} << 20;
}

int ThreadCount(int asked) {
  if (asked > 0) return asked;
  return std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, 4);
}

ShardOptions WithDefaults(ShardOptions options) {
  if (options.replace_after <= absl::ZeroDuration()) options.replace_after = options.lease / 4;
  return options;
}

}  // namespace

absl::Time Shard::Now() const {
  return PARLEY_PLANTED_BUG("leases_on_the_wall_clock") ? absl::Now() : options_.env->Now();
}

absl::Time Shard::DeadlineIn(int64_t wait_ms) const {
  return Now() + absl::Milliseconds(std::max<int64_t>(0, wait_ms));
}

Shard::Shard(ShardOptions options)
    : options_(WithDefaults(std::move(options))),
      task_(absl::StrCat("ps:", options_.shard_index)),
      metrics_(
          options_.metrics, [this] { return Numbers(); },
          options_.copy_place == nullptr
              ? MetricLabels()
              : MetricLabels{{"shard", absl::StrCat(options_.shard_index)}}),
      background_(std::make_unique<TaskThread>()),
      made_(Now()) {
  owners_ = std::make_unique<TaskPool>(ThreadCount(options_.threads));
  timer_ = std::thread([this] { RunTimer(); });
}

Shard::~Shard() {
  metrics_.StopReading();
  std::vector<AnswerDone> waiting;
  std::vector<EarlyJoin> early;
  std::vector<SumsWaiter> sums;
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
    for (auto& [token, done] : dones_) waiting.push_back(std::move(done));
    dones_.clear();
    early.swap(early_joins_);
    sums.swap(sums_waiters_);
  }
  changed_.NotifyAll();
  timer_.join();
  const absl::Status stopped = absl::UnavailableError(absl::StrCat(task_, " is stopping"));
  for (AnswerDone& done : waiting) done({0, stopped, {}, 0});
  for (EarlyJoin& join : early) join.done(stopped);
  for (SumsWaiter& waiter : sums) waiter.done(stopped);
  WaitForBackground();  // a job that it makes needs the owners
  owners_.reset();      // their last tasks may post to the background thread
  CloseSinks();         // what they keep last is reported here
  background_.reset();
  CloseSinks();  // of what it has published since
}

void Shard::WaitForBackground() {
  std::promise<void> idle;
  background_->Post([&idle] { idle.set_value(); });
  idle.get_future().wait();
}

void Shard::CloseSinks() {
  Declared* declared;
  {
    MutexLock lock(&mutex_);
    declared = declared_.get();
  }
  if (declared == nullptr) return;
  if (declared->log != nullptr) declared->log->Close();
  if (declared->replica != nullptr) declared->replica->Close();
}

// Declaring.

absl::StatusOr<Shard::Declared*> Shard::Find(const std::string& job) const {
  MutexLock lock(&mutex_);
  if (declared_ != nullptr && declared_->job.name() == job) return declared_.get();
  if (recovering_) {
    return absl::UnavailableError(absl::StrCat(task_, " is taking its state back"));
  }
  return absl::NotFoundError(
      absl::StrCat(task_, ": job ", job, " is not declared here",
                   declared_ == nullptr ? std::string()
                                        : absl::StrCat(" (job ", declared_->job.name(), " is)")));
}

absl::StatusOr<Shard::Declared*> Shard::FindAny(const std::string& job) const {
  if (!job.empty()) return Find(job);
  MutexLock lock(&mutex_);
  return declared_.get();
}

void Shard::Declare(v1::DeclareRequest request, Done<v1::DeclareResponse> done) {
  background_->Post([this, request = std::move(request), done = std::move(done)]() mutable {
    DeclareNow(request, std::move(done));
  });
}

void Shard::DeclareNow(const v1::DeclareRequest& request, Done<v1::DeclareResponse> done) {
  done(PublishDeclared(request));
  JoinEarly();
}

void Shard::JoinEarly() {
  std::vector<EarlyJoin> early;
  Declared* declared;
  {
    MutexLock lock(&mutex_);
    declared = declared_.get();
    if (declared != nullptr) early.swap(early_joins_);
  }
  for (EarlyJoin& join : early) {
    JoinDeclared(declared, std::move(join.request), join.deadline, std::move(join.done));
  }
}

absl::StatusOr<v1::DeclareResponse> Shard::PublishDeclared(const v1::DeclareRequest& request) {
  if (request.shard_index() != options_.shard_index) {
    return absl::FailedPreconditionError(
        absl::StrCat(task_, ": the caller takes it for ps:", request.shard_index()));
  }
  // Only this thread sets declared_, so it stays as it is seen here.
  const Declared* declared;
  {
    MutexLock lock(&mutex_);
    declared = declared_.get();
  }
  if (declared != nullptr) {
    // The defaults must be filled in before specs can be compared.
    PARLEY_ASSIGN_OR_RETURN(const Job job, Job::Create(request.spec()));
    const std::string difference = DescribeDifference(declared->job.spec(), job.spec());
    if (!difference.empty()) {
      return absl::FailedPreconditionError(absl::StrCat(
          task_, ": job ", declared->job.name(), " is declared with another spec: ", difference,
          !declared->recovered ? std::string()
          : options_.log_folder.empty()
              ? "; it goes on from the copy that another task kept"
              : absl::StrCat("; it goes on from the log in ", options_.log_folder,
                             ", which another job must not have")));
    }
  } else {
    absl::StatusOr<std::unique_ptr<Declared>> made =
        MakeDeclared(request.spec(), request.checkpoint(), /*recovery=*/nullptr);
    if (!made.ok()) return Annotate(made.status(), task_);
    if (const absl::Status begun = BeginSinks(made->get(), request.checkpoint()); !begun.ok()) {
      return Annotate(begun, task_);
    }
    declared = made->get();
    MutexLock lock(&mutex_);
    declared_ = *std::move(made);
  }
  v1::DeclareResponse response;
  response.set_num_blocks(static_cast<int64_t>(declared->numbers.size()));
  int64_t bytes = 0;
  for (const uint32_t number : declared->numbers) {
    bytes += declared->job.blocks()[number].size * static_cast<int64_t>(sizeof(float));
  }
  response.set_bytes(bytes);
  return response;
}

absl::StatusOr<std::unique_ptr<Shard::Declared>> Shard::MakeDeclared(const v1::JobSpec& spec,
                                                                     const std::string& checkpoint,
                                                                     Recovery* recovery) const {
  PARLEY_ASSIGN_OR_RETURN(Job job, Job::Create(spec));
  if (options_.shard_index >= job.spec().num_shards()) {
    return absl::FailedPreconditionError(
        absl::StrCat("job ", job.name(), " has only ", job.spec().num_shards(), " shards"));
  }
  auto declared = std::make_unique<Declared>(std::move(job));
  const Job& kept = declared->job;
  for (size_t i = 0; i < kept.parameters().size(); ++i) {
    PARLEY_ASSIGN_OR_RETURN(std::unique_ptr<Policy> policy,
                            NewPolicy(kept.PolicyOf(static_cast<int>(i)), kept.spec().num_workers(),
                                      options_.policies));
    declared->policies.push_back(std::move(policy));
    PARLEY_ASSIGN_OR_RETURN(
        std::unique_ptr<Optimizer> optimizer,
        NewOptimizer(kept.OptimizerOf(static_cast<int>(i)), options_.optimizers));
    if (kept.OptimizerOf(static_cast<int>(i)).schedule().has_pushed()) {
      declared->takes_rate_factors = true;
    }
    const bool averages = kept.OptimizerOf(static_cast<int>(i)).ema_decay() > 0;
    const std::vector<absl::string_view> slots = optimizer->slot_names();
    const auto average = std::find(slots.begin(), slots.end(), kAverageSlot);
    declared->average_slots.push_back(averages ? static_cast<int>(average - slots.begin()) : -1);
    declared->optimizers.push_back(std::move(optimizer));
  }
  declared->numbers = kept.BlocksOfShard(options_.shard_index);
  declared->local.assign(kept.blocks().size(), -1);

  // Two copies of the values, of which one is being written, the slots, what each worker has pulled
  // where that is kept, and a gradient of each where a round waits for all.
  int64_t needed = 0;
  int64_t values = 0;
  for (const uint32_t number : declared->numbers) {
    values += kept.blocks()[number].size * static_cast<int64_t>(sizeof(float));
    const int parameter = kept.blocks()[number].parameter;
    const int64_t workers = kept.spec().num_workers();
    const int64_t pulled = declared->CompensatesDelay(number) ? workers : 0;
    const bool gathers = declared->policies[parameter]->NeedsEveryWorker(0);
    const int64_t gradients = gathers ? workers : 0;
    needed += kept.blocks()[number].size * static_cast<int64_t>(sizeof(float)) *
              (2 + declared->OptimizerOf(number).num_slots() + pulled + gradients);
  }
  const int64_t limit = options_.memory_limit > 0 ? options_.memory_limit : MachineMemory();
  if (needed > limit) {
    return absl::ResourceExhaustedError(
        absl::StrCat("job ", kept.name(), " needs ", needed, " bytes here, the limit is ", limit));
  }
  declared->table_memory = limit - needed;

  std::vector<ShardState::BlockClocks> clocks(declared->numbers.size());
  for (size_t i = 0; i < declared->numbers.size(); ++i) {
    declared->local[declared->numbers[i]] = static_cast<int>(i);
  }
  if (recovery != nullptr && recovery->log == nullptr) {
    declared->blocks = std::move(recovery->blocks);
  } else {
    PARLEY_RETURN_IF_ERROR(MakeBlocks(checkpoint, declared.get(), &clocks));
  }
  if (values >= CacheBytes()) {
    for (const std::unique_ptr<Block>& block : declared->blocks) block->WriteAroundCaches();
  }
  declared->turns = std::vector<Turn>(declared->blocks.size());
  declared->round_ends = std::make_unique<RoundEnd[]>(declared->blocks.size());
  MakeQueues(declared.get());
  // Blocks under other policies may be at other versions.
  int64_t version = -1;
  for (size_t i = 0; i < clocks.size(); ++i) {
    if (!declared->norm_plan.TakesPart(kept.blocks()[declared->numbers[i]].parameter)) continue;
    version = version < 0 ? clocks[i].version : std::min(version, clocks[i].version);
  }
  declared->norms =
      std::make_unique<NormRounds>(&kept, &declared->norm_plan, declared->numbers, version);
  declared->pulled =
      std::make_unique<PulledValues>(kept.spec().num_workers(), declared->blocks.size());
  if (recovery != nullptr) {
    if (recovery->log != nullptr) PARLEY_RETURN_IF_ERROR(Replay(declared.get(), recovery));
    declared->recovered = true;
    for (size_t i = 0; i < clocks.size(); ++i) {
      clocks[i] = {recovery->books.blocks()[i].version, recovery->books.blocks()[i].clocks};
    }
  }
  PARLEY_RETURN_IF_ERROR(MakeTables(checkpoint, declared.get(), &clocks));
  std::vector<const Policy*> policies;
  std::vector<uint32_t> numbers = declared->numbers;
  for (const uint32_t number : numbers) {
    policies.push_back(declared->policies[kept.blocks()[number].parameter].get());
  }
  for (size_t i = 0; i < declared->tables.size(); ++i) {
    policies.push_back(declared->table_policies[i].get());
    numbers.push_back(kept.BlockOfTable(static_cast<int>(i)));
  }
  ShardState::Options state_options;
  state_options.task = task_;
  state_options.lease = options_.lease;
  state_options.replace_after = options_.replace_after;
  state_options.acknowledges_applied = HasSink();
  declared->state = std::make_unique<ShardState>(
      std::move(state_options), &kept, std::move(numbers), std::move(policies), std::move(clocks));
  if (recovery != nullptr) declared->state->Restore(recovery->books, Now());
  return declared;
}

// Membership.

void Shard::Join(v1::JoinRequest request, Done<v1::JoinResponse> done) {
  const absl::Time deadline = DeadlineIn(request.wait_ms());
  Declared* declared;
  absl::Status refused;
  {
    MutexLock lock(&mutex_);
    declared = declared_.get();
    constexpr size_t kMaxEarly = 1 << 16;
    if (stopping_) {
      refused = absl::UnavailableError(absl::StrCat(task_, " is stopping"));
    } else if (declared == nullptr && early_joins_.size() >= kMaxEarly) {
      refused = absl::ResourceExhaustedError(absl::StrCat(task_, ": too many tasks are waiting"));
    } else if (declared == nullptr) {
      early_joins_.push_back({std::move(request), deadline, std::move(done)});
      next_tick_ = std::min(next_tick_, deadline);
      changed_.NotifyAll();
      return;
    }
  }
  if (!refused.ok()) {
    done(refused);
    return;
  }
  JoinDeclared(declared, std::move(request), deadline, std::move(done));
}

void Shard::JoinDeclared(Declared* declared, v1::JoinRequest request, absl::Time deadline,
                         Done<v1::JoinResponse> done) {
  absl::StatusOr<Job> job = Job::Create(request.spec());
  if (!job.ok()) {
    done(Annotate(job.status(), task_));
    return;
  }
  const std::string difference = DescribeDifference(declared->job.spec(), job->spec());
  if (!difference.empty()) {
    done(absl::FailedPreconditionError(absl::StrCat(task_, ": worker:", request.sender().worker(),
                                                    " brings another spec of job ",
                                                    declared->job.name(), ": ", difference)));
    return;
  }
  const v1::Sender sender = request.sender();
  Handle(
      declared, kNone,
      [&](ShardState& state, uint64_t token) {
        return state.Join(token, sender.worker(), sender.incarnation(), Now(), deadline);
      },
      [this, declared, sender, done = std::move(done)](ShardState::Answer answer) mutable {
        if (!answer.status.ok()) {
          done(answer.status);
          return;
        }
        v1::JoinResponse response;
        response.set_step(answer.step);
        response.set_local_socket(options_.local_socket);
        response.set_heartbeat_ms(
            std::max<int64_t>(1, absl::ToInt64Milliseconds(options_.replace_after / 4)));
        KeepMember(declared, sender, v1::Books::LIVE,
                   [done = std::move(done),
                    response = std::move(response)](const absl::Status& kept) mutable {
                     if (kept.ok()) return done(std::move(response));
                     done(kept);
                   });
      });
}

void Shard::Heartbeat(v1::HeartbeatRequest request, Done<v1::HeartbeatResponse> done) {
  const absl::StatusOr<Declared*> declared = Find(request.sender().job());
  absl::Status status = declared.status();
  if (status.ok()) {
    MutexLock lock(&mutex_);
    status = (*declared)->state->Heartbeat(request.sender().worker(),
                                           request.sender().incarnation(), Now());
  }
  if (status.ok()) {
    v1::HeartbeatResponse response;
    response.set_local_socket(options_.local_socket);
    watch_.FillAnswer(request.sender().worker(), &response);
    if (request.has_report()) {
      watch_.Heard(request.sender().worker(), std::move(*request.mutable_report()));
    }
    done(std::move(response));
  } else {
    done(status);
  }
}

void Shard::Leave(v1::LeaveRequest request, Done<v1::LeaveResponse> done) {
  const absl::StatusOr<Declared*> declared = Find(request.sender().job());
  if (!declared.ok()) {
    done(declared.status());
    return;
  }
  Handle(
      *declared, kNone,
      [&](ShardState& state, uint64_t token) {
        ShardState::Actions actions;
        const absl::Status status =
            state.Leave(request.sender().worker(), request.sender().incarnation(), request.error(),
                        Now(), &actions);
        if (status.ok()) (*declared)->pulled->Forget(request.sender().worker());
        actions.answers.push_back({token, status, {}, 0});
        return actions;
      },
      [this, declared = *declared, request,
       done = std::move(done)](ShardState::Answer answer) mutable {
        if (!answer.status.ok()) return done(answer.status);
        // One that failed is missed, also by a later start of the job.
        const v1::Books::Presence presence =
            request.error().empty() ? v1::Books::LEFT : v1::Books::ABSENT;
        KeepMember(declared, request.sender(), presence,
                   [done = std::move(done)](const absl::Status& kept) mutable {
                     if (kept.ok()) return done(v1::LeaveResponse());
                     done(kept);
                   });
      });
  changed_.NotifyAll();  // WaitUntilDone
}

void Shard::Barrier(v1::BarrierRequest request, Done<v1::BarrierResponse> done) {
  const absl::StatusOr<Declared*> declared = Find(request.sender().job());
  if (!declared.ok()) {
    done(declared.status());
    return;
  }
  Handle(
      *declared, kNone,
      [&](ShardState& state, uint64_t token) {
        return state.Barrier(token, request.sender().worker(), request.sender().incarnation(),
                             request.name(), Now(), DeadlineIn(request.wait_ms()));
      },
      [done = std::move(done)](ShardState::Answer answer) mutable {
        if (answer.status.ok()) {
          done(v1::BarrierResponse());
        } else {
          done(answer.status);
        }
      });
}

bool Shard::WaitUntilDone(absl::Duration timeout) const {
  const absl::Time deadline = Now() + timeout;
  MutexLock lock(&mutex_);
  for (;;) {
    if (declared_ != nullptr && declared_->state->IsDone(Now())) return true;
    const absl::Time now = Now();
    if (now >= deadline) return false;
    changed_.WaitFor(&mutex_, std::min(deadline - now, absl::Seconds(1)));
  }
}

bool Shard::HasWorkers() const {
  MutexLock lock(&mutex_);
  return declared_ != nullptr && declared_->state->HasWorkers();
}

// Pushes and pulls.

void Shard::FillTaken(const ShardState::Answer& answer, v1::PushPullResponse* response) {
  bool dropped = false;
  for (const TakenPush& taken : answer.taken) {
    response->add_staleness(taken.staleness);
    response->add_dropped(taken.dropped);
    dropped = dropped || taken.dropped;
  }
  if (!dropped) response->clear_dropped();
  response->set_next_step(answer.step);
}

void Shard::PushPull(v1::PushPullRequest request, Payload payload, Done<PushPullReply> done) {
  Take(std::move(request), std::move(payload), kShort, std::move(done));
}

void Shard::ForTransports::PushPull(v1::PushPullRequest request, Payload payload,
                                    Done<PushPullReply> done) {
  shard_->Take(std::move(request), std::move(payload), kAll, std::move(done));
}

void Shard::Take(v1::PushPullRequest request, Payload payload, int64_t help,
                 Done<PushPullReply> done) {
  RequestTimes times;
  times.came = Now();
  const absl::StatusOr<Declared*> found = Find(request.sender().job());
  if (!found.ok()) {
    metrics_.RequestFailed(found.status());
    done(found.status());
    return;
  }
  Declared* const declared = *found;
  if (request.pull_dtype() == v1::DTYPE_UNSPECIFIED) request.set_pull_dtype(v1::FLOAT32);
  if (request.rows_dtype() == v1::DTYPE_UNSPECIFIED) request.set_rows_dtype(request.dtype());
  if (request.pull_rows_dtype() == v1::DTYPE_UNSPECIFIED) {
    request.set_pull_rows_dtype(request.pull_dtype());
  }
  std::vector<PulledRows> rows;
  absl::StatusOr<ShardState::PushPull> decoded = Decode(*declared, request, payload, &rows);
  if (!decoded.ok()) {
    metrics_.RequestFailed(decoded.status());
    done(decoded.status());
    return;
  }
  bytes_pushed_.fetch_add(static_cast<int64_t>(payload.size()), std::memory_order_relaxed);
  std::vector<size_t> pulls = decoded->pulls;
  pulls.resize(pulls.size() - rows.size());  // of tables
  const v1::DType pull_dtype = request.pull_dtype();
  const v1::DType pull_rows_dtype = request.pull_rows_dtype();
  const int64_t pull_step = request.pull_step();
  const int worker = request.sender().worker();
  times.request = request.trace_request();
  times.worker = worker;
  times.step = request.step();
  times.pushed_bytes = static_cast<int64_t>(payload.size());
  times.checked = Now();
  Handle(
      declared, help,
      [&](ShardState& state, uint64_t token) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
        decoded->token = token;
        closer_ = worker;
        return state.HandlePushPull(*std::move(decoded), Now());
      },
      [this, declared, help, pull_dtype, pull_rows_dtype, pull_step, worker, times,
       average = request.average(), pulls = std::move(pulls), rows = std::move(rows),
       done = std::move(done)](ShardState::Answer answer) mutable {
        if (!answer.status.ok()) {
          metrics_.RequestFailed(answer.status);
          done(answer.status);
          return;
        }
        if (average) {
          return AnswerAverages(declared, answer, pulls, pull_dtype, std::move(done));
        }
        PushPullReply reply;
        FillTaken(answer, &reply.response);
        bool skipped = false;
        for (const size_t block : pulls) {
          const Block& source = *declared->blocks[block];
          // A worker that is started again in the middle of a step, some of whose gradients are in
          // a round and others not, must see all blocks as they were before the step, as the first
          // time.
          const uint32_t number = declared->numbers[block];
          const BlockSnapshot snapshot =
              pull_step < declared->job.LockstepRounds(declared->job.blocks()[number].parameter) &&
                      !PARLEY_PLANTED_BUG("restarted_worker_sees_a_later_version")
                  ? source.SnapshotAt(pull_step)
                  : source.Snapshot();
          if (declared->CompensatesDelay(number)) declared->pulled->Keep(worker, block, snapshot);
          reply.response.add_version(snapshot.version);
          reply.response.add_skipped(snapshot.skipped);
          skipped = skipped || snapshot.skipped;
          source.Encode(snapshot, pull_dtype, &reply.payload);
        }
        if (!skipped) reply.response.clear_skipped();
        TellTimes(*declared, times, pulls, &reply);
        if (!rows.empty()) {
          return AnswerRows(declared, std::move(rows), pull_rows_dtype, help, std::move(reply),
                            std::move(done));
        }
        bytes_pulled_.fetch_add(static_cast<int64_t>(reply.payload.size()),
                                std::memory_order_relaxed);
        done(std::move(reply));
      });
}

template <typename Event>
void Shard::Handle(Declared* declared, int64_t help, Event event, AnswerDone done) {
  Outcome outcome;
  bool stopping;
  {
    MutexLock lock(&mutex_);
    stopping = stopping_;
    if (!stopping) {
      const uint64_t token = next_token_++;
      dones_.emplace(token, std::move(done));
      closer_ = -1;
      outcome = CarryOut(declared, event(*declared->state, token), help);
      closer_ = -1;
    }
  }
  if (stopping) {
    done({0, absl::UnavailableError(absl::StrCat(task_, " is stopping")), {}, 0});
    return;
  }
  Conclude(std::move(outcome));
}

void Shard::RunTimer() {
  for (;;) {
    Outcome outcome;
    std::vector<EarlyJoin> overdue;
    std::vector<SumsWaiter> overdue_sums;
    {
      MutexLock lock(&mutex_);
      while (!stopping_ && Now() < next_tick_) {
        changed_.WaitFor(&mutex_, std::min(next_tick_ - Now(), absl::Minutes(1)));
      }
      if (stopping_) return;
      const absl::Time now = Now();
      next_tick_ = absl::InfiniteFuture();
      if (declared_ != nullptr) {
        outcome = CarryOut(declared_.get(), declared_->state->Tick(now), kNone);
        overdue_sums = TakeOverdueSums(now);
      }
      std::vector<EarlyJoin> kept;
      for (EarlyJoin& join : early_joins_) {
        if (join.deadline > now) {
          next_tick_ = std::min(next_tick_, join.deadline);
          kept.push_back(std::move(join));
        } else {
          overdue.push_back(std::move(join));
        }
      }
      early_joins_ = std::move(kept);
    }
    Conclude(std::move(outcome));
    for (SumsWaiter& waiter : overdue_sums) {
      waiter.done(absl::DeadlineExceededError(waiter.who));
    }
    for (EarlyJoin& join : overdue) {
      join.done(absl::DeadlineExceededError(absl::StrCat(
          task_, ": worker:", join.request.sender().worker(),
          " waited for worker:0, the chief, to declare job ", join.request.spec().name())));
    }
  }
}

// What it knows.

void Shard::DescribeBlocks(v1::DescribeBlocksRequest request,
                           Done<v1::DescribeBlocksResponse> done) {
  const absl::StatusOr<Declared*> declared = Find(request.job());
  if (!declared.ok()) {
    done(declared.status());
    return;
  }
  const Job& job = (*declared)->job;
  v1::DescribeBlocksResponse response;
  for (const uint32_t number : (*declared)->numbers) {
    const BlockInfo& info = job.blocks()[number];
    v1::BlockDescription* description = response.add_blocks();
    description->set_block(number);
    description->set_parameter(job.parameters()[info.parameter].name);
    description->set_offset(info.offset);
    description->set_size(info.size);
  }
  done(std::move(response));
}

void Shard::GetStatus(v1::GetStatusRequest request, Done<v1::GetStatusResponse> done) {
  const absl::StatusOr<Declared*> found = FindAny(request.job());
  if (!found.ok()) {
    done(found.status());
    return;
  }
  v1::GetStatusResponse response;
  response.set_task(task_);
  response.set_shard(options_.shard_index);
  response.set_uptime_ms(absl::ToInt64Milliseconds(Now() - made_));
  if (const Declared* const declared = *found; declared != nullptr) {
    FillStatus(*Numbers(), &response);
    response.set_job(declared->job.name());
    response.set_num_shards(declared->job.spec().num_shards());
    if (request.with_spec()) *response.mutable_spec() = declared->job.spec();
  }
  watch_.FillStatus(&response);
  done(std::move(response));
}

absl::Status Shard::CheckAskedCheckpoint(const Declared* declared) const {
  if (declared == nullptr) {
    return absl::NotFoundError(absl::StrCat(task_, ": no job is declared here"));
  }
  if (options_.checkpoint_folder.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat(task_, " was started without a checkpoint folder"));
  }
  if (!Numbers()->workers[0].live) {
    return absl::FailedPreconditionError(
        absl::StrCat(task_, ": worker:0, the chief, who makes checkpoints, is not in the job"));
  }
  return absl::OkStatus();
}

void Shard::Ask(v1::AskRequest request, Done<v1::AskResponse> done) {
  const absl::StatusOr<Declared*> found = FindAny(request.job());
  absl::Status refused = found.status();
  v1::AskResponse response;
  if (refused.ok()) {
    switch (request.what()) {
      case v1::AskRequest::CHECKPOINT:
        refused = CheckAskedCheckpoint(*found);
        if (refused.ok()) response.set_ticket(watch_.AskCheckpoint());
        break;
      case v1::AskRequest::STOP:
        watch_.Stop();
        break;
      default:
        refused = absl::InvalidArgumentError(
            absl::StrCat(task_, ": asked for what it does not know, ", request.what()));
    }
  }
  if (!refused.ok()) return done(refused);
  done(std::move(response));
}

absl::optional<ShardNumbers> Shard::Numbers() const {
  ShardNumbers numbers;
  {
    MutexLock lock(&mutex_);
    if (declared_ == nullptr) return absl::nullopt;
    declared_->state->FillNumbers(Now(), &numbers);
    if (declared_->log != nullptr) numbers.log_waiting = declared_->log->waiting();
    if (declared_->replica != nullptr) numbers.replica = declared_->replica->lag();
  }
  numbers.bytes_pushed = bytes_pushed_.load(std::memory_order_relaxed);
  numbers.bytes_pulled = bytes_pulled_.load(std::memory_order_relaxed);
  return numbers;
}

}  // namespace parley
