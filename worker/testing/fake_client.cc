#include "worker/testing/fake_client.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/aligned_buffer.h"
#include "base/env.h"

namespace parley {

FakeClient::FakeClient(Job job, int worker, int64_t first_step)
    : job_(std::move(job)),
      worker_(worker),
      first_step_(first_step),
      workers_(job_.spec().num_workers()) {}

void FakeClient::Fail(const std::string& call, absl::Status status) {
  MutexLock lock(&mutex_);
  failures_[call] = std::move(status);
}

void FakeClient::Hold(const std::string& call) {
  MutexLock lock(&mutex_);
  holds_.insert(call);
}

void FakeClient::GoOnAt(int64_t step) {
  MutexLock lock(&mutex_);
  others_step_ = step;
}

int64_t FakeClient::NextStep(int64_t step) const {
  MutexLock lock(&mutex_);
  return std::max(step, others_step_);
}

std::vector<std::string> FakeClient::calls() const {
  MutexLock lock(&mutex_);
  return calls_;
}

bool FakeClient::AwaitCall(const std::string& call) {
  const absl::Time deadline = Env::Posix()->Now() + absl::Minutes(1);
  MutexLock lock(&mutex_);
  while (std::find(calls_.begin(), calls_.end(), call) == calls_.end()) {
    const absl::Duration left = deadline - Env::Posix()->Now();
    if (left <= absl::ZeroDuration()) return false;
    changed_.WaitFor(&mutex_, left);
  }
  return true;
}

std::vector<std::vector<float>> FakeClient::pushed() const {
  MutexLock lock(&mutex_);
  return pushed_;
}

std::future<absl::Status> FakeClient::Call(const std::string& call) {
  std::promise<absl::Status> promise;
  std::future<absl::Status> future = promise.get_future();
  MutexLock lock(&mutex_);
  calls_.push_back(call);
  changed_.NotifyAll();
  if (holds_.count(call) > 0) {
    held_.push_back(std::move(promise));
  } else {
    const auto failure = failures_.find(call);
    promise.set_value(failure == failures_.end() ? absl::OkStatus() : failure->second);
  }
  return future;
}

std::future<absl::Status> FakeClient::PullAveragesAsync(int64_t step, std::vector<Target> targets) {
  FillWith(-step, targets);
  return Call(absl::StrCat("pull_averages ", step));
}

absl::Status FakeClient::SetRateFactor(float factor) {
  return Call(absl::StrCat("rate_factor ", factor)).get();
}

void FakeClient::Keep(const std::vector<Gradient>& gradients) {
  MutexLock lock(&mutex_);
  skipped_ = false;
  std::vector<float>& all = pushed_.emplace_back();
  for (const Gradient& gradient : gradients) {
    all.insert(all.end(), gradient.values.begin(), gradient.values.end());
  }
}

void FakeClient::FillWith(int64_t step, const std::vector<Target>& targets) {
  for (const Target& target : targets) {
    std::fill(target.values.begin(), target.values.end(), static_cast<float>(step));
  }
}

std::future<absl::Status> FakeClient::PullAsync(int64_t step, std::vector<Target> targets) {
  FillWith(step, targets);
  return Call(absl::StrCat("pull ", step));
}

std::future<absl::Status> FakeClient::PushAsync(int64_t step, std::vector<Gradient> gradients) {
  Keep(gradients);
  return Call(absl::StrCat("push ", step));
}

std::future<absl::Status> FakeClient::PushPullAsync(int64_t step, std::vector<Gradient> gradients,
                                                    std::vector<Target> targets) {
  Keep(gradients);
  FillWith(step + 1, targets);
  return Call(absl::StrCat("push_pull ", step));
}

std::future<absl::Status> FakeClient::SkipAsync(int64_t step, std::vector<Target> targets) {
  FillWith(step + 1, targets);
  {
    MutexLock lock(&mutex_);
    skipped_ = true;
  }
  return Call(absl::StrCat("skip ", step));
}

std::future<Client::Views> FakeClient::PullViewsAsync(int64_t, std::vector<int>) {
  std::promise<Views> promise;
  promise.set_value(absl::UnimplementedError("views"));
  return promise.get_future();
}

std::future<absl::Status> FakeClient::PullRowsAsync(int, int64_t, absl::Span<const uint64_t>,
                                                    absl::Span<float>) {
  std::promise<absl::Status> promise;
  promise.set_value(absl::UnimplementedError("tables"));
  return promise.get_future();
}

std::future<absl::Status> FakeClient::PushRowsAsync(int table, int64_t step,
                                                    absl::Span<const uint64_t> keys,
                                                    absl::Span<const float>) {
  return PullRowsAsync(table, step, keys, {});
}

std::future<Client::Views> FakeClient::PushPullViewsAsync(int64_t step, std::vector<Gradient>,
                                                          std::vector<int> parameters) {
  return PullViewsAsync(step, std::move(parameters));
}

bool FakeClient::WasSkipped(int) const {
  MutexLock lock(&mutex_);
  return skipped_;
}

std::shared_ptr<float> FakeClient::NewBuffer(size_t elements) {
  return {reinterpret_cast<float*>(NewAlignedBytes(elements * sizeof(float)).release()),
          FreeDeleter()};
}

absl::Status FakeClient::Barrier(absl::string_view name, absl::Duration) {
  return Call(absl::StrCat("barrier ", name)).get();
}

absl::StatusOr<Client::SavedLater> FakeClient::SaveCheckpointAsync(int64_t step,
                                                                   const std::string& folder,
                                                                   int keep) {
  const absl::Status status = Call(absl::StrCat("checkpoint ", step, " keep ", keep)).get();
  if (!status.ok()) return status;
  MutexLock lock(&mutex_);
  std::promise<absl::StatusOr<std::string>> saved;
  std::future<absl::StatusOr<std::string>> later = saved.get_future();
  if (std::exchange(holds_save_, false)) {
    held_save_ = std::move(saved);
  } else {
    saved.set_value(absl::StrCat(folder, "/", step));
  }
  return later;
}

void FakeClient::HoldSave() {
  MutexLock lock(&mutex_);
  holds_save_ = true;
}

void FakeClient::EndSave(absl::StatusOr<std::string> manifest) {
  MutexLock lock(&mutex_);
  held_save_.set_value(std::move(manifest));
}

absl::StatusOr<Client::JobStatus> FakeClient::Status() {
  const absl::Status status = Call("status").get();
  if (!status.ok()) return status;
  JobStatus answer;
  answer.total.set_bytes_pushed(77);
  return answer;
}

absl::Status FakeClient::Leave(const absl::Status& reason) {
  {
    MutexLock lock(&mutex_);
    for (std::promise<absl::Status>& call : held_) call.set_value(absl::AbortedError("left"));
    held_.clear();
  }
  return Call(absl::StrCat("leave ", reason.ToString())).get();
}

void FakeClient::AskCheckpoint(uint64_t ticket) {
  MutexLock lock(&mutex_);
  ticket_ = ticket;
}

uint64_t FakeClient::CheckpointAsked() const {
  MutexLock lock(&mutex_);
  return ticket_;
}

void FakeClient::AskWorkers(int workers) {
  MutexLock lock(&mutex_);
  workers_asked_ = workers;
}

void FakeClient::ChangeWorkers(int64_t from_step, int count) {
  MutexLock lock(&mutex_);
  workers_.Add(from_step, count).IgnoreError();
}

WorkerCounts FakeClient::workers() const {
  MutexLock lock(&mutex_);
  return workers_;
}

int FakeClient::WorkersAsked() const {
  MutexLock lock(&mutex_);
  return workers_asked_;
}

absl::Status FakeClient::SetWorkers(int64_t step, int count) {
  MutexLock lock(&mutex_);
  calls_.push_back(absl::StrCat("workers ", count, " after step ", step));
  return workers_.Add(step + 1, count);
}

void FakeClient::Report(const StepReport& report) {
  MutexLock lock(&mutex_);
  report_ = report;
}

void FakeClient::ReportCheckpoint(v1::CheckpointReport report) {
  MutexLock lock(&mutex_);
  if (report.ticket() == ticket_) ticket_ = 0;
  checkpoint_reports_.push_back(std::move(report));
}

FakeClient::StepReport FakeClient::last_report() const {
  MutexLock lock(&mutex_);
  return report_;
}

std::vector<v1::CheckpointReport> FakeClient::checkpoint_reports() const {
  MutexLock lock(&mutex_);
  return checkpoint_reports_;
}

}  // namespace parley
