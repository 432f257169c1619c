// How a ShardState takes gradients into rounds, closes them, and answers pulls.

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/planted_bug.h"
#include "base/status.h"
#include "ps/shard_state.h"

namespace parley {
RoundSnapshot ShardState::SnapshotOf(const Block& block) const {
  const bool all = block.policy->AwaitsSilent(block.scheduled) &&
                   !PARLEY_PLANTED_BUG("silent_worker_not_awaited");
  const std::vector<uint8_t>& awaited = all ? present_ : heard_;
  if (block.members == static_cast<int>(workers_.size())) {
    return {block.scheduled, block.workers, awaited};
  }
  awaited_.assign(awaited.begin(), awaited.begin() + block.members);
  awaited_.resize(workers_.size(), 0);
  return {block.scheduled, block.workers, awaited_};
}

bool ShardState::MustEnter(const Block& block, int worker) const {
  if (PARLEY_PLANTED_BUG("worker_begins_before_its_step")) return false;
  const bool is_to_come =
      workers_[worker].spare && worker < asked_ && workers_[0].presence != Presence::kLeft;
  return worker >= block.members && (is_to_come || IsMember(worker));
}

// Whether the gradient is in a round already: its worker was started again, or this shard.
bool ShardState::WasTaken(const PushPull& request, const Block& block) const {
  return request.step < block.taken_below[request.worker] ||
         workers_[request.worker].sequences.WasApplied(request.sequence, block.number);
}

absl::Status ShardState::CheckPushes(PushPull& request) {
  ++requests_;
  for (Push& push : request.pushes) {
    Block& block = blocks_[push.block];
    const auto refused = [&](absl::Status status) {
      return Annotate(status, absl::StrCat(Who(request.worker, request.step), ", ", NameOf(block)));
    };
    if (block.seen == requests_) {
      return refused(absl::InvalidArgumentError(
          absl::StrCat("block ", block.number, " is in one request twice")));
    }
    block.seen = requests_;
    if (request.worker >= block.members && request.worker >= counts_->At(request.step)) {
      return refused(absl::FailedPreconditionError(
          absl::StrCat("the job has ", counts_->last(), " workers, and this is none of them")));
    }
    // Not `applied`: a pull may show a round before the thread that applied it has reported it
    // here.
    // Values that nobody had written down yet may be lost with the shard that showed them.
    if (restored_) push.base_version = std::min(push.base_version, block.scheduled);
    if (push.base_version < 0 || push.base_version > block.scheduled) {
      return refused(absl::InvalidArgumentError(absl::StrCat(
          "base_version ", push.base_version, " is not in [0, ", block.scheduled, "]")));
    }
    if (WasTaken(request, block)) continue;
    const absl::Status status =
        block.policy->CheckPush(SnapshotOf(block), request.worker, request.step);
    if (!status.ok()) return refused(status);
  }
  return absl::OkStatus();
}

SequenceWindow::Answer ShardState::TakePushes(PushPull& request, Actions* actions) {
  SequenceWindow::Answer answer;
  answer.taken.reserve(request.pushes.size());
  actions->rounds.reserve(request.pushes.size());
  for (Push& push : request.pushes) {
    Block& block = blocks_[push.block];
    TakenPush& taken = answer.taken.emplace_back();
    taken.staleness = block.scheduled - push.base_version;
    WorkerInRound& worker = block.workers[request.worker];
    if (WasTaken(request, block)) {
      taken.round = block.scheduled + (worker.pushed ? 1 : 0);
      ++duplicate_;
      continue;
    }
    if (request.workers != 0 && request.workers != block.members) {
      block.next_members.emplace();
      block.next_members->set_from_step(request.step + 1);
      block.next_members->set_count(request.workers);
      if (PARLEY_PLANTED_BUG("new_workers_count_at_once")) block.members = request.workers;
    }
    if (block.policy->IsLate(SnapshotOf(block), request.step, push.base_version) &&
        !PARLEY_PLANTED_BUG("late_gradient_applied")) {
      taken.dropped = true;
      ++dropped_;
      worker.clock = std::max(worker.clock, request.step + 1);
      continue;
    }
    staleness_.Add(taken.staleness);
    if (!block.opened.has_value()) block.opened = latest_;
    worker.pushed = true;
    worker.step = request.step;
    block.gradients[request.worker] = std::move(push.gradient);
    if (options_.acknowledges_applied) {
      block.contributions[request.worker] = {request.worker, request.incarnation, request.sequence};
    }
    taken.round = block.scheduled + 1;
    block.skipped |= request.skip;
    block.correction = block.policy->CorrectionFor(block.scheduled, taken.staleness);
    CloseIfComplete(push.block, &workers_[request.worker].waited_for, actions);
    AnswerWaiters(block, actions);
  }
  return answer;
}

void ShardState::CloseIfComplete(size_t index, absl::Duration* waited, Actions* actions) {
  if (!failure_.ok()) return;  // its gradients are gone
  Block& block = blocks_[index];
  const bool any = std::any_of(block.workers.begin(), block.workers.end(),
                               [](const WorkerInRound& worker) { return worker.pushed; });
  if (!any || !block.policy->IsComplete(SnapshotOf(block))) return;
  if (block.opened.has_value()) *waited += latest_ - *block.opened;
  block.opened.reset();
  Round round{index, {}, block.correction, {}, {}, {}};
  std::vector<std::pair<int, int64_t>> steps;
  for (size_t worker = 0; worker < block.workers.size(); ++worker) {
    WorkerInRound& in_round = block.workers[worker];
    if (!in_round.pushed) continue;
    round.gradients.push_back(std::move(block.gradients[worker]));
    block.gradients[worker] = Gradient();
    if (options_.acknowledges_applied) {
      round.contributions.push_back(block.contributions[worker]);
      steps.emplace_back(static_cast<int>(worker), in_round.step);
    }
    in_round.pushed = false;
    in_round.clock = std::max(in_round.clock, in_round.step + 1);
  }
  if (PARLEY_PLANTED_BUG("gradients_summed_in_another_order"))
    std::reverse(round.gradients.begin(), round.gradients.end());
  if (block.skipped) round.gradients.clear();
  block.skipped = false;
  const int phase = block.policy->PhaseOf(block.scheduled);
  ++block.scheduled;
  if (block.policy->PhaseOf(block.scheduled) != phase) LevelWithFurthest(block);
  if (block.next_members.has_value()) {
    // Who comes begins where the chief is.
    for (int worker = block.members; worker < block.next_members->count(); ++worker) {
      int64_t& clock = block.workers[worker].clock;
      clock = std::max(clock, block.next_members->from_step());
    }
    block.members = block.next_members->count();
    block.untold.emplace_back(block.scheduled, *block.next_members);
    round.workers = std::move(block.next_members);
    block.next_members.reset();
  }
  if (options_.acknowledges_applied) {
    for (const WorkerInRound& worker : block.workers) round.clocks.push_back(worker.clock);
    block.unapplied.push_back(std::move(steps));
  }
  actions->rounds.push_back(std::move(round));
}

ShardState::Actions ShardState::HandlePushPull(PushPull request, absl::Time now) {
  Actions actions;
  const auto answer = [&](absl::Status status, std::vector<TakenPush> taken) {
    actions.answers.push_back({request.token, std::move(status), std::move(taken), 0});
  };
  if (const absl::Status status = CheckSender(request.worker, request.incarnation, now);
      !status.ok()) {
    answer(status, {});
    return actions;
  }
  if (!request.pulls.empty()) ComeBack(request.worker, &actions);
  Worker& worker = workers_[request.worker];
  if (worker.waiting >= kMaxWaitingPerWorker) {
    answer(absl::ResourceExhaustedError(
               absl::StrCat(Who(request.worker, request.step), ": too many requests are waiting")),
           {});
    return actions;
  }

  std::vector<TakenPush> taken;
  if (!request.pushes.empty()) {
    if (const SequenceWindow::Answer* earlier = worker.sequences.Find(request.sequence)) {
      if (!earlier->status.ok()) {
        answer(earlier->status, {});
        return actions;
      }
      taken = earlier->taken;
      if (PARLEY_PLANTED_BUG("repeated_push_gets_a_fresh_answer"))
        taken.assign(taken.size(), TakenPush());
      duplicate_ += static_cast<int64_t>(request.pushes.size());
    } else if (worker.sequences.IsTooOld(request.sequence) &&
               !PARLEY_PLANTED_BUG("old_sequence_number_taken_for_new")) {
      answer(absl::FailedPreconditionError(absl::StrCat(Who(request.worker, request.step),
                                                        ": sequence number ", request.sequence,
                                                        " is too old or 0")),
             {});
      return actions;
    } else {
      const bool refuses =
          !refuses_pushes_.ok() && !PARLEY_PLANTED_BUG("full_disk_refuses_nothing");
      if (refuses) {  // and not remembered: it may come again
        if (now < request.deadline) {
          Hold(std::move(request));
        } else {
          answer(Annotate(refuses_pushes_, Who(request.worker, request.step)), {});
        }
        return actions;
      }
      SequenceWindow::Answer first;
      first.status = CheckPushes(request);
      if (first.status.ok()) first.status = TakeWorkers(request);
      if (first.status.ok()) first = TakePushes(request, &actions);
      worker.sequences.Remember(request.sequence, first);
      if (!first.status.ok()) {
        answer(first.status, {});
        return actions;
      }
      taken = std::move(first.taken);
    }
  }

  Waiting waiting;
  waiting.kind = Kind::kPushPull;
  waiting.worker = request.worker;
  waiting.deadline = request.deadline;
  waiting.step = request.pulls.empty() ? request.step : request.pull_step;
  std::vector<std::pair<size_t, int64_t>> rounds;  // blocks, and what they must have applied
  for (size_t i = 0; i < request.pushes.size(); ++i) {
    const Block& block = blocks_[request.pushes[i].block];
    const bool waits =
        options_.acknowledges_applied && !PARLEY_PLANTED_BUG("acknowledged_before_the_log");
    const int64_t round = waits ? taken[i].round : block.scheduled - kMaxUnapplied;
    if (block.applied < round) rounds.emplace_back(request.pushes[i].block, round);
  }
  waiting.blocks = request.pulls.size() + rounds.size();
  waiting.taken = std::move(taken);
  if (waiting.blocks == 0) {
    answer(absl::OkStatus(), std::move(waiting.taken));
    return actions;
  }
  AddWaiting(request.token, std::move(waiting));
  for (const auto& [index, round] : rounds) {
    blocks_[index].waiters.push_back({request.token, request.step + 1, round, /*pulls=*/false});
  }
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
    Waiting& waiting = it->second;
    if (waiter.pulls && MustEnter(block, waiting.worker)) {
      waiter.entering = true;
      block.waiters[kept++] = waiter;
      continue;
    }
    if (waiter.entering) waiter.step = std::max(waiter.step, block.workers[waiting.worker].clock);
    waiter.entering = false;
    if (waiter.version < 0 &&
        block.policy->MayPull(SnapshotOf(block), waiting.worker, waiter.step)) {
      // What nobody was told of need not be shown: its log may be waiting for room.
      const bool shows_kept =
          options_.acknowledges_applied && block.policy->PullsNeverWait(block.applied);
      waiter.version =
          shows_kept ? block.applied : block.policy->RoundsFor(SnapshotOf(block), waiter.step);
    }
    if (waiter.version >= 0 && block.applied >= waiter.version) {
      if (waiter.pulls) {
        const absl::optional<int64_t> next =
            block.policy->NextStep(SnapshotOf(block), waiting.worker, waiter.step);
        if (next) waiting.next_step = std::min(waiting.next_step.value_or(*next), *next);
      }
      if (--waiting.blocks == 0) Finish(waiter.token, absl::OkStatus(), actions);
      continue;
    }
    block.waiters[kept++] = waiter;
  }
  block.waiters.resize(kept);
}

ShardState::Actions ShardState::Applied(size_t index) {
  Actions actions;
  Block& block = blocks_[index];
  ++block.applied;
  ++rounds_;
  if (!block.unapplied.empty()) block.unapplied.pop_front();
  while (!block.untold.empty() && block.untold.front().first <= block.applied) {
    const v1::WorkerCount& change = block.untold.front().second;
    auto told = std::make_shared<WorkerCounts>(*told_);
    // It is in counts_, and this is less.
    if (told->Add(change.from_step(), change.count()).ok()) told_ = std::move(told);
    block.untold.pop_front();
  }
  AnswerWaiters(block, &actions);
  return actions;
}

void ShardState::ReviewAll(Actions* actions) {
  for (size_t i = 0; i < blocks_.size(); ++i) {
    CloseIfComplete(i, &waited_for_membership_, actions);
    AnswerWaiters(blocks_[i], actions);
  }
  ReviewBarriers(actions);
}

}  // namespace parley
