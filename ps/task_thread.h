#ifndef PARLEY_PS_TASK_THREAD_H_
#define PARLEY_PS_TASK_THREAD_H_

#include <deque>
#include <thread>

#include "absl/functional/any_invocable.h"
#include "base/mutex.h"

namespace parley {

// A thread that runs tasks one after another, in the order they were posted.
// Thread safety: Post is safe from any thread, a task's included. The destructor runs what was
// posted and joins; nothing may be posted after it began, except by the tasks it still runs.
class TaskThread {
 public:
  using Task = absl::AnyInvocable<void()>;

  TaskThread();
  ~TaskThread();
  TaskThread(const TaskThread&) = delete;
  TaskThread& operator=(const TaskThread&) = delete;

  void Post(Task task);

 private:
  void Run();

  Mutex mutex_;
  CondVar changed_;
  std::deque<Task> tasks_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // constant after construction
};

}  // namespace parley

#endif  // PARLEY_PS_TASK_THREAD_H_
