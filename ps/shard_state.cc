#include "ps/shard_state.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/planted_bug.h"
#include "base/status.h"

namespace parley {
namespace {

constexpr size_t kMaxWaitingJoins = 4096;

}  // namespace

ShardState::ShardState(Options options, const Job* job, std::vector<uint32_t> blocks,
                       std::vector<const Policy*> policies, std::vector<BlockClocks> clocks,
                       const WorkerCounts& counts)
    : options_(std::move(options)),
      job_(job),
      counts_(std::make_shared<WorkerCounts>(counts)),
      told_(counts_) {
  const size_t num_workers = static_cast<size_t>(counts.last());
  blocks_.resize(blocks.size());
  Resize(num_workers);
  for (size_t i = 0; i < blocks.size(); ++i) {
    Block& block = blocks_[i];
    block.number = blocks[i];
    block.policy = policies[i];
    block.applied = block.scheduled = clocks[i].version;
    block.members = counts.last();
    for (size_t worker = 0; worker < num_workers; ++worker) {
      const int64_t clock =
          worker < clocks[i].clocks.size() ? clocks[i].clocks[worker] : clocks[i].version;
      block.workers[worker].clock = clock;
      block.taken_below[worker] = clock;
    }
  }
}

void ShardState::Resize(size_t workers) {
  if (workers <= workers_.size()) return;
  workers_.resize(workers);
  present_.resize(workers, 1);
  heard_.resize(workers, 1);
  for (Block& block : blocks_) {
    block.workers.resize(workers);
    block.gradients.resize(workers);
    if (options_.acknowledges_applied) block.contributions.resize(workers);
    block.taken_below.resize(workers);
  }
}

void ShardState::Restore(const ShardBooks& books, absl::Time now) {
  restored_ = true;
  told_ = counts_ = std::make_shared<WorkerCounts>(books.counts());
  Resize(books.workers().size());
  for (size_t block = 0; block < blocks_.size(); ++block) {
    blocks_[block].members = books.blocks()[block].members;
  }
  for (size_t worker = 0; worker < workers_.size(); ++worker) {
    const ShardBooks::Worker& from = books.workers()[worker];
    Worker& to = workers_[worker];
    to.incarnation = from.incarnation;
    if (!PARLEY_PLANTED_BUG("applied_twice_after_a_restart")) {
      to.sequences.Restore(from.taken, from.oldest_sequence);
    }
    if (from.presence == v1::Books::LIVE) {
      to.presence = Presence::kLive;
      to.last_heard = now;
      // One that was a member before is on its way out.
      to.spare = static_cast<int>(worker) >= counts_->most();
      if (to.spare) asked_ = static_cast<int>(worker) + 1;
    } else if (from.presence == v1::Books::LEFT) {
      to.presence = Presence::kLeft;
      present_[worker] = heard_[worker] = PARLEY_PLANTED_BUG("who_left_is_awaited_after_a_restart");
    }
    for (size_t block = 0; block < blocks_.size(); ++block) {
      const ShardBooks::Block& from_block = books.blocks()[block];
      blocks_[block].taken_below[worker] = from_block.taken_below[worker];
      blocks_[block].workers[worker].clock = from_block.clocks[worker];
    }
  }
}

// Membership.

ShardState::Actions ShardState::AskWorkers(int workers) {
  asked_ = workers;
  Resize(static_cast<size_t>(workers));
  Actions actions;
  for (Block& block : blocks_) AnswerWaiters(block, &actions);  // of spares that are not wanted
  return actions;
}

int ShardState::WorkersReady() const {
  const int asked = workers_asked();
  for (int worker = counts_->last(); worker < asked; ++worker) {
    if (workers_[worker].presence != Presence::kLive || workers_[worker].silent) return 0;
  }
  return asked;
}

absl::Status ShardState::TakeWorkers(const PushPull& request) {
  if (request.workers == 0 || counts_->At(request.step + 1) == request.workers) {
    return absl::OkStatus();
  }
  auto counts = std::make_shared<WorkerCounts>(*counts_);
  PARLEY_RETURN_IF_ERROR(counts->Add(request.step + 1, request.workers));
  // A newcomer that has given up, as another shard had not been asked yet, is to come again.
  for (int worker = counts_->last(); worker < counts->last(); ++worker) {
    if (static_cast<size_t>(worker) >= workers_.size()) break;
    Worker& newcomer = workers_[static_cast<size_t>(worker)];
    if (newcomer.presence != Presence::kLeft) continue;
    newcomer.presence = Presence::kAbsent;
    present_[static_cast<size_t>(worker)] = heard_[static_cast<size_t>(worker)] = 1;
  }
  counts_ = std::move(counts);
  if (!TellsWhatIsApplied() || PARLEY_PLANTED_BUG("new_workers_told_before_they_are_kept")) {
    told_ = counts_;
  }
  Resize(static_cast<size_t>(counts_->last()));
  for (size_t worker = 0; worker < workers_.size(); ++worker) {
    if (IsMember(static_cast<int>(worker))) workers_[worker].spare = false;
  }
  return absl::OkStatus();
}

std::shared_ptr<const WorkerCounts> ShardState::CountsToTell() const {
  return told_->changes().empty() ? nullptr : told_;
}

absl::Status ShardState::CheckSender(int worker, uint64_t incarnation, absl::Time now) {
  latest_ = std::max(latest_, now);
  if (worker < 0 || worker >= static_cast<int>(workers_.size())) {
    return absl::InvalidArgumentError(absl::StrCat(options_.task, ": worker:", worker,
                                                   " is not in job ", job_->name(), ", which has ",
                                                   counts_->last(), " workers"));
  }
  ForgiveOwnSilence(now);
  Worker& state = workers_[worker];
  if (incarnation < state.incarnation && !PARLEY_PLANTED_BUG("superseded_incarnation_heard")) {
    return absl::AbortedError(absl::StrCat(options_.task, ": worker:", worker,
                                           ": a newer task with this index has taken over"));
  }
  if (state.presence == Presence::kLeft) {
    return absl::FailedPreconditionError(
        absl::StrCat(options_.task, ": worker:", worker, " has left the job"));
  }
  if (state.presence == Presence::kAbsent || incarnation > state.incarnation) {
    return absl::FailedPreconditionError(
        absl::StrCat(options_.task, ": worker:", worker, " has not joined the job"));
  }
  state.last_heard = std::max(state.last_heard, now);
  return failure_;
}

void ShardState::ComeBack(int worker, Actions* actions) {
  Worker& state = workers_[worker];
  if (!state.silent) return;
  state.silent = false;
  heard_[worker] = 1;
  for (Block& block : blocks_) {
    if (!block.policy->AwaitsSilent(block.scheduled)) LevelWithSlowest(block, worker);
  }
  if (std::exchange(state.lease_ended, false)) actions->leases.push_back(NewsOf(worker));
}

int64_t ShardState::ClockOf(int worker) const {
  int64_t clock = blocks_.empty() ? 0 : blocks_[0].workers[worker].clock;
  for (const Block& block : blocks_) clock = std::min(clock, block.workers[worker].clock);
  return clock;
}

ShardState::LeaseNews ShardState::NewsOf(int worker) const {
  return {worker, ClockOf(worker), workers_[worker].lease_ended, AwaitsSilent()};
}

bool ShardState::NeedsEveryWorker() const {
  return std::any_of(blocks_.begin(), blocks_.end(), [](const Block& block) {
    return block.policy->NeedsEveryWorker(block.scheduled);
  });
}

bool ShardState::AwaitsSilent() const {
  return std::any_of(blocks_.begin(), blocks_.end(), [](const Block& block) {
    return block.policy->NeedsEveryWorker(block.scheduled) &&
           block.policy->AwaitsSilent(block.scheduled);
  });
}

absl::Status ShardState::Heartbeat(int worker, uint64_t incarnation, absl::Time now) {
  return CheckSender(worker, incarnation, now);
}

ShardState::Actions ShardState::Join(uint64_t token, int worker, uint64_t incarnation,
                                     absl::Time now, absl::Time deadline) {
  latest_ = std::max(latest_, now);
  Actions actions;
  const auto refuse = [&](absl::Status status) {
    actions.answers.push_back({token, std::move(status), {}, 0});
    return actions;
  };
  // One that is about to be out of the job, and was started again, may still owe a step.
  const bool is_here = worker >= 0 && worker < static_cast<int>(workers_.size()) &&
                       workers_[worker].presence == Presence::kLive;
  const bool has_place = is_here || worker < std::max(counts_->last(), asked_);
  if (worker < 0 || !has_place || incarnation == 0) {
    return refuse(absl::InvalidArgumentError(
        absl::StrCat(options_.task, ": worker:", worker, " with incarnation ", incarnation,
                     " cannot join job ", job_->name(), ", which has ", counts_->last(),
                     " workers; parley scale makes place for others")));
  }
  if (!failure_.ok()) return refuse(failure_);
  ForgiveOwnSilence(now);
  const Worker& state = workers_[worker];
  if (incarnation < state.incarnation) return refuse(CheckSender(worker, incarnation, now));
  if (state.presence == Presence::kLeft && IsMember(worker) && AwaitsSilent()) {
    return refuse(absl::FailedPreconditionError(
        absl::StrCat(options_.task, ": worker:", worker,
                     " has left the job, which awaits every worker and cannot take it back")));
  }
  const bool held = state.presence == Presence::kLive && incarnation > state.incarnation &&
                    now < state.last_heard + options_.replace_after;
  if (held && joins_.size() >= kMaxWaitingJoins) {
    return refuse(absl::ResourceExhaustedError(
        absl::StrCat(options_.task, ": too many tasks wait for another's place")));
  }
  if (held) {
    // Twice, for what a holder that has died had sent may still be heard when it has begun to wait.
    deadline = std::min(deadline, now + 2 * options_.replace_after);
    Waiting waiting;
    waiting.kind = Kind::kJoin;
    waiting.worker = worker;
    waiting.deadline = deadline;
    waiting.incarnation = incarnation;
    AddWaiting(token, std::move(waiting));
    // The place may become free before the deadline; NextDeadline looks at the holder.
    return actions;
  }
  Admit(token, worker, incarnation, now, &actions);
  return actions;
}

void ShardState::Admit(uint64_t token, int worker, uint64_t incarnation, absl::Time now,
                       Actions* actions) {
  Worker& state = workers_[worker];
  if (incarnation != state.incarnation) {
    FinishAllOf(worker,
                absl::AbortedError(absl::StrCat(options_.task, ": worker:", worker,
                                                ": a newer task with this index has taken over")),
                actions);
    state.sequences = SequenceWindow();
    for (Block& block : blocks_) {
      if (PARLEY_PLANTED_BUG("restarted_worker_taken_twice")) break;
      const WorkerInRound& in_round = block.workers[worker];
      block.taken_below[worker] =
          std::max(block.taken_below[worker], in_round.pushed ? in_round.step + 1 : in_round.clock);
    }
  }
  // It comes back to where the slowest of the others is, so that nobody finds itself too far ahead
  // of it.
  bool levelled = false;
  for (Block& block : blocks_) {
    const bool was_released = state.silent && !block.policy->AwaitsSilent(block.scheduled);
    if (state.presence != Presence::kLeft && !was_released) continue;
    LevelWithSlowest(block, worker);
    levelled = true;
  }
  state.silent = state.silent || state.presence == Presence::kLeft;
  state.spare = !IsMember(worker) && worker < asked_;
  state.presence = Presence::kLive;
  state.incarnation = incarnation;
  state.last_heard = now;
  present_[worker] = 1;
  heard_[worker] = !state.silent;

  int64_t step = std::numeric_limits<int64_t>::max();  // a shard without blocks has no say
  for (const Block& block : blocks_) {
    const int64_t clock = block.workers[worker].clock;
    step = std::min(step, block.policy->NextStep(SnapshotOf(block), worker, clock).value_or(clock));
    // Nobody would do again what is not kept yet, were it lost.
    if (PARLEY_PLANTED_BUG("joins_behind_what_is_not_kept")) continue;
    for (const auto& round : block.unapplied) {
      for (const auto& [of, taken] : round) {
        if (of == worker) step = std::min(step, taken);
      }
    }
  }
  std::vector<int64_t> clocks;
  if (levelled && !PARLEY_PLANTED_BUG("books_forget_where_a_worker_came_back")) {
    for (const Block& block : blocks_) clocks.push_back(block.workers[worker].clock);
  }
  actions->answers.push_back(
      {token, absl::OkStatus(), {}, step, CountsToTell(), std::move(clocks)});
}

void ShardState::LevelWithSlowest(Block& block, int worker) {
  bool found = false;
  int64_t slowest = 0;
  for (int other = 0; other < block.members; ++other) {
    if (!heard_[other] || other == worker) continue;
    slowest = found ? std::min(slowest, block.workers[other].clock) : block.workers[other].clock;
    found = true;
  }
  if (found) block.workers[worker].clock = std::max(block.workers[worker].clock, slowest);
}

void ShardState::LevelWithFurthest(Block& block) {
  int64_t furthest = 0;
  for (const WorkerInRound& worker : block.workers) furthest = std::max(furthest, worker.clock);
  for (WorkerInRound& worker : block.workers) worker.clock = furthest;
}

void ShardState::ForgiveOwnSilence(absl::Time now) {
  const absl::Duration late = now - (last_tick_ + TickEvery());
  if (late < TickEvery() || PARLEY_PLANTED_BUG("blames_others_for_its_own_silence")) return;
  if (last_tick_ > absl::InfinitePast()) {
    for (Worker& worker : workers_) worker.last_heard = std::min(now, worker.last_heard + late);
  }
  last_tick_ = now;
}

void ShardState::FindSilent(absl::Time now, Actions* actions) {
  bool found = false;
  for (size_t worker = 0; worker < workers_.size(); ++worker) {
    if (PARLEY_PLANTED_BUG("lease_never_ends")) break;
    Worker& state = workers_[worker];
    if (state.presence != Presence::kLive || state.silent ||
        now < state.last_heard + options_.lease) {
      continue;
    }
    state.silent = true;
    state.lease_ended = true;
    heard_[worker] = 0;
    found = true;
    actions->leases.push_back(NewsOf(static_cast<int>(worker)));
  }
  if (found) ReviewAll(actions);
}

absl::Status ShardState::Leave(int worker, uint64_t incarnation, absl::string_view error,
                               absl::Time now, Actions* actions) {
  if (worker >= 0 && worker < static_cast<int>(workers_.size()) &&
      workers_[worker].presence == Presence::kLeft && workers_[worker].incarnation == incarnation) {
    return absl::OkStatus();  // said again
  }
  const absl::Status sender = CheckSender(worker, incarnation, now);
  if (!sender.ok() && sender != failure_) return sender;  // one may leave a job that has failed
  workers_[worker].presence = Presence::kLeft;
  workers_[worker].lease_ended = false;
  present_[worker] = 0;
  heard_[worker] = 0;
  FinishAllOf(worker,
              absl::AbortedError(absl::StrCat(options_.task, ": worker:", worker, " has left")),
              actions);
  // Without one that the job has not, or no more, nothing is missing.
  const bool counts =
      IsMember(worker) || std::any_of(blocks_.begin(), blocks_.end(),
                                      [&](const Block& block) { return worker < block.members; });
  if (!error.empty() && counts && NeedsEveryWorker() && failure_.ok()) {
    Fail(absl::AbortedError(
             absl::StrCat(options_.task, ": the job failed with worker:", worker, ": ", error)),
         actions);
    return absl::OkStatus();
  }
  ReviewAll(actions);
  return absl::OkStatus();
}

void ShardState::Fail(const absl::Status& reason, Actions* actions) {
  failure_ = reason;
  while (!waiting_.empty()) Finish(waiting_.begin()->first, failure_, actions);
  // Open rounds will never close: let their gradients go, whose senders may wait for the memory.
  for (Block& block : blocks_) block.gradients.assign(workers_.size(), Gradient());
}

bool ShardState::IsDone(absl::Time now) const {
  const bool chief_left = workers_[0].presence == Presence::kLeft;
  for (size_t i = 0; i < workers_.size(); ++i) {
    if (workers_[i].presence == Presence::kLeft) continue;
    const bool is_member = IsMember(static_cast<int>(i));
    if (chief_left && !is_member) continue;  // it came too late, or is about to leave
    const bool awaited = !chief_left && is_member;
    if (awaited || now < workers_[i].last_heard + options_.lease) return false;
  }
  return true;
}

bool ShardState::HasWorkers() const {
  return std::any_of(workers_.begin(), workers_.end(),
                     [](const Worker& worker) { return worker.presence == Presence::kLive; });
}

// What it knows.

ShardState::BlockClocks ShardState::ClocksOf(size_t index) const {
  const Block& block = blocks_[index];
  BlockClocks result;
  result.version = block.scheduled;
  for (int worker = 0; worker < counts_->last(); ++worker) {
    result.clocks.push_back(block.workers[worker].clock);
  }
  return result;
}

void ShardState::FillNumbers(absl::Time now, ShardNumbers* numbers) const {
  for (size_t i = 0; i < workers_.size(); ++i) {
    const Worker& worker = workers_[i];
    ShardNumbers::Worker& to = numbers->workers.emplace_back();
    to.live = worker.presence == Presence::kLive;
    to.left = worker.presence == Presence::kLeft;
    to.waited_for = worker.waited_for;
    if (to.live) to.silence = std::max(absl::ZeroDuration(), now - worker.last_heard);
    to.silent = to.live && worker.lease_ended;
    to.clock = ClockOf(static_cast<int>(i));
  }
  numbers->members = counts_->last();
  numbers->workers_asked = workers_asked();
  numbers->waited_for_membership = waited_for_membership_;
  numbers->blocks = static_cast<int64_t>(blocks_.size());
  numbers->rounds = rounds_;
  if (!blocks_.empty()) numbers->min_version = numbers->max_version = blocks_[0].applied;
  for (const Block& block : blocks_) {
    numbers->rounds_queued += block.scheduled - block.applied;
    numbers->min_version = std::min(numbers->min_version, block.applied);
    numbers->max_version = std::max(numbers->max_version, block.applied);
    if (block.number >= job_->blocks().size()) continue;  // a table
    numbers->bytes += job_->blocks()[block.number].size * static_cast<int64_t>(sizeof(float));
  }
  numbers->staleness = staleness_;
  numbers->late = dropped_;
  numbers->duplicate = duplicate_;
  for (const auto& [token, waiting] : waiting_) {
    switch (waiting.kind) {
      case Kind::kPushPull:
      case Kind::kHeldPush:
        ++numbers->push_pulls_waiting;
        break;
      case Kind::kJoin:
        ++numbers->joins_waiting;
        break;
      case Kind::kBarrier:
        ++numbers->barriers_waiting;
        break;
    }
  }
}

}  // namespace parley
