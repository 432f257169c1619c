#ifndef PARLEY_BASE_TRACE_H_
#define PARLEY_BASE_TRACE_H_

#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/env.h"
#include "base/mutex.h"

namespace parley {

struct TraceOptions {
  std::string task;  // "ps:0"
  // Spans of other steps are left out; those that belong to no step are not.
  int64_t first_step = 0;
  int64_t last_step = std::numeric_limits<int64_t>::max();
  // How many are kept, the newest; each takes about a hundred bytes.
  size_t max_spans = size_t{1} << 17;
  Env* env = Env::Posix();  // for its steady clock
  // Tasks that say the same read the same steady clock. Empty: the number of this machine's start.
  std::string clock;
};

// A Trace is what one task did when: spans of time on tracks, of threads or of what overlaps, such
// as the requests under way to a shard. It is written as one file of Chrome's trace events, as
// ui.perfetto.dev and chrome://tracing open it; `parley trace` puts the files of a job's tasks
// together. Code that may be traced has a pointer to one, which is null where nobody asked: then
// tracing costs a comparison. Thread safety: safe from any thread.
class Trace {
 public:
  static constexpr int kThisThread = -1;

  struct Span {
    const char* name;  // a literal
    absl::Time begin;  // of Now
    absl::Time end;
    int64_t step = -1;  // of this and the next three: negative says nothing
    int64_t bytes = -1;
    int64_t pushed_bytes = -1;
    int64_t pulled_bytes = -1;
    int worker = -1;       // stands behind the name: "wait for worker:1"
    uint64_t request = 0;  // what it belongs to, at the worker and at the shard alike; 0: nothing
    int track = kThisThread;
  };

  explicit Trace(TraceOptions options);

  absl::Time Now() const { return options_.env->Now(); }
  // A number that no other request of any task has, never 0.
  uint64_t NewRequest() { return next_request_.fetch_add(2, std::memory_order_relaxed); }
  // The track of this name, for what overlaps: spans that do, but for those of one request, are
  // shown in rows of their own.
  int Track(const std::string& name);
  // How the track of the calling thread is called, from now on.
  void NameThread(const std::string& name);

  bool Wants(int64_t step) const {
    return step < 0 || (step >= options_.first_step && step <= options_.last_step);
  }
  void Add(Span span);

  // All of it, as JSON: an object with "traceEvents", times in microseconds of the steady clock,
  // and "otherData": "task", "clock", and in "left_out" how many spans did not fit.
  std::string ToJson() const;
  // The file that Write makes, in `folder`.
  std::string FileName() const;
  // Makes the folder, and writes the file into it at once.
  absl::Status Write(const std::string& folder) const;

 private:
  struct Row {
    std::string name;
    std::vector<Span> spans;
  };
  struct Lanes;

  // The spans by the rows in which they are shown: in each they nest.
  std::vector<Row> MakeRows() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const TraceOptions options_;
  std::atomic<uint64_t> next_request_;

  mutable Mutex mutex_;
  std::vector<Span> spans_ ABSL_GUARDED_BY(mutex_);  // a ring, once it is full
  size_t oldest_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t left_out_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<std::string> tracks_ ABSL_GUARDED_BY(mutex_);
  std::map<pid_t, int> threads_ ABSL_GUARDED_BY(mutex_);  // their tracks
};

// A span of this thread for as long as it lives. Of a null Trace it does nothing.
class TraceScope {
 public:
  TraceScope(Trace* trace, const char* name, int64_t step = -1) : trace_(trace) {
    if (trace == nullptr) return;
    span_.name = name;
    span_.step = step;
    span_.begin = trace->Now();
  }
  ~TraceScope() {
    if (trace_ == nullptr) return;
    span_.end = trace_->Now();
    trace_->Add(span_);
  }
  TraceScope(const TraceScope&) = delete;
  TraceScope& operator=(const TraceScope&) = delete;

 private:
  Trace* const trace_;
  Trace::Span span_ = {};
};

}  // namespace parley

#endif  // PARLEY_BASE_TRACE_H_
