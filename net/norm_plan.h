#ifndef PARLEY_NET_NORM_PLAN_H_
#define PARLEY_NET_NORM_PLAN_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "net/job.h"

namespace parley {

// Which rounds of a job need norms over whole parameters, and how they come about. Blocks of one
// parameter are on several shards, which do not talk to each other: in such a round each shard
// computes, for each block, sums of squares in float64; a worker adds them up and tells every shard
// the totals (GetNormSums and SetNormTotals in proto/parameter_server.proto).
//
// Sums of a shard in a round are one list: for each of its blocks that takes part, ascending, as
// many as its optimizer needs. Totals are one list for the job: the same of each parameter that
// takes part, ascending. A total is added up in the order of the blocks, so its bits depend neither
// on the shards nor on who adds.
//
// Optimizers that need norms, and their sums: lamb (p, r) and lars (p, g), whose norms are the
// parameter's; clip_norm (g), whose norm is over all parameters that have one and update in this
// round. With accumulate_rounds only every so many rounds update.
//
// Thread safety: immutable. The job must outlive it.
class NormPlan {
 public:
  explicit NormPlan(const Job* job);

  // Whether no round of the job needs norms.
  bool empty() const { return parameters_.empty(); }
  // Whether `parameter` takes part in some rounds.
  bool TakesPart(int parameter) const { return num_sums_[parameter] > 0; }
  // How many sums each block of `parameter` has in `round` (from 1); 0: it takes no part.
  int NumSums(int parameter, int64_t round) const;
  // The length of a shard's list.
  size_t NumSumsOfShard(int shard, int64_t round) const;
  // The shards whose lists of `round` are not empty, ascending.
  std::vector<int> ShardsOf(int64_t round) const;

  // The totals, from the lists of all shards, by index. INVALID_ARGUMENT names a shard whose list
  // is too short or too long.
  absl::StatusOr<std::vector<double>> AddUp(int64_t round,
                                            const std::vector<std::vector<double>>& sums) const;
  // INVALID_ARGUMENT unless there are as many totals as `round` has, finite and >= 0.
  absl::Status CheckTotals(int64_t round, const std::vector<double>& totals) const;
  // The norms that the optimizer of `parameter`, which takes part in `round`, gets
  // (UpdateContext::norms): roots of its totals, or with clip_norm of all of those.
  std::vector<double> NormsOf(int parameter, int64_t round,
                              const std::vector<double>& totals) const;

 private:
  size_t NumTotals(int64_t round) const;

  const Job* const job_;
  std::vector<int> parameters_;  // that take part in some round, ascending
  std::vector<int> num_sums_;    // by parameter, in a round that updates it
};

}  // namespace parley

#endif  // PARLEY_NET_NORM_PLAN_H_
