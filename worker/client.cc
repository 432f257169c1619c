#include "worker/client.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/types/optional.h"
#include "base/mutex.h"
#include "base/status.h"
#include "glog/logging.h"
#include "net/check_local_update.h"
#include "net/checkpoint_folder.h"
#include "net/norm_plan.h"
#include "net/row_wire.h"
#include "net/wire_dtype.h"
#include "worker/ask_all.h"
#include "worker/job_workers.h"
#include "worker/norm_exchange.h"
#include "worker/session.h"
#include "worker/table_client.h"
#include "worker/timer.h"
#include "worker/transfers.h"

namespace parley {
namespace {

// Leaving tells the others; a shard that cannot be told does not keep this task for long.
constexpr absl::Duration kLeaveTimeout = absl::Seconds(10);
constexpr absl::Duration kLastWord = absl::Seconds(3);
constexpr absl::Duration kAbandonTimeout = absl::Seconds(5);  // by the destructor
constexpr absl::Duration kDefaultHeartbeat = absl::Seconds(1);

// Why no call may begin any more; callbacks may set it while the client is being destroyed.
struct Failure {
  Mutex mutex;
  absl::Status status ABSL_GUARDED_BY(mutex);
};

class ClientImpl final : public Client {
 public:
  ClientImpl(Job job, std::vector<std::shared_ptr<ParameterServer>> shards, ClientOptions options)
      : job_(std::move(job)),
        options_(std::move(options)),
        task_(absl::StrCat("worker:", options_.worker)),
        timer_(std::make_shared<Timer>()),
        failure_(std::make_shared<Failure>()),
        vitals_(std::make_shared<Vitals>()),
        workers_(std::make_shared<JobWorkers>(options_.worker, job_.spec().num_workers())) {
    SessionOptions session;
    session.vitals = vitals_;
    session.workers = workers_;
    session.job = job_.name();
    session.worker = options_.worker;
    session.incarnation = options_.incarnation;
    session.env = options_.env;
    session.trace = options_.trace;
    // A round with norms is not applied before a shard has all gradients of it, and where it is
    // written down none is answered before.
    if (!NormPlan(&job_).empty()) session.max_in_flight = std::numeric_limits<int>::max();
    for (size_t shard = 0; shard < shards.size(); ++shard) {
      session.shard = static_cast<int>(shard);
      sessions_.push_back(std::make_shared<Session>(session, std::move(shards[shard]), timer_));
    }
    joined_.resize(sessions_.size(), false);
    transfers_ = std::make_unique<Transfers>(
        &job_,
        TransfersOptions{task_, options_.timeout, options_.request_bytes, options_.arena,
                         options_.push_dtype, options_.pull_dtype},
        sessions_, timer_);
    tables_ = std::make_unique<TableClient>(
        &job_,
        TableClientOptions{task_, options_.timeout, options_.request_bytes, options_.arena,
                           options_.push_rows_dtype, options_.pull_rows_dtype, options_.row_cache},
        sessions_, timer_);
  }

  ~ClientImpl() override {
    // A shard that does not hear it notices by the lease.
    if (!left_) LeaveAll("ended without leaving", kAbandonTimeout).IgnoreError();
    for (const std::shared_ptr<Session>& session : sessions_) session->Close();
    transfers_.reset();
    tables_.reset();
    timer_->Stop();
  }

  absl::Status Enter();

  const Job& job() const override { return job_; }
  int worker() const override { return options_.worker; }
  int64_t first_step() const override { return first_step_; }

  int64_t NextStep(int64_t step) const override { return transfers_->NextStep(step); }

  std::future<absl::Status> PullAsync(int64_t step, std::vector<Target> targets) override {
    return transfers_->Copy(Usable(), {absl::StrCat("pull of step ", step), step, step}, {},
                            targets);
  }
  std::future<absl::Status> PullAveragesAsync(int64_t step, std::vector<Target> targets) override {
    return transfers_->Copy(
        Usable(),
        {absl::StrCat("pull of step ", step, "'s averages"), step, step, /*skip=*/false,
         /*average=*/true},
        {}, targets);
  }
  std::future<absl::Status> PushAsync(int64_t step, std::vector<Gradient> gradients) override {
    return transfers_->Copy(Usable(), {absl::StrCat("step ", step), step, step}, gradients, {});
  }
  std::future<absl::Status> PushPullAsync(int64_t step, std::vector<Gradient> gradients,
                                          std::vector<Target> targets) override {
    return transfers_->Copy(Usable(), {absl::StrCat("step ", step), step, step + 1}, gradients,
                            targets);
  }
  absl::Status Pull(int64_t step, std::vector<Target> targets) override {
    return transfers_->CopyAndWait(Usable(), {absl::StrCat("pull of step ", step), step, step}, {},
                                   targets);
  }
  absl::Status Push(int64_t step, std::vector<Gradient> gradients) override {
    return transfers_->CopyAndWait(Usable(), {absl::StrCat("step ", step), step, step}, gradients,
                                   {});
  }
  absl::Status PushPull(int64_t step, std::vector<Gradient> gradients,
                        std::vector<Target> targets) override {
    return transfers_->CopyAndWait(Usable(), {absl::StrCat("step ", step), step, step + 1},
                                   gradients, targets);
  }
  std::future<absl::Status> SkipAsync(int64_t step, std::vector<Target> targets) override {
    return transfers_->Copy(Usable(), {absl::StrCat("step ", step), step, step + 1, /*skip=*/true},
                            {}, targets);
  }
  std::future<Views> PullViewsAsync(int64_t step, std::vector<int> parameters) override {
    return transfers_->View(Usable(), {absl::StrCat("pull of step ", step), step, step}, {},
                            std::move(parameters));
  }
  std::future<Views> PushPullViewsAsync(int64_t step, std::vector<Gradient> gradients,
                                        std::vector<int> parameters) override {
    return transfers_->View(Usable(), {absl::StrCat("step ", step), step, step + 1}, gradients,
                            std::move(parameters));
  }
  std::future<absl::Status> PullRowsAsync(int table, int64_t step, absl::Span<const uint64_t> keys,
                                          absl::Span<float> rows) override {
    return tables_->Pull(Usable(), table, step, keys, rows);
  }
  std::future<absl::Status> PushRowsAsync(int table, int64_t step, absl::Span<const uint64_t> keys,
                                          absl::Span<const float> gradients) override {
    return tables_->Push(Usable(), table, step, keys, gradients);
  }
  bool WasSkipped(int parameter) const override { return transfers_->WasSkipped(parameter); }

  absl::Status SetRateFactor(float factor) override;
  absl::Status Barrier(absl::string_view name, absl::Duration timeout) override;
  absl::StatusOr<SavedLater> SaveCheckpointAsync(int64_t step, const std::string& folder,
                                                 int keep) override;
  absl::StatusOr<JobStatus> Status() override;
  bool ShardsDrain() const override { return vitals_->draining(); }
  bool ShardsStop() const override { return vitals_->stopping(); }
  uint64_t CheckpointAsked() const override {
    return options_.worker == 0 ? vitals_->checkpoint_ticket() : 0;
  }
  WorkerCounts workers() const override { return workers_->counts(); }
  int WorkersAsked() const override {
    return options_.worker == 0 ? vitals_->workers(static_cast<int>(sessions_.size())) : 0;
  }
  absl::Status SetWorkers(int64_t step, int count) override;
  void Report(const StepReport& report) override {
    v1::WorkerReport said;
    said.set_step(report.step);
    said.set_steps(report.steps);
    said.set_loss(report.loss);
    said.set_samples_per_second(report.samples_per_second);
    vitals_->Report(said);
  }
  void ReportCheckpoint(v1::CheckpointReport report) override {
    vitals_->ReportCheckpoint(std::move(report));
  }
  absl::Status Leave(const absl::Status& reason) override;

  std::shared_ptr<float> NewBuffer(size_t elements) override {
    return transfers_->NewBuffer(elements);
  }

  int64_t bytes_pushed() const override {
    int64_t bytes = 0;
    for (const std::shared_ptr<Session>& session : sessions_) bytes += session->bytes_pushed();
    return bytes;
  }
  int64_t bytes_pulled() const override {
    int64_t bytes = 0;
    for (const std::shared_ptr<Session>& session : sessions_) bytes += session->bytes_pulled();
    return bytes;
  }
  RowCache::Counts row_cache() const override {
    return tables_ == nullptr ? RowCache::Counts() : tables_->row_cache();
  }
  Requests requests() const override {
    Requests requests;
    for (const std::shared_ptr<Session>& session : sessions_) {
      requests.queued += session->queued();
      requests.in_flight += session->in_flight();
      requests.retries += session->retries();
    }
    return requests;
  }
  PushPullTime last_push_pull() const override {
    PushPullTime last;
    for (const std::shared_ptr<Session>& session : sessions_) {
      const PushPullTime time = session->last_push_pull();
      if (time.answered >= last.answered) last = time;
    }
    return last;
  }

 private:
  // A shard's file that its next one may be based on.
  absl::optional<v1::CheckpointResponse> BaseOf(size_t shard, int64_t step,
                                                const std::string& folder) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(checkpoint_mutex_);
  // Waits for the shards' files, of a checkpoint that all have begun, and writes the manifest.
  absl::StatusOr<std::string> FinishCheckpoint(int64_t step, const std::string& folder, int keep,
                                               std::vector<v1::CheckpointResponse> written);
  // OK while calls may begin.
  absl::Status Usable() const {
    MutexLock lock(&failure_->mutex);
    return failure_->status;
  }
  // Joins every shard; heartbeats begin with each answer.
  absl::Status JoinAll(Timer::Time deadline);
  // Each shard holds the blocks that the job gives to the shard of its index.
  absl::Status CheckBlocks(Timer::Time deadline);
  // Finds where the rounds stand, when their optimizers need norms.
  absl::Status StartNormExchange(Timer::Time deadline);
  absl::Status LeaveAll(absl::string_view error, absl::Duration timeout);

  Job job_;  // constant once Enter has returned
  const ClientOptions options_;
  const std::string task_;  // "worker:1"
  const std::shared_ptr<Timer> timer_;
  const std::shared_ptr<Failure> failure_;
  const std::shared_ptr<Vitals> vitals_;
  const std::shared_ptr<JobWorkers> workers_;
  std::vector<std::shared_ptr<Session>> sessions_;  // by shard; constant after construction
  // Written by Enter, before others can see the client, and by Leave, after which nothing may be
  // called.
  std::vector<bool> joined_;  // by shard
  int64_t first_step_ = 0;
  bool left_ = false;
  // One checkpoint at a time, and the last that was made.
  Mutex checkpoint_mutex_;
  v1::Manifest last_checkpoint_ ABSL_GUARDED_BY(checkpoint_mutex_);
  std::string last_folder_ ABSL_GUARDED_BY(checkpoint_mutex_);
  VerifiedFiles verified_ ABSL_GUARDED_BY(checkpoint_mutex_);
  std::unique_ptr<Transfers> transfers_;  // null only at the destructor's end
  std::unique_ptr<TableClient> tables_;   // likewise
};

absl::Status ClientImpl::Enter() {
  const Timer::Time deadline = Timer::After(options_.startup_timeout);
  if (options_.worker == 0) {
    v1::DeclareRequest request;
    *request.mutable_spec() = job_.spec();
    request.set_checkpoint(options_.checkpoint);
    PARLEY_RETURN_IF_ERROR(FirstError(AskAll<v1::DeclareResponse>(
        sessions_, [&](size_t, Session& session, Session::Done<v1::DeclareResponse> done) {
          session.Declare(request, deadline, std::move(done));
        })));
  }
  PARLEY_RETURN_IF_ERROR(JoinAll(deadline));
  PARLEY_RETURN_IF_ERROR(CheckBlocks(deadline));
  return StartNormExchange(deadline);
}

absl::Status ClientImpl::StartNormExchange(Timer::Time deadline) {
  if (NormPlan(&job_).empty()) return absl::OkStatus();
  const auto answers = AskAll<v1::GetStatusResponse>(
      sessions_, [&](size_t, Session& session, Session::Done<v1::GetStatusResponse> done) {
        session.GetStatus(deadline, std::move(done));
      });
  PARLEY_RETURN_IF_ERROR(FirstError(answers));
  int64_t finished = std::numeric_limits<int64_t>::max();
  for (size_t shard = 0; shard < answers.size(); ++shard) {
    if (job_.BlocksOfShard(static_cast<int>(shard)).empty()) continue;
    finished = std::min(finished, answers[shard]->min_version());
  }
  transfers_->UseNorms(std::make_shared<NormExchange>(job_, task_, sessions_, timer_, finished));
  return absl::OkStatus();
}

absl::Status ClientImpl::JoinAll(Timer::Time deadline) {
  v1::JoinRequest request;
  *request.mutable_spec() = job_.spec();
  const auto answers = AskAll<v1::JoinResponse>(
      sessions_, [&](size_t shard, Session&, Session::Done<v1::JoinResponse> done) {
        const std::shared_ptr<Session> session = sessions_[shard];
        session->Join(request, deadline,
                      [session, failure = failure_,
                       done = std::move(done)](absl::StatusOr<v1::JoinResponse> answer) mutable {
                        if (answer.ok()) {
                          const absl::Duration interval =
                              answer->heartbeat_ms() > 0
                                  ? absl::Milliseconds(answer->heartbeat_ms())
                                  : kDefaultHeartbeat;
                          session->StartHeartbeats(interval, [failure](absl::Status status) {
                            MutexLock lock(&failure->mutex);
                            if (failure->status.ok()) failure->status = std::move(status);
                          });
                        }
                        done(std::move(answer));
                      });
      });
  for (size_t shard = 0; shard < answers.size(); ++shard) joined_[shard] = answers[shard].ok();
  PARLEY_RETURN_IF_ERROR(FirstError(answers));

  // The job may have been scaled: then it was declared with another number of workers than this
  // task was started with.
  const int declared = answers[0]->num_workers();
  if (declared != 0 && declared != job_.spec().num_workers()) {
    v1::JobSpec spec = job_.spec();
    spec.set_num_workers(declared);
    PARLEY_ASSIGN_OR_RETURN(job_, Job::Create(std::move(spec)));
    workers_->SetFirst(declared);
  }
  for (const absl::StatusOr<v1::JoinResponse>& answer : answers) {
    PARLEY_RETURN_IF_ERROR(Annotate(workers_->Learn(answer->worker_counts()), task_));
  }

  bool found = false;
  for (size_t shard = 0; shard < answers.size(); ++shard) {
    const int64_t step = answers[shard]->step();
    if (step < 0) {
      return absl::InternalError(
          absl::StrCat(task_, " Join: ps:", shard, ": malformed answer: step ", step));
    }
    // A shard without blocks has seen no steps.
    if (!job_.HasState(static_cast<int>(shard))) continue;
    first_step_ = found ? std::min(first_step_, step) : step;
    found = true;
  }
  return absl::OkStatus();
}

absl::Status ClientImpl::CheckBlocks(Timer::Time deadline) {
  const auto answers = AskAll<v1::DescribeBlocksResponse>(
      sessions_, [&](size_t, Session& session, Session::Done<v1::DescribeBlocksResponse> done) {
        session.DescribeBlocks(deadline, std::move(done));
      });
  PARLEY_RETURN_IF_ERROR(FirstError(answers));
  for (size_t shard = 0; shard < answers.size(); ++shard) {
    std::vector<uint32_t> held;
    for (const v1::BlockDescription& block : answers[shard]->blocks())
      held.push_back(block.block());
    std::sort(held.begin(), held.end());
    if (held == job_.BlocksOfShard(static_cast<int>(shard))) continue;
    return absl::FailedPreconditionError(
        absl::StrCat(task_, ": ps:", shard, " holds other blocks than job ", job_.name(),
                     " places there; do all tasks name the ps tasks in one order?"));
  }
  return absl::OkStatus();
}

absl::Status ClientImpl::SetRateFactor(float factor) {
  bool takes = options_.worker == 0 && job_.spec().optimizer().schedule().has_pushed();
  for (size_t i = 0; i < job_.parameters().size() && options_.worker == 0; ++i) {
    takes = takes || job_.OptimizerOf(static_cast<int>(i)).schedule().has_pushed();
  }
  if (!takes || !std::isfinite(factor) || factor < 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        task_, ": rate factor ", factor, ": allowed are finite numbers >= 0, set by worker:0 in a ",
        "job with a pushed schedule"));
  }
  transfers_->SetRateFactor(factor);
  return absl::OkStatus();
}

absl::Status ClientImpl::SetWorkers(int64_t step, int count) {
  if (options_.worker != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(task_, ": only worker:0 says how many workers the job has"));
  }
  return Annotate(workers_->Set(step + 1, count), absl::StrCat(task_, " step ", step));
}

absl::Status ClientImpl::Barrier(absl::string_view name, absl::Duration timeout) {
  PARLEY_RETURN_IF_ERROR(Usable());
  // One shard keeps all barriers: several could disagree on who has left.
  const std::vector<std::shared_ptr<Session>> first(sessions_.begin(), sessions_.begin() + 1);
  return FirstError(AskAll<v1::BarrierResponse>(
      first, [&](size_t, Session& session, Session::Done<v1::BarrierResponse> done) {
        session.Barrier(name, Timer::After(timeout), std::move(done));
      }));
}

absl::StatusOr<Client::JobStatus> ClientImpl::Status() {
  PARLEY_RETURN_IF_ERROR(Usable());
  const auto answers = AskAll<v1::GetStatusResponse>(
      sessions_, [&](size_t, Session& session, Session::Done<v1::GetStatusResponse> done) {
        session.GetStatus(Timer::After(options_.timeout), std::move(done));
      });
  PARLEY_RETURN_IF_ERROR(FirstError(answers));

  using Worker = v1::GetStatusResponse::Worker;
  JobStatus status;
  v1::GetStatusResponse& total = status.total;
  bool found = false;  // a shard with blocks: others have neither clocks nor versions
  for (size_t shard = 0; shard < answers.size(); ++shard) {
    const v1::GetStatusResponse& answer = *answers[shard];
    const bool holds_blocks = job_.HasState(static_cast<int>(shard));
    for (int i = 0; i < answer.workers_size(); ++i) {
      const Worker& worker = answer.workers(i);
      // Shards may have been asked for others at different times.
      if (i == total.workers_size()) total.add_workers()->set_state(worker.state());
      Worker* sum = total.mutable_workers(i);
      // Live is who is live everywhere; who is between two states has not joined, or has left.
      if (sum->state() == Worker::LIVE) sum->set_state(worker.state());
      if (holds_blocks)
        sum->set_clock(found ? std::min(sum->clock(), worker.clock()) : worker.clock());
    }
    if (holds_blocks) {
      total.set_min_version(found ? std::min(total.min_version(), answer.min_version())
                                  : answer.min_version());
      total.set_max_version(std::max(total.max_version(), answer.max_version()));
      found = true;
    }
    total.set_pushes(total.pushes() + answer.pushes());
    total.set_staleness_sum(total.staleness_sum() + answer.staleness_sum());
    total.set_staleness_max(std::max(total.staleness_max(), answer.staleness_max()));
    for (int i = 0; i < answer.staleness_counts_size(); ++i) {
      if (i == total.staleness_counts_size()) total.add_staleness_counts(0);
      total.set_staleness_counts(i, total.staleness_counts(i) + answer.staleness_counts(i));
    }
    total.set_dropped(total.dropped() + answer.dropped());
    total.set_bytes_pushed(total.bytes_pushed() + answer.bytes_pushed());
    total.set_bytes_pulled(total.bytes_pulled() + answer.bytes_pulled());
  }
  return status;
}

absl::StatusOr<Client::SavedLater> ClientImpl::SaveCheckpointAsync(int64_t step,
                                                                   const std::string& folder,
                                                                   int keep) {
  PARLEY_RETURN_IF_ERROR(Usable());
  if (options_.worker != 0 || step < 0 || keep < 2) {
    return absl::InvalidArgumentError(absl::StrCat(
        task_, " step ", step,
        " checkpoint: only worker:0 makes them, of a step >= 0, and at least 2 are kept, not ",
        keep));
  }
  MutexLock lock(&checkpoint_mutex_);
  std::vector<absl::optional<v1::CheckpointResponse>> bases;
  for (size_t shard = 0; shard < sessions_.size(); ++shard) {
    bases.push_back(BaseOf(shard, step, folder));
  }
  const auto answers = AskAll<v1::CheckpointResponse>(
      sessions_, [&](size_t shard, Session& session, Session::Done<v1::CheckpointResponse> done) {
        session.Checkpoint(step, Session::CheckpointPart::kBegin, bases[shard],
                           options_.checkpoint_full_every > 1, Timer::After(options_.timeout),
                           std::move(done));
      });
  PARLEY_RETURN_IF_ERROR(FirstError(answers));
  std::vector<v1::CheckpointResponse> written;
  for (const absl::StatusOr<v1::CheckpointResponse>& answer : answers) written.push_back(*answer);
  return std::async(std::launch::async,
                    [this, step, folder, keep, written = std::move(written)]() mutable {
                      return FinishCheckpoint(step, folder, keep, std::move(written));
                    });
}

absl::StatusOr<std::string> ClientImpl::FinishCheckpoint(
    int64_t step, const std::string& folder, int keep,
    std::vector<v1::CheckpointResponse> written) {
  const std::string who = absl::StrCat(task_, " step ", step, " checkpoint");
  MutexLock lock(&checkpoint_mutex_);
  const auto answers = AskAll<v1::CheckpointResponse>(
      sessions_, [&](size_t shard, Session& session, Session::Done<v1::CheckpointResponse> done) {
        if (!written[shard].file().empty()) return done(written[shard]);
        session.Checkpoint(step, Session::CheckpointPart::kFinish, absl::nullopt, false,
                           Timer::After(options_.timeout), std::move(done));
      });
  PARLEY_RETURN_IF_ERROR(FirstError(answers));

  v1::Manifest manifest;
  *manifest.mutable_spec() = job_.spec();
  manifest.set_step(step);
  // Training has gone on since the cut.
  workers_->counts().ToProto(manifest.mutable_worker_counts(), step);
  for (const absl::StatusOr<v1::CheckpointResponse>& answer : answers) {
    v1::Manifest::ShardFile* file = manifest.add_shards();
    file->set_file(answer->file());
    file->set_bytes(answer->bytes());
    file->set_crc32c(answer->crc32c());
    if (!answer->incremental()) continue;
    const v1::Manifest::ShardFile& base = last_checkpoint_.shards(manifest.shards_size() - 1);
    v1::Manifest::ShardFile* const newest = file->add_bases();
    *newest = base;
    newest->clear_bases();
    file->mutable_bases()->MergeFrom(base.bases());
  }
  if (const absl::Status written = WriteManifest(options_.env, folder, manifest); !written.ok()) {
    return Annotate(written, who);
  }
  if (const absl::Status removed = RemoveOldCheckpoints(options_.env, folder, keep, &verified_);
      !removed.ok()) {
    // The new one stands; what is left over costs only room.
    LOG(WARNING) << who << ": old checkpoints are not removed: " << removed;
  }
  last_checkpoint_ = std::move(manifest);
  last_folder_ = folder;
  return ManifestFileName(step);
}

absl::optional<v1::CheckpointResponse> ClientImpl::BaseOf(size_t shard, int64_t step,
                                                          const std::string& folder) const {
  if (last_checkpoint_.step() >= step || last_folder_ != folder ||
      static_cast<int>(shard) >= last_checkpoint_.shards_size()) {
    return absl::nullopt;
  }
  const v1::Manifest::ShardFile& last = last_checkpoint_.shards(static_cast<int>(shard));
  if (last.bases_size() + 2 > options_.checkpoint_full_every) return absl::nullopt;
  v1::CheckpointResponse base;
  base.set_file(last.file());
  base.set_bytes(last.bytes());
  base.set_crc32c(last.crc32c());
  return base;
}

absl::Status ClientImpl::Leave(const absl::Status& reason) {
  if (left_) return absl::FailedPreconditionError(absl::StrCat(task_, " has left already"));
  left_ = true;
  const absl::Status status =
      LeaveAll(reason.ok() ? "" : reason.ToString(), std::min(options_.timeout, kLeaveTimeout));
  MutexLock lock(&failure_->mutex);
  failure_->status = absl::FailedPreconditionError(absl::StrCat(task_, " has left the job"));
  return status;
}

absl::Status ClientImpl::LeaveAll(absl::string_view error, absl::Duration timeout) {
  const auto ask = [&](Timer::Time deadline) {
    return AskAll<v1::LeaveResponse>(
        sessions_, [&](size_t shard, Session& session, Session::Done<v1::LeaveResponse> done) {
          if (joined_[shard]) {
            session.Leave(error, deadline, std::move(done));
          } else {
            done(v1::LeaveResponse());
          }
        });
  };
  const Timer::Time deadline = Timer::After(timeout);
  auto answers = ask(deadline);
  const bool lost = std::any_of(answers.begin(), answers.end(), [](const auto& answer) {
    return absl::IsUnavailable(answer.status());
  });
  // Where this process stood still meanwhile, nobody was asked where a shard has moved to.
  if (lost && Timer::Now() >= deadline) answers = ask(Timer::After(std::min(timeout, kLastWord)));
  for (absl::StatusOr<v1::LeaveResponse>& answer : answers) {
    if (!absl::IsUnavailable(answer.status())) continue;
    // A shard that all have left ends, and where its answer was lost there is nobody to ask again.
    LOG(WARNING) << task_ << ": nobody says that it has left: " << answer.status().message();
    answer = v1::LeaveResponse();
  }
  return FirstError(answers);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Client>> Client::Connect(
    v1::JobSpec spec, std::vector<std::shared_ptr<ParameterServer>> shards, ClientOptions options) {
  PARLEY_ASSIGN_OR_RETURN(Job job, Job::Create(std::move(spec)));
  if (options.worker < 0 || options.worker >= job.spec().num_workers()) {
    return absl::InvalidArgumentError(absl::StrCat("job ", job.name(), " has ",
                                                   job.spec().num_workers(),
                                                   " workers, none with index ", options.worker));
  }
  if (WireBytes(options.push_dtype) == 0 || WireBytes(options.pull_dtype) == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("worker:", options.worker, ": no such dtype on the wire"));
  }
  if (options.push_rows_dtype == v1::DTYPE_UNSPECIFIED) {
    options.push_rows_dtype = options.push_dtype;
  }
  if (options.pull_rows_dtype == v1::DTYPE_UNSPECIFIED) {
    options.pull_rows_dtype = options.pull_dtype;
  }
  if (RowWireBytes(options.push_rows_dtype, 1) == 0 ||
      RowWireBytes(options.pull_rows_dtype, 1) == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("worker:", options.worker, ": no such dtype of rows on the wire"));
  }
  if (options.row_cache.staleness < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("worker:", options.worker, ": row_cache.staleness is negative"));
  }
  // A worker reckons with what it pushed and pulled, to the bit; and float16 has no numbers as
  // small as these differences.
  if (HasLocalUpdate(job.spec().policy()) &&
      (options.push_dtype != v1::FLOAT32 || options.pull_dtype != v1::FLOAT32)) {
    return absl::InvalidArgumentError(
        absl::StrCat("worker:", options.worker, ": job ", job.name(),
                     ": differences of parameters travel, allowed as push_dtype and pull_dtype is "
                     "FLOAT32"));
  }
  if (static_cast<int>(shards.size()) != job.spec().num_shards() ||
      std::find(shards.begin(), shards.end(), nullptr) != shards.end()) {
    return absl::InvalidArgumentError(absl::StrCat("worker:", options.worker, ": job ", job.name(),
                                                   " needs ", job.spec().num_shards(), " shards; ",
                                                   shards.size(), " are given"));
  }
  if (options.env == nullptr) options.env = Env::Posix();
  if (options.incarnation == 0) {
    options.incarnation =
        static_cast<uint64_t>(std::max<int64_t>(1, absl::ToUnixMicros(absl::Now())));
  }
  auto client = std::make_unique<ClientImpl>(std::move(job), std::move(shards), std::move(options));
  PARLEY_RETURN_IF_ERROR(client->Enter());
  return client;
}

}  // namespace parley
