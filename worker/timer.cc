#include "worker/timer.h"

#include <algorithm>

namespace parley {

Timer::Time Timer::After(absl::Duration delay) {
  const absl::Duration bounded =
      std::min(std::max(delay, absl::ZeroDuration()), absl::Hours(24 * 365));
  return Now() + absl::ToChronoNanoseconds(bounded);
}

Timer::Timer() : thread_([this] { Run(); }) {}

Timer::~Timer() { Stop(); }

Timer::Id Timer::RunAt(Time when, absl::AnyInvocable<void()> task) {
  MutexLock lock(&mutex_);
  const Id id = next_id_++;
  if (stopping_) return id;
  const bool first = tasks_.empty() || when < tasks_.begin()->first.first;
  tasks_.emplace(std::make_pair(when, id), std::move(task));
  times_.emplace(id, when);
  if (first) changed_.NotifyOne();  // the thread sleeps until the one that was
  return id;
}

void Timer::Cancel(Id id) {
  absl::AnyInvocable<void()> task;  // dropped after the lock: its captures may call back
  MutexLock lock(&mutex_);
  const auto time = times_.find(id);
  if (time == times_.end()) return;
  const auto it = tasks_.find({time->second, id});
  task = std::move(it->second);
  tasks_.erase(it);
  times_.erase(time);
}

void Timer::Stop() {
  std::map<std::pair<Time, Id>, absl::AnyInvocable<void()>> dropped;
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
    dropped.swap(tasks_);
    times_.clear();
    changed_.NotifyOne();
  }
  if (thread_.joinable()) thread_.join();
}

void Timer::Run() {
  while (true) {
    absl::AnyInvocable<void()> task;
    {
      MutexLock lock(&mutex_);
      while (!stopping_) {
        if (tasks_.empty()) {
          changed_.Wait(&mutex_);
          continue;
        }
        const Time next = tasks_.begin()->first.first;
        const Time now = Now();
        if (next <= now) break;
        changed_.WaitFor(&mutex_, absl::FromChrono(next - now));
      }
      if (stopping_) return;
      const auto first = tasks_.begin();
      task = std::move(first->second);
      times_.erase(first->first.second);
      tasks_.erase(first);
    }
    task();
  }
}

}  // namespace parley
