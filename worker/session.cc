#include "worker/session.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/philox.h"
#include "base/plain_text.h"
#include "base/status.h"
#include "worker/unpack_answer.h"

namespace parley {
namespace {

// A shard that waits as long as it may answers about now; a DEADLINE_EXCEEDED well before came from
// the transport.
constexpr absl::Duration kClockSlack = absl::Milliseconds(10);

template <typename Request>
auto SetWait(Request* request, int64_t wait_ms, int) -> decltype(request->set_wait_ms(wait_ms)) {
  request->set_wait_ms(wait_ms);
}
template <typename Request>
void SetWait(Request*, int64_t, long) {}  // a request that never waits

// Sends a copy of `request` by `method`.
template <typename Request, typename Response>
auto Sending(void (ParameterServer::*method)(Request, ParameterServer::Done<Response>),
             Request request) {
  return [method, request = std::move(request)](ParameterServer* server, int64_t wait_ms,
                                                ParameterServer::Done<Response> done) {
    Request copy = request;
    SetWait(&copy, wait_ms, 0);
    (server->*method)(std::move(copy), std::move(done));
  };
}

}  // namespace

// One call from its start to its end, over all its attempts.
class Session::Call {
 public:
  Call(uint64_t operation, int64_t step, size_t bytes)
      : operation(operation), step(step), bytes(bytes) {}
  virtual ~Call() = default;
  // Sends it; false when it has ended before.
  virtual bool Start() = 0;
  virtual void Cancel(const absl::Status& status) = 0;

  const uint64_t operation;
  const int64_t step;
  const size_t bytes;
};

// States: queued -> awaiting an answer <-> waiting for its next attempt; from each to ended, once.
template <typename Response>
class Session::TypedCall final : public Session::Call,
                                 public std::enable_shared_from_this<TypedCall<Response>> {
 public:
  TypedCall(std::shared_ptr<Session> session, uint64_t id, CallInfo info, Send<Response> send,
            Done<Response> done)
      : Call(info.operation, info.step, info.bytes),
        session_(std::move(session)),
        id_(id),
        info_(std::move(info)),
        send_(std::make_shared<Send<Response>>(std::move(send))),
        done_(std::move(done)) {}

  // From now on it ends by itself, at the latest a grace after its deadline.
  void Arm() {
    const Timer::Time last_moment =
        info_.deadline + absl::ToChronoNanoseconds(session_->options_.answer_grace);
    MutexLock lock(&mutex_);
    if (ended_) return;
    watchdog_ =
        session_->timer_->RunAt(last_moment, [self = this->shared_from_this()] { self->Expire(); });
  }

  bool Start() override {
    bool overdue = false;
    {
      MutexLock lock(&mutex_);
      if (ended_) return false;
      started_ = true;
      overdue = Timer::Now() >= info_.deadline;
      if (overdue) ended_ = true;
    }
    if (overdue) {
      End(absl::DeadlineExceededError("the deadline passed before the request could be sent"));
    } else {
      Attempt();
    }
    return true;
  }

  void Cancel(const absl::Status& status) override {
    {
      MutexLock lock(&mutex_);
      if (ended_) return;
      ended_ = true;
    }
    End(status);
  }

 private:
  void Attempt() {
    std::shared_ptr<Send<Response>> send;
    int attempt;
    int64_t wait_ms;
    {
      MutexLock lock(&mutex_);
      if (ended_) return;
      send = send_;
      attempt = ++attempts_;
      awaiting_ = true;
      const absl::Duration left =
          std::max(absl::FromChrono(info_.deadline - Timer::Now()), absl::ZeroDuration());
      wait_ms = absl::ToInt64Milliseconds(absl::Ceil(left, absl::Milliseconds(1)));
      wait_until_ = Timer::After(absl::Milliseconds(wait_ms));
    }
    ParameterServer* server = nullptr;
    {
      MutexLock lock(&session_->mutex_);
      server = session_->server_.get();
      if (server != nullptr) ++session_->sending_;
    }
    Done<Response> done = [self = this->shared_from_this(),
                           attempt](absl::StatusOr<Response> answer) {
      self->Answered(attempt, std::move(answer));
    };
    if (server == nullptr) {
      done(absl::CancelledError("the client is closed"));
      return;
    }
    (*send)(server, wait_ms, std::move(done));
    MutexLock lock(&session_->mutex_);
    if (--session_->sending_ == 0) session_->sent_.NotifyAll();
  }

  void Answered(int attempt, absl::StatusOr<Response> answer) {
    {
      MutexLock lock(&mutex_);
      if (ended_ || !awaiting_ || attempt != attempts_) return;
      awaiting_ = false;
      if (!answer.ok() && ScheduleRetry(answer.status())) return;
      ended_ = true;
    }
    End(std::move(answer));
  }

  bool ScheduleRetry(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const Timer::Time now = Timer::Now();
    const bool lost =
        absl::IsUnavailable(status) || (absl::IsDeadlineExceeded(status) &&
                                        now + absl::ToChronoNanoseconds(kClockSlack) < wait_until_);
    if (!lost) return false;
    const Timer::Time again = now + absl::ToChronoNanoseconds(session_->Backoff(attempts_));
    if (again >= info_.deadline) return false;
    session_->retries_.fetch_add(1, std::memory_order_relaxed);
    session_->timer_->RunAt(again, [self = this->shared_from_this()] { self->Attempt(); });
    return true;
  }

  void Expire() {
    int attempts;
    {
      MutexLock lock(&mutex_);
      if (ended_) return;
      ended_ = true;
      attempts = attempts_;
    }
    End(absl::DeadlineExceededError(
        attempts == 0 ? "the deadline passed while the request was queued behind others"
                      : "no answer by the deadline"));
  }

  // Runs once, by whoever set ended_.
  void End(absl::StatusOr<Response> answer) {
    std::shared_ptr<Send<Response>> send;
    Done<Response> done;
    Timer::Id watchdog;
    bool sent;
    int attempts;
    {
      MutexLock lock(&mutex_);
      send = std::move(send_);
      done = std::move(done_);
      watchdog = watchdog_;
      sent = started_;
      attempts = attempts_;
    }
    if (watchdog != 0) session_->timer_->Cancel(watchdog);
    send.reset();  // with it this call's hold on the payload
    if (!answer.ok()) answer = Explain(answer.status(), attempts);
    done(std::move(answer));
    session_->Forget(id_, info_.lane, sent);
  }

  absl::Status Explain(const absl::Status& status, int attempts) const {
    std::string context = info_.who;
    if (!absl::StartsWith(std::string(status.message()), session_->task_ + ":")) {
      absl::StrAppend(&context, ": ", session_->task_);
    }
    if (attempts > 1) absl::StrAppend(&context, " (attempt ", attempts, ")");
    return Annotate(status, context);
  }

  const std::shared_ptr<Session> session_;
  const uint64_t id_;
  const CallInfo info_;

  // Held while the timer's or the session's lock is not; those may be taken under it.
  Mutex mutex_;
  std::shared_ptr<Send<Response>> send_ ABSL_GUARDED_BY(mutex_);  // null once ended
  Done<Response> done_ ABSL_GUARDED_BY(mutex_);
  Timer::Id watchdog_ ABSL_GUARDED_BY(mutex_) = 0;
  bool started_ ABSL_GUARDED_BY(mutex_) = false;
  bool awaiting_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  int attempts_ ABSL_GUARDED_BY(mutex_) = 0;
  Timer::Time wait_until_ ABSL_GUARDED_BY(mutex_);  // the shard's answer to this attempt
};

Session::Session(SessionOptions options, std::shared_ptr<ParameterServer> server,
                 std::shared_ptr<Timer> timer)
    : options_(std::move(options)),
      task_(absl::StrCat("ps:", options_.shard)),
      timer_(std::move(timer)),
      server_(std::move(server)) {
  MutexLock lock(&mutex_);
  fused_lane_.fused = true;
}

v1::Sender Session::Sender() const {
  v1::Sender sender;
  sender.set_job(options_.job);
  sender.set_worker(options_.worker);
  sender.set_incarnation(options_.incarnation);
  sender.set_shard(options_.shard);
  return sender;
}

Session::CallInfo Session::Info(absl::string_view what, Timer::Time deadline) const {
  CallInfo info;
  info.who = absl::StrCat("worker:", options_.worker, " ", what);
  info.deadline = deadline;
  return info;
}

absl::Duration Session::Backoff(int attempts) {
  absl::Duration backoff = options_.first_backoff;
  for (int i = 1; i < attempts && backoff < options_.max_backoff; ++i) backoff *= 2;
  backoff = std::min(backoff, options_.max_backoff);
  const uint64_t place = backoffs_.fetch_add(1, std::memory_order_relaxed);
  const uint64_t stream =
      (static_cast<uint64_t>(options_.worker) << 32) | static_cast<uint32_t>(options_.shard);
  return backoff * (0.5 + 0.5 * PhiloxUniform(options_.incarnation, stream, place));
}

template <typename Response>
void Session::Run(CallInfo info, Send<Response> send, Done<Response> done) {
  Lane* const lane = info.lane;
  std::shared_ptr<TypedCall<Response>> call;
  bool at_once = lane == nullptr;
  {
    MutexLock lock(&mutex_);
    if (!closed_) {
      const uint64_t id = next_id_++;
      call = std::make_shared<TypedCall<Response>>(shared_from_this(), id, std::move(info),
                                                   std::move(send), std::move(done));
      calls_.emplace(id, call);
      if (lane != nullptr) {
        if (lane->fused) lane->steps.insert(call->step);
        // Not behind a thread that is sending another: callers do not wait for each other.
        at_once = lane->fused && MayStart(*lane, *call);
        if (at_once) {
          ++lane->in_flight;
          lane->bytes += call->bytes;
        } else {
          lane->waiting.push_back(call);
        }
      }
    }
  }
  if (call == nullptr) {
    done(absl::CancelledError(absl::StrCat(info.who, ": ", task_, ": the client is closed")));
    return;
  }
  call->Arm();
  if (at_once) {
    StartIn(lane, call.get());
  } else {
    Pump(lane);
  }
}

void Session::StartIn(Lane* lane, Call* call) {
  if (call->Start() || lane == nullptr) return;
  MutexLock lock(&mutex_);
  --lane->in_flight;
  lane->bytes -= call->bytes;
}

void Session::Pump(Lane* lane) {
  // A shard in this process may answer inside Start, and the answer comes here again: `pumping`
  // makes that a loop, where it would be a recursion as deep as the queue.
  {
    MutexLock lock(&mutex_);
    if (lane->pumping) return;
    lane->pumping = true;
  }
  while (true) {
    std::shared_ptr<Call> call;
    {
      MutexLock lock(&mutex_);
      call = TakeNext(lane);
      if (call == nullptr) {
        lane->pumping = false;
        return;
      }
      ++lane->in_flight;
      lane->bytes += call->bytes;
    }
    StartIn(lane, call.get());
  }
}

bool Session::MayStart(const Lane& lane, const Call& call) const {
  if (!lane.fused) return lane.in_flight < options_.max_in_flight;
  return lane.steps.empty() || call.step <= *lane.steps.begin() + 1 ||
         lane.bytes + call.bytes <= options_.max_bytes_ahead;
}

std::shared_ptr<Session::Call> Session::TakeNext(Lane* lane) {
  const auto next =
      std::find_if(lane->waiting.begin(), lane->waiting.end(),
                   [&](const std::shared_ptr<Call>& call)
                       ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return MayStart(*lane, *call); });
  if (next == lane->waiting.end()) return nullptr;
  std::shared_ptr<Call> call = std::move(*next);
  lane->waiting.erase(next);
  return call;
}

void Session::Forget(uint64_t id, Lane* lane, bool sent) {
  std::shared_ptr<Call> ended;  // destroyed without the lock
  {
    MutexLock lock(&mutex_);
    const auto it = calls_.find(id);
    ended = std::move(it->second);
    calls_.erase(it);
    if (lane != nullptr) {
      if (lane->fused) lane->steps.erase(lane->steps.find(ended->step));
      if (sent) --lane->in_flight, lane->bytes -= ended->bytes;
    }
  }
  if (lane != nullptr) Pump(lane);
}

void Session::CancelIf(absl::AnyInvocable<bool(const Call&)> chosen, const absl::Status& status) {
  std::vector<std::shared_ptr<Call>> calls;
  {
    MutexLock lock(&mutex_);
    for (const auto& [id, call] : calls_) {
      if (chosen(*call)) calls.push_back(call);
    }
  }
  // The newest first: those in a queue must not start because those under way end.
  for (auto call = calls.rbegin(); call != calls.rend(); ++call) (*call)->Cancel(status);
}

void Session::CancelOperation(uint64_t operation, const absl::Status& status) {
  CancelIf([operation](const Call& call) { return call.operation == operation; }, status);
}

int64_t Session::queued() const {
  MutexLock lock(&mutex_);
  return static_cast<int64_t>(push_lane_.waiting.size() + pull_lane_.waiting.size() +
                              fused_lane_.waiting.size());
}

int64_t Session::in_flight() const {
  MutexLock lock(&mutex_);
  return push_lane_.in_flight + pull_lane_.in_flight + fused_lane_.in_flight;
}

std::unique_ptr<Attendance> Session::Attend() {
  MutexLock lock(&mutex_);
  return server_ == nullptr ? nullptr : server_->Attend();
}

void Session::Close() {
  {
    MutexLock lock(&mutex_);
    closed_ = true;
  }
  CancelIf([](const Call&) { return true; }, absl::CancelledError("the client is closed"));
  std::shared_ptr<ParameterServer>
      server;  // destroyed here, if at all: never by a thread of its own
  MutexLock lock(&mutex_);
  while (sending_ > 0) sent_.Wait(&mutex_);  // a call of the server does not block
  server = std::move(server_);
}

// The calls.

void Session::Declare(v1::DeclareRequest request, Timer::Time deadline,
                      Done<v1::DeclareResponse> done) {
  request.set_shard_index(options_.shard);
  Run<v1::DeclareResponse>(Info("Declare", deadline),
                           Sending(&ParameterServer::Declare, std::move(request)), std::move(done));
}

void Session::Join(v1::JoinRequest request, Timer::Time deadline, Done<v1::JoinResponse> done) {
  *request.mutable_sender() = Sender();
  Run<v1::JoinResponse>(Info("Join", deadline), Sending(&ParameterServer::Join, std::move(request)),
                        std::move(done));
}

void Session::DescribeBlocks(Timer::Time deadline, Done<v1::DescribeBlocksResponse> done) {
  v1::DescribeBlocksRequest request;
  request.set_job(options_.job);
  request.set_shard(options_.shard);
  Run<v1::DescribeBlocksResponse>(Info("DescribeBlocks", deadline),
                                  Sending(&ParameterServer::DescribeBlocks, std::move(request)),
                                  std::move(done));
}

void Session::Barrier(absl::string_view name, Timer::Time deadline,
                      Done<v1::BarrierResponse> done) {
  v1::BarrierRequest request;
  *request.mutable_sender() = Sender();
  request.set_name(std::string(name));
  Run<v1::BarrierResponse>(Info(absl::StrCat("barrier ", name), deadline),
                           Sending(&ParameterServer::Barrier, std::move(request)), std::move(done));
}

void Session::Checkpoint(int64_t step, CheckpointPart part,
                         absl::optional<v1::CheckpointResponse> base, bool tracks,
                         Timer::Time deadline, Done<v1::CheckpointResponse> done) {
  v1::CheckpointRequest request;
  *request.mutable_sender() = Sender();
  request.set_step(step);
  request.set_begin(part == CheckpointPart::kBegin);
  request.set_finish(part == CheckpointPart::kFinish);
  if (base.has_value()) *request.mutable_base() = *std::move(base);
  request.set_tracks(tracks);
  Run<v1::CheckpointResponse>(Info(absl::StrCat("step ", step, " Checkpoint"), deadline),
                              Sending(&ParameterServer::Checkpoint, std::move(request)),
                              std::move(done));
}

void Session::GetNormSums(int64_t round, Timer::Time deadline, Done<v1::GetNormSumsResponse> done) {
  v1::GetNormSumsRequest request;
  *request.mutable_sender() = Sender();
  request.set_round(round);
  Run<v1::GetNormSumsResponse>(Info(absl::StrCat("norms of round ", round), deadline),
                               Sending(&ParameterServer::GetNormSums, std::move(request)),
                               std::move(done));
}

void Session::SetNormTotals(int64_t round, const std::vector<double>& totals, Timer::Time deadline,
                            Done<v1::SetNormTotalsResponse> done) {
  v1::SetNormTotalsRequest request;
  *request.mutable_sender() = Sender();
  request.set_round(round);
  request.mutable_totals()->Add(totals.begin(), totals.end());
  Run<v1::SetNormTotalsResponse>(Info(absl::StrCat("norms of round ", round), deadline),
                                 Sending(&ParameterServer::SetNormTotals, std::move(request)),
                                 std::move(done));
}

void Session::GetStatus(Timer::Time deadline, Done<v1::GetStatusResponse> done) {
  v1::GetStatusRequest request;
  request.set_job(options_.job);
  request.set_shard(options_.shard);
  Run<v1::GetStatusResponse>(Info("GetStatus", deadline),
                             Sending(&ParameterServer::GetStatus, std::move(request)),
                             std::move(done));
}

void Session::Leave(absl::string_view error, Timer::Time deadline, Done<v1::LeaveResponse> done) {
  v1::LeaveRequest request;
  *request.mutable_sender() = Sender();
  request.set_error(PlainText(error));
  Run<v1::LeaveResponse>(Info("Leave", deadline),
                         Sending(&ParameterServer::Leave, std::move(request)), std::move(done));
}

void Session::PushPull(uint64_t operation, v1::PushPullRequest request, MakePayload make_payload,
                       std::vector<absl::Span<float>> targets, Timer::Time deadline,
                       Done<PushPullReply> done) {
  const int pushes = request.push_size() + request.push_rows_size();
  const int pulls = request.pull_size() + request.pull_rows_size();
  CallInfo info = Info(pushes > 0 ? absl::StrCat("step ", request.step())
                                  : absl::StrCat("pull of step ", request.pull_step()),
                       deadline);
  info.operation = operation;
  info.step = request.step();
  info.lane = pulls == 0 ? &push_lane_ : pushes == 0 ? &pull_lane_ : &fused_lane_;
  // Pushed and pulled are the same parameters, or some of them.
  for (const absl::Span<float>& target : targets) info.bytes += target.size() * sizeof(float);
  *request.mutable_sender() = Sender();
  if (request.dtype() == v1::DTYPE_UNSPECIFIED) request.set_dtype(v1::FLOAT32);
  if (request.pull_dtype() == v1::DTYPE_UNSPECIFIED) request.set_pull_dtype(v1::FLOAT32);
  const v1::DType pull_dtype = request.pull_dtype();
  if (pushes > 0 && options_.workers != nullptr) {
    request.set_workers(options_.workers->ToSay(request.step()));
  }

  // A session's calls keep it alive, so they may point to it.
  auto numbered = std::make_shared<v1::PushPullRequest>(std::move(request));
  auto time = std::make_shared<PushPullTime>();
  Send<PushPullReply> send = [this, numbered, time, pushes, make_payload = std::move(make_payload),
                              payload = Payload()](ParameterServer* server, int64_t wait_ms,
                                                   Done<PushPullReply> answer) mutable {
    if (time->sent == absl::Time()) {
      time->sent = options_.env->Now();
      if (options_.trace != nullptr) numbered->set_trace_request(options_.trace->NewRequest());
    }
    // Numbered when it is first sent: numbers that wait in a queue would leave the shard's window.
    if (pushes > 0 && numbered->sequence() == 0) {
      numbered->set_sequence(next_sequence_.fetch_add(1, std::memory_order_relaxed));
      payload = make_payload();
      make_payload = nullptr;  // with what it holds
    }
    v1::PushPullRequest copy = *numbered;
    copy.set_wait_ms(wait_ms);
    time->pushed_bytes = static_cast<int64_t>(payload.size());
    bytes_pushed_.fetch_add(static_cast<int64_t>(payload.size()), std::memory_order_relaxed);
    server->PushPull(std::move(copy), payload, std::move(answer));
  };
  std::string who = info.who;
  Run<PushPullReply>(
      std::move(info), std::move(send),
      [this, who = std::move(who), pushes, pull_dtype, numbered, time, targets = std::move(targets),
       done = std::move(done)](absl::StatusOr<PushPullReply> reply) mutable {
        if (!reply.ok()) {
          done(reply.status());
          return;
        }
        time->answered = options_.env->Now();
        time->held = absl::Nanoseconds(reply->response.held_ns());
        time->waited = absl::Nanoseconds(reply->response.waited_ns());
        time->waited_for = reply->response.waited_for() - 1;
        time->pulled_bytes = static_cast<int64_t>(reply->payload.size());
        Measured(*numbered, *time);
        absl::Status unpacked = UnpackAnswer(pushes, pull_dtype, *reply, targets);
        if (unpacked.ok() && options_.workers != nullptr) {
          unpacked = options_.workers->Learn(reply->response.worker_counts());
        }
        if (!unpacked.ok()) {
          done(Annotate(unpacked, absl::StrCat(who, ": ", task_)));
          return;
        }
        bytes_pulled_.fetch_add(static_cast<int64_t>(reply->payload.size()),
                                std::memory_order_relaxed);
        const bool copied = !targets.empty() && targets[0].data() != nullptr;
        if (copied) reply->payload = Payload();  // the shard's memory is not needed further
        done(std::move(reply));
      });
}

void Session::Measured(const v1::PushPullRequest& request, const PushPullTime& time) {
  {
    MutexLock lock(&mutex_);
    last_push_pull_ = time;
  }
  Trace* const trace = options_.trace.get();
  if (trace == nullptr) return;
  const bool pushes = request.push_size() + request.push_rows_size() > 0;
  const bool pulls = request.pull_size() + request.pull_rows_size() > 0;
  Trace::Span span = {};
  span.name = !pulls ? "push" : pushes ? "push-pull" : "pull";
  span.begin = time.sent;
  span.end = time.answered;
  span.step = request.step();
  span.pushed_bytes = time.pushed_bytes;
  span.pulled_bytes = time.pulled_bytes;
  span.request = request.trace_request();
  span.track = trace->Track(absl::StrCat("to ", task_));
  trace->Add(span);
}

void Session::StartHeartbeats(absl::Duration interval,
                              absl::AnyInvocable<void(absl::Status)> superseded) {
  interval = std::min(std::max(interval, absl::Milliseconds(10)), absl::Hours(1));
  auto shared = std::make_shared<absl::AnyInvocable<void(absl::Status)>>(std::move(superseded));
  timer_->RunAt(Timer::After(interval), [self = shared_from_this(), interval, shared] {
    self->Heartbeat(interval, shared);
  });
}

void Session::Heartbeat(absl::Duration interval,
                        std::shared_ptr<absl::AnyInvocable<void(absl::Status)>> superseded) {
  {
    MutexLock lock(&mutex_);
    if (closed_) return;
  }
  v1::HeartbeatRequest request;
  *request.mutable_sender() = Sender();
  if (options_.vitals != nullptr) *request.mutable_report() = options_.vitals->report();
  const Timer::Time next = Timer::After(interval);
  Run<v1::HeartbeatResponse>(
      Info("Heartbeat", next), Sending(&ParameterServer::Heartbeat, std::move(request)),
      [self = shared_from_this(), interval, next,
       superseded = std::move(superseded)](absl::StatusOr<v1::HeartbeatResponse> answer) {
        if (absl::IsAborted(answer.status())) (*superseded)(answer.status());
        if (answer.ok() && self->options_.vitals != nullptr) {
          self->options_.vitals->Answered(self->options_.shard, *answer);
        }
        self->timer_->RunAt(
            next, [self, interval, superseded] { self->Heartbeat(interval, superseded); });
      });
}

}  // namespace parley
