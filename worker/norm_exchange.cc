#include "worker/norm_exchange.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "glog/logging.h"

namespace parley {

// One round's answers, as they come.
struct NormExchange::Asked {
  int64_t round;
  Timer::Time deadline;
  std::vector<int> shards;
  Mutex mutex;
  size_t missing ABSL_GUARDED_BY(mutex);
  absl::Status status ABSL_GUARDED_BY(mutex);
  Lists sums ABSL_GUARDED_BY(mutex);
  std::vector<int> unfinished ABSL_GUARDED_BY(mutex);  // shards that need the totals
};

struct NormExchange::Told {
  Mutex mutex;
  size_t missing ABSL_GUARDED_BY(mutex);
  absl::Status status ABSL_GUARDED_BY(mutex);
};

NormExchange::NormExchange(Job job, std::string who, std::vector<std::shared_ptr<Session>> sessions,
                           std::shared_ptr<Timer> timer, int64_t finished)
    : job_(std::move(job)),
      who_(std::move(who)),
      plan_(&job_),
      sessions_(std::move(sessions)),
      timer_(std::move(timer)),
      finished_(finished) {}

void NormExchange::Need(int64_t round, Timer::Time deadline) {
  {
    MutexLock lock(&mutex_);
    needed_ = std::max(needed_, round);
    deadline_ = std::max(deadline_, deadline);
    if (running_ || needed_ <= finished_) return;
    running_ = true;
  }
  AskNext();
}

void NormExchange::AskNext() {
  const auto asked = std::make_shared<Asked>();
  {
    MutexLock lock(&mutex_);
    for (; finished_ < needed_; ++finished_) {
      asked->shards = plan_.ShardsOf(finished_ + 1);
      if (asked->shards.size() > 1) break;  // one shard needs nobody
    }
    if (finished_ >= needed_) {
      running_ = false;
      return;
    }
    asked->round = finished_ + 1;
    asked->deadline = deadline_;
  }
  {
    MutexLock lock(&asked->mutex);
    asked->missing = asked->shards.size();
    asked->sums.resize(sessions_.size());
  }
  for (const int shard : asked->shards) {
    sessions_[shard]->GetNormSums(asked->round, asked->deadline,
                                  [self = shared_from_this(), asked,
                                   shard](const absl::StatusOr<v1::GetNormSumsResponse>& answer) {
                                    {
                                      MutexLock lock(&asked->mutex);
                                      asked->status.Update(answer.status());
                                      if (answer.ok()) {
                                        asked->sums[shard].assign(answer->sums().begin(),
                                                                  answer->sums().end());
                                        if (!answer->finished()) asked->unfinished.push_back(shard);
                                      }
                                      if (--asked->missing > 0) return;
                                    }
                                    self->TakeSums(asked);
                                  });
  }
}

void NormExchange::TakeSums(const std::shared_ptr<Asked>& asked) {
  absl::StatusOr<std::vector<double>> totals = std::vector<double>();
  std::vector<int> unfinished;
  {
    MutexLock lock(&asked->mutex);
    unfinished = asked->unfinished;
    if (!asked->status.ok()) {
      totals = asked->status;
    } else if (!unfinished.empty()) {
      totals = plan_.AddUp(asked->round, asked->sums);
    }
  }
  if (!totals.ok()) return Fail(asked->round, totals.status());
  if (unfinished.empty()) return EndRound(asked->round);
  const auto told = std::make_shared<Told>();
  {
    MutexLock lock(&told->mutex);
    told->missing = unfinished.size();
  }
  for (const int shard : unfinished) {
    sessions_[shard]->SetNormTotals(asked->round, *totals, asked->deadline,
                                    [self = shared_from_this(), told, round = asked->round](
                                        const absl::StatusOr<v1::SetNormTotalsResponse>& answer) {
                                      absl::Status status;
                                      {
                                        MutexLock lock(&told->mutex);
                                        told->status.Update(answer.status());
                                        if (--told->missing > 0) return;
                                        status = told->status;
                                      }
                                      if (status.ok()) {
                                        self->EndRound(round);
                                      } else {
                                        self->Fail(round, status);
                                      }
                                    });
  }
}

void NormExchange::EndRound(int64_t round) {
  {
    MutexLock lock(&mutex_);
    finished_ = std::max(finished_, round);
    if (finished_ >= needed_) {
      running_ = false;
      return;
    }
  }
  // Not from here: a shard in this process may answer at once, and rounds would nest.
  timer_->RunAt(Timer::Now(), [self = shared_from_this()] { self->AskNext(); });
}

void NormExchange::Fail(int64_t round, const absl::Status& status) {
  {
    MutexLock lock(&mutex_);
    const bool overdue = absl::IsDeadlineExceeded(status) || absl::IsUnavailable(status);
    if (!overdue || Timer::Now() >= deadline_) {
      running_ = false;
      needed_ = finished_;  // until somebody needs it again
    }
    if (running_) {
      timer_->RunAt(Timer::Now(), [self = shared_from_this()] { self->AskNext(); });
      return;
    }
  }
  if (absl::IsCancelled(status) || absl::IsFailedPrecondition(status)) return;  // it has left
  LOG(WARNING) << who_ << ": the norms of round " << round << ": " << status.message();
}

}  // namespace parley
