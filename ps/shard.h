#ifndef PARLEY_PS_SHARD_H_
#define PARLEY_PS_SHARD_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "base/env.h"
#include "base/mutex.h"
#include "base/trace.h"
#include "net/forwarding_parameter_server.h"
#include "net/job.h"
#include "net/norm_plan.h"
#include "net/parameter_server.h"
#include "net/shared_arena.h"
#include "ps/block.h"
#include "ps/both_sinks.h"
#include "ps/copy_place.h"
#include "ps/job_watch.h"
#include "ps/log_reader.h"
#include "ps/log_writer.h"
#include "ps/norm_rounds.h"
#include "ps/optimizer.h"
#include "ps/optimizer_registry.h"
#include "ps/policy.h"
#include "ps/policy_registry.h"
#include "ps/pulled_values.h"
#include "ps/replica_sink.h"
#include "ps/shard_copy.h"
#include "ps/shard_metrics.h"
#include "ps/shard_numbers.h"
#include "ps/shard_state.h"
#include "ps/shard_table.h"
#include "ps/table_copy.h"
#include "ps/table_fill.h"
#include "ps/task_pool.h"
#include "ps/task_thread.h"

namespace parley {

struct ShardOptions {
  int shard_index = 0;
  // Where checkpoints are written and read; the same folder for all shards and the chief. Empty:
  // none can be made.
  std::string checkpoint_folder;
  // Where every change is written down before it is acknowledged; of this shard alone, on a disk
  // that outlives the process. Empty: nowhere, and what a shard has since the last checkpoint goes
  // with it.
  std::string log_folder;
  // The task that keeps a copy of this shard (ps/standby.h): a change is acknowledged when it is
  // there, too. Null: none. One that is silent for `standby_patience` is done without until it is
  // back.
  std::shared_ptr<ParameterServer> standby;
  // Instead of `standby`: where the copy is kept, in a job whose tasks take over from each other
  // (ps/succession.h).
  std::shared_ptr<CopyPlace> copy_place;
  absl::Duration standby_patience = absl::Seconds(10);
  // Called, on any thread, when an operator has asked for so many workers. May be empty.
  std::function<void(int workers)> workers_asked;
  // Threads that own the blocks; 0: one for each core, at most 4.
  int threads = 0;
  // Rounds do not wait for a worker that is silent for this long, unless the policy awaits it.
  absl::Duration lease = absl::Seconds(10);
  // After this silence, at most the lease, a newer incarnation of a worker may take its place;
  // heartbeats come four times as often. Zero: a quarter of the lease.
  absl::Duration replace_after;
  // Bytes that parameters, slots, rows and the gradients of a synchronous job's open rounds may
  // need; 0: the machine's memory. A job whose parameters need more is refused, and so is a push of
  // rows once tables have filled the rest.
  int64_t memory_limit = 0;
  // Where rows of tables go that have a memory_limit (TableSpec): in files without a name here, of
  // which nothing is left whatever ends the process. Empty: such a job is refused.
  std::string spill_folder;
  // What this program brings of its own, for jobs that ask for it by name.
  OptimizerRegistry optimizers;
  PolicyRegistry policies;
  Env* env = Env::Posix();  // the steady clock and the files
  // Where the parameters stand, so that processes of this host can read them, and the socket where
  // these learn how (net/local_server.h), which Join tells them. Null and empty: nowhere.
  std::shared_ptr<SharedArena> arena;
  std::string local_socket;
  // Where it says what it does (ps/shard_metrics.h). Null: nowhere.
  std::shared_ptr<Metrics> metrics;
  // Where it writes down what it does when. Null: nowhere.
  std::shared_ptr<Trace> trace;
};

// A Shard holds a part of one job's parameters. It is the C++ face of the wire service and can be
// called directly: the in-process transport.
//
// The path of a push: PushPull (any thread) checks the request and its numbers and gives it to the
// ShardState, which decides; a closed round goes to the thread that owns the block, which reduces
// the gradients, updates the block, and reports it applied; then the ShardState answers the pulls
// that waited for it, with snapshots of blocks, uncopied.
//
// Thread safety: safe from any thread.
// Threads: each block belongs to one queue of tasks, which writes its blocks one round after
// another on the owner threads (the thread that closed them may run some for these); one background
// thread declares, restores and writes checkpoints; one timer thread ends what is overdue. The
// destructor refuses what waits and joins all.
class Shard final : public ParameterServer {
 public:
  explicit Shard(ShardOptions options);
  ~Shard() override;

  // How many threads own the blocks, where ShardOptions.threads is `asked`.
  static int ThreadCount(int asked);

  // Before any call of the service: goes on with the job whose log is in the log folder, where it
  // stood when it last acknowledged something: from the newest checkpoint that has values for the
  // log, and the log since. Returns whether there is one. DATA_LOSS: it is damaged.
  absl::StatusOr<bool> Recover();
  // Likewise: takes its state back from the standby, if that has a copy. Returns at once; calls
  // wait or are UNAVAILABLE meanwhile, for at most `standby_patience` if the standby is not there.
  void RecoverFromStandby();
  // Likewise: goes on with the copy that this task kept. Errors: it is not one of this shard's.
  absl::Status TakeOver(ShardCopy copy);

  // Why nothing can be written down any more, or another task speaks for this shard; OK while it
  // does. Otherwise it serves nobody.
  absl::Status durability_status() const;
  // The job is done: its log is not needed.
  void RemoveLog();

  void Declare(v1::DeclareRequest request, Done<v1::DeclareResponse> done) override;
  void Join(v1::JoinRequest request, Done<v1::JoinResponse> done) override;
  void Heartbeat(v1::HeartbeatRequest request, Done<v1::HeartbeatResponse> done) override;
  void PushPull(v1::PushPullRequest request, Payload payload, Done<PushPullReply> done) override;
  void Leave(v1::LeaveRequest request, Done<v1::LeaveResponse> done) override;
  void Barrier(v1::BarrierRequest request, Done<v1::BarrierResponse> done) override;
  void Checkpoint(v1::CheckpointRequest request, Done<v1::CheckpointResponse> done) override;
  void DescribeBlocks(v1::DescribeBlocksRequest request,
                      Done<v1::DescribeBlocksResponse> done) override;
  void GetStatus(v1::GetStatusRequest request, Done<v1::GetStatusResponse> done) override;
  void Ask(v1::AskRequest request, Done<v1::AskResponse> done) override;
  void GetNormSums(v1::GetNormSumsRequest request, Done<v1::GetNormSumsResponse> done) override;
  void SetNormTotals(v1::SetNormTotalsRequest request,
                     Done<v1::SetNormTotalsResponse> done) override;

  // Returns when what the calls that have returned set off is done: closed rounds are applied, and
  // what waited for them is answered. For who orders the events himself, as a simulation does. Not
  // from within a callback.
  void Settle();

  // The same shard for the threads of transports: one that brings the last gradient of a round also
  // applies it, while the gradient is in its processor's cache, instead of waking another. (Calls
  // of the shard itself return at once.) Lives as long as the shard.
  ParameterServer* for_transports() { return &for_transports_; }

  // True when nobody will come any more (ShardState::IsDone); waits for it up to `timeout`.
  bool WaitUntilDone(absl::Duration timeout) const;
  // Whether any worker has joined and not left.
  bool HasWorkers() const;
  // Whether a job is declared.
  bool HasJob() const;
  // Where it stands; nothing before a job is declared.
  absl::optional<ShardNumbers> Numbers() const;
  // From now on heartbeats tell the workers that this shard was asked to stop.
  void SetDraining() { watch_.SetDraining(); }
  // Whether an operator asked that the job ends for good.
  bool IsStopping() const { return watch_.stopping(); }
  // That, or that this task asks the workers to end the job.
  bool IsDraining() const { return watch_.draining(); }

 private:
  // What there is to do with a block when a round that is in its middle is finished.
  struct Turn {
    int64_t halved = 0;  // the round of which the first half is done; 0: none
    ShardRecord record;  // of that round, where there is a log
    std::deque<absl::AnyInvocable<void()>> later;
  };

  // When a block's last round was complete, and who brought its last gradient; -1: nobody. Of two
  // moments when it is read while the next round is: it is told, not reckoned with.
  struct RoundEnd {
    std::atomic<int64_t> when{0};  // Unix nanoseconds of Now
    std::atomic<int> worker{-1};
  };
  // What a request's time went by, at this shard.
  struct RequestTimes {
    uint64_t request = 0;  // in the trace
    int worker = 0;
    int64_t step = 0;
    int64_t pushed_bytes = 0;
    absl::Time came;
    absl::Time checked;
  };

  struct LastCut {
    int64_t number = 0;  // of cuts; 0: there is none
    int64_t step = 0;
    v1::CheckpointResponse file;
    std::vector<int64_t> versions;  // by block
  };

  // What Declare makes. The pointer, and all but `turns`, `norms` and `state`, are constant once
  // published.
  struct Declared {
    explicit Declared(Job declared_job) : job(std::move(declared_job)), norm_plan(&job) {}
    const Job job;
    const NormPlan norm_plan;
    std::vector<std::unique_ptr<Policy>> policies;       // by parameter
    std::vector<std::unique_ptr<Optimizer>> optimizers;  // by parameter
    int64_t bytes_per_worker = 0;     // that one more may take, for gradients and what it pulled
    int64_t spare_memory = 0;         // of the limit, when the job was declared
    bool takes_rate_factors = false;  // a schedule is `pushed`
    std::vector<int> average_slots;   // by parameter; -1: it keeps none
    std::vector<uint32_t> numbers;    // of the shard's blocks in the job
    std::vector<int> local;           // by number: index in blocks, or -1
    std::vector<std::unique_ptr<Block>> blocks;  // written by their queues only
    // What is to be done with blocks, one thing after another for those of one queue.
    std::vector<std::unique_ptr<TaskQueue>> queues;
    std::vector<size_t> queue_of;            // by block: index in queues
    std::vector<Turn> turns;                 // by block; of their queues
    std::unique_ptr<RoundEnd[]> round_ends;  // by block
    // In ShardState table i is the block behind the last of `blocks`, plus i.
    std::vector<std::unique_ptr<ShardTable>> tables;      // by index in the job
    std::vector<std::unique_ptr<Policy>> table_policies;  // likewise
    std::vector<TaskQueue*> part_queues;                  // by part of the tables, among queues
    int64_t table_memory = 0;                             // bytes that the tables may take together
    std::unique_ptr<NormRounds> norms;                    // guarded by mutex_
    std::unique_ptr<PulledValues> pulled;                 // of blocks whose delay is compensated
    bool recovered = false;                               // from a log
    // Of the checkpoints written since this task's start, by step: the segment that has what they
    // have not. Of the background thread.
    std::map<int64_t, uint64_t> log_segments;
    // The last cut for a checkpoint that was written, and how many were begun; guarded by mutex_.
    // What the next one is to be based on, it has to be the last of them.
    LastCut last_cut;
    int64_t cuts = 0;
    RecordSink* sink = nullptr;            // where changes go; null: nowhere
    std::unique_ptr<LogWriter> log;        // null: none
    std::unique_ptr<ReplicaSink> replica;  // likewise
    std::unique_ptr<BothSinks> both;       // where there are both
    std::unique_ptr<TableFill> fill;       // of the replica, where there are tables
    std::unique_ptr<ShardState> state;     // guarded by mutex_

    TaskQueue& QueueOf(size_t block) const { return *queues[queue_of[block]]; }
    const Optimizer& OptimizerOf(uint32_t number) const {
      return *optimizers[job.blocks()[number].parameter];
    }
    int AverageSlotOf(uint32_t number) const {
      return average_slots[job.blocks()[number].parameter];
    }
    bool CompensatesDelay(uint32_t number) const {
      return job.CompensatesDelay(job.blocks()[number].parameter);
    }
  };

  class ForTransports final : public ForwardingParameterServer {
   public:
    explicit ForTransports(Shard* shard) : ForwardingParameterServer(shard), shard_(shard) {}
    void PushPull(v1::PushPullRequest request, Payload payload, Done<PushPullReply> done) override;

   private:
    Shard* const shard_;
  };

  // Rounds of how many elements in all a thread applies itself.
  static constexpr int64_t kNone = 0;
  static constexpr int64_t kShort = 1 << 14;  // as quick as waking the owner
  static constexpr int64_t kAll = std::numeric_limits<int64_t>::max();

  using AnswerDone = absl::AnyInvocable<void(ShardState::Answer)>;
  struct Ready {
    AnswerDone done;
    ShardState::Answer answer;
  };
  // What is left to do when the mutex is free: answers to give, queues whose tasks are to be run
  // here, and what to say in the log.
  struct Outcome {
    std::vector<Ready> ready;
    std::vector<TaskQueue*> help;
    std::vector<ShardState::LeaseNews> leases;
  };
  struct EarlyJoin {
    v1::JoinRequest request;
    absl::Time deadline;
    Done<v1::JoinResponse> done;
  };
  struct CheckpointCut;
  struct BegunCheckpoint;
  // What a request pulls of one table.
  struct PulledRows {
    uint32_t table;
    size_t num_keys;
    std::vector<PartKeys> parts;
  };
  struct GatheredRows;
  struct BlockSums {
    size_t block;
    int64_t round;
    std::vector<double> sums;
  };
  // What a queue has done and not reported yet.
  struct RoundsDone {
    std::vector<size_t> applied;       // blocks, one for each round
    std::vector<ShardRecord> records;  // likewise, where there is a log
    std::vector<BlockSums> sums;
  };
  // A GetNormSums that waits for its round.
  struct SumsWaiter {
    std::string who;
    int64_t round;
    absl::Time deadline;
    Done<v1::GetNormSumsResponse> done;
  };

  // Every how many rounds of a block its record has the CRC32C of what it then holds.
  static constexpr int64_t kDigestEvery = 64;
  // Likewise of a table, whose rows a round may be compared by.
  static bool IsDigested(const ShardTable& table, int64_t version) {
    return version % kDigestEvery == 0 && table.spill_folder().empty();
  }

  static constexpr int64_t kMaxStep = int64_t{1} << 62;

  absl::Time Now() const;
  absl::Time DeadlineIn(int64_t wait_ms) const;
  // The declared job, or NOT_FOUND when it is not `job`.
  absl::StatusOr<Declared*> Find(const std::string& job) const;
  // Likewise; with an empty name whichever job there is, null when there is none.
  absl::StatusOr<Declared*> FindAny(const std::string& job) const;
  // Why no checkpoint can be asked for.
  absl::Status CheckAskedCheckpoint(const Declared* declared) const;
  // What to go on from: the books so far, and either a log or a copy of the blocks.
  struct Recovery {
    const LogReader* log;
    uint64_t segment;  // to begin with
    ShardBooks books;
    std::vector<std::unique_ptr<Block>> blocks;
    std::vector<std::vector<NormRounds::BlockSums>> norm_sums;  // of a copy, by block
    std::vector<std::unique_ptr<ShardTable>> tables;            // of a copy
    int64_t last_bytes = 0;                                     // of the last segment: what counts
  };
  // `recovery` is null for a new job.
  absl::StatusOr<std::unique_ptr<Declared>> MakeDeclared(const v1::JobSpec& spec,
                                                         const std::string& checkpoint,
                                                         Recovery* recovery) const;
  // The rounds of the log since `declared`'s blocks.
  absl::Status Replay(Declared* declared, Recovery* recovery) const;
  // The round that all blocks have which take part in norms.
  static int64_t NormVersion(const Declared& declared);
  // Of block `index` of the shard.
  absl::Status TakeState(Declared* declared, size_t index, const v1::LogRecord::BlockState& state,
                         const Payload& payload) const;
  absl::Status TakeRound(Declared* declared, size_t index, const v1::LogRecord::Round& round,
                         const Payload& payload) const;
  absl::Status TakeTableRecord(Declared* declared, size_t table, const v1::LogRecord& record,
                               const Payload& payload, std::unique_ptr<TableCopy>* copy) const;
  // The sums of squares that it brings to norms over several blocks.
  absl::Status TakeSums(Declared* declared, const v1::LogRecord::Round& round) const;
  // Where `log` can be gone on from: the newest first, each a manifest (empty: none) and a segment.
  std::vector<std::pair<std::string, uint64_t>> StartsOf(const LogReader& log) const;
  // Whether the destructor has begun.
  bool IsEnding() const;
  // Until what the background thread was given so far is done.
  void WaitForBackground();
  // Ends the sinks' threads; what comes then is not kept.
  void CloseSinks();
  absl::Status BeginSinks(Declared* declared, const std::string& checkpoint);
  // From where the records of `declared` go on.
  struct SinkStart {
    uint64_t segment = 1;
    int64_t previous_bytes = 0;
    uint64_t term = 0;
    bool begins_anew = false;  // with the job's first values
  };
  absl::Status StartSinks(Declared* declared, v1::Books identity, ShardBooks books,
                          SinkStart start);
  // Nobody is served any more, for `reason`.
  void Fail(Declared* declared, const absl::Status& reason);
  void Publish(std::unique_ptr<Declared> made);
  // Whether changes go elsewhere before they are acknowledged.
  bool HasCopy() const { return options_.standby != nullptr || options_.copy_place != nullptr; }
  bool HasSink() const { return HasCopy() || !options_.log_folder.empty(); }
  // Has the state of every block appended to the replica, each in its turn.
  void FillReplica(Declared* declared);
  absl::StatusOr<std::unique_ptr<Declared>> FetchFromStandby();
  void LogStates(Declared* declared) const;
  // Of the tables, behind those of the blocks.
  void LogTableStates(Declared* declared) const;
  // The rows of one table, from the standby's copy, by `ask`; which is piece `piece` there.
  absl::StatusOr<std::unique_ptr<ShardTable>> FetchTable(
      const Job& job, int table, int64_t version,
      absl::FunctionRef<absl::StatusOr<FetchReplicaReply>(int64_t place)> ask) const;
  // Runs `then` when the record is kept: at once where there is no log. UNAVAILABLE: it is not.
  void Keep(Declared* declared, ShardRecord record,
            absl::AnyInvocable<void(const absl::Status&)> then);
  // Runs `then` when all that the queues were given so far is kept; likewise.
  void KeepWhatIsPosted(Declared* declared, absl::AnyInvocable<void(const absl::Status&)> then);
  void KeepMember(Declared* declared, const v1::Sender& sender, v1::Books::Presence presence,
                  const std::vector<int64_t>& clocks,
                  absl::AnyInvocable<void(const absl::Status&)> then);
  // What block `block` of the shard holds; called by its owner.
  ShardRecord StateRecordOf(const Declared& declared, size_t block) const;
  // What is written down of a round, but for its norms and, where it has to be computed, the mean
  // gradient, which belongs where `mean` then points.
  ShardRecord RecordOfTable(const Declared& declared, const ShardState::Round& round,
                            int64_t version, uint32_t digest) const;
  // What is said of a round of blocks and of tables.
  void DescribeRound(const Declared& declared, const ShardState::Round& round, int64_t version,
                     v1::LogRecord::Round* record) const;
  ShardRecord RecordOf(const Declared& declared, const ShardState::Round& round, int64_t version,
                       float** mean) const;
  void MakeQueues(Declared* declared) const;
  // The tables, without rows, from a checkpoint, or those of a copy, which has all where it has
  // any; adds where they continue to `clocks`.
  absl::Status MakeTables(const std::string& checkpoint,
                          std::vector<std::unique_ptr<ShardTable>> copied, Declared* declared,
                          std::vector<ShardState::BlockClocks>* clocks) const;
  // Those of tables, which are taken from `rounds`.
  void PostTableRounds(Declared* declared, std::vector<ShardState::Round>* rounds, int64_t help,
                       Outcome* outcome) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Adds rows to the answer and gives it.
  void AnswerRows(Declared* declared, std::vector<PulledRows> pulls, v1::DType dtype, int64_t help,
                  PushPullReply reply, Done<PushPullReply> done);
  // By the part's queue; the last one answers.
  void GatherPart(Declared* declared, size_t part, v1::DType dtype, GatheredRows* gathered);
  // The blocks, from their initializers or from a checkpoint, and where they continue.
  absl::Status MakeBlocks(const std::string& checkpoint, Declared* declared,
                          std::vector<ShardState::BlockClocks>* clocks) const;
  void DeclareNow(const v1::DeclareRequest& request, Done<v1::DeclareResponse> done);
  // Lets those in who came before the job was declared.
  void JoinEarly();
  absl::StatusOr<v1::DeclareResponse> PublishDeclared(const v1::DeclareRequest& request);
  void JoinDeclared(Declared* declared, v1::JoinRequest request, absl::Time deadline,
                    Done<v1::JoinResponse> done);
  // The checked request, its gradients cut from `payload`; and the rows that it pulls.
  // How many workers the job begins with, and had before the checkpoint that it continues from.
  absl::StatusOr<WorkerCounts> FirstCounts(const Job& job, const std::string& checkpoint) const;
  // What sets a worker's spec apart from the declared one; empty where nothing does. To a job that
  // was scaled, or is to be, tasks may come that know it with another number of workers.
  std::string DifferenceFrom(const Declared& declared, v1::JobSpec spec, int worker) const;
  absl::Status CheckSaidWorkers(const Declared& declared, const v1::PushPullRequest& request,
                                const std::string& who) const;
  absl::Status AskWorkers(Declared* declared, int workers);
  absl::StatusOr<ShardState::PushPull> Decode(const Declared& declared,
                                              const v1::PushPullRequest& request,
                                              const Payload& payload,
                                              std::vector<PulledRows>* rows) const;
  // The tables' part of it; `gradients` stands where those of rows begin.
  absl::Status DecodeTables(const Declared& declared, const v1::PushPullRequest& request,
                            const std::string& who, PayloadReader* gradients,
                            ShardState::PushPull* decoded, std::vector<PulledRows>* rows) const;
  // The chief's, checked; none where the request has none. `who` begins the error.
  absl::StatusOr<absl::optional<float>> RateFactorOf(const Declared& declared,
                                                     const v1::PushPullRequest& request,
                                                     const std::string& who) const;
  void AnswerAverages(Declared* declared, const ShardState::Answer& answer,
                      const std::vector<size_t>& pulls, v1::DType dtype, Done<PushPullReply> done);
  // Says where the time went, in the reply and in the trace.
  void TellTimes(const Declared& declared, const RequestTimes& times,
                 const std::vector<size_t>& pulls, PushPullReply* reply) const;
  // What became of a request's pushes, and its next step.
  static void FillTaken(const ShardState::Answer& answer, v1::PushPullResponse* response);
  // Runs event(state, token) under the mutex, and carries out the actions it returns; `done` gets
  // the answer to `token`.
  template <typename Event>
  void Handle(Declared* declared, int64_t help, Event event, AnswerDone done);
  void Take(v1::PushPullRequest request, Payload payload, int64_t help, Done<PushPullReply> done);
  Outcome CarryOut(Declared* declared, ShardState::Actions actions, int64_t help)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void PostRounds(Declared* declared, std::vector<ShardState::Round> rounds, int64_t help,
                  Outcome* outcome) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Conclude(Outcome outcome);
  // `posted`: when they were complete.
  void ApplyRounds(Declared* declared, const std::vector<ShardState::Round>& rounds,
                   absl::Time posted);
  // These three by queues; `task` belongs behind the round in which the block may be.
  void RunInTurn(Declared* declared, size_t block, absl::AnyInvocable<void()> task);
  void RunRound(Declared* declared, const ShardState::Round& round, RoundsDone* done);
  // Adds to the record of a round that is applied what is to be compared with.
  static void AddDigest(const Block& block, ShardRecord* record);
  // Those with records when these are kept.
  void ReportRounds(Declared* declared, RoundsDone done);
  void ReportApplied(Declared* declared, const std::vector<size_t>& blocks);
  void FinishRound(Declared* declared, int64_t round, std::vector<double> totals);
  // Answers the GetNormSums whose rounds are summed.
  void AnswerSums(Declared* declared);
  // Those whose time is over, and what to say; the rest's is in next_tick_.
  std::vector<SumsWaiter> TakeOverdueSums(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void PostCut(Declared* declared, const std::shared_ptr<CheckpointCut>& cut)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  static void CutBlock(const Declared& declared, size_t i, CheckpointCut* cut);
  void WriteCut(Declared* declared, CheckpointCut* cut);
  void RemoveOldSegments(Declared* declared);
  void RunTimer();

  // Where time is only measured for metrics_; InfinitePast where these are not wanted.
  absl::Time MeasuredNow() const { return metrics_.enabled() ? Now() : absl::InfinitePast(); }
  Trace* trace() const { return options_.trace.get(); }

  ForTransports for_transports_{this};
  const ShardOptions options_;
  const std::string task_;  // "ps:0"

  mutable Mutex mutex_;
  mutable CondVar changed_;  // next_tick_, stopping_, or who has left
  std::unique_ptr<Declared> declared_ ABSL_GUARDED_BY(mutex_);
  std::vector<EarlyJoin> early_joins_ ABSL_GUARDED_BY(mutex_);  // before Declare
  std::vector<SumsWaiter> sums_waiters_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<uint64_t, AnswerDone> dones_ ABSL_GUARDED_BY(mutex_);
  uint64_t next_token_ ABSL_GUARDED_BY(mutex_) = 1;
  int closer_ ABSL_GUARDED_BY(mutex_) = -1;  // who brings the gradient that is being handled
  absl::Time next_tick_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteFuture();
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::shared_ptr<BegunCheckpoint> begun_ ABSL_GUARDED_BY(mutex_);  // the last; null: none
  absl::Status durability_status_ ABSL_GUARDED_BY(mutex_);
  bool recovering_ ABSL_GUARDED_BY(mutex_) = false;

  JobWatch watch_;
  std::atomic<int64_t> bytes_pushed_{0};
  std::atomic<int64_t> bytes_pulled_{0};
  ShardMetrics metrics_;

  std::unique_ptr<TaskPool> owners_;  // constant after construction; runs the blocks' queues
  std::unique_ptr<TaskThread> background_;
  const absl::Time made_;
  std::thread timer_;
};

}  // namespace parley

#endif  // PARLEY_PS_SHARD_H_
