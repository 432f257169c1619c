#include "net/grpc_answers.h"

#include <grpc/support/time.h>
#include <grpcpp/alarm.h>

#include <algorithm>
#include <thread>
#include <utility>
#include <vector>

#include "base/mutex.h"

namespace parley {

// Who is in the queue, by turns: the attendant while there is one, otherwise the thread. The thread
// goes in when a call is under way, and stays between calls, which costs nothing, until an
// attendant sends it out with an interruption: an event without a call. Invariant: never are both
// in the queue.
class GrpcAnswers::Impl {
 public:
  Impl() : thread_([this] { Run(); }) {}
  ~Impl() {
    {
      MutexLock lock(&mutex_);
      ending_ = true;
      changed_.NotifyAll();
    }
    queue_.Shutdown();
    thread_.join();
  }

  grpc::CompletionQueue* queue() { return &queue_; }

  void Expect() {
    MutexLock lock(&mutex_);
    if (++under_way_ == 1 && !attended_) changed_.NotifyAll();
  }

  bool BeginAttending() {
    MutexLock lock(&mutex_);
    if (attended_) return false;
    attended_ = true;
    attendant_ = std::this_thread::get_id();
    over_ = false;
    if (inside_) Interrupt();
    return true;
  }
  void Attend() {
    {
      MutexLock lock(&mutex_);
      while (inside_ && !over_) changed_.Wait(&mutex_);
    }
    while (!over() && TakeOne()) {
    }
  }
  void EndWaiting() {
    MutexLock lock(&mutex_);
    over_ = true;
    if (std::this_thread::get_id() == attendant_) return;
    changed_.NotifyAll();
    Interrupt();
  }
  void EndAttending() {
    MutexLock lock(&mutex_);
    attended_ = false;
    if (under_way_ > 0) changed_.NotifyAll();
  }

 private:
  bool over() {
    MutexLock lock(&mutex_);
    return over_;
  }

  // Waits for an event and works on it. False when there will be no more.
  bool TakeOne() {
    void* tag;
    bool ok;
    if (!queue_.Next(&tag, &ok)) return false;
    {
      MutexLock lock(&mutex_);
      if (tag == this) {
        interrupting_ = false;
        return true;
      }
      --under_way_;
    }
    static_cast<Taker*>(tag)->Over();
    return true;
  }

  void Run() {
    bool more = true;
    while (more) {
      {
        MutexLock lock(&mutex_);
        while ((attended_ || under_way_ == 0) && !ending_) changed_.Wait(&mutex_);
        inside_ = true;
      }
      bool sent_out = false;
      while (more && !sent_out) {
        more = TakeOne();
        MutexLock lock(&mutex_);
        sent_out = attended_;
      }
      MutexLock lock(&mutex_);
      inside_ = false;
      changed_.NotifyAll();
    }
  }

  void Interrupt() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (interrupting_) return;
    interrupting_ = true;
    alarm_.Set(&queue_, gpr_time_0(GPR_CLOCK_MONOTONIC), this);
  }

  grpc::CompletionQueue queue_;
  Mutex mutex_;
  CondVar changed_;
  int under_way_ ABSL_GUARDED_BY(mutex_) = 0;    // calls
  bool inside_ ABSL_GUARDED_BY(mutex_) = false;  // the thread may be in the queue
  bool attended_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread::id attendant_ ABSL_GUARDED_BY(mutex_);
  bool over_ ABSL_GUARDED_BY(mutex_) = false;          // the attendant need not wait further
  bool interrupting_ ABSL_GUARDED_BY(mutex_) = false;  // an interruption is in the queue
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  grpc::Alarm alarm_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;  // last: it uses the others
};

class GrpcAnswers::Attending final : public Attendance {
 public:
  explicit Attending(std::shared_ptr<GrpcAnswers> answers) : answers_(std::move(answers)) {}
  ~Attending() override { answers_->impl_->EndAttending(); }

  void Wait() override { answers_->impl_->Attend(); }
  void End() override { answers_->impl_->EndWaiting(); }

 private:
  const std::shared_ptr<GrpcAnswers> answers_;
};

std::shared_ptr<GrpcAnswers> GrpcAnswers::Next() {
  static Mutex* const mutex = new Mutex();
  static auto* const all = new std::vector<std::weak_ptr<GrpcAnswers>>(
      std::clamp<size_t>(std::thread::hardware_concurrency() / 4, 1, 8));
  static size_t turn = 0;
  MutexLock lock(mutex);
  std::weak_ptr<GrpcAnswers>& next = (*all)[turn++ % all->size()];
  std::shared_ptr<GrpcAnswers> answers = next.lock();
  if (answers == nullptr) next = answers = std::make_shared<GrpcAnswers>();
  return answers;
}

GrpcAnswers::GrpcAnswers() : impl_(std::make_unique<Impl>()) {}

GrpcAnswers::~GrpcAnswers() = default;

grpc::CompletionQueue* GrpcAnswers::queue() { return impl_->queue(); }

void GrpcAnswers::Expect() { impl_->Expect(); }

std::unique_ptr<Attendance> GrpcAnswers::Attend(std::shared_ptr<GrpcAnswers> answers) {
  if (!answers->impl_->BeginAttending()) return nullptr;
  return std::make_unique<Attending>(std::move(answers));
}

}  // namespace parley
