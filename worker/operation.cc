#include "worker/operation.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace parley {
namespace {

// Transports and shards let go of a failed request's memory within this time, or not at all.
constexpr absl::Duration kReturnAfterError = absl::Seconds(5);
// And of a taken one's when its deadline is near.
constexpr absl::Duration kReturnAfterDeadline = absl::Seconds(1);

}  // namespace

class Operation::Loan {
 public:
  explicit Loan(std::shared_ptr<Operation> operation) : operation_(std::move(operation)) {}
  ~Loan() { operation_->Returned(); }
  Loan(const Loan&) = delete;
  Loan& operator=(const Loan&) = delete;

 private:
  const std::shared_ptr<Operation> operation_;
};

Operation::Operation(int requests, std::string name, Timer::Time deadline,
                     std::shared_ptr<Timer> timer, absl::AnyInvocable<void()> cancel,
                     absl::AnyInvocable<void(absl::Status)> ready)
    : name_(std::move(name)),
      deadline_(deadline),
      timer_(std::move(timer)),
      cancel_(std::move(cancel)),
      ready_(std::move(ready)),
      requests_(requests) {}

std::shared_ptr<const void> Operation::Lend() {
  {
    MutexLock lock(&mutex_);
    lent_ = true;
  }
  return std::make_shared<Loan>(shared_from_this());
}

bool Operation::failed() const {
  MutexLock lock(&mutex_);
  return !status_.ok();
}

void Operation::Ended(const absl::Status& status) {
  absl::AnyInvocable<void()> cancel;
  {
    MutexLock lock(&mutex_);
    --requests_;
    if (!status.ok() && status_.ok()) {
      status_ = status;
      cancel = std::move(cancel_);
    }
  }
  if (cancel) cancel();  // comes back here for each request it ends
  Review();
}

void Operation::Returned() {
  {
    MutexLock lock(&mutex_);
    lent_ = false;
  }
  Review();
}

void Operation::Review() {
  absl::AnyInvocable<void(absl::Status)> ready;
  absl::Status status;
  Timer::Id give_up;
  {
    MutexLock lock(&mutex_);
    if (requests_ > 0 || !ready_) return;
    if (lent_) {
      if (give_up_ != 0) return;
      const Timer::Time latest =
          std::max(deadline_, Timer::Now()) + absl::ToChronoNanoseconds(kReturnAfterDeadline);
      const Timer::Time when =
          status_.ok() ? latest : std::min(latest, Timer::After(kReturnAfterError));
      give_up_ = timer_->RunAt(when, [self = shared_from_this()] { self->GiveUp(); });
      return;
    }
    ready = std::move(ready_);
    ready_ = nullptr;
    status = status_;
    give_up = give_up_;
  }
  if (give_up != 0) timer_->Cancel(give_up);
  ready(std::move(status));
}

void Operation::GiveUp() {
  {
    MutexLock lock(&mutex_);
    if (!lent_) return;
    lent_ = false;
    constexpr char kWarning[] = "the gradients may still be read by a shard or its transport";
    status_ = status_.ok()
                  ? absl::DeadlineExceededError(absl::StrCat(name_, ": ", kWarning))
                  : absl::Status(status_.code(), absl::StrCat(status_.message(), "; ", kWarning));
  }
  Review();
}

}  // namespace parley
