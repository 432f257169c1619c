#ifndef PARLEY_PS_LOG_READER_H_
#define PARLEY_PS_LOG_READER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/env.h"
#include "proto/log.pb.h"
#include "ps/log_format.h"

namespace parley {

// A shard's log, as the last start of the shard left it. What was acknowledged is all there, or it
// is an error: of a segment that another follows, the other one knows its length; the end of the
// last may be a record that was being written, which counts as not there.
//
// Errors name the file. DATA_LOSS: it is damaged, or a segment is missing.
// Thread safety: as for a std::vector.
class LogReader {
 public:
  // The log in `folder`. NOT_FOUND when there is none. A last segment that does not have its
  // beginning is removed: nothing in it was acknowledged.
  static absl::StatusOr<LogReader> Open(Env* env, const std::string& folder);

  uint64_t first_segment() const { return segments_.front().begin.segment(); }
  uint64_t last_segment() const { return segments_.back().begin.segment(); }
  // How a segment, one of those, begins.
  const v1::LogRecord::Begin& BeginOf(uint64_t segment) const {
    return segments_[segment - first_segment()].begin;
  }
  // Calls `take` with each record from `segment` on, but for the beginnings of segments. An error
  // of `take` ends it. Returns how many bytes of the last segment count.
  absl::StatusOr<int64_t> Replay(uint64_t segment,
                                 absl::FunctionRef<absl::Status(ReadLogRecord)> take) const;

 private:
  struct Segment {
    std::string path;
    v1::LogRecord::Begin begin;
    int64_t begin_end;  // of the first record, in bytes
  };

  explicit LogReader(Env* env) : env_(env) {}

  Env* env_;
  std::vector<Segment> segments_;  // ascending, one after another
};

}  // namespace parley

#endif  // PARLEY_PS_LOG_READER_H_
