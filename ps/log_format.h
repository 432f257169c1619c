#ifndef PARLEY_PS_LOG_FORMAT_H_
#define PARLEY_PS_LOG_FORMAT_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "base/env.h"
#include "net/payload.h"
#include "proto/log.pb.h"
#include "ps/reused_buffers.h"

namespace parley {

// The bytes of a shard's log: docs/log_format.md draws them. Pure functions; safe from any thread.

// "log-00000012": segments, from 1.
std::string LogSegmentName(uint64_t segment);
// The segment of such a name; none for other files.
absl::optional<uint64_t> ParseLogSegmentName(absl::string_view name);

// What stands before the payload of a record: lengths, checksum of all of it, and the message.
// `durable_bytes` of the segment are on disk.
std::string EncodeLogRecord(const v1::LogRecord& record, const Payload& payload,
                            int64_t durable_bytes);

struct ReadLogRecord {
  v1::LogRecord record;
  Payload payload;
  int64_t end;  // of the record in the file, in bytes
};

// The record at byte `begin` of `file`. OUT_OF_RANGE at the file's end, and when the record is one
// of those that were being written when the power failed: it is not whole, and none behind it says
// that it was on disk. DATA_LOSS when it is damaged. Other errors are those of reading. The
// payload is in one of `buffers`. Allocates no more than the file's size.
absl::StatusOr<ReadLogRecord> ReadLogRecordAt(const ReadableFile& file, int64_t begin,
                                              ReusedBuffers* buffers);

}  // namespace parley

#endif  // PARLEY_PS_LOG_FORMAT_H_
