#include "base/log_tail.h"

#include <algorithm>

namespace parley {

LogTail::LogTail(size_t entries) : most_(entries) { google::AddLogSink(this); }

LogTail::~LogTail() { google::RemoveLogSink(this); }

std::vector<LogTail::Entry> LogTail::entries() const {
  MutexLock lock(&mutex_);
  return {entries_.begin(), entries_.end()};
}

void LogTail::send(google::LogSeverity severity, const char* /*full_filename*/,
                   const char* /*base_filename*/, int /*line*/, const google::LogMessageTime& time,
                   const char* message, size_t message_len) {
  Entry entry = {absl::FromTimeT(time.timestamp()) + absl::Microseconds(time.usec()),
                 google::GetLogSeverityName(severity),
                 std::string(message, std::min(message_len, kMostCharacters))};
  MutexLock lock(&mutex_);
  entries_.push_back(std::move(entry));
  if (entries_.size() > most_) entries_.pop_front();
}

}  // namespace parley
