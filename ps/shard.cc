#include "ps/shard.h"

#include <algorithm>
#include <future>

#include "absl/strings/str_cat.h"
#include "base/planted_bug.h"
#include "base/status.h"
#include "ps/shard_status.h"

namespace parley {
namespace {

ShardOptions WithDefaults(ShardOptions options) {
  if (options.replace_after <= absl::ZeroDuration()) options.replace_after = options.lease / 4;
  return options;
}

}  // namespace

int Shard::ThreadCount(int asked) {
  if (asked > 0) return asked;
  return std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, 4);
}

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
  {
    MutexLock lock(&mutex_);
    if (declared_ != nullptr && declared_->fill != nullptr) declared_->fill->Stop();
  }
  owners_.reset();  // their last tasks may post to the background thread
  CloseSinks();     // what they keep last is reported here
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
  const std::string difference = DifferenceFrom(*declared, job->spec(), request.sender().worker());
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
        response.set_num_workers(declared->job.spec().num_workers());
        if (answer.workers != nullptr) answer.workers->ToProto(response.mutable_worker_counts());
        response.set_local_socket(options_.local_socket);
        response.set_heartbeat_ms(
            std::max<int64_t>(1, absl::ToInt64Milliseconds(options_.replace_after / 4)));
        KeepMember(declared, sender, v1::Books::LIVE, answer.clocks,
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
  int workers_ready = 0;
  if (status.ok()) {
    MutexLock lock(&mutex_);
    workers_ready = (*declared)->state->WorkersReady();
    status = (*declared)->state->Heartbeat(request.sender().worker(),
                                           request.sender().incarnation(), Now());
  }
  if (status.ok()) {
    v1::HeartbeatResponse response;
    response.set_local_socket(options_.local_socket);
    watch_.FillAnswer(request.sender().worker(), &response);
    if (request.sender().worker() == 0) response.set_workers(workers_ready);
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
        KeepMember(declared, request.sender(), presence, /*clocks=*/{},
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

bool Shard::HasJob() const {
  MutexLock lock(&mutex_);
  return declared_ != nullptr;
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
  if (answer.workers != nullptr) answer.workers->ToProto(response->mutable_worker_counts());
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
          const int64_t step = std::max(pull_step, answer.step);
          const BlockSnapshot snapshot =
              step < declared->job.LockstepRounds(declared->job.blocks()[number].parameter) &&
                      !PARLEY_PLANTED_BUG("restarted_worker_sees_a_later_version")
                  ? source.SnapshotAt(step)
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
  ForgetSilent(options_.lease, &response);
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
      case v1::AskRequest::WORKERS:
        refused = AskWorkers(*found, request.workers());
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
