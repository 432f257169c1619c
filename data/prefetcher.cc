#include "data/prefetcher.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/env.h"

namespace parley::data {

Prefetcher::Prefetcher(std::shared_ptr<const Dataset> dataset, Sampler sampler, int worker,
                       int64_t first_step, int depth)
    : dataset_(std::move(dataset)),
      worker_(worker),
      sampler_(std::move(sampler)),
      step_(first_step),
      next_step_(first_step),
      spare_(static_cast<size_t>(std::max(depth, 1))),
      thread_([this] { Run(); }) {}

Prefetcher::~Prefetcher() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
  }
  changed_.NotifyAll();
  thread_.join();
}

absl::StatusOr<const Batch*> Prefetcher::Next(absl::Duration timeout) {
  const absl::Time deadline = Env::Posix()->Now() + timeout;  // absl::Time saturates
  {
    MutexLock lock(&mutex_);
    while (ready_.empty()) {
      const absl::Duration left = deadline - Env::Posix()->Now();
      if (left <= absl::ZeroDuration()) {
        return absl::DeadlineExceededError(absl::StrCat("worker ", worker_, ": the batch of step ",
                                                        next_step_, " was not ready within ",
                                                        absl::FormatDuration(timeout)));
      }
      changed_.WaitFor(&mutex_, std::min(left, absl::Hours(1)));
    }
    std::swap(current_, ready_.front());
    spare_.push_back(std::move(ready_.front()));
    ready_.pop_front();
    ++next_step_;
  }
  changed_.NotifyAll();
  return &current_;
}

void Prefetcher::Run() {
  for (;;) {
    Batch batch;
    {
      MutexLock lock(&mutex_);
      while (spare_.empty() && !stopping_) changed_.Wait(&mutex_);
      if (stopping_) return;
      batch = std::move(spare_.back());
      spare_.pop_back();
    }
    dataset_->Fill(sampler_.Indices(step_, worker_), &batch);
    batch.epoch = sampler_.Epoch(step_);
    batch.step = step_++;
    {
      MutexLock lock(&mutex_);
      ready_.push_back(std::move(batch));
    }
    changed_.NotifyAll();
  }
}

}  // namespace parley::data
