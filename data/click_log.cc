#include "data/click_log.h"

#include <algorithm>
#include <cmath>

#include "base/philox.h"

namespace parley::data {
namespace {

// What the streams of random numbers are for.
constexpr uint64_t kIds = 1;
constexpr uint64_t kClicks = 2;
constexpr uint64_t kWeights = 3;
constexpr int kFieldBit = 40;  // of a key; below it stands the id
constexpr double kWeightDeviation = 0.7;
constexpr double kPairDeviation = 0.5;

}  // namespace

ClickLog::ClickLog(const ClickLogOptions& options) : options_(options) {
  double sum = 0;
  for (int64_t id = 0; id < options_.ids; ++id) {
    sum += std::pow(static_cast<double>(id + 1), -options_.exponent);
    cumulative_.push_back(sum);
  }
  for (double& each : cumulative_) each /= sum;
}

ClickLog::Example ClickLog::Get(int64_t i, absl::Span<uint64_t> keys) const {
  const auto fields = static_cast<uint64_t>(options_.fields);
  const auto rank = static_cast<uint64_t>(options_.rank);
  const auto place = static_cast<uint64_t>(i);
  double logit = options_.bias;
  std::vector<double> sums(rank, 0);
  double squares = 0;
  for (uint64_t field = 0; field < fields; ++field) {
    const double random = PhiloxUniform(options_.seed, kIds, place * fields + field);
    const auto found = std::upper_bound(cumulative_.begin(), cumulative_.end() - 1, random);
    keys[field] = (field << kFieldBit) | static_cast<uint64_t>(found - cumulative_.begin());
    const auto weight = [&](uint64_t index) {
      return static_cast<double>(PhiloxNormal(options_.seed, kWeights + keys[field], index));
    };
    logit += kWeightDeviation * weight(0);
    for (uint64_t j = 0; j < rank; ++j) {
      const double u = kPairDeviation * weight(1 + j);
      sums[j] += u;
      squares += u * u;
    }
  }
  // The pairs' sum is half of what the square of the sum has beyond the sum of squares.
  for (const double sum : sums) logit += sum * sum / 2;
  logit -= squares / 2;
  const double chance = 1 / (1 + std::exp(-logit));
  const bool clicked = PhiloxUniform(options_.seed, kClicks, place) < chance;
  return {clicked ? 1.0f : 0.0f, logit};
}

}  // namespace parley::data
