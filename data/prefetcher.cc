#include "data/prefetcher.h"

#include <utility>

namespace parley::data {

Prefetcher::Prefetcher(std::shared_ptr<const Dataset> dataset, Sampler sampler, int worker,
                       int64_t first_step, int depth)
    : dataset_(std::move(dataset)),
      worker_(worker),
      sampler_(std::move(sampler)),
      step_(first_step),
      spare_(static_cast<size_t>(depth)),
      thread_([this] { Run(); }) {}

Prefetcher::~Prefetcher() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
  }
  changed_.NotifyAll();
  thread_.join();
}

const Batch& Prefetcher::Next() {
  {
    MutexLock lock(&mutex_);
    while (ready_.empty()) changed_.Wait(&mutex_);
    std::swap(current_, ready_.front());
    spare_.push_back(std::move(ready_.front()));
    ready_.pop_front();
  }
  changed_.NotifyAll();
  return current_;
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
    batch.step = step_++;
    {
      MutexLock lock(&mutex_);
      ready_.push_back(std::move(batch));
    }
    changed_.NotifyAll();
  }
}

}  // namespace parley::data
