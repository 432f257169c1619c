#ifndef PARLEY_PS_TASK_THREAD_H_
#define PARLEY_PS_TASK_THREAD_H_

#include <deque>
#include <thread>

#include "absl/functional/any_invocable.h"
#include "base/mutex.h"

namespace parley {

// A thread that runs tasks one after another, in the order they were posted. Whoever posts a short
// task may run it instead (Help), which saves waking the thread; never do two tasks run at a time,
// and each sees what those before it did.
// Thread safety: Post and Help are safe from any thread, a task's included. The destructor runs
// what was posted and joins; nothing may be posted after it began, except by the tasks it still
// runs.
class TaskThread {
 public:
  using Task = absl::AnyInvocable<void()>;

  TaskThread();
  ~TaskThread();
  TaskThread(const TaskThread&) = delete;
  TaskThread& operator=(const TaskThread&) = delete;

  void Post(Task task);
  // The same, without waking the thread: the caller calls Help soon.
  void PostToHelp(Task task);
  // Runs the waiting tasks here, a few at most, unless one is being run; the thread does the rest.
  void Help();

 private:
  void Run();

  Mutex mutex_;
  CondVar changed_;
  std::deque<Task> tasks_ ABSL_GUARDED_BY(mutex_);
  bool running_ ABSL_GUARDED_BY(mutex_) = false;  // a task is, on whatever thread
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // constant after construction
};

}  // namespace parley

#endif  // PARLEY_PS_TASK_THREAD_H_
