#include "ps/serving_task.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/aligned_buffer.h"
#include "base/status.h"
#include "net/checkpoint_folder.h"
#include "net/row_wire.h"
#include "net/wire_dtype.h"
#include "ps/shard_table.h"

namespace parley {
namespace {

constexpr int kMostThreads = 4;
constexpr int64_t kHeartbeatMs = 10000;  // nobody is awaited: it keeps connections alive

int ThreadsOf(int wanted) {
  if (wanted > 0) return wanted;
  return std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, kMostThreads);
}

int64_t StepOf(const std::string& manifest) {
  return std::strtoll(manifest.c_str() + sizeof("step-") - 1, nullptr, 10);
}

}  // namespace

ServingTask::ServingTask(Options options)
    : options_(std::move(options)),
      pool_(std::make_unique<TaskPool>(ThreadsOf(options_.threads) + 1)),
      control_(pool_.get()) {
  for (size_t i = 0; i + 1 < pool_->size(); ++i) {
    queues_.push_back(std::make_unique<TaskQueue>(pool_.get()));
  }
  if (options_.metrics != nullptr) {
    source_ = options_.metrics->AddSource([this](MetricSamples* samples) {
      const Numbers now = numbers();
      samples->AddGauge("parley_serve_step", "Step of the checkpoint that is served; -1: none.",
                        static_cast<double>(now.step));
      samples->AddGauge("parley_serve_lag_versions",
                        "Checkpoints in the folder that are newer than the one that is served.",
                        static_cast<double>(now.versions_behind));
      samples->AddGauge("parley_serve_lag_seconds",
                        "For how long there has been a newer checkpoint than the one served.",
                        absl::ToDoubleSeconds(now.lag));
      samples->AddGauge("parley_serve_held", "1: it was rolled back, and does not follow.",
                        now.held ? 1 : 0);
      samples->AddCounter("parley_serve_loads_total", "Checkpoints that were loaded.",
                          static_cast<double>(loads_.load()));
      samples->AddCounter("parley_serve_failed_loads_total", "Checkpoints that could not be.",
                          static_cast<double>(failed_loads_.load()));
      samples->AddCounter("parley_serve_rows_pulled_total", "Rows of tables that were sent.",
                          static_cast<double>(rows_pulled_.load()));
      samples->AddCounter("parley_serve_pulled_bytes_total", "Bytes of values that were sent.",
                          static_cast<double>(bytes_pulled_.load()));
    });
  }
  thread_ = std::thread([this] { Run(); });
}

ServingTask::~ServingTask() {
  source_ = nullptr;
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
    changed_.NotifyAll();
  }
  thread_.join();
  pool_ = nullptr;
}

void ServingTask::Run() {
  for (;;) {
    // What hinders it is in numbers().
    Refresh().IgnoreError();
    MutexLock lock(&mutex_);
    const absl::Time until = options_.env->Now() + options_.poll;
    while (!stopping_ && options_.env->Now() < until) {
      changed_.WaitFor(&mutex_, until - options_.env->Now());
    }
    if (stopping_) return;
  }
}

absl::Status ServingTask::Refresh() {
  MutexLock lock(&loading_);
  const auto manifests = ListCheckpoints(options_.env, options_.checkpoint_folder);
  if (!manifests.ok()) {
    Note({}, manifests.status());
    return manifests.status();
  }
  const absl::Status status = Load(*manifests);
  Note(*manifests, status);
  return status;
}

// The newest that can be loaded, unless that is served, or older.
absl::Status ServingTask::Load(const std::vector<std::string>& manifests) {
  Version served;
  {
    MutexLock lock(&mutex_);
    if (held_) return absl::OkStatus();
    served = served_;
  }
  absl::Status first;
  for (const std::string& manifest : manifests) {
    const int64_t step = StepOf(manifest);
    if (served != nullptr && step < served->step()) break;
    if (served != nullptr && step == served->step()) {
      // It may have been written again.
      const auto now = ReadManifest(options_.env, options_.checkpoint_folder, manifest);
      if (!now.ok() || now->SerializeAsString() == served->manifest().SerializeAsString()) break;
    }
    absl::StatusOr<Version> loaded = ServedVersion::Load(
        options_.env, options_.checkpoint_folder, manifest, options_.optimizers, served.get());
    if (!loaded.ok()) {
      failed_loads_.fetch_add(1);
      first.Update(loaded.status());
      continue;
    }
    if (served != nullptr && (*loaded)->job().name() != served->job().name()) {
      first.Update(absl::FailedPreconditionError(
          absl::StrCat(options_.task, ": ", manifest, " is of job ", (*loaded)->job().name(),
                       ", served is ", served->job().name())));
      continue;
    }
    loads_.fetch_add(1);
    MutexLock lock(&mutex_);
    if (held_) return absl::OkStatus();  // it was rolled back meanwhile
    previous_ = std::exchange(served_, *std::move(loaded));
    return first;
  }
  if (first.ok() && served == nullptr) {
    return absl::NotFoundError(
        absl::StrCat(options_.task, ": folder ", options_.checkpoint_folder, " has no checkpoint"));
  }
  return first;
}

void ServingTask::Note(const std::vector<std::string>& manifests, const absl::Status& status) {
  MutexLock lock(&mutex_);
  error_ = std::string(status.message());
  newest_ = manifests.empty() ? -1 : StepOf(manifests.front());
  const int64_t served = served_ == nullptr ? -1 : served_->step();
  const int64_t before = behind_;
  behind_ = 0;
  for (const std::string& manifest : manifests) behind_ += StepOf(manifest) > served ? 1 : 0;
  if (behind_ > 0 && before == 0) behind_since_ = options_.env->Now();
}

ServingTask::Numbers ServingTask::numbers() const {
  MutexLock lock(&mutex_);
  Numbers now;
  if (served_ != nullptr) now.step = served_->step();
  if (previous_ != nullptr) now.previous = previous_->step();
  now.newest = newest_;
  now.versions_behind = behind_;
  if (behind_ > 0) now.lag = options_.env->Now() - behind_since_;
  now.held = held_;
  now.error = error_;
  return now;
}

absl::StatusOr<int64_t> ServingTask::RollBack() {
  MutexLock lock(&mutex_);
  if (previous_ == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat(options_.task, ": there is no version before the one that is served"));
  }
  served_ = std::move(previous_);
  previous_ = nullptr;
  held_ = true;
  if (behind_++ == 0) behind_since_ = options_.env->Now();
  return served_->step();
}

absl::StatusOr<int64_t> ServingTask::Follow() {
  {
    MutexLock lock(&mutex_);
    held_ = false;
    changed_.NotifyAll();
  }
  PARLEY_RETURN_IF_ERROR(Refresh());
  return numbers().step;
}

absl::StatusOr<ServingTask::Version> ServingTask::Find(const std::string& job, int64_t step) const {
  MutexLock lock(&mutex_);
  if (served_ == nullptr) {
    return absl::UnavailableError(
        absl::StrCat(options_.task, ": no checkpoint is loaded yet: ", error_));
  }
  if (!job.empty() && job != served_->job().name()) {
    return absl::NotFoundError(absl::StrCat(options_.task, ": job ", job, " is not served here, ",
                                            served_->job().name(), " is"));
  }
  if (step == 0 || step == served_->step()) return served_;
  if (previous_ != nullptr && step == previous_->step()) return previous_;
  return absl::FailedPreconditionError(absl::StrCat(
      options_.task, ": step ", step, " is not served; step ", served_->step(), " is",
      previous_ == nullptr ? std::string() : absl::StrCat(", and ", previous_->step())));
}

absl::Status ServingTask::ReadOnly(absl::string_view what) const {
  return absl::FailedPreconditionError(
      absl::StrCat(options_.task, ": it only answers pulls, and takes no ", what));
}

// Parameters and tables must be those of the checkpoint; who reads may number workers as he likes.
absl::Status ServingTask::CheckSpec(const v1::JobSpec& spec) const {
  PARLEY_ASSIGN_OR_RETURN(const Version version, Find(spec.name(), 0));
  PARLEY_ASSIGN_OR_RETURN(const Job asked, Job::Create(spec));
  v1::JobSpec same = asked.spec();
  same.set_num_workers(version->job().spec().num_workers());
  const std::string difference = DescribeDifference(version->job().spec(), same);
  if (difference.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(options_.task, ": job ", spec.name(),
                   " is served, in one shard, with another spec: ", difference));
}

void ServingTask::Declare(v1::DeclareRequest request, Done<v1::DeclareResponse> done) {
  const absl::Status checked = CheckSpec(request.spec());
  if (!checked.ok()) return done(checked);
  const auto version = Find("", 0);
  if (!version.ok()) return done(version.status());
  v1::DeclareResponse response;
  int64_t bytes = 0;
  for (const auto& block : (*version)->blocks()) {
    bytes += static_cast<int64_t>(block->values.span().size() * sizeof(float));
  }
  response.set_num_blocks(static_cast<int64_t>((*version)->blocks().size()));
  response.set_bytes(bytes);
  done(std::move(response));
}

void ServingTask::Join(v1::JoinRequest request, Done<v1::JoinResponse> done) {
  const absl::Status checked = CheckSpec(request.spec());
  if (!checked.ok()) return done(checked);
  v1::JoinResponse response;
  response.set_step(numbers().step);
  response.set_heartbeat_ms(kHeartbeatMs);
  done(std::move(response));
}

void ServingTask::Heartbeat(v1::HeartbeatRequest, Done<v1::HeartbeatResponse> done) {
  done(v1::HeartbeatResponse());
}

void ServingTask::Leave(v1::LeaveRequest, Done<v1::LeaveResponse> done) {
  done(v1::LeaveResponse());
}

void ServingTask::Barrier(v1::BarrierRequest, Done<v1::BarrierResponse> done) {
  done(ReadOnly("barriers"));
}

void ServingTask::Checkpoint(v1::CheckpointRequest, Done<v1::CheckpointResponse> done) {
  done(ReadOnly("checkpoints"));
}

void ServingTask::GetNormSums(v1::GetNormSumsRequest, Done<v1::GetNormSumsResponse> done) {
  done(ReadOnly("norms"));
}

void ServingTask::SetNormTotals(v1::SetNormTotalsRequest, Done<v1::SetNormTotalsResponse> done) {
  done(ReadOnly("norms"));
}

void ServingTask::DescribeBlocks(v1::DescribeBlocksRequest request,
                                 Done<v1::DescribeBlocksResponse> done) {
  const auto version = Find(request.job(), 0);
  if (!version.ok()) return done(version.status());
  v1::DescribeBlocksResponse response;
  const Job& job = (*version)->job();
  for (size_t i = 0; i < job.blocks().size(); ++i) {
    const BlockInfo& info = job.blocks()[i];
    v1::BlockDescription* const block = response.add_blocks();
    block->set_block(static_cast<uint32_t>(i));
    block->set_parameter(job.parameters()[info.parameter].name);
    block->set_offset(info.offset);
    block->set_size(info.size);
  }
  done(std::move(response));
}

void ServingTask::GetStatus(v1::GetStatusRequest request, Done<v1::GetStatusResponse> done) {
  const Numbers now = numbers();
  v1::GetStatusResponse response;
  response.set_task(options_.task);
  response.set_num_shards(1);
  v1::GetStatusResponse::Serving* const serving = response.mutable_serving();
  serving->set_step(now.step);
  serving->set_previous_step(now.previous);
  serving->set_newest_step(now.newest);
  serving->set_versions_behind(now.versions_behind);
  serving->set_lag_ms(absl::ToInt64Milliseconds(now.lag));
  serving->set_held(now.held);
  serving->set_error(now.error);
  const auto version = Find(request.job(), 0);
  if (version.ok()) {
    response.set_job((*version)->job().name());
    response.set_blocks(static_cast<int64_t>((*version)->blocks().size()));
    response.set_min_version((*version)->step());
    response.set_max_version((*version)->step());
    response.set_bytes_pulled(bytes_pulled_.load());
    if (request.with_spec()) *response.mutable_spec() = (*version)->job().spec();
  } else if (absl::IsNotFound(version.status())) {
    return done(version.status());
  }
  done(std::move(response));
}

void ServingTask::Ask(v1::AskRequest request, Done<v1::AskResponse> done) {
  absl::StatusOr<int64_t> step = absl::InvalidArgumentError(absl::StrCat(
      options_.task, " serves checkpoints: it can be asked to roll back, and to follow"));
  // Loading takes its time, which the caller's thread, and those that answer, may not have.
  if (request.what() == v1::AskRequest::FOLLOW) {
    control_.Post([this, done = std::move(done)]() mutable {
      const absl::StatusOr<int64_t> followed = Follow();
      if (!followed.ok()) return done(followed.status());
      v1::AskResponse response;
      response.set_step(*followed);
      done(std::move(response));
    });
    return;
  }
  if (request.what() == v1::AskRequest::ROLL_BACK) step = RollBack();
  if (!step.ok()) return done(step.status());
  v1::AskResponse response;
  response.set_step(*step);
  done(std::move(response));
}

void ServingTask::PushPull(v1::PushPullRequest request, Payload, Done<PushPullReply> done) {
  TaskQueue& queue = *queues_[next_queue_.fetch_add(1) % queues_.size()];
  queue.Post([this, request = std::move(request), done = std::move(done)]() mutable {
    done(Answer(request));
  });
}

absl::StatusOr<ParameterServer::PushPullReply> ServingTask::Answer(
    const v1::PushPullRequest& request) const {
  if (request.push_size() > 0 || request.push_rows_size() > 0) return ReadOnly("pushes");
  PARLEY_ASSIGN_OR_RETURN(const Version version, Find(request.sender().job(), request.pull_step()));
  const auto refuse = [&](const auto&... what) {
    return absl::InvalidArgumentError(absl::StrCat(options_.task, ": ", what...));
  };
  const v1::DType dtype =
      request.pull_dtype() == v1::DTYPE_UNSPECIFIED ? v1::FLOAT32 : request.pull_dtype();
  const v1::DType rows_dtype =
      request.pull_rows_dtype() == v1::DTYPE_UNSPECIFIED ? dtype : request.pull_rows_dtype();
  if (WireBytes(dtype) == 0 || RowWireBytes(rows_dtype, 1) == 0) {
    return refuse("values cannot travel as ", v1::DType_Name(dtype), ", rows as ",
                  v1::DType_Name(rows_dtype));
  }
  PushPullReply reply;
  reply.response.set_next_step(request.pull_step());
  reply.response.set_served_step(version->step());
  for (const uint32_t number : request.pull()) {
    if (number >= version->blocks().size()) return refuse("there is no block ", number);
    const std::shared_ptr<const ServedVersion::Block>& block = version->blocks()[number];
    const bool average = request.average() && !block->average.span().empty();
    const absl::Span<const float> values = average ? block->average.span() : block->values.span();
    reply.response.add_version(block->version);
    if (dtype == v1::FLOAT32) {
      reply.payload.Append(values.data(), values.size() * sizeof(float), block);
      continue;
    }
    const std::shared_ptr<std::byte[]> narrow(
        NewAlignedBytes(values.size() * WireBytes(dtype)).release(), FreeDeleter());
    ToWire(dtype, values.data(), values.size(), narrow.get());
    reply.payload.Append(narrow.get(), values.size() * WireBytes(dtype), narrow);
  }
  for (const v1::TableRows& rows : request.pull_rows()) {
    if (static_cast<int>(rows.table()) >= version->job().spec().tables_size()) {
      return refuse("there is no table ", rows.table());
    }
    if (rows.keys_size() > ShardTable::kMaxKeys) {
      return refuse("it has ", rows.keys_size(), " keys, allowed are ", ShardTable::kMaxKeys);
    }
    const int table = static_cast<int>(rows.table());
    const size_t bytes =
        static_cast<size_t>(rows.keys_size()) * RowWireBytes(rows_dtype, version->row_width(table));
    const std::shared_ptr<std::byte[]> out(NewAlignedBytes(bytes).release(), FreeDeleter());
    version->Gather(table,
                    absl::MakeConstSpan(rows.keys().data(), static_cast<size_t>(rows.keys_size())),
                    rows_dtype, out.get());
    reply.response.add_version(version->table_version(table));
    reply.payload.Append(out.get(), bytes, out);
    rows_pulled_.fetch_add(rows.keys_size(), std::memory_order_relaxed);
  }
  bytes_pulled_.fetch_add(static_cast<int64_t>(reply.payload.size()), std::memory_order_relaxed);
  return reply;
}

}  // namespace parley
