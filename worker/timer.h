#ifndef PARLEY_WORKER_TIMER_H_
#define PARLEY_WORKER_TIMER_H_

#include <chrono>
#include <cstdint>
#include <map>
#include <thread>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "base/mutex.h"

namespace parley {

// A Timer runs tasks at their times on a thread of its own, one after another, so that a retry or a
// heartbeat never blocks the thread that brought an answer. Tasks must not block. Thread safety:
// safe from any thread; Stop not from a task.
class Timer {
 public:
  // Steady: a clock that is set does not move a deadline.
  using Time = std::chrono::steady_clock::time_point;
  using Id = uint64_t;  // never 0

  static Time Now() { return std::chrono::steady_clock::now(); }
  // `delay` from now; at least now, at most a year away.
  static Time After(absl::Duration delay);

  Timer();
  ~Timer();  // as Stop
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  // Runs `task` at `when`, soon if that has passed. After Stop the task is dropped.
  Id RunAt(Time when, absl::AnyInvocable<void()> task);
  // Drops the task, if it has not begun. Does not wait for one that runs.
  void Cancel(Id id);
  // Drops all tasks and ends the thread. May be called again.
  void Stop();

 private:
  void Run();

  Mutex mutex_;
  CondVar changed_;
  std::map<std::pair<Time, Id>, absl::AnyInvocable<void()>> tasks_ ABSL_GUARDED_BY(mutex_);
  std::map<Id, Time> times_ ABSL_GUARDED_BY(mutex_);  // of tasks_
  Id next_id_ ABSL_GUARDED_BY(mutex_) = 1;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;

  std::thread thread_;
};

}  // namespace parley

#endif  // PARLEY_WORKER_TIMER_H_
