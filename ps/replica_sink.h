#ifndef PARLEY_PS_REPLICA_SINK_H_
#define PARLEY_PS_REPLICA_SINK_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/env.h"
#include "base/mutex.h"
#include "base/trace.h"
#include "net/parameter_server.h"
#include "ps/copy_move.h"
#include "ps/copy_place.h"
#include "ps/copy_stream.h"
#include "ps/record_sink.h"
#include "ps/shard_books.h"
#include "ps/shard_numbers.h"

namespace parley {

// A ReplicaSink sends a shard's changes to the task that keeps its copy (ps/standby.h): what has
// come while one message was under way travels together in the next. A change is kept when the copy
// has it, and has every block, and the job knows of it (CopyPlace::SetInSync).
//
// When the copy is not there, or was lost, it is filled anew: the books, then, as `fill` brings
// them, blocks and rows of tables, among the changes. A copy that cannot be had for `patience` is
// done without: then changes count as kept at once, and it is tried again and again in the
// background. When its task is gone, or the shard was taken over, it is done without after kHurry,
// or when no task is there to have it.
//
// A copy that is in sync and to be kept elsewhere (CopyPlace::IsToMove) is followed by one at
// another task, which is filled beside it (ps/copy_move.h); changes wait only while the job gets to
// know that it is that one now.
//
// Before the shard is handed over its own task keeps a copy too (CopyPlace::OwnPlace), in the same
// way; who takes over has that one for a copy at once. So that it answers nothing which that one
// lacks, both have the same then: what comes during the pause (CopyPlace::pause) waits.
//
// Invariant: from before the job may know of the copy until it is known that it does not, nothing
// is kept that the copy does not have.
//
// Thread safety: safe from any thread; not the destructor, which sends what has come, unless that
// fails, and joins. Threads: one, which owns the books and calls back.
class ReplicaSink final : public RecordSink {
 public:
  struct Options {
    std::string task;  // that the shard is in, for messages
    std::shared_ptr<CopyPlace> place;
    int shard = 0;
    // The shard has its first values. A copy of a shard that had more is then not replaced.
    bool begins_anew = false;
    absl::Duration patience = absl::Seconds(10);
    Env* env = Env::Posix();       // the clock
    std::shared_ptr<Trace> trace;  // null: nobody asked
    // Must bring about an Append of the state of each block, and of the rows of each table, in its
    // turn among the rounds.
    absl::AnyInvocable<void()> fill;
    // Bytes that the rows of tables take now; from any thread. May be empty.
    std::function<int64_t()> table_memory;
    // Another task speaks for the shard now. Nothing is kept any more.
    absl::AnyInvocable<void(const absl::Status&)> superseded;
  };

  // How long changes wait for a copy to be filled whose task before is gone.
  static constexpr absl::Duration kHurry = absl::Milliseconds(500);

  ReplicaSink(Options options, v1::Books identity, ShardBooks books);
  ~ReplicaSink() override;

  // Sends what has come, unless that fails, and ends the thread. What comes later is not kept.
  void Close();

  // Before anything is appended, and where `fill` may be called from then on.
  void Start();

  void Append(std::vector<ShardRecord> records, absl::AnyInvocable<void()> kept) override;

  // How far the copy is behind.
  ShardNumbers::Replica lag() const;

 private:
  using Kept = absl::AnyInvocable<void()>;
  struct Item {
    std::vector<ShardRecord> records;
    Kept kept;
    absl::Time came;
  };

  void Run();
  absl::Status Begin();
  absl::Status Send(const std::vector<Item>& items);
  v1::Books Books() const;
  CopyStream::Options StreamAt(std::shared_ptr<ParameterServer> standby) const;
  // Of a copy that is in sync: begins, follows or ends its move, and likewise the copy that is kept
  // in the shard's own task.
  void Move();
  void FollowOwn();
  std::unique_ptr<CopyMove> BeginCopy(std::shared_ptr<ParameterServer> standby);
  void EndMove();
  void EndOwn();
  // Forgets those that have ended.
  void Reap();
  // Into the books, whether or not the copy has them.
  void Take(std::vector<Item>* items);
  void RunHeld();
  void EndStream();
  // The job is to know that the copy is in sync; or that there is none, and changes need not wait.
  absl::Status BecomeInSync();
  absl::Status StopWaiting(const absl::Status& because);
  bool IsOverdue() const;
  void HurryOn();
  void BeSuperseded(const absl::Status& by);
  // What is next to be sent; waits for it, at most `wait`.
  std::vector<Item> TakeItems(absl::Duration wait);
  bool stopping();
  // Whether nothing may be sent now, as has been waited for a while then.
  bool Pauses();

  Options options_;
  const v1::Books identity_;

  // The thread's.
  ShardBooks books_;
  uint64_t term_;                       // 0: not known yet
  std::unique_ptr<CopyStream> stream_;  // null: none is begun
  std::unique_ptr<CopyMove> move_;      // null: the copy stays where it is
  std::unique_ptr<CopyStream> left_;    // of the copy before, until the job knows of the next
  std::shared_ptr<CopyMove> own_;       // of the shard's own task; null: none is needed
  std::vector<std::shared_ptr<CopyMove>> ending_;
  absl::Time next_move_ = absl::InfinitePast();
  absl::Time next_own_ = absl::InfinitePast();
  std::atomic<bool> whole_{false};  // the copy has everything; others read it
  bool alone_ = false;              // it is done without, for now
  bool waits_ = true;  // for the copy to be whole: not where it was done without since it last was
  bool may_be_known_ = false;        // the job may know of a copy that is in sync
  bool in_sync_ = false;             // it does, and it is the stream's
  std::atomic<uint64_t> paused_{0};  // CopyPlace::pause, when nothing was under way; others read it
  absl::Time last_good_;
  absl::Time last_grown_;  // when the stream was begun, or a state was sent
  absl::Time hurries_from_ = absl::InfiniteFuture();  // when the copy's task was found gone
  std::vector<Kept> held_;                            // until the copy is whole

  mutable Mutex mutex_;
  CondVar changed_;
  std::deque<Item> items_ ABSL_GUARDED_BY(mutex_);
  // Items that the thread has taken and the copy has not, and when the first of them came.
  int64_t taken_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Time taken_came_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool superseded_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // constant after Start
};

}  // namespace parley

#endif  // PARLEY_PS_REPLICA_SINK_H_
