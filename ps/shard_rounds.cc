// How a Shard carries out what its ShardState decides: rounds to their owner threads, answers to
// those who wait.

#include <algorithm>
#include <future>
#include <iterator>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "ps/shard.h"

namespace parley {

// Rounds are posted under the mutex, so that a block's owner sees them in the order in which they
// were scheduled.
Shard::Outcome Shard::CarryOut(Declared* declared, ShardState::Actions actions, int64_t help) {
  Outcome outcome;
  if (!actions.rounds.empty()) PostRounds(declared, std::move(actions.rounds), help, &outcome);
  for (ShardState::Answer& answer : actions.answers) {
    const auto it = dones_.find(answer.token);
    if (it == dones_.end()) continue;  // refused when the shard began to stop
    outcome.ready.push_back({std::move(it->second), std::move(answer)});
    dones_.erase(it);
  }
  outcome.leases = std::move(actions.leases);
  const absl::Time next = declared->state->NextDeadline();
  if (next < next_tick_) {
    next_tick_ = next;
    changed_.NotifyAll();
  }
  return outcome;
}

// Small blocks that follow each other are in one queue, since to tell somebody costs as much as to
// update one; large ones alone, so that threads which bring gradients of different blocks do not
// meet.
void Shard::MakeQueues(Declared* declared) const {
  constexpr size_t kLeastElements = 1 << 16;
  constexpr size_t kMostQueues = 64;
  declared->queues.push_back(std::make_unique<TaskQueue>(owners_.get()));
  size_t group = 0;
  size_t elements = 0;
  for (const std::unique_ptr<Block>& block : declared->blocks) {
    const size_t queue = group % kMostQueues;
    if (queue == declared->queues.size()) {
      declared->queues.push_back(std::make_unique<TaskQueue>(owners_.get()));
    }
    declared->queue_of.push_back(queue);
    elements += block->size();
    if (elements < kLeastElements) continue;
    ++group;
    elements = 0;
  }
}

void Shard::PostRounds(Declared* declared, std::vector<ShardState::Round> rounds, int64_t help,
                       Outcome* outcome) {
  if (!declared->tables.empty()) PostTableRounds(declared, &rounds, help, outcome);
  int64_t all = 0;
  for (const ShardState::Round& round : rounds) {
    all += static_cast<int64_t>(declared->blocks[round.block]->size());
  }
  const bool helps = all <= help;

  const absl::Time now = Now();
  for (const ShardState::Round& round : rounds) {
    RoundEnd& end = declared->round_ends[round.block];
    end.when.store(absl::ToUnixNanos(now), std::memory_order_relaxed);
    end.worker.store(closer_, std::memory_order_relaxed);
  }
  for (size_t begin = 0, end = 0; begin < rounds.size(); begin = end) {
    TaskQueue* const queue = &declared->QueueOf(rounds[begin].block);
    while (end < rounds.size() && &declared->QueueOf(rounds[end].block) == queue) ++end;
    std::vector<ShardState::Round> batch(std::make_move_iterator(rounds.begin() + begin),
                                         std::make_move_iterator(rounds.begin() + end));
    TaskQueue::Task task = [this, declared, now, batch = std::move(batch)] {
      ApplyRounds(declared, batch, now);
    };
    if (helps) {
      queue->PostToHelp(std::move(task));
      outcome->help.push_back(queue);
    } else {
      queue->Post(std::move(task));
    }
  }
}

void Shard::Conclude(Outcome outcome) {
  for (const ShardState::LeaseNews& news : outcome.leases) {
    if (!news.ended) {
      LOG(INFO) << task_ << ": worker:" << news.worker << " is back, at step " << news.step;
      continue;
    }
    LOG(WARNING) << task_ << ": nothing was heard of worker:" << news.worker << ", at step "
                 << news.step << ", for its lease, " << options_.lease
                 << (news.awaited ? ": rounds wait for it" : ": it is not waited for");
  }
  for (Ready& each : outcome.ready) each.done(std::move(each.answer));
  for (TaskQueue* const queue : outcome.help) queue->Help();
}

void Shard::ApplyRounds(Declared* declared, const std::vector<ShardState::Round>& rounds,
                        absl::Time posted) {
  const auto count = static_cast<int64_t>(rounds.size());
  const absl::Time began = MeasuredNow();
  const absl::Time applying = trace() == nullptr ? absl::InfinitePast() : trace()->Now();
  if (metrics_.enabled()) {
    metrics_.RoundsTook(ShardMetrics::Cause::kQueue, count, began - posted);
  }
  RoundsDone done;
  for (const ShardState::Round& round : rounds) {
    if (declared->turns[round.block].halved == 0) {
      RunRound(declared, round, &done);
      continue;
    }
    RunInTurn(declared, round.block, [this, declared, round] {
      RoundsDone later;
      RunRound(declared, round, &later);
      ReportRounds(declared, std::move(later));
    });
  }
  if (metrics_.enabled()) {
    metrics_.RoundsTook(ShardMetrics::Cause::kApply, count, Now() - began);
  }
  if (trace() != nullptr) {
    Trace::Span span = {};
    span.name = "apply";  // sums and updates, in one pass
    span.begin = applying;
    span.end = trace()->Now();
    span.bytes = 0;
    for (const ShardState::Round& round : rounds) {
      span.bytes += static_cast<int64_t>(declared->blocks[round.block]->size() * sizeof(float));
    }
    trace()->Add(span);
  }
  ReportRounds(declared, std::move(done));
}

void Shard::TellTimes(const Declared& declared, const RequestTimes& times,
                      const std::vector<size_t>& pulls, PushPullReply* reply) const {
  const absl::Time now = Now();
  absl::Time waited_until = times.checked;
  int waited_for = -1;
  for (const size_t block : pulls) {
    const RoundEnd& end = declared.round_ends[block];
    const absl::Time when = absl::FromUnixNanos(end.when.load(std::memory_order_relaxed));
    if (when <= waited_until) continue;
    waited_until = when;
    waited_for = end.worker.load(std::memory_order_relaxed);
  }
  // The next round's end, where that came meanwhile.
  waited_until = std::min(waited_until, now);
  if (waited_for == times.worker) {
    waited_until = times.checked;
    waited_for = -1;
  }
  reply->response.set_held_ns(absl::ToInt64Nanoseconds(now - times.came));
  reply->response.set_waited_ns(absl::ToInt64Nanoseconds(waited_until - times.checked));
  reply->response.set_waited_for(waited_for + 1);
  Trace* const trace = options_.trace.get();
  if (trace == nullptr || !trace->Wants(times.step)) return;
  Trace::Span span = {};
  span.track = trace->Track(absl::StrCat("requests of worker:", times.worker));
  span.request = times.request != 0 ? times.request : trace->NewRequest();
  span.step = times.step;
  const auto add = [&](const char* name, absl::Time begin, absl::Time end) {
    span.name = name;
    span.begin = begin;
    span.end = end;
    trace->Add(span);
  };
  span.pushed_bytes = times.pushed_bytes;
  span.pulled_bytes = static_cast<int64_t>(reply->payload.size());
  add("handle", times.came, now);
  span.pushed_bytes = span.pulled_bytes = -1;
  add("check", times.came, times.checked);
  span.worker = waited_for;
  if (waited_until > times.checked) add("wait for", times.checked, waited_until);
  span.worker = -1;
  if (!pulls.empty()) add("apply and answer", waited_until, now);
}

void Shard::ReportApplied(Declared* declared, const std::vector<size_t>& blocks) {
  std::vector<Outcome> outcomes;
  {
    MutexLock lock(&mutex_);
    for (const size_t block : blocks) {
      outcomes.push_back(CarryOut(declared, declared->state->Applied(block), kNone));
    }
  }
  for (Outcome& outcome : outcomes) Conclude(std::move(outcome));
}

// A queue runs one task at a time, answers included, in their order.
void Shard::Settle() {
  Declared* declared;
  {
    MutexLock lock(&mutex_);
    declared = declared_.get();
  }
  if (declared == nullptr) return;
  for (const std::unique_ptr<TaskQueue>& queue : declared->queues) {
    std::promise<void> settled;
    std::future<void> done = settled.get_future();
    queue->Post([&settled] { settled.set_value(); });
    done.wait();
  }
}

}  // namespace parley
