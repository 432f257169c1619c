#include "worker/transfers.h"

#include <algorithm>
#include <limits>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/types/optional.h"
#include "base/aligned_buffer.h"
#include "base/mutex.h"
#include "base/status.h"
#include "glog/logging.h"
#include "net/wire_dtype.h"
#include "worker/operation.h"

namespace parley {
namespace {

// Of a request whose values are viewed, at most.
constexpr size_t kUncopiedBytes = size_t{16} << 20;

// As PlanRequests' max_fused. With backup workers a pull that comes before its own worker's
// gradient is answered without it, and the worker would go on too early: they travel together.
size_t MostFused(const Job& job) {
  for (size_t i = 0; i < job.parameters().size(); ++i) {
    const int parameter = static_cast<int>(i);
    const bool pulls_wait = job.LockstepRounds(parameter) == std::numeric_limits<int64_t>::max() ||
                            job.PolicyOf(parameter).has_local_sgd() ||
                            !job.GathersGradients(parameter);
    if (!pulls_wait) return std::numeric_limits<size_t>::max();
  }
  return static_cast<size_t>(SessionOptions().max_in_flight);
}

}  // namespace

// What callbacks share with the client: they may run while it is being destroyed.
struct Transfers::State {
  Mutex mutex;
  CondVar ended;                              // an operation
  int operations ABSL_GUARDED_BY(mutex) = 0;  // not ended
  uint64_t next_operation ABSL_GUARDED_BY(mutex) = 1;
  std::vector<int64_t> versions ABSL_GUARDED_BY(mutex);      // by block: of the values pulled last
  std::vector<bool> skipped ABSL_GUARDED_BY(mutex);          // by block: their last round was
  absl::optional<float> rate_factor ABSL_GUARDED_BY(mutex);  // that pushes carry
  // Of the pulls for pull_step, which is the highest so far: the least next step that one said.
  int64_t pull_step ABSL_GUARDED_BY(mutex) = -1;
  int64_t next_step ABSL_GUARDED_BY(mutex) = 0;  // 0: none did
};

// Where answers are left that are not copied, by block.
struct Transfers::Uncopied {
  Mutex mutex;
  std::map<uint32_t, Payload> values ABSL_GUARDED_BY(mutex);
};

Transfers::Transfers(const Job* job, TransfersOptions options,
                     std::vector<std::shared_ptr<Session>> sessions, std::shared_ptr<Timer> timer)
    : job_(*job),
      options_(std::move(options)),
      sessions_(std::move(sessions)),
      timer_(std::move(timer)),
      state_(std::make_shared<State>()) {
  MutexLock lock(&state_->mutex);
  state_->versions.resize(job_.blocks().size(), 0);
  state_->skipped.resize(job_.blocks().size(), false);
}

Transfers::~Transfers() {
  MutexLock lock(&state_->mutex);
  while (state_->operations > 0) state_->ended.Wait(&state_->mutex);  // each in its time
}

int64_t Transfers::NextStep(int64_t step) const {
  MutexLock lock(&state_->mutex);
  // A shard cannot say that it stays at step 0.
  const bool says = state_->pull_step == step && step > 0;
  return says ? std::max(step, state_->next_step) : step;
}

bool Transfers::WasSkipped(int parameter) const {
  const Job::Parameter& info = job_.parameters()[parameter];
  MutexLock lock(&state_->mutex);
  for (int i = 0; i < info.num_blocks; ++i) {
    if (state_->skipped[info.first_block + i]) return true;
  }
  return false;
}

void Transfers::SetRateFactor(float factor) {
  MutexLock lock(&state_->mutex);
  state_->rate_factor = factor;
}

std::shared_ptr<float> Transfers::NewBuffer(size_t elements) {
  const size_t bytes = elements * sizeof(float);
  if (options_.arena != nullptr) {
    const absl::StatusOr<std::shared_ptr<std::byte>> buffer = options_.arena->Allocate(bytes);
    if (buffer.ok()) return {*buffer, reinterpret_cast<float*>(buffer->get())};
    LOG(WARNING) << options_.task << ": " << buffer.status().message() << "; gradients are copied";
  }
  return {reinterpret_cast<float*>(NewAlignedBytes(bytes).release()), FreeDeleter()};
}

absl::Status Transfers::CheckPart(int parameter, int64_t size, bool given) const {
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

void Transfers::Copy(const absl::Status& usable, const Call& call,
                     const std::vector<ParameterGradient>& gradients,
                     const std::vector<ParameterTarget>& targets,
                     absl::AnyInvocable<void(absl::Status)> done) {
  std::vector<PullPart> pulls(job_.parameters().size());
  const absl::Status legal = [&] {
    for (const ParameterTarget& target : targets) {
      const bool given = target.parameter >= 0 &&
                         target.parameter < static_cast<int>(pulls.size()) &&
                         pulls[target.parameter].pulled;
      PARLEY_RETURN_IF_ERROR(
          CheckPart(target.parameter, static_cast<int64_t>(target.values.size()), given));
      pulls[target.parameter] = {true, target.values.data()};
    }
    return absl::OkStatus();
  }();
  Transfer(usable, call, legal, gradients, pulls, nullptr, std::move(done));
}

std::future<absl::Status> Transfers::Copy(const absl::Status& usable, const Call& call,
                                          const std::vector<ParameterGradient>& gradients,
                                          const std::vector<ParameterTarget>& targets) {
  std::promise<absl::Status> promise;
  std::future<absl::Status> future = promise.get_future();
  Copy(usable, call, gradients, targets,
       [promise = std::move(promise)](absl::Status status) mutable {
         promise.set_value(std::move(status));
       });
  return future;
}

absl::Status Transfers::CopyAndWait(const absl::Status& usable, const Call& call,
                                    const std::vector<ParameterGradient>& gradients,
                                    const std::vector<ParameterTarget>& targets) {
  std::unique_ptr<Attendance> attendance;
  for (const std::shared_ptr<Session>& session : sessions_) {
    attendance = session->Attend();
    if (attendance != nullptr) break;
  }
  if (attendance == nullptr) return Copy(usable, call, gradients, targets).get();
  absl::Status result;
  Copy(usable, call, gradients, targets,
       [&result, attendance = attendance.get()](absl::Status status) {
         result = std::move(status);
         attendance->End();
       });
  attendance->Wait();
  return result;
}

std::future<Transfers::Views> Transfers::View(const absl::Status& usable, const Call& call,
                                              const std::vector<ParameterGradient>& gradients,
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
  Transfer(usable, call, legal, gradients, pulls, uncopied,
           [this, promise, uncopied, parameters = std::move(parameters)](absl::Status status) {
             if (!status.ok()) return promise->set_value(std::move(status));
             std::vector<ParameterView> views;
             MutexLock lock(&uncopied->mutex);
             for (const int parameter : parameters) {
               views.push_back(MakeView(parameter, uncopied->values));
             }
             promise->set_value(std::move(views));
           });
  return future;
}

ParameterView Transfers::MakeView(int parameter, const std::map<uint32_t, Payload>& values) {
  const Job::Parameter& info = job_.parameters()[parameter];
  ParameterView view;
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
struct Transfers::Sending {
  const Call& call;
  uint64_t id;
  std::shared_ptr<const void> loan;
  std::shared_ptr<Uncopied> uncopied;
  Timer::Time deadline;
  std::shared_ptr<Operation> operation;
};

void Transfers::Transfer(const absl::Status& usable, const Call& call,
                         const absl::Status& legal_pulls,
                         const std::vector<ParameterGradient>& gradients,
                         const std::vector<PullPart>& pulls, std::shared_ptr<Uncopied> uncopied,
                         absl::AnyInvocable<void(absl::Status)> done) {
  const Timer::Time deadline = Timer::After(options_.timeout);
  const std::string name = absl::StrCat(options_.task, " ", call.what);
  std::vector<const float*> sources(job_.parameters().size(), nullptr);
  const absl::Status legal = [&] {
    PARLEY_RETURN_IF_ERROR(usable);
    if (call.step < 0 || call.step == std::numeric_limits<int64_t>::max()) {
      return absl::InvalidArgumentError("no such step");
    }
    for (const ParameterGradient& gradient : gradients) {
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
      PlanRequests(job_, sources, pulls, request_bytes, MostFused(job_));
  if (call.skip) {
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
    Sending sending = {call, id, nullptr, std::move(uncopied), deadline, operation};
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
    const bool pushes = call.skip || !gradients.empty();
    norms_->Need(pushes ? std::max(call.step + 1, call.pull_step) : call.pull_step, deadline);
  }
  // A request that failed meanwhile could not cancel those that were not there yet.
  if (operation->failed()) cancel();
}

void Transfers::SendRequest(PlannedRequest planned, const Sending& sending) {
  v1::PushPullRequest request;
  std::vector<absl::Span<float>> places;
  std::vector<uint32_t> pulled;
  request.set_step(sending.call.step);
  request.set_pull_step(sending.call.pull_step);
  request.set_skip(planned.skip);
  request.set_average(sending.call.average);
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
      [this, planned = std::move(planned), loan = std::move(loan)] {
        return MakePayload(planned, loan);
      },
      std::move(places), sending.deadline,
      [this, operation = sending.operation, uncopied = sending.uncopied,
       average = sending.call.average, pull_step = sending.call.pull_step, state = state_,
       pulled = std::move(pulled)](absl::StatusOr<ParameterServer::PushPullReply> reply) {
        if (reply.ok() && !average) {  // gradients are not of averages
          const v1::PushPullResponse& response = reply->response;
          MutexLock lock(&state->mutex);
          if (!pulled.empty() && pull_step >= state->pull_step) {
            if (pull_step > state->pull_step) state->next_step = 0;
            state->pull_step = pull_step;
            const int64_t next = response.next_step();
            const bool least = state->next_step == 0 || next < state->next_step;
            if (next > 0 && least) state->next_step = next;
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

Payload Transfers::MakePayload(const PlannedRequest& planned,
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

}  // namespace parley
