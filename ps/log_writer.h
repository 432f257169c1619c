#ifndef PARLEY_PS_LOG_WRITER_H_
#define PARLEY_PS_LOG_WRITER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "absl/types/span.h"
#include "base/env.h"
#include "base/mutex.h"
#include "proto/log.pb.h"
#include "ps/record_sink.h"
#include "ps/shard_books.h"

namespace parley {

// A LogWriter keeps a shard's records on disk, in segments (docs/log_format.md): what has come
// while the disk was busy is written and synced together, and then acknowledged. A segment begins
// with the shard's books, so that those before it can go when a checkpoint has the values. One that
// has become long is followed by another, for who goes on from the log writes the last one again.
//
// A full disk: nothing is acknowledged, `full` is told, and it is tried again until there is room.
// Any other error, and every error of a sync, is final: `failed` is told, and nothing is
// acknowledged any more. A sync is never repeated, for the pages that it could not write may be
// gone.
//
// Thread safety: safe from any thread; not Close and the destructor.
// Threads: one, which owns the files and the books, and calls back.
class LogWriter final : public RecordSink {
 public:
  struct Options {
    Env* env = nullptr;
    std::string folder;  // of this shard alone; made when missing
    absl::AnyInvocable<void(const absl::Status&)> failed;
    // The reason while there is no room, then OK.
    absl::AnyInvocable<void(const absl::Status&)> full;
    // The segment that it begins with may be begun when there is room, before anything is kept.
    bool may_wait_for_room = false;
    // Records of so many bytes are durable; the sync took so long. May be empty.
    absl::AnyInvocable<void(absl::Duration took, int64_t bytes)> synced;
  };

  static constexpr size_t kLongSegment = 64 << 20;  // bytes of payloads

  // Begins segment `segment`, behind `previous_bytes` of the one before it; durable when OK, or
  // before anything is kept.
  // `identity` has what of the books is the job's: spec, checkpoint and log_id.
  static absl::StatusOr<std::unique_ptr<LogWriter>> Create(Options options, v1::Books identity,
                                                           ShardBooks books, uint64_t segment,
                                                           int64_t previous_bytes);
  ~LogWriter() override;

  // Writes what has come, and ends the thread. What comes later is not kept.
  void Close();

  void Append(std::vector<ShardRecord> records, absl::AnyInvocable<void()> kept) override;

  // What is appended from now on goes to another segment, whose number it returns.
  uint64_t Roll();
  // Segments below `segment` are not needed any more.
  void RemoveBefore(uint64_t segment);

  uint64_t log_id() const { return identity_.log_id(); }
  // Batches that have come and that its thread has not taken up.
  int64_t waiting() const {
    MutexLock lock(&mutex_);
    return static_cast<int64_t>(items_.size());
  }

 private:
  struct Item {
    std::vector<ShardRecord> records;
    absl::AnyInvocable<void()> kept;
    uint64_t roll = 0;           // begin this segment
    uint64_t remove_before = 0;  // segments
  };

  LogWriter(Options options, v1::Books identity, ShardBooks books);
  uint64_t RollLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // First begins `segment` where that has yet to be done.
  void Run(absl::optional<uint64_t> segment, int64_t previous_bytes);
  absl::Status Process(std::vector<Item>* items);
  // Makes the records of the items durable, together.
  absl::Status Keep(absl::Span<Item> items);
  absl::Status AppendRecords(absl::Span<const Item> items);
  absl::Status Begin(uint64_t segment, int64_t previous_bytes);
  // Runs `attempt` until it finds room.
  absl::Status WhenThereIsRoom(absl::FunctionRef<absl::Status()> attempt);
  void RemoveSegmentsBefore(uint64_t segment);

  Options options_;
  const v1::Books identity_;

  // The writer's thread's.
  ShardBooks books_;
  std::unique_ptr<WritableFile> file_;
  int64_t bytes_ = 0;  // of the segment, durable

  mutable Mutex mutex_;
  CondVar changed_;
  std::vector<Item> items_ ABSL_GUARDED_BY(mutex_);
  uint64_t next_segment_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t appended_ ABSL_GUARDED_BY(mutex_) = 0;  // bytes of payloads, to the last segment
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // constant after construction
};

// Removes a log that nobody writes, if there is one; durable when OK.
absl::Status RemoveLog(Env* env, const std::string& folder);

}  // namespace parley

#endif  // PARLEY_PS_LOG_WRITER_H_
