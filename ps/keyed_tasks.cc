#include "ps/keyed_tasks.h"

#include <algorithm>
#include <utility>

namespace parley {

KeyedTasks::KeyedTasks(int threads, size_t most_bytes) : most_bytes_(most_bytes) {
  for (int i = 0; i < std::max(1, threads); ++i) threads_.push_back(std::make_unique<TaskThread>());
}

KeyedTasks::~KeyedTasks() { threads_.clear(); }

absl::Status KeyedTasks::Post(size_t key, size_t bytes, absl::AnyInvocable<absl::Status()> task) {
  {
    MutexLock lock(&mutex_);
    while (tasks_ > 0 && bytes_ + bytes > most_bytes_) changed_.Wait(&mutex_);
    if (!status_.ok()) return status_;
    bytes_ += bytes;
    ++tasks_;
  }
  threads_[key % threads_.size()]->Post([this, bytes, task = std::move(task)]() mutable {
    bool failed;
    {
      MutexLock lock(&mutex_);
      failed = !status_.ok();
    }
    absl::Status status = failed ? absl::OkStatus() : task();
    task = nullptr;  // what it holds goes before others are let in
    MutexLock lock(&mutex_);
    status_.Update(status);
    bytes_ -= bytes;
    --tasks_;
    changed_.NotifyAll();
  });
  return absl::OkStatus();
}

absl::Status KeyedTasks::Finish() {
  MutexLock lock(&mutex_);
  while (tasks_ > 0) changed_.Wait(&mutex_);
  return status_;
}

}  // namespace parley
