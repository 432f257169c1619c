#include "ps/norm_rounds.h"

#include <algorithm>
#include <utility>

namespace parley {

NormRounds::NormRounds(const Job* job, const NormPlan* plan, std::vector<uint32_t> blocks,
                       int64_t version)
    : job_(job), plan_(plan), blocks_(std::move(blocks)), forgotten_(version) {}

bool NormRounds::AddSums(size_t block, int64_t round, const std::vector<double>& sums) {
  Round& entry = rounds_[round];
  if (entry.has.empty()) {
    entry.has.resize(blocks_.size(), false);
    size_t size = 0;
    for (const uint32_t number : blocks_) {
      const int count = plan_->NumSums(job_->blocks()[number].parameter, round);
      entry.begins.push_back(size);
      if (count > 0) ++entry.missing;
      size += static_cast<size_t>(count);
    }
    entry.sums.resize(size, 0);
  }
  std::copy(sums.begin(), sums.end(), entry.sums.data() + entry.begins[block]);
  entry.has[block] = true;
  return --entry.missing == 0;
}

NormRounds::State NormRounds::StateOf(int64_t round) const {
  if (round <= forgotten_) return State::kForgotten;
  const auto it = rounds_.find(round);
  if (it == rounds_.end() || it->second.missing > 0) return State::kOpen;
  return it->second.finished ? State::kFinished : State::kSummed;
}

void NormRounds::Finish(int64_t round) {
  rounds_.at(round).finished = true;
  size_t finished = 0;
  for (const auto& [number, entry] : rounds_) finished += entry.finished ? 1 : 0;
  while (finished > kRemembered && rounds_.begin()->second.finished) {
    forgotten_ = rounds_.begin()->first;
    rounds_.erase(rounds_.begin());
    --finished;
  }
}

uint32_t NormRounds::MissingBlock(int64_t round) const {
  const auto it = rounds_.find(round);
  for (size_t i = 0; i < blocks_.size(); ++i) {
    if (plan_->NumSums(job_->blocks()[blocks_[i]].parameter, round) == 0) continue;
    if (it == rounds_.end() || !it->second.has[i]) return blocks_[i];
  }
  return blocks_.front();
}

}  // namespace parley
