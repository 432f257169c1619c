#include "ps/shard_state.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"

namespace parley {
namespace {

constexpr int kMaxWaitingPerWorker = 4096;
constexpr size_t kMaxWaitingJoins = 4096;
constexpr size_t kMaxBarrierName = 256;

}  // namespace

ShardState::ShardState(Options options, const Job* job, std::vector<uint32_t> blocks,
                       const Policy* policy, std::vector<BlockClocks> clocks)
    : options_(std::move(options)),
      job_(job),
      policy_(policy),
      workers_(job->spec().num_workers()),
      member_(job->spec().num_workers(), 1) {
  const size_t num_workers = workers_.size();
  blocks_.resize(blocks.size());
  for (size_t i = 0; i < blocks.size(); ++i) {
    Block& block = blocks_[i];
    block.number = blocks[i];
    block.applied = block.scheduled = clocks[i].version;
    block.workers.resize(num_workers);
    block.gradients.resize(num_workers);
    block.taken_below.resize(num_workers);
    for (size_t worker = 0; worker < num_workers; ++worker) {
      const int64_t clock =
          worker < clocks[i].clocks.size() ? clocks[i].clocks[worker] : clocks[i].version;
      block.workers[worker].clock = clock;
      block.taken_below[worker] = clock;
    }
  }
}

// Membership.

absl::Status ShardState::CheckSender(int worker, uint64_t incarnation, absl::Time now) {
  if (worker < 0 || worker >= static_cast<int>(workers_.size())) {
    return absl::InvalidArgumentError(absl::StrCat(options_.task, ": worker:", worker,
                                                   " is not in job ", job_->name(), ", which has ",
                                                   workers_.size(), " workers"));
  }
  Worker& state = workers_[worker];
  if (incarnation < state.incarnation) {
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

absl::Status ShardState::Heartbeat(int worker, uint64_t incarnation, absl::Time now) {
  return CheckSender(worker, incarnation, now);
}

ShardState::Actions ShardState::Join(uint64_t token, int worker, uint64_t incarnation,
                                     absl::Time now, absl::Time deadline) {
  Actions actions;
  const auto refuse = [&](absl::Status status) {
    actions.answers.push_back({token, std::move(status), {}});
    return actions;
  };
  if (worker < 0 || worker >= static_cast<int>(workers_.size()) || incarnation == 0) {
    return refuse(absl::InvalidArgumentError(absl::StrCat(
        options_.task, ": worker:", worker, " with incarnation ", incarnation, " cannot join job ",
        job_->name(), ", which has ", workers_.size(), " workers")));
  }
  if (!failure_.ok()) return refuse(failure_);
  const Worker& state = workers_[worker];
  if (incarnation < state.incarnation) return refuse(CheckSender(worker, incarnation, now));
  if (state.presence == Presence::kLeft && policy_->NeedsEveryWorker()) {
    return refuse(absl::FailedPreconditionError(
        absl::StrCat(options_.task, ": worker:", worker,
                     " has left the job; a synchronous job cannot take it back")));
  }
  const bool held = state.presence == Presence::kLive && incarnation > state.incarnation &&
                    now < state.last_heard + options_.lease;
  if (held && joins_.size() >= kMaxWaitingJoins) {
    return refuse(absl::ResourceExhaustedError(
        absl::StrCat(options_.task, ": too many tasks wait for another's place")));
  }
  if (held) {
    // A little more than a lease, so that a holder's silence is noticed before the newcomer is
    // refused.
    deadline = std::min(deadline, now + options_.lease + options_.lease / 10);
    Waiting waiting;
    waiting.kind = Kind::kJoin;
    waiting.worker = worker;
    waiting.deadline = deadline;
    waiting.incarnation = incarnation;
    AddWaiting(token, std::move(waiting));
    // The place may become free before the deadline; NextDeadline looks at the lease.
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
      const WorkerInRound& in_round = block.workers[worker];
      block.taken_below[worker] =
          std::max(block.taken_below[worker], in_round.clock + (in_round.pushed ? 1 : 0));
    }
  }
  if (state.presence == Presence::kLeft) {
    // It comes back to where the slowest of the others is, so that nobody finds itself too far
    // ahead of it.
    for (Block& block : blocks_) {
      int64_t slowest = block.workers[worker].clock;
      bool found = false;
      for (size_t other = 0; other < workers_.size(); ++other) {
        if (!member_[other]) continue;
        slowest =
            found ? std::min(slowest, block.workers[other].clock) : block.workers[other].clock;
        found = true;
      }
      block.workers[worker].clock = std::max(block.workers[worker].clock, slowest);
    }
  }
  state.presence = Presence::kLive;
  state.incarnation = incarnation;
  state.last_heard = now;
  member_[worker] = 1;

  int64_t step = std::numeric_limits<int64_t>::max();  // a shard without blocks has no say
  for (const Block& block : blocks_) step = std::min(step, block.workers[worker].clock);
  Answer answer{token, absl::OkStatus(), {}};
  answer.step = step;
  actions->answers.push_back(std::move(answer));
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
  member_[worker] = 0;
  FinishAllOf(worker,
              absl::AbortedError(absl::StrCat(options_.task, ": worker:", worker, " has left")),
              actions);
  if (!error.empty() && policy_->NeedsEveryWorker() && failure_.ok()) {
    failure_ = absl::AbortedError(
        absl::StrCat(options_.task, ": the job failed with worker:", worker, ": ", error));
    while (!waiting_.empty()) Finish(waiting_.begin()->first, failure_, actions);
    // Open rounds will never close: let their gradients go, whose senders may wait for the memory.
    for (Block& block : blocks_) block.gradients.assign(workers_.size(), Gradient());
    return absl::OkStatus();
  }
  ReviewAll(actions);
  return absl::OkStatus();
}

bool ShardState::IsDone(absl::Time now) const {
  const bool chief_left = workers_[0].presence == Presence::kLeft;
  return std::all_of(workers_.begin(), workers_.end(), [&](const Worker& worker) {
    return worker.presence == Presence::kLeft ||
           (chief_left && now >= worker.last_heard + options_.lease);
  });
}

// Pushes and pulls.

RoundSnapshot ShardState::SnapshotOf(const Block& block) const {
  return {block.scheduled, block.workers, member_};
}

absl::Status ShardState::CheckPushes(const PushPull& request) {
  ++requests_;
  for (const Push& push : request.pushes) {
    Block& block = blocks_[push.block];
    const auto refused = [&](absl::Status status) {
      return Annotate(status, absl::StrCat(Who(request.worker, request.step), ", parameter ",
                                           ParameterOf(block)));
    };
    if (block.seen == requests_) {
      return refused(absl::InvalidArgumentError(
          absl::StrCat("block ", block.number, " is in one request twice")));
    }
    block.seen = requests_;
    // Not `applied`: a pull may show a round before the thread that applied it has reported it
    // here.
    if (push.base_version < 0 || push.base_version > block.scheduled) {
      return refused(absl::InvalidArgumentError(absl::StrCat(
          "base_version ", push.base_version, " is not in [0, ", block.scheduled, "]")));
    }
    if (request.step < block.taken_below[request.worker]) continue;
    const absl::Status status = policy_->CheckPush(SnapshotOf(block), request.worker, request.step);
    if (!status.ok()) return refused(status);
  }
  return absl::OkStatus();
}

SequenceWindow::Answer ShardState::TakePushes(PushPull& request, Actions* actions) {
  SequenceWindow::Answer answer;
  for (Push& push : request.pushes) {
    Block& block = blocks_[push.block];
    const int64_t staleness = block.scheduled - push.base_version;
    answer.staleness.push_back(staleness);
    if (request.step < block.taken_below[request.worker]) continue;
    ++pushes_;
    staleness_sum_ += staleness;
    staleness_max_ = std::max(staleness_max_, staleness);
    WorkerInRound& worker = block.workers[request.worker];
    worker.pushed = true;
    worker.step = request.step;
    block.gradients[request.worker] = std::move(push.gradient);
    block.skipped |= request.skip;
    CloseIfComplete(push.block, actions);
    AnswerWaiters(block, actions);
  }
  return answer;
}

void ShardState::CloseIfComplete(size_t index, Actions* actions) {
  Block& block = blocks_[index];
  const bool any = std::any_of(block.workers.begin(), block.workers.end(),
                               [](const WorkerInRound& worker) { return worker.pushed; });
  if (!any || !policy_->IsComplete(SnapshotOf(block))) return;
  Round round{index, {}};
  for (size_t worker = 0; worker < block.workers.size(); ++worker) {
    WorkerInRound& in_round = block.workers[worker];
    if (!in_round.pushed) continue;
    round.gradients.push_back(std::move(block.gradients[worker]));
    block.gradients[worker] = Gradient();
    in_round.pushed = false;
    in_round.clock = std::max(in_round.clock, in_round.step + 1);
  }
  if (block.skipped) round.gradients.clear();
  block.skipped = false;
  ++block.scheduled;
  actions->rounds.push_back(std::move(round));
}

ShardState::Actions ShardState::HandlePushPull(PushPull request, absl::Time now) {
  Actions actions;
  const auto answer = [&](absl::Status status, std::vector<int64_t> staleness) {
    actions.answers.push_back({request.token, std::move(status), std::move(staleness)});
  };
  if (const absl::Status status = CheckSender(request.worker, request.incarnation, now);
      !status.ok()) {
    answer(status, {});
    return actions;
  }
  Worker& worker = workers_[request.worker];
  if (worker.waiting >= kMaxWaitingPerWorker) {
    answer(absl::ResourceExhaustedError(
               absl::StrCat(Who(request.worker, request.step), ": too many requests are waiting")),
           {});
    return actions;
  }

  std::vector<int64_t> staleness;
  if (!request.pushes.empty()) {
    if (const SequenceWindow::Answer* earlier = worker.sequences.Find(request.sequence)) {
      if (!earlier->status.ok()) {
        answer(earlier->status, {});
        return actions;
      }
      staleness = earlier->staleness;
    } else if (worker.sequences.IsTooOld(request.sequence)) {
      answer(absl::FailedPreconditionError(absl::StrCat(Who(request.worker, request.step),
                                                        ": sequence number ", request.sequence,
                                                        " is too old or 0")),
             {});
      return actions;
    } else {
      SequenceWindow::Answer taken;
      taken.status = CheckPushes(request);
      if (taken.status.ok()) taken = TakePushes(request, &actions);
      worker.sequences.Remember(request.sequence, taken);
      if (!taken.status.ok()) {
        answer(taken.status, {});
        return actions;
      }
      staleness = std::move(taken.staleness);
    }
  }

  Waiting waiting;
  waiting.kind = Kind::kPushPull;
  waiting.worker = request.worker;
  waiting.deadline = request.deadline;
  waiting.step = request.pull_step;
  waiting.blocks = request.pulls.size();
  waiting.staleness = std::move(staleness);
  if (waiting.blocks == 0) {
    answer(absl::OkStatus(), std::move(waiting.staleness));
    return actions;
  }
  AddWaiting(request.token, std::move(waiting));
  for (const size_t index : request.pulls) {
    Block& block = blocks_[index];
    block.waiters.push_back({request.token, request.pull_step, -1});
    AnswerWaiters(block, &actions);
  }
  return actions;
}

void ShardState::AnswerWaiters(Block& block, Actions* actions) {
  size_t kept = 0;
  for (size_t i = 0; i < block.waiters.size(); ++i) {
    Waiter waiter = block.waiters[i];
    const auto it = waiting_.find(waiter.token);
    if (it == waiting_.end()) continue;  // ended otherwise
    if (waiter.version < 0 && policy_->MayPull(SnapshotOf(block), waiter.step)) {
      waiter.version = block.scheduled;
    }
    if (waiter.version >= 0 && block.applied >= waiter.version) {
      if (--it->second.blocks == 0) Finish(waiter.token, absl::OkStatus(), actions);
      continue;
    }
    block.waiters[kept++] = waiter;
  }
  block.waiters.resize(kept);
}

ShardState::Actions ShardState::Applied(size_t index) {
  Actions actions;
  ++blocks_[index].applied;
  AnswerWaiters(blocks_[index], &actions);
  return actions;
}

void ShardState::ReviewAll(Actions* actions) {
  for (size_t i = 0; i < blocks_.size(); ++i) {
    CloseIfComplete(i, actions);
    AnswerWaiters(blocks_[i], actions);
  }
  ReviewBarriers(actions);
}

// Barriers.

ShardState::Actions ShardState::Barrier(uint64_t token, int worker, uint64_t incarnation,
                                        const std::string& name, absl::Time now,
                                        absl::Time deadline) {
  Actions actions;
  if (const absl::Status status = CheckSender(worker, incarnation, now); !status.ok()) {
    actions.answers.push_back({token, status, {}});
    return actions;
  }
  if (name.size() > kMaxBarrierName || workers_[worker].waiting >= kMaxWaitingPerWorker) {
    actions.answers.push_back(
        {token,
         absl::ResourceExhaustedError(
             absl::StrCat(options_.task, ": worker:", worker,
                          ": a barrier's name is too long, or too many requests are waiting")),
         {}});
    return actions;
  }
  std::map<int, uint64_t>& present = barriers_[name];
  if (const auto it = present.find(worker); it != present.end()) {
    const uint64_t earlier = it->second;
    Finish(earlier, absl::AbortedError("this barrier request was sent again"), &actions);
  }
  Waiting waiting;
  waiting.kind = Kind::kBarrier;
  waiting.worker = worker;
  waiting.deadline = deadline;
  waiting.barrier = name;
  AddWaiting(token, std::move(waiting));
  barriers_[name][worker] = token;
  ReviewBarriers(&actions);
  return actions;
}

void ShardState::ReviewBarriers(Actions* actions) {
  std::vector<uint64_t> released;
  for (const auto& [name, present] : barriers_) {
    bool complete = true;
    for (size_t worker = 0; worker < workers_.size(); ++worker) {
      if (member_[worker] && present.count(static_cast<int>(worker)) == 0) complete = false;
    }
    if (!complete) continue;
    for (const auto& [worker, token] : present) released.push_back(token);
  }
  std::sort(released.begin(), released.end());
  for (const uint64_t token : released) Finish(token, absl::OkStatus(), actions);
}

// Waiting.

void ShardState::AddWaiting(uint64_t token, Waiting waiting) {
  deadlines_.emplace(waiting.deadline, token);
  if (waiting.kind == Kind::kJoin) {
    joins_.insert(token);  // a newcomer's, which does not count as the holder's
  } else {
    ++workers_[waiting.worker].waiting;
  }
  waiting_.emplace(token, std::move(waiting));
}

void ShardState::Finish(uint64_t token, absl::Status status, Actions* actions) {
  const auto it = waiting_.find(token);
  Waiting waiting = std::move(it->second);
  waiting_.erase(it);
  deadlines_.erase({waiting.deadline, token});
  joins_.erase(token);
  if (waiting.kind != Kind::kJoin) --workers_[waiting.worker].waiting;
  if (waiting.kind == Kind::kBarrier) {
    const auto barrier = barriers_.find(waiting.barrier);
    barrier->second.erase(waiting.worker);
    if (barrier->second.empty()) barriers_.erase(barrier);
  }
  if (!status.ok()) waiting.staleness.clear();
  actions->answers.push_back({token, std::move(status), std::move(waiting.staleness)});
}

void ShardState::FinishAllOf(int worker, const absl::Status& status, Actions* actions) {
  std::vector<uint64_t> tokens;
  for (const auto& [token, waiting] : waiting_) {
    // A newcomer that waits for this worker's place goes on waiting.
    if (waiting.worker == worker && waiting.kind != Kind::kJoin) tokens.push_back(token);
  }
  for (const uint64_t token : tokens) Finish(token, status, actions);
}

ShardState::Actions ShardState::Tick(absl::Time now) {
  Actions actions;
  // Newcomers whose place has become free.
  std::vector<std::pair<uint64_t, Waiting>> joins;
  for (const uint64_t token : joins_) joins.emplace_back(token, waiting_.at(token));
  for (const auto& [token, waiting] : joins) {
    const Worker& holder = workers_[waiting.worker];
    if (holder.presence == Presence::kLive && now < holder.last_heard + options_.lease) continue;
    deadlines_.erase({waiting.deadline, token});
    joins_.erase(token);
    waiting_.erase(token);
    const Actions joined = Join(token, waiting.worker, waiting.incarnation, now, waiting.deadline);
    actions.answers.insert(actions.answers.end(), joined.answers.begin(), joined.answers.end());
  }
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    const uint64_t token = deadlines_.begin()->second;
    const absl::Status status = Overdue(token, waiting_.at(token), now);
    Finish(token, status, &actions);
  }
  return actions;
}

absl::Time ShardState::NextDeadline() const {
  absl::Time next = deadlines_.empty() ? absl::InfiniteFuture() : deadlines_.begin()->first;
  for (const uint64_t token : joins_) {
    next = std::min(next, workers_[waiting_.at(token).worker].last_heard + options_.lease);
  }
  return next;
}

absl::Status ShardState::Overdue(uint64_t token, const Waiting& waiting, absl::Time now) const {
  switch (waiting.kind) {
    case Kind::kJoin:
      return absl::AlreadyExistsError(
          absl::StrCat(options_.task, ": another task is worker:", waiting.worker, " (last heard ",
                       absl::FormatDuration(now - workers_[waiting.worker].last_heard), " ago)"));
    case Kind::kBarrier: {
      std::vector<int> missing;
      const std::map<int, uint64_t>& present = barriers_.at(waiting.barrier);
      for (size_t worker = 0; worker < workers_.size(); ++worker) {
        if (member_[worker] && present.count(static_cast<int>(worker)) == 0) {
          missing.push_back(static_cast<int>(worker));
        }
      }
      return absl::DeadlineExceededError(absl::StrCat(options_.task, ": worker:", waiting.worker,
                                                      " in barrier ", waiting.barrier,
                                                      " waited for ", DescribeAll(missing, now)));
    }
    case Kind::kPushPull:
      break;
  }
  for (const Block& block : blocks_) {
    for (const Waiter& waiter : block.waiters) {
      if (waiter.token != token) continue;
      return absl::DeadlineExceededError(
          absl::StrCat(Who(waiting.worker, waiting.step), ": parameter ", ParameterOf(block),
                       ", at round ", block.applied, ", waited for ",
                       DescribeAll(policy_->Missing(SnapshotOf(block), waiter.step), now)));
    }
  }
  return absl::DeadlineExceededError(Who(waiting.worker, waiting.step));
}

// Words and numbers.

std::string ShardState::Who(int worker, int64_t step) const {
  return absl::StrCat(options_.task, ": worker:", worker, " step ", step);
}

std::string ShardState::ParameterOf(const Block& block) const {
  return job_->parameters()[job_->blocks()[block.number].parameter].name;
}

std::string ShardState::Describe(int worker, absl::Time now) const {
  const Worker& state = workers_[worker];
  if (state.presence == Presence::kAbsent) {
    return absl::StrCat("worker:", worker, " (has not joined)");
  }
  return absl::StrCat("worker:", worker, " (last heard ",
                      absl::FormatDuration(now - state.last_heard), " ago)");
}

std::string ShardState::DescribeAll(const std::vector<int>& workers, absl::Time now) const {
  if (workers.empty()) return absl::StrCat(options_.task, " itself");
  constexpr size_t kNamed = 8;
  std::string result = absl::StrJoin(
      workers.begin(), workers.begin() + std::min(kNamed, workers.size()), ", ",
      [&](std::string* out, int worker) { absl::StrAppend(out, Describe(worker, now)); });
  if (workers.size() > kNamed) {
    absl::StrAppend(&result, " and ", workers.size() - kNamed, " more");
  }
  return result;
}

ShardState::BlockClocks ShardState::ClocksOf(size_t index) const {
  const Block& block = blocks_[index];
  BlockClocks result;
  result.version = block.scheduled;
  for (const WorkerInRound& worker : block.workers) result.clocks.push_back(worker.clock);
  return result;
}

void ShardState::FillStatus(v1::GetStatusResponse* response) const {
  for (size_t worker = 0; worker < workers_.size(); ++worker) {
    v1::GetStatusResponse::Worker* status = response->add_workers();
    switch (workers_[worker].presence) {
      case Presence::kAbsent:
        status->set_state(v1::GetStatusResponse::Worker::ABSENT);
        break;
      case Presence::kLive:
        status->set_state(v1::GetStatusResponse::Worker::LIVE);
        break;
      case Presence::kLeft:
        status->set_state(v1::GetStatusResponse::Worker::LEFT);
        break;
    }
    int64_t clock = blocks_.empty() ? 0 : blocks_[0].workers[worker].clock;
    for (const Block& block : blocks_) clock = std::min(clock, block.workers[worker].clock);
    status->set_clock(clock);
  }
  if (!blocks_.empty()) {
    int64_t least = blocks_[0].applied;
    int64_t most = least;
    for (const Block& block : blocks_) {
      least = std::min(least, block.applied);
      most = std::max(most, block.applied);
    }
    response->set_min_version(least);
    response->set_max_version(most);
  }
  response->set_pushes(pushes_);
  response->set_staleness_sum(staleness_sum_);
  response->set_staleness_max(staleness_max_);
}

}  // namespace parley
