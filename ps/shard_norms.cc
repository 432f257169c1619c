// How a Shard carries out rounds that need norms over whole parameters: the first half, the
// exchange with the workers, the second half (see net/norm_plan.h).

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "ps/shard.h"

namespace parley {

// Runs on the thread that owns `block`. A round in its middle keeps all that comes after it
// waiting: later rounds, and copies for checkpoints and averages.
void Shard::RunInTurn(Declared* declared, size_t block, absl::AnyInvocable<void()> task) {
  Turn& turn = declared->turns[block];
  if (turn.halved != 0) {
    turn.later.push_back(std::move(task));
  } else {
    task();
  }
}

void Shard::RunRound(Declared* declared, const ShardState::Round& round, RoundsDone* done) {
  Block& block = *declared->blocks[round.block];
  const uint32_t number = declared->numbers[round.block];
  int64_t version = 0;
  int count = 0;
  if (!declared->norm_plan.empty() || declared->sink != nullptr) {
    version = block.Snapshot().version + 1;
  }
  if (!declared->norm_plan.empty()) {
    count = declared->norm_plan.NumSums(declared->job.blocks()[number].parameter, version);
  }
  std::vector<double> sums(static_cast<size_t>(count), 0);
  absl::optional<ShardRecord> record;
  float* mean = nullptr;
  if (declared->sink != nullptr) record = RecordOf(*declared, round, version, &mean);
  if (round.gradients.empty()) {
    block.Skip();
  } else if (count == 0) {
    block.Apply(declared->OptimizerOf(number), round.gradients, round.correction, mean);
  } else {
    block.Prepare(declared->OptimizerOf(number), round.gradients, absl::MakeSpan(sums), mean);
    declared->turns[round.block].halved = version;
  }
  if (record.has_value()) {
    record->record.mutable_round()->mutable_sums()->Add(sums.begin(), sums.end());
    if (declared->turns[round.block].halved == 0) {
      AddDigest(block, &*record);
      done->records.push_back(*std::move(record));
    } else {
      declared->turns[round.block].record = *std::move(record);
    }
  }
  if (count > 0) done->sums.push_back({round.block, version, std::move(sums)});
  if (declared->turns[round.block].halved == 0) done->applied.push_back(round.block);
}

void Shard::AddDigest(const Block& block, ShardRecord* record) {
  v1::LogRecord::Round* const round = record->record.mutable_round();
  if (round->version() % kDigestEvery == 0) round->set_state_crc32c(block.StateCrc32c());
}

void Shard::ReportRounds(Declared* declared, RoundsDone done) {
  if (done.records.empty()) {
    ReportApplied(declared, done.applied);
  } else {
    declared->sink->Append(std::move(done.records), [this, declared, began = MeasuredNow(),
                                                     applied = std::move(done.applied)] {
      if (metrics_.enabled()) {
        metrics_.RoundsTook(ShardMetrics::Cause::kKeep, static_cast<int64_t>(applied.size()),
                            Now() - began);
      }
      ReportApplied(declared, applied);
    });
  }
  if (done.sums.empty()) return;
  std::vector<int64_t> alone;  // summed rounds of which no other shard has a part
  {
    MutexLock lock(&mutex_);
    for (const BlockSums& sums : done.sums) {
      if (!declared->norms->AddSums(sums.block, sums.round, sums.sums)) continue;
      if (declared->norm_plan.ShardsOf(sums.round).size() == 1) alone.push_back(sums.round);
    }
  }
  AnswerSums(declared);
  for (const int64_t round : alone) {
    std::vector<std::vector<double>> lists(static_cast<size_t>(declared->job.spec().num_shards()));
    {
      MutexLock lock(&mutex_);
      lists[static_cast<size_t>(options_.shard_index)] = declared->norms->SumsOf(round);
    }
    absl::StatusOr<std::vector<double>> totals = declared->norm_plan.AddUp(round, lists);
    if (totals.ok()) FinishRound(declared, round, *std::move(totals));
  }
}

// Of two that finish a round the first counts.
void Shard::FinishRound(Declared* declared, int64_t round, std::vector<double> totals) {
  MutexLock lock(&mutex_);
  if (stopping_) return;  // an owner may be gone
  if (declared->norms->StateOf(round) != NormRounds::State::kSummed) return;
  declared->norms->Finish(round);
  const auto shared = std::make_shared<const std::vector<double>>(std::move(totals));
  for (size_t queue = 0; queue < declared->queues.size(); ++queue) {
    declared->queues[queue]->Post([this, declared, round, shared, queue] {
      RoundsDone done;
      std::vector<size_t> finished;
      for (size_t block = 0; block < declared->blocks.size(); ++block) {
        if (declared->queue_of[block] != queue || declared->turns[block].halved != round) continue;
        const uint32_t number = declared->numbers[block];
        const int parameter = declared->job.blocks()[number].parameter;
        const std::vector<double> norms = declared->norm_plan.NormsOf(parameter, round, *shared);
        declared->blocks[block]->Finish(declared->OptimizerOf(number), norms);
        Turn& turn = declared->turns[block];
        turn.halved = 0;
        if (declared->sink != nullptr) {
          turn.record.record.mutable_round()->mutable_norms()->Add(norms.begin(), norms.end());
          AddDigest(*declared->blocks[block], &turn.record);
          done.records.push_back(std::move(turn.record));
        }
        done.applied.push_back(block);
        finished.push_back(block);
      }
      ReportRounds(declared, std::move(done));
      for (const size_t block : finished) {
        Turn& turn = declared->turns[block];
        while (turn.halved == 0 && !turn.later.empty()) {
          const auto task =
              std::make_shared<absl::AnyInvocable<void()>>(std::move(turn.later.front()));
          turn.later.pop_front();
          (*task)();
        }
      }
    });
  }
}

void Shard::GetNormSums(v1::GetNormSumsRequest request, Done<v1::GetNormSumsResponse> done) {
  constexpr size_t kMaxWaiting = 1 << 16;
  const absl::StatusOr<Declared*> declared = Find(request.sender().job());
  absl::Status refused = declared.status();
  const std::string who = absl::StrCat(task_, ": worker:", request.sender().worker(),
                                       " norms of round ", request.round());
  if (refused.ok()) {
    const absl::Time deadline = DeadlineIn(request.wait_ms());
    MutexLock lock(&mutex_);
    refused = (*declared)->state->CheckSender(request.sender().worker(),
                                              request.sender().incarnation(), Now());
    if (!refused.ok()) {
      // It says who.
    } else if (stopping_) {
      refused = absl::UnavailableError(absl::StrCat(task_, " is stopping"));
    } else if ((*declared)->norm_plan.NumSumsOfShard(options_.shard_index, request.round()) == 0 ||
               request.round() < 1 || request.round() > kMaxStep) {
      refused = absl::InvalidArgumentError(
          absl::StrCat(who, ": no optimizer of a block here needs any in that round"));
    } else if (sums_waiters_.size() >= kMaxWaiting) {
      refused = absl::ResourceExhaustedError(absl::StrCat(who, ": too many requests are waiting"));
    } else {
      sums_waiters_.push_back({who, request.round(), deadline, std::move(done)});
      next_tick_ = std::min(next_tick_, deadline);
      changed_.NotifyAll();
    }
  }
  if (!refused.ok()) return done(refused);
  AnswerSums(*declared);
}

void Shard::AnswerSums(Declared* declared) {
  struct Answered {
    Done<v1::GetNormSumsResponse> done;
    v1::GetNormSumsResponse response;
  };
  std::vector<Answered> answered;
  {
    MutexLock lock(&mutex_);
    std::vector<SumsWaiter> kept;
    for (SumsWaiter& waiter : sums_waiters_) {
      const NormRounds::State state = declared->norms->StateOf(waiter.round);
      if (state == NormRounds::State::kOpen) {
        kept.push_back(std::move(waiter));
        continue;
      }
      v1::GetNormSumsResponse response;
      response.set_finished(state != NormRounds::State::kSummed);
      if (state != NormRounds::State::kForgotten) {
        const std::vector<double>& sums = declared->norms->SumsOf(waiter.round);
        response.mutable_sums()->Add(sums.begin(), sums.end());
      }
      answered.push_back({std::move(waiter.done), std::move(response)});
    }
    sums_waiters_ = std::move(kept);
  }
  for (Answered& each : answered) each.done(std::move(each.response));
}

std::vector<Shard::SumsWaiter> Shard::TakeOverdueSums(absl::Time now) {
  std::vector<SumsWaiter> kept;
  std::vector<SumsWaiter> overdue;
  for (SumsWaiter& waiter : sums_waiters_) {
    if (waiter.deadline > now) {
      next_tick_ = std::min(next_tick_, waiter.deadline);
      kept.push_back(std::move(waiter));
      continue;
    }
    const uint32_t missing = declared_->norms->MissingBlock(waiter.round);
    const int parameter = declared_->job.blocks()[missing].parameter;
    absl::StrAppend(&waiter.who, " waited for that round of parameter ",
                    declared_->job.parameters()[parameter].name);
    overdue.push_back(std::move(waiter));
  }
  sums_waiters_ = std::move(kept);
  return overdue;
}

void Shard::SetNormTotals(v1::SetNormTotalsRequest request, Done<v1::SetNormTotalsResponse> done) {
  const absl::StatusOr<Declared*> declared = Find(request.sender().job());
  absl::Status status = declared.status();
  std::vector<double> totals(request.totals().begin(), request.totals().end());
  const std::string who = absl::StrCat(task_, ": worker:", request.sender().worker(),
                                       " norms of round ", request.round());
  if (status.ok()) {
    MutexLock lock(&mutex_);
    status = (*declared)->state->CheckSender(request.sender().worker(),
                                             request.sender().incarnation(), Now());
    if (status.ok() && stopping_) {
      status = absl::UnavailableError(absl::StrCat(task_, " is stopping"));
    }
    if (status.ok()) {
      status = Annotate((*declared)->norm_plan.CheckTotals(request.round(), totals), who);
    }
    if (status.ok() && (*declared)->norms->StateOf(request.round()) == NormRounds::State::kOpen) {
      // A shard that is started again has the sums when the gradients have come again.
      const std::string early =
          absl::StrCat(who, ": the totals come before the sums of this shard");
      status = (*declared)->recovered ? absl::UnavailableError(early)
                                      : absl::FailedPreconditionError(early);
    }
  }
  if (!status.ok()) return done(status);
  FinishRound(*declared, request.round(), std::move(totals));
  KeepWhatIsPosted(*declared, [done = std::move(done)](const absl::Status& kept) mutable {
    if (kept.ok()) return done(v1::SetNormTotalsResponse());
    done(kept);
  });
}

}  // namespace parley
