#ifndef PARLEY_PS_SHARD_STATE_H_
#define PARLEY_PS_SHARD_STATE_H_

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "net/job.h"
#include "net/worker_counts.h"
#include "proto/parameter_server.pb.h"
#include "ps/gradient.h"
#include "ps/policy.h"
#include "ps/sequence_window.h"
#include "ps/shard_books.h"
#include "ps/shard_numbers.h"
#include "ps/staleness_histogram.h"

namespace parley {

// A ShardState is the part of a shard that decides: who is in the job, which gradient enters which
// round, when a round is closed, and when a waiting request is answered. It is a deterministic
// state machine: no threads, clock, sockets, or parameter bytes (it hands gradients on, unread).
// Each event gives the Actions that the shard must carry out: apply the rounds, in order, and
// answer the requests; when a round is applied, say so with Applied.
//
// A request that may wait is known by a token, unique and chosen by the caller, and is answered
// exactly once.
//
// A block is a piece of a parameter or the shard's part of a table (Job::BlockOfTable).
//
// Invariants:
//  (1) A push is taken whole or refused whole, and taken at most once: by its sequence number
//      within an incarnation, by its step across incarnations. A gradient that is taken enters a
//      round or, where its block's policy says that it is late, is dropped.
//  (2) A block's rounds are scheduled, and reported Applied, in the order of their numbers, without
//      gaps.
//  (3) Gradients in a round stand in the order of worker indices.
//  (4) A pull is answered only when the policies of its blocks allowed it and the rounds that they
//      say it must see are applied.
//  (5) Nothing waits past its deadline, given Ticks.
//  (6) Of a policy that does not await them, nothing waits for a worker past the end of its lease.
//  (7) A push is answered only when few of the rounds scheduled by then, kMaxUnapplied of a block,
//      are not applied: who pushes faster than the shard applies is held up.
//  (8) A block's round awaits only members: workers with an index below the number that the chief
//      said last in a push to an earlier round of the block. A worker that has joined before it is
//      a member, a spare, is answered no pull until then; one that has left before it became a
//      member is awaited again when it is one. Workers of a synchronous job hear of a
//      change when the round is applied in which the chief said it.
//  (9) A worker's clock in a block never falls. It rises without a push of its own only to where
//      the others are: when it comes, or comes back, and, for all that are behind, where a phase
//      begins.
//
// Thread safety: none; Shard guards it with its mutex. `job` and the policies must outlive it.
class ShardState {
 public:
  struct Options {
    std::string task;  // "ps:0", for messages
    // A worker that is silent for so long is not awaited any more, where policies say so.
    absl::Duration lease = absl::Seconds(10);
    // After this silence, at most the lease, a worker's place may be taken by a newer incarnation.
    absl::Duration replace_after = absl::Seconds(2.5);
    // A push is answered when the rounds that it is in are reported Applied, which the shard does
    // when it has written them down; and rounds say what they are made of.
    bool acknowledges_applied = false;
  };

  // What a checkpoint knows of a block; the version is the number of rounds applied.
  struct BlockClocks {
    int64_t version = 0;
    std::vector<int64_t> clocks;  // by worker: see WorkerInRound; empty means all at `version`
  };

  struct Contribution {
    int worker;
    uint64_t incarnation;
    uint64_t sequence;
  };

  // Close this round: apply the mean of the gradients to the block; or, when a worker skipped its
  // step, there are none, and only the version goes up.
  struct Round {
    size_t block;  // index in the shard's blocks
    std::vector<Gradient> gradients;
    Correction correction;
    // With acknowledges_applied: whose gradients, and all clocks in the block after it.
    std::vector<Contribution> contributions;
    std::vector<int64_t> clocks;
    // Of the block's rounds from the next one on, where that is another number.
    absl::optional<v1::WorkerCount> workers = {};
  };

  struct Answer {
    uint64_t token;
    absl::Status status;
    std::vector<TakenPush> taken;  // of a PushPull: one for each push
    // The worker's next step: of a Join; of a PushPull with pulls, as PushPullResponse.next_step.
    int64_t step = 0;
    // Of a Join, and a PushPull with pulls; null: the job has the workers that it began with.
    std::shared_ptr<const WorkerCounts> workers = nullptr;
    // Of a Join that has raised the worker's clocks to where the others are: its clock in each
    // block, which is to be kept, for no round says it.
    std::vector<int64_t> clocks = {};
  };

  // To be told to people: a worker's lease has ended, or it has come back since.
  struct LeaseNews {
    int worker;
    int64_t step;  // that it is at, as Worker.clock of ShardNumbers
    bool ended;
    bool awaited;  // rounds wait for it though it has
  };

  struct Actions {
    std::vector<Round> rounds;
    std::vector<Answer> answers;
    std::vector<LeaseNews> leases;
  };

  struct Push {
    size_t block;  // index in the shard's blocks
    int64_t base_version;
    Gradient gradient;  // checked to be finite
  };

  struct PushPull {
    uint64_t token;
    int worker;
    uint64_t incarnation;
    int64_t step;
    uint64_t sequence;  // > 0 when there are pushes
    bool skip = false;  // the pushes have no gradients
    // The chief's: how many workers the job has from the step after this on; 0 says nothing.
    int workers = 0;
    std::vector<Push> pushes;
    std::vector<size_t> pulls;  // indices in the shard's blocks
    int64_t pull_step;
    absl::Time deadline;
  };

  // `blocks` are the numbers of the shard's blocks in the job; parallel to them, `policies` says
  // what each is under, and `clocks` where it continues; `counts` is how many workers the job has.
  ShardState(Options options, const Job* job, std::vector<uint32_t> blocks,
             std::vector<const Policy*> policies, std::vector<BlockClocks> clocks,
             const WorkerCounts& counts);

  // Before all else: goes on from `books`, of this shard, as of `now`. Who was in the job is, and
  // is heard now; what was taken is not taken again.
  void Restore(const ShardBooks& books, absl::Time now);

  // A worker enters. A live worker of an older incarnation keeps its place while it is heard: the
  // newcomer waits until it has been silent for replace_after, no longer than a little more than
  // that, and is then refused with ALREADY_EXISTS.
  Actions Join(uint64_t token, int worker, uint64_t incarnation, absl::Time now,
               absl::Time deadline);
  // That the job has so many workers, in [1, WorkerCounts::kMaxWorkers]: those that it has not yet
  // may join, and when they have, the chief is to hear of it.
  Actions AskWorkers(int workers);
  // What the chief is to hear: the number that was asked for, when all of them are here; else 0.
  int WorkersReady() const;
  // Any sign of life renews the lease; this one does nothing else.
  absl::Status Heartbeat(int worker, uint64_t incarnation, absl::Time now);
  Actions HandlePushPull(PushPull request, absl::Time now);
  // From now on nobody is served: what waits ends with `reason`, and what comes.
  void Fail(const absl::Status& reason, Actions* actions);
  // Whether new pushes are refused, with `reason`, when they may not wait any longer; with OK they
  // are not, and those that wait are taken, in the order in which they came.
  Actions RefusePushes(absl::Status reason, absl::Time now);
  // The worker is done; or, with an `error`, failed.
  absl::Status Leave(int worker, uint64_t incarnation, absl::string_view error, absl::Time now,
                     Actions* actions);
  Actions Barrier(uint64_t token, int worker, uint64_t incarnation, const std::string& name,
                  absl::Time now, absl::Time deadline);
  // The oldest scheduled round of `block` that was not applied is now.
  Actions Applied(size_t block);
  // Ends what is overdue at `now`.
  Actions Tick(absl::Time now);
  // When to Tick next: also while nothing waits, as who is silent has to be noticed.
  absl::Time NextDeadline() const;

  // The sender's right to speak: INVALID_ARGUMENT, FAILED_PRECONDITION (not in the job) or ABORTED
  // (superseded, or the job has failed). Renews its lease.
  absl::Status CheckSender(int worker, uint64_t incarnation, absl::Time now);

  // Whether nobody will come any more: all have left, or the chief has and the others are silent
  // for a lease.
  bool IsDone(absl::Time now) const;
  // Whether any worker has joined and not left.
  bool HasWorkers() const;
  const WorkerCounts& counts() const { return *counts_; }
  // That were asked for and are not reached; 0: none. A shard without blocks never hears that they
  // are.
  int workers_asked() const { return asked_ == counts_->last() && !blocks_.empty() ? 0 : asked_; }
  // Where a checkpoint of `block` continues, once the rounds scheduled by now are applied.
  BlockClocks ClocksOf(size_t block) const;
  // What it knows of them; of the rest the Shard does.
  void FillNumbers(absl::Time now, ShardNumbers* numbers) const;

 private:
  static constexpr int kMaxWaitingPerWorker = 4096;  // requests
  // Rounds of a block that may be scheduled and not applied before whoever pushes to it waits for
  // the answer: the gradients of these take the shard's memory.
  static constexpr int64_t kMaxUnapplied = 4;

  enum class Presence { kAbsent, kLive, kLeft };

  struct Worker {
    Presence presence = Presence::kAbsent;
    uint64_t incarnation = 0;
    absl::Time last_heard = absl::InfinitePast();
    SequenceWindow sequences;
    int waiting = 0;  // requests
    // Its lease had ended, or it had left, and it has not pulled since: from then on it is awaited
    // again, not from a mere sign of life on.
    bool silent = false;
    // Has joined, and the chief has not yet said that it is a member.
    bool spare = false;
    bool lease_ended = false;   // silent because of that
    absl::Duration waited_for;  // see ShardNumbers
  };

  struct Waiter {
    uint64_t token;
    int64_t step;
    int64_t
        version;  // answer when this many rounds are applied; -1: the policy has not allowed it yet
    bool pulls = true;      // false: a push that waits for its round
    bool entering = false;  // a pull that has waited for its worker to become a member
  };

  struct Block {
    uint32_t number;  // in the job
    const Policy* policy;
    int64_t applied = 0;
    int64_t scheduled = 0;
    int members = 0;                               // of the open round: workers with a lower index
    absl::optional<v1::WorkerCount> next_members;  // of those after it, where that changes
    // With acknowledges_applied: whose gradients are in the rounds that are not applied, oldest
    // first.
    std::deque<std::vector<std::pair<int, int64_t>>> unapplied;  // worker, step
    // Changes with rounds that are not applied: the first version that has each.
    std::deque<std::pair<int64_t, v1::WorkerCount>> untold;
    std::vector<WorkerInRound> workers;
    std::vector<Gradient> gradients;          // of the open round, by worker; empty where !pushed
    std::vector<Contribution> contributions;  // likewise, with acknowledges_applied
    bool skipped = false;                     // by a worker in the open round
    absl::optional<absl::Time> opened;        // when the open round's first gradient came
    Correction correction;                    // of the gradient that came last
    // A gradient of a step below this one was taken from an earlier incarnation, or before a
    // restore.
    std::vector<int64_t> taken_below;  // by worker
    std::vector<Waiter> waiters;
    uint64_t seen = 0;  // the last request that named it, to find doubles
  };

  enum class Kind { kPushPull, kHeldPush, kJoin, kBarrier };

  struct Waiting {
    Kind kind;
    int worker;
    absl::Time deadline;
    int64_t step = 0;
    size_t blocks = 0;                  // kPushPull: those still waited for
    std::vector<TakenPush> taken;       // kPushPull
    absl::optional<int64_t> next_step;  // kPushPull: the least of those no longer waited for
    uint64_t incarnation = 0;           // kJoin
    std::string barrier;                // kBarrier
  };

  // Valid until the next call.
  RoundSnapshot SnapshotOf(const Block& block) const;
  // Whether a worker that pulls from the block has to wait until it is a member.
  bool MustEnter(const Block& block, int worker) const;
  bool IsMember(int worker) const { return worker < counts_->last(); }
  // As Answer::workers.
  std::shared_ptr<const WorkerCounts> CountsToTell() const;
  // Whether a change of the number of workers is told when its round is applied, and not before.
  bool TellsWhatIsApplied() const { return job_->spec().policy().has_synchronous(); }
  // Makes room for so many workers.
  void Resize(size_t workers);
  // What the chief's request says of the number of workers.
  absl::Status TakeWorkers(const PushPull& request);
  // "ps:0: worker:1 step 5".
  std::string Who(int worker, int64_t step) const;
  // "parameter w", or "table rows".
  std::string NameOf(const Block& block) const;
  std::string Describe(int worker, absl::Time now) const;
  std::string DescribeAll(const std::vector<int>& workers, absl::Time now) const;

  bool WasTaken(const PushPull& request, const Block& block) const;
  absl::Status CheckPushes(PushPull& request);
  SequenceWindow::Answer TakePushes(PushPull& request, Actions* actions);
  // Adds to `waited` how long the round took to be complete.
  void CloseIfComplete(size_t index, absl::Duration* waited, Actions* actions);
  void AnswerWaiters(Block& block, Actions* actions);
  void ReviewAll(Actions* actions);  // after membership changed
  bool NeedsEveryWorker() const;
  // Whether workers are awaited whatever happens to them.
  bool AwaitsSilent() const;
  // Raises the worker's clock in the block to that of the slowest other member that is heard.
  void LevelWithSlowest(Block& block, int worker);
  // Raises all clocks in the block to that of the furthest worker.
  void LevelWithFurthest(Block& block);
  void FindSilent(absl::Time now, Actions* actions);
  // Of a worker that pulls.
  void ComeBack(int worker, Actions* actions);
  // The steps of the worker that are in every block.
  int64_t ClockOf(int worker) const;
  LeaseNews NewsOf(int worker) const;
  // Called with each event: when no Tick came in time, this process was stopped or starved, and
  // cannot know who was silent meanwhile.
  void ForgiveOwnSilence(absl::Time now);
  absl::Duration TickEvery() const { return options_.lease / 4; }
  void ReviewBarriers(Actions* actions);
  // Not one that has left; one that is silent only in a job that awaits those.
  bool AwaitedInBarriers(size_t worker) const;
  void Admit(uint64_t token, int worker, uint64_t incarnation, absl::Time now, Actions* actions);
  // Until pushes are not refused any more.
  void Hold(PushPull request);
  void AddWaiting(uint64_t token, Waiting waiting);
  void Finish(uint64_t token, absl::Status status, Actions* actions);
  void FinishAllOf(int worker, const absl::Status& status, Actions* actions);
  absl::Status Overdue(uint64_t token, const Waiting& waiting, absl::Time now) const;

  const Options options_;
  const Job* const job_;
  std::vector<Block> blocks_;
  std::vector<Worker> workers_;
  std::vector<uint8_t> present_;          // by worker: has not left
  std::vector<uint8_t> heard_;            // by worker: has not left, and is not silent
  mutable std::vector<uint8_t> awaited_;  // SnapshotOf's, of a block with fewer members
  std::shared_ptr<const WorkerCounts> counts_;
  // What answers say: of a synchronous job only what cannot be lost, for a worker that knew of a
  // change, and left, would be missed where the change has been forgotten.
  std::shared_ptr<const WorkerCounts> told_;
  int asked_ = 0;  // workers; 0: nobody has asked
  std::map<uint64_t, Waiting> waiting_;
  std::set<std::pair<absl::Time, uint64_t>> deadlines_;
  std::set<uint64_t> joins_;  // tokens of newcomers that wait for a place
  absl::flat_hash_map<std::string, std::map<int, uint64_t>> barriers_;  // worker -> token
  absl::Status failure_;  // not OK: the job has failed
  absl::Status refuses_pushes_;
  std::map<uint64_t, PushPull> held_;  // kHeldPush, by token: in the order in which they came
  bool restored_ = false;
  absl::Time last_tick_ = absl::InfinitePast();
  uint64_t requests_ = 0;
  absl::Time latest_ = absl::InfinitePast();  // that an event brought
  absl::Duration waited_for_membership_;
  StalenessHistogram staleness_;  // of the gradients that entered a round
  int64_t dropped_ = 0;
  int64_t duplicate_ = 0;
  int64_t rounds_ = 0;  // applied, since this start
};

}  // namespace parley

#endif  // PARLEY_PS_SHARD_STATE_H_
