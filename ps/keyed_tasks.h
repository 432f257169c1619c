#ifndef PARLEY_PS_KEYED_TASKS_H_
#define PARLEY_PS_KEYED_TASKS_H_

#include <cstddef>
#include <memory>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "base/mutex.h"
#include "ps/task_thread.h"

namespace parley {

// Threads of its own for the tasks of one who reads ahead: those of one key run one after another,
// in the order they were posted, others at the same time; and no more are under way than hold so
// many bytes, so that reading does not run away from them.
//
// Thread safety: for one thread, which posts. The destructor waits for what was posted.
class KeyedTasks {
 public:
  KeyedTasks(int threads, size_t most_bytes);
  ~KeyedTasks();
  KeyedTasks(const KeyedTasks&) = delete;
  KeyedTasks& operator=(const KeyedTasks&) = delete;

  // Has `task` run, which holds `bytes`; first waits until there is room for them, which there is
  // when no other is under way. Returns the first error of those that have ended, and then has no
  // task run.
  absl::Status Post(size_t key, size_t bytes, absl::AnyInvocable<absl::Status()> task);
  // Waits for all; the first error.
  absl::Status Finish();

 private:
  const size_t most_bytes_;
  Mutex mutex_;
  CondVar changed_;
  size_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;  // under way
  size_t tasks_ ABSL_GUARDED_BY(mutex_) = 0;  // likewise
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<TaskThread>> threads_;  // which go first
};

}  // namespace parley

#endif  // PARLEY_PS_KEYED_TASKS_H_
