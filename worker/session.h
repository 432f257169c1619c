#ifndef PARLEY_WORKER_SESSION_H_
#define PARLEY_WORKER_SESSION_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "absl/types/span.h"
#include "base/env.h"
#include "base/mutex.h"
#include "base/trace.h"
#include "net/attendance.h"
#include "net/parameter_server.h"
#include "net/payload.h"
#include "worker/job_workers.h"
#include "worker/push_pull_time.h"
#include "worker/timer.h"
#include "worker/vitals.h"

namespace parley {

struct SessionOptions {
  std::string job;
  int worker = 0;
  uint64_t incarnation = 1;
  int shard = 0;
  std::shared_ptr<Vitals> vitals;  // what heartbeats say, and who hears the answers; may be null
  std::shared_ptr<JobWorkers> workers;  // what answers say of them, and pushes; may be null
  // Requests with only gradients that are unanswered at a time; and as many with only targets.
  // Others queue.
  int max_in_flight = 4;
  // Bytes, the larger direction's, that requests with both may have under way when they belong to
  // more than two steps.
  size_t max_bytes_ahead = size_t{16} << 20;
  // Before attempt n + 1 of a request: first_backoff * 2^(n-1), at most max_backoff, times a random
  // number in [1/2, 1).
  absl::Duration first_backoff = absl::Milliseconds(20);
  absl::Duration max_backoff = absl::Seconds(1);
  // How long after a call's deadline its answer may still come (the shard waits until the deadline
  // itself).
  absl::Duration answer_grace = absl::Seconds(1);
  Env* env = Env::Posix();       // the clock by which PushPulls are measured
  std::shared_ptr<Trace> trace;  // null: nobody asked
};

// A Session is one worker's talk with one shard: it fills in who speaks, numbers the pushes, and
// retries.
//
// A request that the transport lost (UNAVAILABLE, or DEADLINE_EXCEEDED before the time the shard
// was given) is sent again with backoff while the call's deadline allows; a push keeps its sequence
// number, so that the shard applies it once. All other errors are the shard's decision and final.
// Errors name the worker, the step, and the shard.
//
// `done` runs exactly once, at the latest a grace after the deadline even when the transport never
// answers, on whatever thread ends the call: it must not block. An answer that comes later is
// ignored.
//
// Thread safety: safe from any thread; Close not from a `done`.
// Held by shared_ptr: calls under way keep it alive, but not the ParameterServer once Close has
// returned.
class Session : public std::enable_shared_from_this<Session> {
 public:
  template <typename Response>
  using Done = ParameterServer::Done<Response>;
  using PushPullReply = ParameterServer::PushPullReply;

  Session(SessionOptions options, std::shared_ptr<ParameterServer> server,
          std::shared_ptr<Timer> timer);

  // "ps:0".
  const std::string& task() const { return task_; }

  // The requests need neither sender, shard_index, nor wait_ms.
  void Declare(v1::DeclareRequest request, Timer::Time deadline, Done<v1::DeclareResponse> done);
  void Join(v1::JoinRequest request, Timer::Time deadline, Done<v1::JoinResponse> done);
  void DescribeBlocks(Timer::Time deadline, Done<v1::DescribeBlocksResponse> done);
  void Barrier(absl::string_view name, Timer::Time deadline, Done<v1::BarrierResponse> done);
  enum class CheckpointPart { kBegin, kFinish };  // see CheckpointRequest
  // `base` and `tracks` as in CheckpointRequest; of no account for kFinish.
  void Checkpoint(int64_t step, CheckpointPart part, absl::optional<v1::CheckpointResponse> base,
                  bool tracks, Timer::Time deadline, Done<v1::CheckpointResponse> done);
  void GetNormSums(int64_t round, Timer::Time deadline, Done<v1::GetNormSumsResponse> done);
  void SetNormTotals(int64_t round, const std::vector<double>& totals, Timer::Time deadline,
                     Done<v1::SetNormTotalsResponse> done);
  void GetStatus(Timer::Time deadline, Done<v1::GetStatusResponse> done);
  void Leave(absl::string_view error, Timer::Time deadline, Done<v1::LeaveResponse> done);

  // Makes a payload when its request is first sent, so that what waits in a queue costs no memory.
  using MakePayload = absl::AnyInvocable<Payload()>;

  // A PushPull that belongs to `operation`, > 0; dtypes that are not set are FLOAT32. The payload,
  // made at most once and let go when the call ends, holds the gradients of request.push; the
  // values of request.pull are written to `targets`, as many, before `done`, or left in the reply's
  // payload where all targets are null, with a size; request.pull_rows are after request.pull, with
  // a target for each, and so it is with pushes. An answer of another shape is INTERNAL.
  //
  // When it is sent: a request with only gradients, or only targets, when there is room
  // (max_in_flight). One with both at once, for another worker may wait for its gradient, unless
  // requests of a step before the last are under way and max_bytes_ahead with them: no gradient of
  // a step waits for what comes after the step.
  void PushPull(uint64_t operation, v1::PushPullRequest request, MakePayload make_payload,
                std::vector<absl::Span<float>> targets, Timer::Time deadline,
                Done<PushPullReply> done);
  // Ends the operation's calls with `status`: when this returns, no target is written but by a
  // `done` already running.
  void CancelOperation(uint64_t operation, const absl::Status& status);

  // Sends a heartbeat every `interval` (bounded to [10 ms, 1 h]) until Close. `superseded` hears of
  // each that is answered ABORTED: this worker has no place in the job any more. Others that fail
  // are not reported: the next may not.
  void StartHeartbeats(absl::Duration interval, absl::AnyInvocable<void(absl::Status)> superseded);

  // See ParameterServer::Attend.
  std::unique_ptr<Attendance> Attend();

  // Ends all calls with CANCELLED and lets go of the ParameterServer. Later calls end at once.
  void Close();

  // Payload bytes sent (repetitions included) and taken.
  int64_t bytes_pushed() const { return bytes_pushed_.load(std::memory_order_relaxed); }
  int64_t bytes_pulled() const { return bytes_pulled_.load(std::memory_order_relaxed); }
  // PushPulls that are queued here, and those that are sent and not answered.
  int64_t queued() const;
  int64_t in_flight() const;
  // The PushPull that was answered last.
  PushPullTime last_push_pull() const {
    MutexLock lock(&mutex_);
    return last_push_pull_;
  }
  // Attempts beyond the first, of all calls.
  int64_t retries() const { return retries_.load(std::memory_order_relaxed); }

 private:
  class Call;
  template <typename Response>
  class TypedCall;
  template <typename Response>
  using Send = absl::AnyInvocable<void(ParameterServer* server, int64_t wait_ms, Done<Response>)>;

  // Requests of one kind, of which a bounded number is under way.
  struct Lane {
    bool fused = false;  // gradients and targets: bounded by steps and bytes
    int in_flight = 0;
    size_t bytes = 0;      // in flight
    bool pumping = false;  // a thread is in Pump
    std::deque<std::shared_ptr<Call>> waiting;
    std::multiset<int64_t> steps;  // of all that have not ended, where fused
  };
  // What a call's error starts with, and where it belongs.
  struct CallInfo {
    std::string who;
    Timer::Time deadline;
    uint64_t operation = 0;
    Lane* lane = nullptr;
    int64_t step = 0;
    size_t bytes = 0;
  };

  template <typename Response>
  void Run(CallInfo info, Send<Response> send, Done<Response> done);
  CallInfo Info(absl::string_view what, Timer::Time deadline) const;
  v1::Sender Sender() const;
  // A PushPull, by its request, was answered.
  void Measured(const v1::PushPullRequest& request, const PushPullTime& time);
  void Pump(Lane* lane);
  // Starts a call that its lane, if any, counts as under way.
  void StartIn(Lane* lane, Call* call);
  // Whether there is room for a call of the lane.
  bool MayStart(const Lane& lane, const Call& call) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The next call of the lane that may be sent, taken out of its queue; null: there is none.
  std::shared_ptr<Call> TakeNext(Lane* lane) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The call with this id has ended; `sent`: it was under way in its lane.
  void Forget(uint64_t id, Lane* lane, bool sent);
  void CancelIf(absl::AnyInvocable<bool(const Call&)> chosen, const absl::Status& status);
  absl::Duration Backoff(int attempts);
  void Heartbeat(absl::Duration interval,
                 std::shared_ptr<absl::AnyInvocable<void(absl::Status)>> superseded);

  const SessionOptions options_;
  const std::string task_;
  const std::shared_ptr<Timer> timer_;

  mutable Mutex mutex_;
  CondVar sent_;
  std::shared_ptr<ParameterServer> server_ ABSL_GUARDED_BY(mutex_);  // null after Close
  int sending_ ABSL_GUARDED_BY(mutex_) = 0;  // threads inside a call of *server_
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  std::map<uint64_t, std::shared_ptr<Call>> calls_ ABSL_GUARDED_BY(mutex_);  // not ended, by id
  uint64_t next_id_ ABSL_GUARDED_BY(mutex_) = 1;
  Lane push_lane_ ABSL_GUARDED_BY(mutex_);
  Lane pull_lane_ ABSL_GUARDED_BY(mutex_);
  Lane fused_lane_ ABSL_GUARDED_BY(mutex_);
  PushPullTime last_push_pull_ ABSL_GUARDED_BY(mutex_);

  std::atomic<uint64_t> next_sequence_{1};
  std::atomic<uint64_t> backoffs_{0};  // drawn so far
  std::atomic<int64_t> bytes_pushed_{0};
  std::atomic<int64_t> bytes_pulled_{0};
  std::atomic<int64_t> retries_{0};
};

}  // namespace parley

#endif  // PARLEY_WORKER_SESSION_H_
