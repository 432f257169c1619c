#ifndef PARLEY_NET_TESTING_PENDING_ANSWER_H_
#define PARLEY_NET_TESTING_PENDING_ANSWER_H_

#include <memory>
#include <optional>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/mutex.h"
#include "net/parameter_server.h"

namespace parley {

// The answer to one call of a ParameterServer, for tests that wait for it. Copies are the same
// answer. Thread safety: safe from any thread.
template <typename Response>
class PendingAnswer {
 public:
  // What to pass as the call's `done`. It may run after this object is gone.
  ParameterServer::Done<Response> Done() const {
    return [state = state_](absl::StatusOr<Response> answer) {
      MutexLock lock(&state->mutex);
      ++state->times;
      state->answer = std::move(answer);
      state->changed.NotifyAll();
    };
  }

  // The answer, or DEADLINE_EXCEEDED "the test waited in vain" after `timeout`.
  absl::StatusOr<Response> Wait(absl::Duration timeout = absl::Seconds(60)) const {
    const absl::Time end = absl::Now() + timeout;
    MutexLock lock(&state_->mutex);
    while (!state_->answer.has_value()) {
      const absl::Duration left = end - absl::Now();
      if (left <= absl::ZeroDuration()) {
        return absl::DeadlineExceededError("the test waited in vain");
      }
      state_->changed.WaitFor(&state_->mutex, left);
    }
    return *state_->answer;
  }

  // How often `done` ran.
  int times() const {
    MutexLock lock(&state_->mutex);
    return state_->times;
  }

 private:
  struct State {
    Mutex mutex;
    CondVar changed;
    int times ABSL_GUARDED_BY(mutex) = 0;
    std::optional<absl::StatusOr<Response>> answer ABSL_GUARDED_BY(mutex);
  };
  const std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace parley

#endif  // PARLEY_NET_TESTING_PENDING_ANSWER_H_
