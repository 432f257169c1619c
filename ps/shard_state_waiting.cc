// Who waits in a ShardState, in barriers or for rounds or places, and how that ends.

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/planted_bug.h"
#include "base/status.h"
#include "ps/shard_state.h"

namespace parley {
namespace {

constexpr size_t kMaxBarrierName = 256;

// For people: "61.2s ago", and no more digits than they need.
std::string Ago(absl::Duration silence) {
  const absl::Duration unit =
      silence < absl::Seconds(1) ? absl::Milliseconds(1) : absl::Milliseconds(100);
  return absl::StrCat(absl::FormatDuration(absl::Trunc(silence, unit)), " ago");
}

}  // namespace

// Barriers.

ShardState::Actions ShardState::Barrier(uint64_t token, int worker, uint64_t incarnation,
                                        const std::string& name, absl::Time now,
                                        absl::Time deadline) {
  Actions actions;
  if (const absl::Status status = CheckSender(worker, incarnation, now); !status.ok()) {
    actions.answers.push_back({token, status, {}, 0});
    return actions;
  }
  if (name.size() > kMaxBarrierName || workers_[worker].waiting >= kMaxWaitingPerWorker) {
    actions.answers.push_back(
        {token,
         absl::ResourceExhaustedError(
             absl::StrCat(options_.task, ": worker:", worker,
                          ": a barrier's name is too long, or too many requests are waiting")),
         {},
         0});
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

bool ShardState::AwaitedInBarriers(size_t worker) const {
  if (!IsMember(static_cast<int>(worker))) return false;
  return heard_[worker] != 0 || (present_[worker] != 0 && AwaitsSilent());
}

void ShardState::ReviewBarriers(Actions* actions) {
  std::vector<uint64_t> released;
  for (const auto& [name, present] : barriers_) {
    bool complete = true;
    for (size_t worker = 0; worker < workers_.size(); ++worker) {
      if (AwaitedInBarriers(worker) && present.count(static_cast<int>(worker)) == 0) {
        complete =
            PARLEY_PLANTED_BUG("barrier_opens_one_short") && present.size() + 1 == workers_.size();
      }
    }
    if (!complete) continue;
    for (const auto& [worker, token] : present) released.push_back(token);
  }
  std::sort(released.begin(), released.end());
  for (const uint64_t token : released) Finish(token, absl::OkStatus(), actions);
}

// Waiting.

void ShardState::Hold(PushPull request) {
  Waiting waiting;
  waiting.kind = Kind::kHeldPush;
  waiting.worker = request.worker;
  waiting.deadline = request.deadline;
  waiting.step = request.step;
  AddWaiting(request.token, std::move(waiting));
  held_.emplace(request.token, std::move(request));
}

ShardState::Actions ShardState::RefusePushes(absl::Status reason, absl::Time now) {
  Actions actions;
  refuses_pushes_ = std::move(reason);
  if (!refuses_pushes_.ok()) return actions;
  for (auto& [token, request] : std::exchange(held_, {})) {
    const auto it = waiting_.find(token);
    deadlines_.erase({it->second.deadline, token});
    --workers_[it->second.worker].waiting;
    waiting_.erase(it);
    Actions taken = HandlePushPull(std::move(request), now);
    std::move(taken.rounds.begin(), taken.rounds.end(), std::back_inserter(actions.rounds));
    std::move(taken.answers.begin(), taken.answers.end(), std::back_inserter(actions.answers));
    std::move(taken.leases.begin(), taken.leases.end(), std::back_inserter(actions.leases));
  }
  return actions;
}

void ShardState::AddWaiting(uint64_t token, Waiting waiting) {
  if (!PARLEY_PLANTED_BUG("deadline_forgotten")) deadlines_.emplace(waiting.deadline, token);
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
  held_.erase(token);
  if (waiting.kind != Kind::kJoin) --workers_[waiting.worker].waiting;
  if (waiting.kind == Kind::kBarrier) {
    const auto barrier = barriers_.find(waiting.barrier);
    barrier->second.erase(waiting.worker);
    if (barrier->second.empty()) barriers_.erase(barrier);
  }
  if (!status.ok()) {
    waiting.taken.clear();
    waiting.next_step.reset();
  }
  actions->answers.push_back({token, std::move(status), std::move(waiting.taken),
                              waiting.next_step.value_or(0), CountsToTell()});
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
  latest_ = std::max(latest_, now);
  Actions actions;
  ForgiveOwnSilence(now);
  last_tick_ = now;
  // Newcomers whose place has become free.
  std::vector<std::pair<uint64_t, Waiting>> joins;
  for (const uint64_t token : joins_) joins.emplace_back(token, waiting_.at(token));
  // The latest start of a worker first: earlier ones may have died while they waited.
  std::stable_sort(joins.begin(), joins.end(), [](const auto& a, const auto& b) {
    return a.second.incarnation > b.second.incarnation;
  });
  for (const auto& [token, waiting] : joins) {
    const Worker& holder = workers_[waiting.worker];
    if (holder.presence == Presence::kLive && now < holder.last_heard + options_.replace_after) {
      continue;
    }
    deadlines_.erase({waiting.deadline, token});
    joins_.erase(token);
    waiting_.erase(token);
    const Actions joined = Join(token, waiting.worker, waiting.incarnation, now, waiting.deadline);
    actions.answers.insert(actions.answers.end(), joined.answers.begin(), joined.answers.end());
  }
  FindSilent(now, &actions);
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    const uint64_t token = deadlines_.begin()->second;
    const absl::Status status = Overdue(token, waiting_.at(token), now);
    Finish(token, status, &actions);
  }
  return actions;
}

absl::Time ShardState::NextDeadline() const {
  absl::Time next = last_tick_ + TickEvery();
  if (!deadlines_.empty()) next = std::min(next, deadlines_.begin()->first);
  for (const Worker& worker : workers_) {
    if (worker.presence != Presence::kLive || worker.silent) continue;
    next = std::min(next, worker.last_heard + options_.lease);
  }
  for (const uint64_t token : joins_) {
    next = std::min(next, workers_[waiting_.at(token).worker].last_heard + options_.replace_after);
  }
  return next;
}

absl::Status ShardState::Overdue(uint64_t token, const Waiting& waiting, absl::Time now) const {
  switch (waiting.kind) {
    case Kind::kJoin:
      return absl::AlreadyExistsError(
          absl::StrCat(options_.task, ": another task is worker:", waiting.worker, " (last heard ",
                       Ago(now - workers_[waiting.worker].last_heard), ")"));
    case Kind::kBarrier: {
      std::vector<int> missing;
      const std::map<int, uint64_t>& present = barriers_.at(waiting.barrier);
      for (size_t worker = 0; worker < workers_.size(); ++worker) {
        if (AwaitedInBarriers(worker) && present.count(static_cast<int>(worker)) == 0) {
          missing.push_back(static_cast<int>(worker));
        }
      }
      return absl::DeadlineExceededError(absl::StrCat(options_.task, ": worker:", waiting.worker,
                                                      " in barrier ", waiting.barrier,
                                                      " waited for ", DescribeAll(missing, now)));
    }
    case Kind::kHeldPush:
      return Annotate(refuses_pushes_, Who(waiting.worker, waiting.step));
    case Kind::kPushPull:
      break;
  }
  for (const Block& block : blocks_) {
    for (const Waiter& waiter : block.waiters) {
      if (waiter.token != token) continue;
      if (waiter.entering) {
        return absl::DeadlineExceededError(
            absl::StrCat(Who(waiting.worker, waiting.step),
                         ": it waited to become one of the job's workers, of which there are ",
                         counts_->last()));
      }
      return absl::DeadlineExceededError(absl::StrCat(
          Who(waiting.worker, waiting.step), ": ", NameOf(block), ", at round ", block.applied,
          ", waited for ",
          DescribeAll(block.policy->Missing(SnapshotOf(block), waiting.worker, waiter.step), now)));
    }
  }
  return absl::DeadlineExceededError(Who(waiting.worker, waiting.step));
}

// Words and numbers.

std::string ShardState::Who(int worker, int64_t step) const {
  return absl::StrCat(options_.task, ": worker:", worker, " step ", step);
}

std::string ShardState::NameOf(const Block& block) const {
  const size_t table = block.number - job_->blocks().size();
  if (block.number >= job_->blocks().size()) {
    return absl::StrCat("table ", job_->spec().tables(static_cast<int>(table)).name());
  }
  return absl::StrCat("parameter ",
                      job_->parameters()[job_->blocks()[block.number].parameter].name);
}

std::string ShardState::Describe(int worker, absl::Time now) const {
  const Worker& state = workers_[worker];
  if (state.presence == Presence::kAbsent) {
    return absl::StrCat("worker:", worker, " (has not joined)");
  }
  return absl::StrCat("worker:", worker, " (last heard ", Ago(now - state.last_heard), ")");
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

}  // namespace parley
