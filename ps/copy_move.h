#ifndef PARLEY_PS_COPY_MOVE_H_
#define PARLEY_PS_COPY_MOVE_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/env.h"
#include "base/mutex.h"
#include "ps/copy_stream.h"
#include "ps/record_sink.h"

namespace parley {

// A CopyMove makes a second copy of a shard, at the task that is to have the copy from then on,
// while the first one stays in sync: changes are acknowledged as before and need not wait for the
// second, but so that it does not fall behind for good.
//
// Thread safety: safe from any thread. Threads: one, which sends.
class CopyMove {
 public:
  struct Options {
    CopyStream::Options stream;
    // Of changes that the second copy has not: beyond these bytes, Append waits, up to this long.
    int64_t backlog = 64 << 20;
    absl::Duration patience = absl::Seconds(1);
    Env* env = Env::Posix();  // the clock
    // Called when IsReady has become true, or status() an error. On the thread.
    std::function<void()> changed;
  };

  // Begins a copy of a shard with these books.
  CopyMove(Options options, v1::Books books);
  // Waits for what is being sent.
  ~CopyMove();

  // What has come since, in order; the states of all blocks among it. Where the copy falls behind
  // for longer than the patience, the move fails.
  void Append(const std::vector<ShardRecord>& records);

  // Whether the copy is whole and has all that was appended.
  bool IsReady() const;
  // OK, or why there will be no copy.
  absl::Status status() const;

  // Does nothing more. The thread ends when what is being sent is answered.
  void Stop();
  bool has_ended() const;

  // After IsReady, with nothing appended since: the stream, to go on with. Once.
  std::unique_ptr<CopyStream> Finish();

 private:
  void Run(v1::Books books);
  // Takes what is to be sent next; false when it is to end.
  bool Await(std::vector<ShardRecord>* records);
  void Fail(const absl::Status& status);

  const Options options_;
  std::unique_ptr<CopyStream> stream_;  // the thread's

  mutable Mutex mutex_;
  CondVar changed_;
  std::deque<ShardRecord> records_ ABSL_GUARDED_BY(mutex_);
  int64_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;  // of these, and of those that are being sent
  bool sending_ ABSL_GUARDED_BY(mutex_) = true;
  bool whole_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace parley

#endif  // PARLEY_PS_COPY_MOVE_H_
