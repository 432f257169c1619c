#include "ps/job_watch.h"

#include <string>
#include <utility>

#include "base/plain_text.h"
#include "base/random_id.h"

namespace parley {
namespace {

constexpr int kChief = 0;
// Texts come from outside, are kept, and go to who looks, who takes nothing but UTF-8.
constexpr size_t kMaxText = 1024;

void Shorten(std::string* text) { *text = PlainText(*text, kMaxText); }

}  // namespace

void JobWatch::Heard(int worker, v1::WorkerReport report) {
  const bool has_checkpoint = worker == kChief && report.has_checkpoint();
  if (has_checkpoint) {
    Shorten(report.mutable_checkpoint()->mutable_folder());
    Shorten(report.mutable_checkpoint()->mutable_manifest());
    Shorten(report.mutable_checkpoint()->mutable_error());
  } else {
    report.clear_checkpoint();
  }
  report.DiscardUnknownFields();  // which may be of any size
  MutexLock lock(&mutex_);
  if (has_checkpoint && report.checkpoint().ticket() == ticket_) ticket_ = 0;
  reports_[worker] = std::move(report);
}

void JobWatch::FillAnswer(int worker, v1::HeartbeatResponse* response) const {
  MutexLock lock(&mutex_);
  response->set_draining(draining_);
  response->set_stopping(stopping_);
  if (worker == kChief) response->set_checkpoint_ticket(ticket_);
}

uint64_t JobWatch::AskCheckpoint() {
  const uint64_t id = RandomId();
  MutexLock lock(&mutex_);
  if (ticket_ == 0) ticket_ = id;
  return ticket_;
}

void JobWatch::SetDraining() {
  MutexLock lock(&mutex_);
  draining_ = true;
}

void JobWatch::Stop() {
  MutexLock lock(&mutex_);
  draining_ = stopping_ = true;
}

bool JobWatch::draining() const {
  MutexLock lock(&mutex_);
  return draining_;
}

bool JobWatch::stopping() const {
  MutexLock lock(&mutex_);
  return stopping_;
}

void JobWatch::FillStatus(v1::GetStatusResponse* response) const {
  MutexLock lock(&mutex_);
  response->set_draining(draining_);
  response->set_stopping(stopping_);
  for (const auto& [worker, report] : reports_) {
    if (worker >= response->workers_size()) continue;
    *response->mutable_workers(worker)->mutable_report() = report;
    if (report.has_checkpoint()) *response->mutable_checkpoint() = report.checkpoint();
  }
}

}  // namespace parley
