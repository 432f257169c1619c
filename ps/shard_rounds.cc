// How a Shard carries out what its ShardState decides: rounds to their owner threads, answers to
// those who wait.

#include <future>
#include <memory>
#include <utility>
#include <vector>

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
  const absl::Time next = declared->state->NextDeadline();
  if (next < next_tick_) {
    next_tick_ = next;
    changed_.NotifyAll();
  }
  return outcome;
}

// Small blocks go to their owner together, since telling it costs as much as updating one.
void Shard::PostRounds(Declared* declared, std::vector<ShardState::Round> rounds, int64_t help,
                       Outcome* outcome) {
  constexpr int64_t kBatchElements = 1 << 16;
  const auto size_of = [&](const ShardState::Round& round) {
    return static_cast<int64_t>(declared->blocks[round.block]->size());
  };
  int64_t all = 0;
  for (const ShardState::Round& round : rounds) all += size_of(round);
  const bool helps = all <= help;

  struct Batch {
    std::vector<ShardState::Round> rounds;
    int64_t elements = 0;
  };
  std::vector<Batch> batches(owners_.size());
  const absl::Time now = MeasuredNow();
  const auto post = [&](size_t owner) {
    TaskThread::Task task = [this, declared, now, batch = std::move(batches[owner].rounds)] {
      ApplyRounds(declared, batch, now);
    };
    batches[owner] = {};
    if (!helps) return owners_[owner]->Post(std::move(task));
    owners_[owner]->PostToHelp(std::move(task));
    outcome->help.push_back(owners_[owner].get());
  };
  for (ShardState::Round& round : rounds) {
    const size_t owner = round.block % owners_.size();
    Batch& batch = batches[owner];
    batch.elements += size_of(round);
    batch.rounds.push_back(std::move(round));
    if (batch.elements >= kBatchElements) post(owner);
  }
  for (size_t owner = 0; owner < batches.size(); ++owner) {
    if (!batches[owner].rounds.empty()) post(owner);
  }
}

void Shard::Conclude(Outcome outcome) {
  for (Ready& each : outcome.ready) each.done(std::move(each.answer));
  for (TaskThread* const owner : outcome.help) owner->Help();
}

void Shard::ApplyRounds(Declared* declared, const std::vector<ShardState::Round>& rounds,
                        absl::Time posted) {
  const auto count = static_cast<int64_t>(rounds.size());
  const absl::Time began = MeasuredNow();
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
  ReportRounds(declared, std::move(done));
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

// An owner runs one task at a time, answers included, in their order.
void Shard::Settle() {
  for (const std::unique_ptr<TaskThread>& owner : owners_) {
    std::promise<void> settled;
    std::future<void> done = settled.get_future();
    owner->Post([&settled] { settled.set_value(); });
    done.wait();
  }
}

TaskThread& Shard::OwnerOf(size_t block) const { return *owners_[block % owners_.size()]; }

}  // namespace parley
