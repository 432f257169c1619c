#include "worker/request_plan.h"

#include <utility>

namespace parley {
namespace {

// Appends `blocks`, grouped, to `plan`.
void Group(int shard, const std::vector<PlannedBlock>& blocks, size_t request_bytes,
           std::vector<PlannedRequest>* plan) {
  size_t bytes = 0;
  bool open = false;
  for (const PlannedBlock& block : blocks) {
    const size_t block_bytes = static_cast<size_t>(block.size) * sizeof(float);
    if (!open || bytes + block_bytes > request_bytes) {
      plan->push_back({shard, {}, false});
      bytes = 0;
      open = true;
    }
    plan->back().blocks.push_back(block);
    bytes += block_bytes;
  }
}

}  // namespace

std::vector<PlannedRequest> PlanRequests(const Job& job, absl::Span<const float* const> gradients,
                                         absl::Span<const PullPart> pulls, size_t request_bytes,
                                         size_t max_fused) {
  std::vector<std::vector<PlannedBlock>> by_shard(job.spec().num_shards());
  for (size_t p = 0; p < job.parameters().size(); ++p) {
    if (gradients[p] == nullptr && !pulls[p].pulled) continue;
    const Job::Parameter& parameter = job.parameters()[p];
    for (int i = 0; i < parameter.num_blocks; ++i) {
      const int number = parameter.first_block + i;
      const BlockInfo& block = job.blocks()[number];
      by_shard[block.shard].push_back(
          {static_cast<uint32_t>(number), block.size,
           gradients[p] == nullptr ? nullptr : gradients[p] + block.offset, pulls[p].pulled,
           pulls[p].target == nullptr ? nullptr : pulls[p].target + block.offset, pulls[p].pulled});
    }
  }

  std::vector<PlannedRequest> plan;
  for (size_t s = 0; s < by_shard.size(); ++s) {
    const int shard = static_cast<int>(s);
    const size_t before = plan.size();
    Group(shard, by_shard[s], request_bytes, &plan);
    if (plan.size() - before <= max_fused) continue;
    plan.resize(before);
    std::vector<PlannedBlock> pushes;
    std::vector<PlannedBlock> pulled;
    for (const PlannedBlock& block : by_shard[s]) {
      if (block.gradient != nullptr) {
        pushes.push_back({block.block, block.size, block.gradient, false, nullptr, block.awaited});
      }
      if (block.pulled)
        pulled.push_back({block.block, block.size, nullptr, true, block.target, true});
    }
    Group(shard, pushes, request_bytes, &plan);
    Group(shard, pulled, request_bytes, &plan);
  }
  return plan;
}

std::vector<PlannedRequest> PlanSkip(const Job& job) {
  std::vector<PlannedRequest> plan;
  for (int shard = 0; shard < job.spec().num_shards(); ++shard) {
    PlannedRequest request{shard, {}, /*skip=*/true};
    for (const uint32_t number : job.BlocksOfShard(shard)) {
      request.blocks.push_back({number, job.blocks()[number].size, nullptr, false, nullptr, false});
    }
    if (!request.blocks.empty()) plan.push_back(std::move(request));
  }
  return plan;
}

}  // namespace parley
