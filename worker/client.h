#ifndef PARLEY_WORKER_CLIENT_H_
#define PARLEY_WORKER_CLIENT_H_

#include <cstdint>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/env.h"
#include "base/trace.h"
#include "net/job.h"
#include "net/parameter_server.h"
#include "net/shared_arena.h"
#include "net/worker_counts.h"
#include "worker/parameter_values.h"
#include "worker/push_pull_time.h"
#include "worker/row_cache.h"

namespace parley {

struct ClientOptions {
  int worker = 0;  // this task's index; 0 is the chief, which declares the job
  // Which start of this worker it is; a later one needs a higher number. 0: the system clock in
  // microseconds.
  uint64_t incarnation = 0;
  absl::Duration timeout = absl::Seconds(60);          // of every call, except:
  absl::Duration startup_timeout = absl::Seconds(60);  // of Connect, while other tasks start
  // Chief only: the manifest, in the shards' checkpoint folder, that the job continues from. Empty:
  // initialise.
  std::string checkpoint;
  // Chief only: of so many checkpoints that follow each other one is whole; the others have what
  // changed since the one before. 1: all are whole.
  int checkpoint_full_every = 1;
  // Requests are cut to about this size, those whose values are viewed to four times this, at most
  // 16 MiB; blocks are never cut.
  size_t request_bytes = size_t{1} << 20;
  Env* env = nullptr;  // SaveCheckpoint's files, what is measured; null: Env::Posix()
  // Where NewBuffer's memory comes from, which should be that of the channels to the shards
  // (ChannelOptions::arena). Null: ordinary memory.
  std::shared_ptr<SharedArena> arena;
  // How gradients and parameters travel (net/wire_dtype.h): FLOAT32, BFLOAT16 or FLOAT16. In 16
  // bits they are rounded to nearest even; sums and parameters are float32 at the shards all the
  // same. A gradient that overflows FLOAT16 is refused by the shard.
  v1::DType push_dtype = v1::FLOAT32;
  v1::DType pull_dtype = v1::FLOAT32;
  std::shared_ptr<Trace> trace;  // of this task; null: nobody asked
  // The same of rows of tables and of their gradients, where it is not to be as above; INT8 too: a
  // byte for each element, and a scale for each row (net/row_wire.h).
  v1::DType push_rows_dtype = v1::DTYPE_UNSPECIFIED;
  v1::DType pull_rows_dtype = v1::DTYPE_UNSPECIFIED;
  // Rows of tables that are kept here for some steps (worker/row_cache.h); by default none are.
  RowCacheOptions row_cache;
};

// A Client is one worker's link to the shards of one job: it pulls parameters and pushes gradients,
// whole or some of them, cut into blocks and sent to the shards that own these.
//
// Retries: a request that a transport lost is sent again, with the same sequence number, until the
// call's deadline; the shard applies a push once. Errors name the task, the parameter and the step.
// After an error of a push in a synchronous job the job cannot go on: Leave(status) tells the
// others why.
//
// Thread safety: safe from any thread, but a parameter's gradients must come in the order of their
// steps. Those of one step may come in several calls, each with other parameters. Owns a thread for
// heartbeats, retries and deadlines. Buffers given to a call must stay alive, gradients unchanged
// and targets untouched, until it or its future is done; after an error a target's contents are
// unspecified. Gradients travel uncopied, and a future is not ready while a transport or a shard in
// this process may read them; a synchronous job's gradients whose parameter the same call does not
// pull are copied, when they are sent, for a shard keeps those until the round is complete. Only an
// error that says "may still be read" leaves gradients with a shard: they must outlive that shard.
//
// A gradient with a NaN or an infinity is refused by the shard that gets it, whole with its
// request; other requests of the same step may have been taken.
//
// Memory: any number of calls may be begun without waiting for their futures. What is under way is
// bounded, to a few requests for each shard and kind, or those of two steps; the rest waits in the
// caller's buffers.
//
// Time: a future is ready within `timeout` and a few seconds; so is every other call.
class Client {
 public:
  using Gradient = ParameterGradient;
  using Target = ParameterTarget;
  using View = ParameterView;
  using Views = absl::StatusOr<std::vector<View>>;

  // How this worker is doing.
  struct StepReport {
    int64_t step = 0;  // steps done
    int64_t steps = 0;
    double loss = 0;                // of the last step
    double samples_per_second = 0;  // of late
  };

  // What a job's shards say together, summed or extreme over them.
  struct JobStatus {
    v1::GetStatusResponse total;
    double staleness_mean() const {
      return total.pushes() == 0 ? 0.0 : double(total.staleness_sum()) / double(total.pushes());
    }
  };

  // Enters the job on every shard (`shards` by index, spec.num_shards() of them); the chief
  // declares it first. Waits for tasks that are not there yet up to startup_timeout; the error then
  // names who is missing.
  static absl::StatusOr<std::unique_ptr<Client>> Connect(
      v1::JobSpec spec, std::vector<std::shared_ptr<ParameterServer>> shards,
      ClientOptions options);

  // Leaves as failed, if Leave was not called.
  virtual ~Client() = default;

  virtual const Job& job() const = 0;
  virtual int worker() const = 0;
  // The step this worker does first: 0 in a new job, later in one that is resumed or rejoined. Of
  // one that comes while the job runs, before the chief has said that it is among the workers, it
  // is the step to pull for first; that waits until it is, and NextStep says with which it begins.
  virtual int64_t first_step() const = 0;

  // The step to do after the pulls for `step`, which have ended: `step`, or a later one when the
  // job went on without this worker, which was late or silent.
  virtual int64_t NextStep(int64_t step) const = 0;

  // Fills the targets with the parameters as the policy shows them to this worker at `step`:
  // synchronous: after exactly `step` rounds, or, with backup workers, after the newest.
  virtual std::future<absl::Status> PullAsync(int64_t step, std::vector<Target> targets) = 0;
  // PullAsync of moving averages: the targets whose optimizer keeps one (Optimizer.ema_decay) get
  // it, the others their parameters.
  virtual std::future<absl::Status> PullAveragesAsync(int64_t step,
                                                      std::vector<Target> targets) = 0;
  // Gives the shards the gradients of `step`. OK when every shard has taken them.
  virtual std::future<absl::Status> PushAsync(int64_t step, std::vector<Gradient> gradients) = 0;
  // PushAsync of `step`, then PullAsync of step + 1, in one trip for each block.
  virtual std::future<absl::Status> PushPullAsync(int64_t step, std::vector<Gradient> gradients,
                                                  std::vector<Target> targets) = 0;

  // PullAsync and PushPullAsync of these parameters, distinct, without copying their values. The
  // views are in the order of `parameters`. INVALID_ARGUMENT unless pull_dtype is FLOAT32.
  virtual std::future<Views> PullViewsAsync(int64_t step, std::vector<int> parameters) = 0;
  virtual std::future<Views> PushPullViewsAsync(int64_t step, std::vector<Gradient> gradients,
                                                std::vector<int> parameters) = 0;

  // A push of `step` without gradients, for all parameters: the rounds that it belongs to change
  // nothing, whatever the other workers push. Then PullAsync of step + 1.
  virtual std::future<absl::Status> SkipAsync(int64_t step, std::vector<Target> targets) = 0;
  // Whether the last round that the values of `parameter` pulled last have seen was skipped.
  virtual bool WasSkipped(int parameter) const = 0;

  // Rows of tables (JobSpec.tables): `table` is an index there (Job::FindTable). Rows have the
  // table's width and stand one behind another in the order of `keys`, which need not be distinct.
  //
  // Fills `rows` with those of `keys`, as the table's policy shows them to this worker at `step`. A
  // row that nobody has pushed a gradient for is what the table's initializer says, and asking for
  // it makes none. Of no keys it is OK at once. `rows` must stay until the future is ready. With a
  // row cache a row may be as it was some steps before.
  virtual std::future<absl::Status> PullRowsAsync(int table, int64_t step,
                                                  absl::Span<const uint64_t> keys,
                                                  absl::Span<float> rows) = 0;
  // Gives the shards the gradients of these rows, whose memory the caller has back when this
  // returns. Those of a key that comes more than once are added up, in their order. In a
  // synchronous table every worker does this once for each step, if with no keys; a row's gradient
  // is the sum over the workers, in their order, divided by the number of pushes in the round,
  // those that did not name it included. At most 2^20 distinct keys for each shard. Each shard's
  // keys are taken whole or refused whole.
  virtual std::future<absl::Status> PushRowsAsync(int table, int64_t step,
                                                  absl::Span<const uint64_t> keys,
                                                  absl::Span<const float> gradients) = 0;

  // Chief only, in a job with a pushed schedule (Schedule.pushed), between two steps: the factor of
  // the learning rate for the rounds of this worker's pushes from now on, >= 0. A client that never
  // calls it leaves the factor as it is: 1, or what the checkpoint says. INVALID_ARGUMENT for
  // another worker, job or number.
  virtual absl::Status SetRateFactor(float factor) = 0;

  // The calling thread takes answers itself while it waits, where the transport lets it.
  virtual absl::Status Pull(int64_t step, std::vector<Target> targets) {
    return PullAsync(step, std::move(targets)).get();
  }
  virtual absl::Status Push(int64_t step, std::vector<Gradient> gradients) {
    return PushAsync(step, std::move(gradients)).get();
  }
  virtual absl::Status PushPull(int64_t step, std::vector<Gradient> gradients,
                                std::vector<Target> targets) {
    return PushPullAsync(step, std::move(gradients), std::move(targets)).get();
  }

  absl::Status PullRows(int table, int64_t step, absl::Span<const uint64_t> keys,
                        absl::Span<float> rows) {
    return PullRowsAsync(table, step, keys, rows).get();
  }
  absl::Status PushRows(int table, int64_t step, absl::Span<const uint64_t> keys,
                        absl::Span<const float> gradients) {
    return PushRowsAsync(table, step, keys, gradients).get();
  }

  // Waits until every worker that has not left is in the barrier of this name.
  virtual absl::Status Barrier(absl::string_view name, absl::Duration timeout) = 0;

  // Chief only, between a pull of `step` and the push of `step`: makes a checkpoint of all shards
  // in `folder`, which must be the shards' checkpoint folder, and keeps the newest `keep` (>= 2).
  // Returns the manifest's file name.
  absl::StatusOr<std::string> SaveCheckpoint(int64_t step, const std::string& folder, int keep) {
    constexpr int kTries = 5;
    for (int tries = 1;; ++tries) {
      absl::StatusOr<SavedLater> saved = SaveCheckpointAsync(step, folder, keep);
      if (!saved.ok()) return saved.status();
      absl::StatusOr<std::string> manifest = saved->get();
      // As long as nothing is pushed, another one is of the same rounds.
      if (!absl::IsNotFound(manifest.status()) || tries == kTries) return manifest;
    }
  }
  // The same, while training goes on: returns when `step` may be pushed. The manifest's file name
  // comes when all is written; before that no other may be begun, and the client must live. Then
  // NOT_FOUND: a shard has lost its part, as it was started again; there is no such checkpoint.
  using SavedLater = std::future<absl::StatusOr<std::string>>;
  virtual absl::StatusOr<SavedLater> SaveCheckpointAsync(int64_t step, const std::string& folder,
                                                         int keep) = 0;

  virtual absl::StatusOr<JobStatus> Status() = 0;

  // Whether a shard was asked to stop, and so the chief is to end the job in order; and whether an
  // operator asked that it ends for good. Heard with heartbeats.
  virtual bool ShardsDrain() const = 0;
  virtual bool ShardsStop() const = 0;

  // Chief only: the ticket of a checkpoint that an operator asked for, which ReportCheckpoint has
  // not answered; 0: none. Heard with heartbeats.
  virtual uint64_t CheckpointAsked() const = 0;

  // How many workers the job has at which step, as far as this worker knows: for the step that was
  // pulled last, in a synchronous job, that is what all workers know.
  virtual WorkerCounts workers() const = 0;
  // Chief only: the number of workers that an operator asked for, when all of them have joined; 0:
  // none, or the job has them. Heard with heartbeats.
  virtual int WorkersAsked() const = 0;
  // Chief only, before the push of `step`, which must not be the first that this client does: from
  // step + 1 on the job has `count` workers. INVALID_ARGUMENT for another worker or number.
  virtual absl::Status SetWorkers(int64_t step, int count) = 0;

  // What the next heartbeats say to those who watch the job. Cheap enough for every step.
  virtual void Report(const StepReport& report) = 0;
  // The chief's last checkpoint, or why there is none.
  virtual void ReportCheckpoint(v1::CheckpointReport report) = 0;

  // Ends this worker's part: finished (OK), or failed with `reason`, which in a synchronous job
  // fails the others too. Nothing else may be called after it. A shard that cannot be reached any
  // more is no error: it ends when all have left, even where the answer is lost that says so.
  virtual absl::Status Leave(const absl::Status& reason) = 0;

  // `elements` float32, not initialised, aligned to kBufferAlignment, in the client's arena:
  // gradients that stand there are read in place by shards on this host, uncopied.
  virtual std::shared_ptr<float> NewBuffer(size_t elements) = 0;

  // Payload bytes this client has sent and received.
  virtual int64_t bytes_pushed() const = 0;
  virtual int64_t bytes_pulled() const = 0;

  // Its requests for gradients and parameters, over all shards.
  struct Requests {
    int64_t queued = 0;     // here, until others are answered
    int64_t in_flight = 0;  // sent, and not answered
    int64_t retries = 0;    // sent again, so far
  };
  virtual Requests requests() const = 0;

  // Where the time of the push or pull went that was answered last.
  virtual PushPullTime last_push_pull() const { return {}; }

  // How often rows that were pulled came from the row cache; nothing where there is none.
  virtual RowCache::Counts row_cache() const = 0;
};

}  // namespace parley

#endif  // PARLEY_WORKER_CLIENT_H_
