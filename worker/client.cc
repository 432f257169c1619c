#include "worker/client.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "absl/types/optional.h"
#include "base/aligned_buffer.h"
#include "base/mutex.h"
#include "base/status.h"
#include "glog/logging.h"
#include "net/check_local_update.h"
#include "net/checkpoint_folder.h"
#include "net/norm_plan.h"
#include "net/wire_dtype.h"
#include "worker/ask_all.h"
#include "worker/norm_exchange.h"
#include "worker/operation.h"
#include "worker/request_plan.h"
#include "worker/session.h"
#include "worker/timer.h"

namespace parley {
namespace {

// Leaving tells the others; a shard that cannot be told does not keep this task for long.
constexpr absl::Duration kLeaveTimeout = absl::Seconds(10);
constexpr absl::Duration kAbandonTimeout = absl::Seconds(5);  // by the destructor
constexpr absl::Duration kDefaultHeartbeat = absl::Seconds(1);
constexpr size_t kUncopiedBytes = size_t{16}
                                  << 20;  // of a request whose values are viewed, at most

// What callbacks share with the client: they may run while it is being destroyed.
struct ClientState {
  Mutex mutex;
  CondVar ended;                              // an operation
  int operations ABSL_GUARDED_BY(mutex) = 0;  // not ended
  uint64_t next_operation ABSL_GUARDED_BY(mutex) = 1;
  absl::Status failure ABSL_GUARDED_BY(mutex);               // why no call may begin any more
  std::vector<int64_t> versions ABSL_GUARDED_BY(mutex);      // by block: of the values pulled last
  std::vector<bool> skipped ABSL_GUARDED_BY(mutex);          // by block: their last round was
  absl::optional<float> rate_factor ABSL_GUARDED_BY(mutex);  // that pushes carry
  // Of the pulls for pull_step, which is the highest so far: the least next step that one said.
  int64_t pull_step ABSL_GUARDED_BY(mutex) = -1;
  int64_t next_step ABSL_GUARDED_BY(mutex) = 0;
};

class ClientImpl final : public Client {
 public:
  ClientImpl(Job job, std::vector<std::shared_ptr<ParameterServer>> shards, ClientOptions options)
      : job_(std::move(job)),
        options_(std::move(options)),
        task_(absl::StrCat("worker:", options_.worker)),
        timer_(std::make_shared<Timer>()),
        state_(std::make_shared<ClientState>()) {
    SessionOptions session;
    session.job = job_.name();
    session.worker = options_.worker;
    session.incarnation = options_.incarnation;
    for (size_t shard = 0; shard < shards.size(); ++shard) {
      session.shard = static_cast<int>(shard);
      sessions_.push_back(std::make_shared<Session>(session, std::move(shards[shard]), timer_));
    }
    joined_.resize(sessions_.size(), false);
    MutexLock lock(&state_->mutex);
    state_->versions.resize(job_.blocks().size(), 0);
    state_->skipped.resize(job_.blocks().size(), false);
  }

  ~ClientImpl() override {
    // A shard that does not hear it notices by the lease.
    if (!left_) LeaveAll("ended without leaving", kAbandonTimeout).IgnoreError();
    for (const std::shared_ptr<Session>& session : sessions_) session->Close();
    {
      MutexLock lock(&state_->mutex);
      while (state_->operations > 0) state_->ended.Wait(&state_->mutex);  // each in its time
    }
    timer_->Stop();
  }

  absl::Status Enter();

  const Job& job() const override { return job_; }
  int worker() const override { return options_.worker; }
  int64_t first_step() const override { return first_step_; }

  int64_t NextStep(int64_t step) const override {
    MutexLock lock(&state_->mutex);
    return state_->pull_step == step ? std::max(step, state_->next_step) : step;
  }

  std::future<absl::Status> PullAsync(int64_t step, std::vector<Target> targets) override {
    return Copy({absl::StrCat("pull of step ", step), step, step}, {}, targets);
  }
  std::future<absl::Status> PullAveragesAsync(int64_t step, std::vector<Target> targets) override {
    return Copy({absl::StrCat("pull of step ", step, "'s averages"), step, step, /*skip=*/false,
                 /*average=*/true},
                {}, targets);
  }
  std::future<absl::Status> PushAsync(int64_t step, std::vector<Gradient> gradients) override {
    return Copy({absl::StrCat("step ", step), step, step}, gradients, {});
  }
  std::future<absl::Status> PushPullAsync(int64_t step, std::vector<Gradient> gradients,
                                          std::vector<Target> targets) override {
    return Copy({absl::StrCat("step ", step), step, step + 1}, gradients, targets);
  }
  std::future<absl::Status> SkipAsync(int64_t step, std::vector<Target> targets) override {
    return Copy({absl::StrCat("step ", step), step, step + 1, /*skip=*/true}, {}, targets);
  }
  std::future<Views> PullViewsAsync(int64_t step, std::vector<int> parameters) override {
    return View({absl::StrCat("pull of step ", step), step, step}, {}, std::move(parameters));
  }
  std::future<Views> PushPullViewsAsync(int64_t step, std::vector<Gradient> gradients,
                                        std::vector<int> parameters) override {
    return View({absl::StrCat("step ", step), step, step + 1}, gradients, std::move(parameters));
  }
  bool WasSkipped(int parameter) const override {
    const Job::Parameter& info = job_.parameters()[parameter];
    MutexLock lock(&state_->mutex);
    for (int i = 0; i < info.num_blocks; ++i) {
      if (state_->skipped[info.first_block + i]) return true;
    }
    return false;
  }

  absl::Status SetRateFactor(float factor) override;
  absl::Status Barrier(absl::string_view name, absl::Duration timeout) override;
  absl::StatusOr<std::string> SaveCheckpoint(int64_t step, const std::string& folder,
                                             int keep) override;
  absl::StatusOr<JobStatus> Status() override;
  bool ShardsDrain() const override {
    return std::any_of(sessions_.begin(), sessions_.end(),
                       [](const std::shared_ptr<Session>& session) { return session->draining(); });
  }
  absl::Status Leave(const absl::Status& reason) override;

  std::shared_ptr<float> NewBuffer(size_t elements) override {
    const size_t bytes = elements * sizeof(float);
    if (options_.arena != nullptr) {
      const absl::StatusOr<std::shared_ptr<std::byte>> buffer = options_.arena->Allocate(bytes);
      if (buffer.ok()) return {*buffer, reinterpret_cast<float*>(buffer->get())};
      LOG(WARNING) << task_ << ": " << buffer.status().message() << "; gradients are copied";
    }
    return {reinterpret_cast<float*>(NewAlignedBytes(bytes).release()), FreeDeleter()};
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

 private:
  // OK while calls may begin.
  absl::Status Usable() const {
    MutexLock lock(&state_->mutex);
    return state_->failure;
  }
  // Joins every shard; heartbeats begin with each answer.
  absl::Status JoinAll(Timer::Time deadline);
  // Each shard holds the blocks that the job gives to the shard of its index.
  absl::Status CheckBlocks(Timer::Time deadline);
  // Finds where the rounds stand, when their optimizers need norms.
  absl::Status StartNormExchange(Timer::Time deadline);
  absl::Status LeaveAll(absl::string_view error, absl::Duration timeout);

  // What a call is to all its requests.
  struct Step {
    std::string what;  // "step 5"
    int64_t step;
    int64_t pull_step;
    bool skip = false;
    bool average = false;  // pulls averages
  };
  // Where answers are left that are not copied, by block.
  struct Uncopied {
    Mutex mutex;
    std::map<uint32_t, Payload> values ABSL_GUARDED_BY(mutex);
  };
  struct Sending;

  // INVALID_ARGUMENT names what is wrong with the parameter of a call, of `size` elements where it
  // is not negative, `given` before.
  absl::Status CheckPart(int parameter, int64_t size, bool given) const;
  std::future<absl::Status> Copy(const Step& step, const std::vector<Gradient>& gradients,
                                 const std::vector<Target>& targets);
  std::future<Views> View(const Step& step, const std::vector<Gradient>& gradients,
                          std::vector<int> parameters);
  // The parameter's blocks out of `values`.
  Client::View MakeView(int parameter, const std::map<uint32_t, Payload>& values);
  // Sends what is pushed and asks for what is pulled, by parameter; `done` runs once, when all has
  // ended. What has no target is left in `uncopied`.
  void Transfer(const Step& step, const absl::Status& legal, const std::vector<Gradient>& gradients,
                const std::vector<PullPart>& pulls, std::shared_ptr<Uncopied> uncopied,
                absl::AnyInvocable<void(absl::Status)> done);
  void SendRequest(PlannedRequest planned, const Sending& sending);
  // The gradients of `planned`, in order; pointers into the caller's memory are owned by `loan`.
  Payload MakePayload(const PlannedRequest& planned, const std::shared_ptr<const void>& loan);

  const Job job_;
  const ClientOptions options_;
  const std::string task_;  // "worker:1"
  const std::shared_ptr<Timer> timer_;
  const std::shared_ptr<ClientState> state_;
  std::vector<std::shared_ptr<Session>> sessions_;  // by shard; constant after construction
  // Written by Enter, before others can see the client, and by Leave, after which nothing may be
  // called.
  std::vector<bool> joined_;  // by shard
  int64_t first_step_ = 0;
  bool left_ = false;
  std::shared_ptr<NormExchange> norms_;  // null: no optimizer needs any; constant after Enter
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
  norms_ = std::make_shared<NormExchange>(job_, task_, sessions_, timer_, finished);
  return absl::OkStatus();
}

absl::Status ClientImpl::JoinAll(Timer::Time deadline) {
  v1::JoinRequest request;
  *request.mutable_spec() = job_.spec();
  const auto answers = AskAll<v1::JoinResponse>(
      sessions_, [&](size_t shard, Session&, Session::Done<v1::JoinResponse> done) {
        const std::shared_ptr<Session> session = sessions_[shard];
        session->Join(request, deadline,
                      [session, state = state_,
                       done = std::move(done)](absl::StatusOr<v1::JoinResponse> answer) mutable {
                        if (answer.ok()) {
                          const absl::Duration interval =
                              answer->heartbeat_ms() > 0
                                  ? absl::Milliseconds(answer->heartbeat_ms())
                                  : kDefaultHeartbeat;
                          session->StartHeartbeats(interval, [state](absl::Status status) {
                            MutexLock lock(&state->mutex);
                            if (state->failure.ok()) state->failure = std::move(status);
                          });
                        }
                        done(std::move(answer));
                      });
      });
  for (size_t shard = 0; shard < answers.size(); ++shard) joined_[shard] = answers[shard].ok();
  PARLEY_RETURN_IF_ERROR(FirstError(answers));

  bool found = false;
  for (size_t shard = 0; shard < answers.size(); ++shard) {
    const int64_t step = answers[shard]->step();
    if (step < 0) {
      return absl::InternalError(
          absl::StrCat(task_, " Join: ps:", shard, ": malformed answer: step ", step));
    }
    // A shard without blocks has seen no steps.
    if (job_.BlocksOfShard(static_cast<int>(shard)).empty()) continue;
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

absl::Status ClientImpl::CheckPart(int parameter, int64_t size, bool given) const {
  if (parameter < 0 || parameter >= static_cast<int>(job_.parameters().size())) {
    return absl::InvalidArgumentError(absl::StrCat("no parameter ", parameter, "; job ",
                                                   job_.name(), " has ", job_.parameters().size()));
  }
  const Job::Parameter& info = job_.parameters()[parameter];
  if (size >= 0 && size != info.size) {
    return absl::InvalidArgumentError(
        absl::StrCat("parameter ", info.name, " has ", info.size, " elements, not ", size));
  }
  if (given) {
    return absl::InvalidArgumentError(absl::StrCat("parameter ", info.name, " is given twice"));
  }
  return absl::OkStatus();
}

std::future<absl::Status> ClientImpl::Copy(const Step& step, const std::vector<Gradient>& gradients,
                                           const std::vector<Target>& targets) {
  std::vector<PullPart> pulls(job_.parameters().size());
  const absl::Status legal = [&] {
    for (const Target& target : targets) {
      const bool given = target.parameter >= 0 &&
                         target.parameter < static_cast<int>(pulls.size()) &&
                         pulls[target.parameter].pulled;
      PARLEY_RETURN_IF_ERROR(
          CheckPart(target.parameter, static_cast<int64_t>(target.values.size()), given));
      pulls[target.parameter] = {true, target.values.data()};
    }
    return absl::OkStatus();
  }();
  auto promise = std::make_shared<std::promise<absl::Status>>();
  std::future<absl::Status> future = promise->get_future();
  Transfer(step, legal, gradients, pulls, nullptr,
           [promise](absl::Status status) { promise->set_value(std::move(status)); });
  return future;
}

std::future<Client::Views> ClientImpl::View(const Step& step,
                                            const std::vector<Gradient>& gradients,
                                            std::vector<int> parameters) {
  std::vector<PullPart> pulls(job_.parameters().size());
  const absl::Status legal = [&] {
    if (options_.pull_dtype != v1::FLOAT32) {
      return absl::InvalidArgumentError("values that travel in 16 bits cannot be viewed");
    }
    for (const int parameter : parameters) {
      const bool given =
          parameter >= 0 && parameter < static_cast<int>(pulls.size()) && pulls[parameter].pulled;
      PARLEY_RETURN_IF_ERROR(CheckPart(parameter, -1, given));
      pulls[parameter].pulled = true;
    }
    return absl::OkStatus();
  }();
  auto uncopied = std::make_shared<Uncopied>();
  auto promise = std::make_shared<std::promise<Views>>();
  std::future<Views> future = promise->get_future();
  // The client outlives its operations.
  Transfer(step, legal, gradients, pulls, uncopied,
           [this, promise, uncopied, parameters = std::move(parameters)](absl::Status status) {
             if (!status.ok()) return promise->set_value(std::move(status));
             std::vector<Client::View> views;
             MutexLock lock(&uncopied->mutex);
             for (const int parameter : parameters) {
               views.push_back(MakeView(parameter, uncopied->values));
             }
             promise->set_value(std::move(views));
           });
  return future;
}

Client::View ClientImpl::MakeView(int parameter, const std::map<uint32_t, Payload>& values) {
  const Job::Parameter& info = job_.parameters()[parameter];
  Client::View view;
  view.parameter = parameter;
  auto memory = std::make_shared<std::vector<std::shared_ptr<const void>>>();
  for (int i = 0; i < info.num_blocks; ++i) {
    const uint32_t block = static_cast<uint32_t>(info.first_block + i);
    const Payload& payload = values.at(block);
    const size_t size = static_cast<size_t>(job_.blocks()[block].size);
    const Payload::Slice& first = payload.slices()[0];
    if (payload.slices().size() == 1 &&
        reinterpret_cast<uintptr_t>(first.data) % alignof(float) == 0) {
      view.blocks.emplace_back(reinterpret_cast<const float*>(first.data), size);
      memory->push_back(first.owner);
    } else {
      const std::shared_ptr<float> copy = NewBuffer(size);
      payload.CopyTo(copy.get());
      view.blocks.emplace_back(copy.get(), size);
      memory->push_back(copy);
    }
  }
  view.memory = std::move(memory);
  return view;
}

// What the requests of one call have in common.
struct ClientImpl::Sending {
  const Step& step;
  uint64_t id;
  std::shared_ptr<const void> loan;
  std::shared_ptr<Uncopied> uncopied;
  Timer::Time deadline;
  std::shared_ptr<Operation> operation;
};

void ClientImpl::Transfer(const Step& step, const absl::Status& legal_pulls,
                          const std::vector<Gradient>& gradients,
                          const std::vector<PullPart>& pulls, std::shared_ptr<Uncopied> uncopied,
                          absl::AnyInvocable<void(absl::Status)> done) {
  const Timer::Time deadline = Timer::After(options_.timeout);
  const std::string name = absl::StrCat(task_, " ", step.what);
  std::vector<const float*> sources(job_.parameters().size(), nullptr);
  const absl::Status legal = [&] {
    PARLEY_RETURN_IF_ERROR(Usable());
    if (step.step < 0 || step.step == std::numeric_limits<int64_t>::max()) {
      return absl::InvalidArgumentError("no such step");
    }
    for (const Gradient& gradient : gradients) {
      const bool given = gradient.parameter >= 0 &&
                         gradient.parameter < static_cast<int>(sources.size()) &&
                         sources[gradient.parameter] != nullptr;
      PARLEY_RETURN_IF_ERROR(
          CheckPart(gradient.parameter, static_cast<int64_t>(gradient.values.size()), given));
      sources[gradient.parameter] = gradient.values.data();
    }
    return legal_pulls;
  }();
  if (!legal.ok()) return done(Annotate(legal, name));

  // What is not copied leaves no caches to spare, and fewer messages are quicker.
  size_t request_bytes = options_.request_bytes;
  if (uncopied != nullptr) {
    request_bytes = std::max(request_bytes, std::min(4 * request_bytes, kUncopiedBytes));
  }
  std::vector<PlannedRequest> plan =
      PlanRequests(job_, sources, pulls, request_bytes, SessionOptions().max_in_flight);
  if (step.skip) {
    std::vector<PlannedRequest> skips = PlanSkip(job_);
    plan.insert(plan.begin(), skips.begin(), skips.end());
  }
  if (plan.empty()) return done(absl::OkStatus());

  uint64_t id;
  {
    MutexLock lock(&state_->mutex);
    ++state_->operations;
    id = state_->next_operation++;
  }
  const auto cancel = [sessions = sessions_, id, name] {
    const absl::Status status =
        absl::CancelledError(absl::StrCat(name, ": another request of this step failed"));
    for (const std::shared_ptr<Session>& session : sessions) session->CancelOperation(id, status);
  };
  std::set<int> asked;
  for (const PlannedRequest& request : plan) asked.insert(request.shard);
  const std::string who =
      absl::StrCat(name, ": ", absl::StrJoin(asked, ", ", [](std::string* out, int shard) {
                     absl::StrAppend(out, "ps:", shard);
                   }));
  auto operation = std::make_shared<Operation>(
      static_cast<int>(plan.size()), who, deadline, timer_, cancel,
      [done = std::move(done), state = state_](absl::Status status) mutable {
        done(std::move(status));
        MutexLock lock(&state->mutex);
        if (--state->operations == 0) state->ended.NotifyAll();
      });
  {
    Sending sending = {step, id, nullptr, std::move(uncopied), deadline, operation};
    if (!gradients.empty()) sending.loan = operation->Lend();
    for (PlannedRequest& planned : plan) {
      if (operation->failed()) {
        operation->Ended(absl::CancelledError(name));
      } else {
        SendRequest(std::move(planned), sending);
      }
    }
  }
  if (norms_ != nullptr) {
    // Rounds that only were pushed to have to end too: what comes after them waits.
    const bool pushes = step.skip || !gradients.empty();
    norms_->Need(pushes ? std::max(step.step + 1, step.pull_step) : step.pull_step, deadline);
  }
  // A request that failed meanwhile could not cancel those that were not there yet.
  if (operation->failed()) cancel();
}

void ClientImpl::SendRequest(PlannedRequest planned, const Sending& sending) {
  v1::PushPullRequest request;
  std::vector<absl::Span<float>> places;
  std::vector<uint32_t> pulled;
  request.set_step(sending.step.step);
  request.set_pull_step(sending.step.pull_step);
  request.set_skip(planned.skip);
  request.set_average(sending.step.average);
  request.set_dtype(options_.push_dtype);
  request.set_pull_dtype(options_.pull_dtype);
  {
    MutexLock lock(&state_->mutex);
    if (state_->rate_factor.has_value()) request.set_rate_factor(*state_->rate_factor);
    for (const PlannedBlock& block : planned.blocks) {
      if (block.gradient != nullptr || planned.skip) {
        request.add_push(block.block);
        request.add_base_version(state_->versions[block.block]);
      }
      if (block.pulled) {
        request.add_pull(block.block);
        pulled.push_back(block.block);
        places.push_back({block.target, static_cast<size_t>(block.size)});
      }
    }
  }
  std::shared_ptr<const void> loan;
  if (request.push_size() > 0) loan = sending.loan;
  Session& session = *sessions_[planned.shard];
  session.PushPull(
      sending.id, std::move(request),
      // The client outlives its operations.
      [this, planned = std::move(planned), loan = std::move(loan)] {
        return MakePayload(planned, loan);
      },
      std::move(places), sending.deadline,
      [this, operation = sending.operation, uncopied = sending.uncopied,
       average = sending.step.average, pull_step = sending.step.pull_step, state = state_,
       pulled = std::move(pulled)](absl::StatusOr<ParameterServer::PushPullReply> reply) {
        if (reply.ok() && !average) {  // gradients are not of averages
          const v1::PushPullResponse& response = reply->response;
          MutexLock lock(&state->mutex);
          if (!pulled.empty() && pull_step >= state->pull_step) {
            const int64_t next = std::max(pull_step, response.next_step());
            const bool first = pull_step > state->pull_step;
            state->next_step = first ? next : std::min(state->next_step, next);
            state->pull_step = pull_step;
          }
          for (size_t i = 0; i < pulled.size(); ++i) {
            const int at = static_cast<int>(i);
            state->versions[pulled[i]] = response.version(at);
            state->skipped[pulled[i]] = response.skipped_size() > 0 && response.skipped(at);
          }
        }
        if (reply.ok() && uncopied != nullptr) {
          PayloadReader values(reply->payload);
          MutexLock lock(&uncopied->mutex);
          for (const uint32_t block : pulled) {
            const size_t bytes = static_cast<size_t>(job_.blocks()[block].size) * sizeof(float);
            uncopied->values[block] = values.Take(bytes);
          }
        }
        operation->Ended(reply.status());
      });
}

Payload ClientImpl::MakePayload(const PlannedRequest& planned,
                                const std::shared_ptr<const void>& loan) {
  Payload payload;
  for (const PlannedBlock& block : planned.blocks) {
    if (block.gradient == nullptr) continue;
    // A shard in this process keeps a synchronous gradient until its round is complete. With a pull
    // of the next step the call waits for that anyway; without one it must not.
    const bool must_copy = job_.GathersGradients(job_.blocks()[block.block].parameter);
    const size_t bytes = static_cast<size_t>(block.size) * sizeof(float);
    if (options_.push_dtype != v1::FLOAT32 || (must_copy && !block.awaited)) {
      const size_t size = static_cast<size_t>(block.size);
      const std::shared_ptr<float> copy = NewBuffer(size);
      ToWire(options_.push_dtype, block.gradient, size, copy.get());
      payload.Append(copy.get(), size * WireBytes(options_.push_dtype), copy);
    } else {
      payload.Append(block.gradient, bytes, loan);
    }
  }
  return payload;
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
  MutexLock lock(&state_->mutex);
  state_->rate_factor = factor;
  return absl::OkStatus();
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
    if (answer.workers_size() != job_.spec().num_workers()) {
      return absl::InternalError(absl::StrCat(
          task_, ": ps:", shard, ": malformed answer: ", answer.workers_size(), " workers"));
    }
    const bool holds_blocks = !job_.BlocksOfShard(static_cast<int>(shard)).empty();
    for (int i = 0; i < answer.workers_size(); ++i) {
      const Worker& worker = answer.workers(i);
      if (shard == 0) total.add_workers()->set_state(worker.state());
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

absl::StatusOr<std::string> ClientImpl::SaveCheckpoint(int64_t step, const std::string& folder,
                                                       int keep) {
  PARLEY_RETURN_IF_ERROR(Usable());
  const std::string who = absl::StrCat(task_, " step ", step, " checkpoint");
  if (options_.worker != 0 || step < 0 || keep < 2) {
    return absl::InvalidArgumentError(absl::StrCat(
        who, ": only worker:0 makes them, of a step >= 0, and at least 2 are kept, not ", keep));
  }
  const auto answers = AskAll<v1::CheckpointResponse>(
      sessions_, [&](size_t, Session& session, Session::Done<v1::CheckpointResponse> done) {
        session.Checkpoint(step, Timer::After(options_.timeout), std::move(done));
      });
  PARLEY_RETURN_IF_ERROR(FirstError(answers));

  v1::Manifest manifest;
  *manifest.mutable_spec() = job_.spec();
  manifest.set_step(step);
  for (const absl::StatusOr<v1::CheckpointResponse>& answer : answers) {
    v1::Manifest::ShardFile* file = manifest.add_shards();
    file->set_file(answer->file());
    file->set_bytes(answer->bytes());
    file->set_crc32c(answer->crc32c());
  }
  if (const absl::Status written = WriteManifest(options_.env, folder, manifest); !written.ok()) {
    return Annotate(written, who);
  }
  if (const absl::Status removed = RemoveOldCheckpoints(options_.env, folder, keep);
      !removed.ok()) {
    // The new one stands; what is left over costs only room.
    LOG(WARNING) << who << ": old checkpoints are not removed: " << removed;
  }
  return ManifestFileName(step);
}

absl::Status ClientImpl::Leave(const absl::Status& reason) {
  if (left_) return absl::FailedPreconditionError(absl::StrCat(task_, " has left already"));
  left_ = true;
  const absl::Status status =
      LeaveAll(reason.ok() ? "" : reason.ToString(), std::min(options_.timeout, kLeaveTimeout));
  MutexLock lock(&state_->mutex);
  state_->failure = absl::FailedPreconditionError(absl::StrCat(task_, " has left the job"));
  return status;
}

absl::Status ClientImpl::LeaveAll(absl::string_view error, absl::Duration timeout) {
  const Timer::Time deadline = Timer::After(timeout);
  return FirstError(AskAll<v1::LeaveResponse>(
      sessions_, [&](size_t shard, Session& session, Session::Done<v1::LeaveResponse> done) {
        if (joined_[shard]) {
          session.Leave(error, deadline, std::move(done));
        } else {
          done(v1::LeaveResponse());
        }
      }));
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
