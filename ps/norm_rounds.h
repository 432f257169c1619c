#ifndef PARLEY_PS_NORM_ROUNDS_H_
#define PARLEY_PS_NORM_ROUNDS_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

#include "absl/status/status.h"
#include "net/norm_plan.h"

namespace parley {

// A shard's rounds that need norms (net/norm_plan.h), on their way from the sums of its blocks to
// the job's totals. It keeps the books; Shard computes, asks and answers. It remembers the sums of
// the last kRemembered rounds that have their totals: a worker may have died after it gave the
// totals to this shard and not to others, and whoever goes on for it needs all sums again.
//
// States of a round: open (blocks are missing) -> summed -> finished (the totals are known; its
// blocks are applied, or bound to be) -> forgotten.
//
// Thread safety: none; Shard guards it with its mutex. `plan` and `job` must outlive it.
class NormRounds {
 public:
  static constexpr size_t kRemembered = 8;

  enum class State { kOpen, kSummed, kFinished, kForgotten };

  // `blocks` are the numbers of the shard's blocks in the job, ascending; rounds up to `version`
  // were finished before.
  NormRounds(const Job* job, const NormPlan* plan, std::vector<uint32_t> blocks, int64_t version);

  // The sums of block `block` (index in blocks) in `round`, in which it takes part; zeros where the
  // round was skipped. Once for each block and round. True when these were the last of the round.
  bool AddSums(size_t block, int64_t round, const std::vector<double>& sums);
  State StateOf(int64_t round) const;
  // The shard's list, of a round that is summed or finished.
  const std::vector<double>& SumsOf(int64_t round) const { return rounds_.at(round).sums; }
  // Takes the totals of a summed round, which is finished now.
  void Finish(int64_t round);
  // What block `block` has brought to rounds up to `version` that are remembered, ascending.
  struct BlockSums {
    int64_t round;
    std::vector<double> sums;
  };
  std::vector<BlockSums> SumsOfBlock(size_t block, int64_t version) const;
  // What SumsOfBlock said, elsewhere: where these are the last of a round, all of its blocks are
  // applied, and it is finished. INVALID_ARGUMENT, and no change: they do not fit the plan, or
  // there are some of such a round already.
  absl::Status Take(size_t block, const std::vector<BlockSums>& sums);
  // All blocks are at `version` or beyond: earlier rounds of which not all sums are here are
  // forgotten, and those before them.
  void ForgetUnknown(int64_t version);
  // Of an open round, the number of a block whose sums are missing.
  uint32_t MissingBlock(int64_t round) const;

 private:
  struct Round {
    size_t missing = 0;  // blocks
    std::vector<double> sums;
    std::vector<size_t> begins;  // by block: of its sums
    std::vector<bool> has;       // by block
    bool finished = false;
  };

  const Job* const job_;
  const NormPlan* const plan_;
  const std::vector<uint32_t> blocks_;
  int64_t forgotten_;                // up to this round
  std::map<int64_t, Round> rounds_;  // that have begun
};

}  // namespace parley

#endif  // PARLEY_PS_NORM_ROUNDS_H_
