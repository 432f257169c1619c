#ifndef PARLEY_PS_RECORD_SINK_H_
#define PARLEY_PS_RECORD_SINK_H_

#include <cstdint>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "net/payload.h"
#include "proto/log.pb.h"

namespace parley {

// One change of a shard's state.
struct ShardRecord {
  v1::LogRecord record;
  Payload payload;
};

// Whether it says what there is, for a copy that has not got it, and no change.
inline bool IsState(const v1::LogRecord& record) {
  return record.has_block_state() || record.has_table_state();
}

// Where a shard's changes go before they are acknowledged: a log on disk (ps/log_writer.h), a
// copy at another task (ps/replica_sink.h), or both (ps/both_sinks.h).
// Thread safety: safe from any thread.
class RecordSink {
 public:
  virtual ~RecordSink() = default;

  // Takes records that come one after another, behind those of earlier calls. `kept` runs once,
  // when these and all before them are kept; in the order of the calls, on a thread of the sink; it
  // may call Append. After the sink has failed it never runs.
  virtual void Append(std::vector<ShardRecord> records, absl::AnyInvocable<void()> kept) = 0;
};

}  // namespace parley

#endif  // PARLEY_PS_RECORD_SINK_H_
