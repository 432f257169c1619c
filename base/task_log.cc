// Of glog's header, where the library was built with it, as Debian's is.
#define GLOG_CUSTOM_PREFIX_SUPPORT

#include "base/task_log.h"

#include <gflags/gflags.h>
#include <glog/logging.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <iomanip>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/json_string.h"

DEFINE_bool(log_json, false,
            "The log is one JSON object a line, for programs that collect logs: time, severity, "
            "task, step, thread, source, message.");

namespace parley {
namespace {

std::string& Task() {
  static auto* const task = new std::string;
  return *task;
}

std::atomic<int64_t> g_step{-1};

void WritePrefix(std::ostream& out, const google::LogMessageInfo& info, void*) {
  const google::LogMessageTime& time = info.time;
  const char fill = out.fill('0');
  out << info.severity[0] << std::setw(4) << 1900 + time.year() << std::setw(2) << 1 + time.month()
      << std::setw(2) << time.day() << ' ' << std::setw(2) << time.hour() << ':' << std::setw(2)
      << (time.min)() << ':' << std::setw(2) << time.sec() << '.' << std::setw(6) << time.usec();
  out.fill(fill);
  out << ' ' << info.thread_id;
  if (!Task().empty()) out << ' ' << Task();
  if (const int64_t step = g_step.load(std::memory_order_relaxed); step >= 0) {
    out << " step " << step;
  }
  out << ' ' << info.filename << ':' << info.line_number << ']';
}

void WriteEntry(absl::Time time, absl::string_view severity, const std::string& source,
                absl::string_view message) {
  std::string entry = absl::StrCat(
      "{\"time\": \"", absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", time, absl::UTCTimeZone()),
      "\", \"severity\": ", JsonString(severity));
  if (!Task().empty()) absl::StrAppend(&entry, ", \"task\": ", JsonString(Task()));
  if (const int64_t step = g_step.load(std::memory_order_relaxed); step >= 0) {
    absl::StrAppend(&entry, ", \"step\": ", step);
  }
  absl::StrAppend(&entry, ", \"thread\": ", gettid());
  if (!source.empty()) absl::StrAppend(&entry, ", \"source\": ", JsonString(source));
  absl::StrAppend(&entry, ", \"message\": ", JsonString(message), "}\n");
  // One write, so that the line stays whole beside others'. Nobody can be told that it failed.
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, entry.data(), entry.size());
}

class JsonSink final : public google::LogSink {
 public:
  void send(google::LogSeverity severity, const char* /*full_filename*/, const char* base_filename,
            int line, const google::LogMessageTime& time, const char* message,
            size_t message_len) override {
    WriteEntry(absl::FromTimeT(time.timestamp()) + absl::Microseconds(time.usec()),
               google::GetLogSeverityName(severity), absl::StrCat(base_filename, ":", line),
               {message, message_len});
  }
};

}  // namespace

void StartLog(const char* program) {
  google::InitGoogleLogging(program, &WritePrefix, nullptr);
  FLAGS_logtostderr = true;
}

void SetLogTask(const std::string& task) {
  Task() = task;
  if (!FLAGS_log_json) return;
  // The sink gets what goes nowhere else, but into files where --log_dir asks for these.
  FLAGS_logtostderr = false;
  FLAGS_alsologtostderr = false;
  FLAGS_stderrthreshold = google::NUM_SEVERITIES;
  if (FLAGS_log_dir.empty()) {
    for (int severity = 0; severity < google::NUM_SEVERITIES; ++severity) {
      google::SetLogDestination(severity, "");
    }
  }
  static auto* const sink = new JsonSink;
  google::AddLogSink(sink);
}

void SetLogStep(int64_t step) { g_step.store(step, std::memory_order_relaxed); }

void LogFailure(const std::string& program, const std::string& error) {
  if (FLAGS_log_json) {
    WriteEntry(absl::Now(), "ERROR", "", absl::StrCat(program, ": ", error));
  } else {
    std::cerr << program << ": " << error << std::endl;
  }
}

}  // namespace parley
