#include "ps/norm_rounds.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"

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

std::vector<NormRounds::BlockSums> NormRounds::SumsOfBlock(size_t block, int64_t version) const {
  std::vector<BlockSums> result;
  for (const auto& [number, round] : rounds_) {
    const size_t count =
        static_cast<size_t>(plan_->NumSums(job_->blocks()[blocks_[block]].parameter, number));
    if (number > version || count == 0 || !round.has[block]) continue;
    const double* const begin = round.sums.data() + round.begins[block];
    result.push_back({number, {begin, begin + count}});
  }
  return result;
}

absl::Status NormRounds::Take(size_t block, const std::vector<BlockSums>& sums) {
  int64_t before = 0;
  for (const BlockSums& each : sums) {
    const auto it = rounds_.find(each.round);
    const bool is_new = it == rounds_.end() || !it->second.has[block];
    const int parameter = job_->blocks()[blocks_[block]].parameter;
    if (each.round <= before || !is_new || each.sums.empty() ||
        static_cast<int>(each.sums.size()) != plan_->NumSums(parameter, each.round)) {
      return absl::InvalidArgumentError(absl::StrCat("sums of round ", each.round, " of block ",
                                                     blocks_[block], " do not fit its optimizer"));
    }
    before = each.round;
  }
  for (const BlockSums& each : sums) {
    if (each.round > forgotten_ && AddSums(block, each.round, each.sums)) Finish(each.round);
  }
  return absl::OkStatus();
}

void NormRounds::ForgetUnknown(int64_t version) {
  auto known = rounds_.upper_bound(version);
  if (known == rounds_.begin()) {
    forgotten_ = std::max(forgotten_, version);
    return;
  }
  while (known != rounds_.begin() && std::prev(known)->second.missing == 0) --known;
  if (known != rounds_.begin()) {
    forgotten_ = std::max(forgotten_, std::prev(known)->first);
  } else {
    forgotten_ = std::max(forgotten_, known->first - 1);
  }
  rounds_.erase(rounds_.begin(), known);
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
