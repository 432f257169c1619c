#ifndef PARLEY_PS_COPY_STREAM_H_
#define PARLEY_PS_COPY_STREAM_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/trace.h"
#include "net/parameter_server.h"
#include "ps/record_sink.h"

namespace parley {

// A CopyStream sends a shard's records to a task that makes a copy of the shard from them
// (ps/standby.h): first its books, then whatever comes. Thread safety: none. Calls block until they
// are answered, or end by their own deadline.
class CopyStream {
 public:
  // More than one record goes into a message, and is handed over at a time, only up to this.
  static constexpr size_t kMessageBytes = 8 << 20;

  struct Options {
    std::shared_ptr<ParameterServer> standby;
    int shard = 0;
    uint64_t term = 0;             // of who speaks for the shard
    std::shared_ptr<Trace> trace;  // null: nobody asked
    bool adopts = false;           // the standby may have such a copy already
    int64_t table_bytes = 0;       // that rows of tables take, which it is to have room for
  };

  // Begins a copy of a shard with these books, its job's identity among them. Errors: the
  // standby's.
  static absl::StatusOr<std::unique_ptr<CopyStream>> Begin(Options options, v1::Books books);

  // In messages of about 8 MiB. The copy has them when this is OK. After another error than
  // UNAVAILABLE and DEADLINE_EXCEEDED the stream is of no use any more; after these the same may be
  // sent again.
  absl::Status Send(const std::vector<const ShardRecord*>& records);

  // The standby needs to keep the copy no longer. One that does not hear it keeps it for nothing.
  void End();

  bool whole() const { return whole_; }        // the copy has everything
  uint64_t keeper() const { return keeper_; }  // the standby's start

 private:
  explicit CopyStream(Options options);
  absl::Status Ask(v1::ReplicateRequest request, Payload payload);

  const Options options_;
  const uint64_t stream_;  // random
  uint64_t next_ = 0;      // the number of its next record
  uint64_t keeper_ = 0;
  bool whole_ = false;
};

}  // namespace parley

#endif  // PARLEY_PS_COPY_STREAM_H_
