#ifndef PARLEY_PS_TASK_POOL_H_
#define PARLEY_PS_TASK_POOL_H_

#include <deque>
#include <thread>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "base/mutex.h"

namespace parley {

class TaskQueue;

// Threads that run the tasks of TaskQueues, each task on any of them.
// Thread safety: queues use it from any thread. The destructor runs what was posted and joins;
// nothing may be posted after it began, except by the tasks it still runs. Queues must outlive it.
class TaskPool {
 public:
  explicit TaskPool(int threads);
  ~TaskPool();
  TaskPool(const TaskPool&) = delete;
  TaskPool& operator=(const TaskPool&) = delete;

  // Threads.
  size_t size() const { return threads_.size(); }

 private:
  friend class TaskQueue;

  // A thread shall run a task of `queue`.
  void Schedule(TaskQueue* queue);
  void Run();

  Mutex mutex_;
  CondVar changed_;
  std::deque<TaskQueue*> scheduled_ ABSL_GUARDED_BY(mutex_);
  int running_ ABSL_GUARDED_BY(mutex_) = 0;  // threads that may schedule more
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;  // constant after construction
};

// Runs tasks one after another, in the order they were posted: never two of them at a time, and
// each sees what those before it did. Whoever posts one may run it instead of the pool (Help),
// which saves waking a thread and keeps what the task reads in the caller's cache.
// Thread safety: safe from any thread, a task's included.
class TaskQueue {
 public:
  using Task = absl::AnyInvocable<void()>;

  explicit TaskQueue(TaskPool* pool) : pool_(pool) {}
  TaskQueue(const TaskQueue&) = delete;
  TaskQueue& operator=(const TaskQueue&) = delete;

  void Post(Task task);
  // The same, without waking a thread: the caller calls Help soon.
  void PostToHelp(Task task);
  // Runs the waiting tasks here, a few at most, unless one is being run; who runs that does the
  // rest.
  void Help();

 private:
  friend class TaskPool;

  void RunScheduled();
  // Runs up to `most` tasks, unless one is being run, and has the pool run what is left.
  void RunSome(int most);

  TaskPool* const pool_;
  Mutex mutex_;
  std::deque<Task> tasks_ ABSL_GUARDED_BY(mutex_);
  bool running_ ABSL_GUARDED_BY(mutex_) = false;    // a task is, on whatever thread
  bool scheduled_ ABSL_GUARDED_BY(mutex_) = false;  // the pool will come
};

}  // namespace parley

#endif  // PARLEY_PS_TASK_POOL_H_
