#ifndef PARLEY_WORKER_OPERATION_H_
#define PARLEY_WORKER_OPERATION_H_

#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "base/mutex.h"
#include "worker/timer.h"

namespace parley {

// An Operation is one asynchronous call of a client: it ends when all its requests have ended and
// nobody can read the caller's memory any more, with the first error of a request.
//
// Memory: Lend gives the owner for payload slices that point into the caller's memory; when the
// last copy is gone, the memory is returned. A peer that keeps it past the deadline, or for longer
// than five seconds after an error, is not waited for: the operation then ends with an error that
// says so.
//
// Thread safety: safe from any thread. Held by shared_ptr, also by what it lent.
class Operation : public std::enable_shared_from_this<Operation> {
 public:
  // `requests` >= 1 of them will end. `name` begins errors of its own: "worker:1 step 5: ps:0,
  // ps:1". `cancel` runs at the first error, to end the other requests early; `ready` runs once, at
  // the end. Neither may block.
  Operation(int requests, std::string name, Timer::Time deadline, std::shared_ptr<Timer> timer,
            absl::AnyInvocable<void()> cancel, absl::AnyInvocable<void(absl::Status)> ready);

  // At most once, before any request ends.
  std::shared_ptr<const void> Lend();
  // One of the requests has ended.
  void Ended(const absl::Status& status);
  // A request has ended with an error.
  bool failed() const;

 private:
  class Loan;

  void Returned();
  void GiveUp();
  // Runs ready_ if it is time.
  void Review();

  const std::string name_;
  const Timer::Time deadline_;
  const std::shared_ptr<Timer> timer_;

  mutable Mutex mutex_;
  absl::AnyInvocable<void()> cancel_ ABSL_GUARDED_BY(mutex_);
  absl::AnyInvocable<void(absl::Status)> ready_ ABSL_GUARDED_BY(mutex_);  // null once it ran
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  int requests_ ABSL_GUARDED_BY(mutex_);       // that have not ended
  bool lent_ ABSL_GUARDED_BY(mutex_) = false;  // and not returned
  Timer::Id give_up_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace parley

#endif  // PARLEY_WORKER_OPERATION_H_
