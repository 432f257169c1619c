#include "worker/testing/fake_parameter_server.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/philox.h"

namespace parley {
namespace {

constexpr absl::Duration kMinute = absl::Minutes(1);

}  // namespace

FakeParameterServer::FakeParameterServer(const Job* job, int shard) : job_(job), shard_(shard) {
  MutexLock lock(&mutex_);
  for (const uint32_t number : job_->BlocksOfShard(shard)) {
    blocks_[number].values =
        std::make_shared<const std::vector<float>>(job_->blocks()[number].size, 0.0f);
  }
}

FakeParameterServer::~FakeParameterServer() { thread_.Stop(); }

void FakeParameterServer::SetScript(Script script) {
  MutexLock lock(&mutex_);
  script_ = std::move(script);
}

void FakeParameterServer::FailNext(const std::string& method, int times, absl::Status status) {
  MutexLock lock(&mutex_);
  failures_[method].assign(times, std::move(status));
}

void FakeParameterServer::set_first_step(int64_t step) {
  MutexLock lock(&mutex_);
  first_step_ = step;
}

void FakeParameterServer::set_heartbeat(absl::Duration interval) {
  MutexLock lock(&mutex_);
  heartbeat_ms_ = absl::ToInt64Milliseconds(interval);
}

void FakeParameterServer::set_checkpoint(v1::CheckpointResponse checkpoint) {
  MutexLock lock(&mutex_);
  checkpoint_ = std::move(checkpoint);
}

void FakeParameterServer::AnswerInline() {
  MutexLock lock(&mutex_);
  inline_ = true;
}

void FakeParameterServer::Release() {
  std::vector<absl::AnyInvocable<void()>> held;
  {
    MutexLock lock(&mutex_);
    held.swap(held_);
  }
  for (auto answer = held.rbegin(); answer != held.rend(); ++answer) (*answer)();
}

void FakeParameterServer::ForgetKept() {
  std::vector<Payload> kept;
  MutexLock lock(&mutex_);
  kept.swap(kept_);
}

bool FakeParameterServer::AwaitPushPulls(size_t count) {
  const Timer::Time end = Timer::After(kMinute);
  MutexLock lock(&mutex_);
  while (push_pulls_.size() < count && Timer::Now() < end) changed_.WaitFor(&mutex_, kMinute);
  return push_pulls_.size() >= count;
}

bool FakeParameterServer::AwaitHeartbeats(size_t count) {
  const Timer::Time end = Timer::After(kMinute);
  MutexLock lock(&mutex_);
  while (calls_["Heartbeat"] < static_cast<int>(count) && Timer::Now() < end) {
    changed_.WaitFor(&mutex_, kMinute);
  }
  return calls_["Heartbeat"] >= static_cast<int>(count);
}

std::vector<v1::PushPullRequest> FakeParameterServer::push_pulls() const {
  MutexLock lock(&mutex_);
  return push_pulls_;
}

std::vector<v1::LeaveRequest> FakeParameterServer::leaves() const {
  MutexLock lock(&mutex_);
  return leaves_;
}

int FakeParameterServer::CallsOf(const std::string& method) const {
  MutexLock lock(&mutex_);
  const auto it = calls_.find(method);
  return it == calls_.end() ? 0 : it->second;
}

int64_t FakeParameterServer::taken() const {
  MutexLock lock(&mutex_);
  return taken_;
}

int FakeParameterServer::max_unanswered() const {
  MutexLock lock(&mutex_);
  return max_unanswered_;
}

std::vector<float> FakeParameterServer::values(uint32_t block) const {
  MutexLock lock(&mutex_);
  return *blocks_.at(block).values;
}

void FakeParameterServer::Post(absl::AnyInvocable<void()> answer) {
  uint64_t place;
  bool answer_inline;
  {
    MutexLock lock(&mutex_);
    place = posted_++;
    answer_inline = inline_;
  }
  if (answer_inline) {
    answer();
    return;
  }
  // Up to a millisecond later, each another time.
  const int64_t delay = static_cast<int64_t>(PhiloxBelow(shard_, 0, place, 1000));
  thread_.RunAt(Timer::After(absl::Microseconds(delay)), std::move(answer));
}

template <typename Response>
void FakeParameterServer::Answer(const std::string& method, Response answer, Done<Response> done) {
  absl::StatusOr<Response> result = std::move(answer);
  {
    MutexLock lock(&mutex_);
    ++calls_[method];
    std::vector<absl::Status>& failures = failures_[method];
    if (!failures.empty()) {
      result = failures.back();
      failures.pop_back();
    }
    changed_.NotifyAll();
  }
  Post([result = std::move(result), done = std::move(done)]() mutable { done(std::move(result)); });
}

ParameterServer::PushPullReply FakeParameterServer::Take(const v1::PushPullRequest& request,
                                                         const Payload& payload) {
  PushPullReply reply;
  const bool repeated = request.push_size() > 0 && !sequences_.insert(request.sequence()).second;
  size_t offset = 0;
  for (const uint32_t number : request.push()) {
    Block& block = blocks_.at(number);
    const size_t bytes = block.values->size() * sizeof(float);
    if (!repeated) {
      std::vector<float> values(block.values->size());
      payload.Sub(offset, bytes).CopyTo(values.data());
      block.values = std::make_shared<const std::vector<float>>(std::move(values));
      ++block.version;
      ++taken_;
    }
    offset += bytes;
    reply.response.add_staleness(0);
  }
  for (const uint32_t number : request.pull()) {
    const Block& block = blocks_.at(number);
    reply.response.add_version(block.version);
    // In two slices that cut an element.
    const auto* data = reinterpret_cast<const std::byte*>(block.values->data());
    const size_t bytes = block.values->size() * sizeof(float);
    reply.payload.Append(data, bytes / 2 + 1, block.values);
    reply.payload.Append(data + bytes / 2 + 1, bytes - bytes / 2 - 1, block.values);
  }
  return reply;
}

void FakeParameterServer::PushPull(v1::PushPullRequest request, Payload payload,
                                   Done<PushPullReply> done) {
  Fate fate = Fate::kAnswer;
  absl::StatusOr<PushPullReply> result = PushPullReply();
  {
    MutexLock lock(&mutex_);
    push_pulls_.push_back(request);
    max_unanswered_ = std::max(max_unanswered_, ++unanswered_);
    if (script_) fate = script_(request);
    if (fate != Fate::kLoseRequest && fate != Fate::kRefuse) result = Take(request, payload);
    switch (fate) {
      case Fate::kAnswer:
      case Fate::kHold:
        break;
      case Fate::kLoseRequest:
      case Fate::kLoseAnswer:
        result = absl::UnavailableError("connection reset");
        break;
      case Fate::kTransportLate:
        result = absl::DeadlineExceededError("transport");
        break;
      case Fate::kRefuse:
        result = absl::InvalidArgumentError("refused by the script");
        break;
      case Fate::kNeverKeep:
        kept_.push_back(payload);
        [[fallthrough]];
      case Fate::kNever:
        never_.push_back(std::move(done));
        changed_.NotifyAll();
        return;
      case Fate::kWrongBytes:
        result->payload.Append("x", 1, nullptr);
        break;
      case Fate::kWrongCounts:
        result->response.add_version(0);
        break;
    }
    changed_.NotifyAll();
  }
  payload = Payload();
  absl::AnyInvocable<void()> answer = [this, result = std::move(result),
                                       done = std::move(done)]() mutable {
    {
      MutexLock lock(&mutex_);
      --unanswered_;
    }
    done(std::move(result));
  };
  if (fate == Fate::kHold) {
    MutexLock lock(&mutex_);
    held_.push_back(std::move(answer));
  } else {
    Post(std::move(answer));
  }
}

void FakeParameterServer::Declare(v1::DeclareRequest request, Done<v1::DeclareResponse> done) {
  if (request.shard_index() != shard_) {
    FailNext("Declare", 1,
             absl::FailedPreconditionError(
                 absl::StrCat("ps:", shard_, ": not shard ", request.shard_index())));
  }
  Answer("Declare", v1::DeclareResponse(), std::move(done));
}

void FakeParameterServer::Join(v1::JoinRequest, Done<v1::JoinResponse> done) {
  v1::JoinResponse response;
  {
    MutexLock lock(&mutex_);
    response.set_step(first_step_);
    response.set_heartbeat_ms(heartbeat_ms_);
  }
  Answer("Join", response, std::move(done));
}

void FakeParameterServer::Heartbeat(v1::HeartbeatRequest, Done<v1::HeartbeatResponse> done) {
  Answer("Heartbeat", v1::HeartbeatResponse(), std::move(done));
}

void FakeParameterServer::Leave(v1::LeaveRequest request, Done<v1::LeaveResponse> done) {
  {
    MutexLock lock(&mutex_);
    leaves_.push_back(std::move(request));
  }
  Answer("Leave", v1::LeaveResponse(), std::move(done));
}

void FakeParameterServer::Barrier(v1::BarrierRequest, Done<v1::BarrierResponse> done) {
  Answer("Barrier", v1::BarrierResponse(), std::move(done));
}

void FakeParameterServer::Checkpoint(v1::CheckpointRequest, Done<v1::CheckpointResponse> done) {
  v1::CheckpointResponse response;
  {
    MutexLock lock(&mutex_);
    response = checkpoint_;
  }
  Answer("Checkpoint", response, std::move(done));
}

void FakeParameterServer::DescribeBlocks(v1::DescribeBlocksRequest,
                                         Done<v1::DescribeBlocksResponse> done) {
  v1::DescribeBlocksResponse response;
  for (const uint32_t number : job_->BlocksOfShard(shard_)) {
    response.add_blocks()->set_block(number);
  }
  Answer("DescribeBlocks", response, std::move(done));
}

// It has no optimizer, and so no norms.
void FakeParameterServer::GetNormSums(v1::GetNormSumsRequest, Done<v1::GetNormSumsResponse> done) {
  v1::GetNormSumsResponse response;
  response.set_finished(true);
  Answer("GetNormSums", response, std::move(done));
}

void FakeParameterServer::SetNormTotals(v1::SetNormTotalsRequest,
                                        Done<v1::SetNormTotalsResponse> done) {
  Answer("SetNormTotals", v1::SetNormTotalsResponse(), std::move(done));
}

void FakeParameterServer::GetStatus(v1::GetStatusRequest, Done<v1::GetStatusResponse> done) {
  v1::GetStatusResponse response;
  for (int worker = 0; worker < job_->spec().num_workers(); ++worker) {
    response.add_workers()->set_state(v1::GetStatusResponse::Worker::LIVE);
  }
  response.set_pushes(taken());
  response.set_staleness_sum(3);
  response.set_staleness_max(shard_);
  Answer("GetStatus", response, std::move(done));
}

}  // namespace parley
