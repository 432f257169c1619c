#include "ps/copy_move.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/planted_bug.h"

namespace parley {
namespace {

int64_t BytesOf(const ShardRecord& record) { return static_cast<int64_t>(record.payload.size()); }

}  // namespace

CopyMove::CopyMove(Options options, v1::Books books)
    : options_(std::move(options)),
      thread_([this, begin = std::move(books)]() mutable { Run(std::move(begin)); }) {}

CopyMove::~CopyMove() {
  Stop();
  if (thread_.joinable()) thread_.join();
}

void CopyMove::Append(const std::vector<ShardRecord>& records) {
  MutexLock lock(&mutex_);
  if (!status_.ok() || stopping_) return;
  for (const ShardRecord& record : records) {
    bytes_ += BytesOf(record);
    records_.push_back(record);
  }
  changed_.NotifyAll();
  const absl::Time deadline = options_.env->Now() + options_.patience;
  while (bytes_ > options_.backlog && status_.ok() && !stopping_) {
    const absl::Duration left = deadline - options_.env->Now();
    if (left <= absl::ZeroDuration()) {
      status_ = absl::DeadlineExceededError(
          absl::StrCat("the next copy is ", bytes_ >> 20, " MiB behind, and comes no nearer"));
      changed_.NotifyAll();
      return;
    }
    changed_.WaitFor(&mutex_, left);
  }
}

bool CopyMove::IsReady() const {
  MutexLock lock(&mutex_);
  const bool whole = whole_ || PARLEY_PLANTED_BUG("copy_moved_before_it_is_whole");
  return status_.ok() && whole && records_.empty() && !sending_;
}

absl::Status CopyMove::status() const {
  MutexLock lock(&mutex_);
  return status_;
}

void CopyMove::Stop() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
  }
  changed_.NotifyAll();
}

bool CopyMove::has_ended() const {
  MutexLock lock(&mutex_);
  return ended_;
}

std::unique_ptr<CopyStream> CopyMove::Finish() {
  Stop();
  thread_.join();
  return std::move(stream_);
}

void CopyMove::Fail(const absl::Status& status) {
  {
    MutexLock lock(&mutex_);
    if (status_.ok()) status_ = status;
    records_.clear();
  }
  changed_.NotifyAll();
  options_.changed();
}

bool CopyMove::Await(std::vector<ShardRecord>* records) {
  bool ready;
  {
    MutexLock lock(&mutex_);
    sending_ = false;
    bytes_ = 0;
    for (const ShardRecord& record : records_) bytes_ += BytesOf(record);
    whole_ = stream_->whole();
    ready = whole_ && records_.empty();
  }
  changed_.NotifyAll();
  if (ready) options_.changed();
  MutexLock lock(&mutex_);
  while (records_.empty() && !stopping_ && status_.ok()) changed_.Wait(&mutex_);
  if (stopping_ || !status_.ok()) return false;
  sending_ = true;
  int64_t bytes = 0;
  records->clear();
  while (!records_.empty()) {
    bytes += BytesOf(records_.front());
    if (!records->empty() && bytes > static_cast<int64_t>(CopyStream::kMessageBytes)) break;
    records->push_back(std::move(records_.front()));
    records_.pop_front();
  }
  return true;
}

void CopyMove::Run(v1::Books books) {
  absl::StatusOr<std::unique_ptr<CopyStream>> begun =
      CopyStream::Begin(options_.stream, std::move(books));
  absl::Status status = begun.status();
  if (begun.ok()) {
    stream_ = *std::move(begun);
    std::vector<ShardRecord> records;
    while (status.ok() && Await(&records)) {
      std::vector<const ShardRecord*> sent;
      for (const ShardRecord& record : records) sent.push_back(&record);
      status = stream_->Send(sent);
    }
  }
  if (!status.ok()) Fail(status);
  MutexLock lock(&mutex_);
  ended_ = true;
}

}  // namespace parley
