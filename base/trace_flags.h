#ifndef PARLEY_BASE_TRACE_FLAGS_H_
#define PARLEY_BASE_TRACE_FLAGS_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "base/trace.h"

namespace parley {

// --profile and --profile_steps, which each program lists in a group of its own.

// INVALID_ARGUMENT for steps that are no range.
absl::Status CheckTraceFlags();

// The trace that --profile asks for. Null when it asks for none, or when there can be no file in
// its folder: training does not need it, so that is a warning. Called once, by main.
std::shared_ptr<Trace> NewTraceOfFlags(const std::string& task);

// Writes a trace, unless it is null, when it goes. When that fails: a warning.
class TraceWriter {
 public:
  explicit TraceWriter(std::shared_ptr<const Trace> trace) : trace_(std::move(trace)) {}
  ~TraceWriter();
  TraceWriter(const TraceWriter&) = delete;
  TraceWriter& operator=(const TraceWriter&) = delete;

 private:
  const std::shared_ptr<const Trace> trace_;
};

}  // namespace parley

#endif  // PARLEY_BASE_TRACE_FLAGS_H_
