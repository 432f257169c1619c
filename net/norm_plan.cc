#include "net/norm_plan.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "net/norm_sums.h"

namespace parley {

NormPlan::NormPlan(const Job* job) : job_(job) {
  for (size_t i = 0; i < job->parameters().size(); ++i) {
    const int parameter = static_cast<int>(i);
    num_sums_.push_back(NumNormSums(job->OptimizerOf(parameter)));
    if (num_sums_.back() > 0) parameters_.push_back(parameter);
  }
}

int NormPlan::NumSums(int parameter, int64_t round) const {
  const int every = std::max(1, job_->OptimizerOf(parameter).accumulate_rounds());
  return round % every == 0 ? num_sums_[parameter] : 0;
}

size_t NormPlan::NumSumsOfShard(int shard, int64_t round) const {
  size_t count = 0;
  for (const BlockInfo& block : job_->blocks()) {
    if (block.shard == shard) count += static_cast<size_t>(NumSums(block.parameter, round));
  }
  return count;
}

std::vector<int> NormPlan::ShardsOf(int64_t round) const {
  std::vector<bool> takes_part(static_cast<size_t>(job_->spec().num_shards()), false);
  for (const int parameter : parameters_) {
    if (NumSums(parameter, round) == 0) continue;
    const Job::Parameter& info = job_->parameters()[parameter];
    for (int i = 0; i < info.num_blocks; ++i) {
      takes_part[job_->blocks()[info.first_block + i].shard] = true;
    }
  }
  std::vector<int> shards;
  for (size_t i = 0; i < takes_part.size(); ++i) {
    if (takes_part[i]) shards.push_back(static_cast<int>(i));
  }
  return shards;
}

size_t NormPlan::NumTotals(int64_t round) const {
  size_t count = 0;
  for (const int parameter : parameters_) count += static_cast<size_t>(NumSums(parameter, round));
  return count;
}

absl::StatusOr<std::vector<double>> NormPlan::AddUp(
    int64_t round, const std::vector<std::vector<double>>& sums) const {
  std::vector<double> totals;
  std::vector<size_t> next(sums.size(), 0);  // by shard: place in its list
  for (const int parameter : parameters_) {
    const int count = NumSums(parameter, round);
    const size_t first = totals.size();
    totals.resize(first + static_cast<size_t>(count), 0);
    const Job::Parameter& info = job_->parameters()[parameter];
    for (int i = 0; i < info.num_blocks && count > 0; ++i) {
      const size_t shard = static_cast<size_t>(job_->blocks()[info.first_block + i].shard);
      for (int j = 0; j < count; ++j, ++next[shard]) {
        if (next[shard] < sums[shard].size()) totals[first + j] += sums[shard][next[shard]];
      }
    }
  }
  for (size_t shard = 0; shard < sums.size(); ++shard) {
    if (next[shard] == sums[shard].size()) continue;
    return absl::InvalidArgumentError(absl::StrCat("ps:", shard, " has ", sums[shard].size(),
                                                   " sums in round ", round, ", not ",
                                                   next[shard]));
  }
  return totals;
}

absl::Status NormPlan::CheckTotals(int64_t round, const std::vector<double>& totals) const {
  if (totals.size() != NumTotals(round)) {
    return absl::InvalidArgumentError(
        absl::StrCat("round ", round, " has ", NumTotals(round), " totals, not ", totals.size()));
  }
  for (const double total : totals) {
    if (std::isfinite(total) && total >= 0) continue;
    return absl::InvalidArgumentError(absl::StrCat("a total of round ", round, " is ", total,
                                                   ", allowed are finite numbers >= 0"));
  }
  return absl::OkStatus();
}

std::vector<double> NormPlan::NormsOf(int parameter, int64_t round,
                                      const std::vector<double>& totals) const {
  std::vector<double> norms;
  double clipped = 0;  // over the parameters with clip_norm
  size_t next = 0;
  for (const int other : parameters_) {
    const int count = NumSums(other, round);
    // Of two sums the norms are the parameter's own.
    if (count == 1) clipped += totals[next];
    if (other == parameter && count > 1) {
      for (int i = 0; i < count; ++i) norms.push_back(std::sqrt(totals[next + i]));
    }
    next += static_cast<size_t>(count);
  }
  if (norms.empty()) norms.push_back(std::sqrt(clipped));
  return norms;
}

}  // namespace parley
