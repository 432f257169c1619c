#ifndef PARLEY_BASE_LOG_TAIL_H_
#define PARLEY_BASE_LOG_TAIL_H_

#include <glog/logging.h>

#include <cstddef>
#include <deque>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "base/mutex.h"

namespace parley {

// Keeps the last entries of the process's log, as long as it lives. Thread safety: safe from any
// thread.
class LogTail final : public google::LogSink {
 public:
  struct Entry {
    absl::Time time;
    std::string severity;  // "INFO"
    std::string message;   // at most kMostCharacters
  };
  static constexpr size_t kMostCharacters = 1000;

  explicit LogTail(size_t entries);
  ~LogTail() override;

  // The oldest first.
  std::vector<Entry> entries() const;

  void send(google::LogSeverity severity, const char* full_filename, const char* base_filename,
            int line, const google::LogMessageTime& time, const char* message,
            size_t message_len) override;

 private:
  const size_t most_;
  mutable Mutex mutex_;
  std::deque<Entry> entries_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace parley

#endif  // PARLEY_BASE_LOG_TAIL_H_
