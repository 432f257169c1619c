#include "ps/replay.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/planted_bug.h"

namespace parley {

absl::Status ReplayRound(const Optimizer& optimizer, const v1::LogRecord::Round& round,
                         const Payload& payload, Block* block) {
  const int64_t version = block->Snapshot().version;
  const size_t bytes = round.skipped() ? 0 : block->size() * sizeof(float);
  if (round.version() != version + 1 || payload.size() != bytes) {
    return absl::DataLossError(absl::StrCat("round ", round.version(), " of block ", round.block(),
                                            " does not fit what is at version ", version));
  }
  if (!round.skipped() && round.norms_size() != round.sums_size()) {
    return absl::DataLossError(absl::StrCat("round ", round.version(), " of block ", round.block(),
                                            " has ", round.sums_size(), " sums and ",
                                            round.norms_size(), " norms"));
  }
  Gradient gradient(payload);
  if (round.has_rate_factor()) gradient.rate_factor = round.rate_factor();
  if (round.skipped()) {
    block->Skip();
  } else if (round.sums_size() == 0) {
    block->Apply(optimizer, {&gradient, 1}, {round.rate_scale(), 0});
  } else {
    std::vector<double> sums(static_cast<size_t>(round.sums_size()));
    block->Prepare(optimizer, {&gradient, 1}, absl::MakeSpan(sums));
    block->Finish(optimizer, {round.norms().data(), static_cast<size_t>(round.norms_size())});
  }
  if (round.has_state_crc32c() && block->StateCrc32c() != round.state_crc32c() &&
      !PARLEY_PLANTED_BUG("copy_is_not_compared")) {
    return absl::DataLossError(absl::StrCat("block ", round.block(), " has diverged: after round ",
                                            round.version(), " it is not what the shard's was"));
  }
  return absl::OkStatus();
}

v1::LogRecord::BlockState StateOf(uint32_t number, const Block& block, Payload* payload) {
  const auto cut = std::make_shared<const BlockCut>(block.Cut());
  v1::LogRecord::BlockState state;
  state.set_block(number);
  state.set_version(cut->values.version);
  state.set_num_slots(static_cast<int>(cut->slots.size()));
  state.set_rate_factor(cut->rate_factor);
  payload->Append(cut->values.values.get(), cut->values.size * sizeof(float), cut);
  for (const FloatBuffer& slot : cut->slots) {
    payload->Append(
        PARLEY_PLANTED_BUG("copy_has_no_slots") ? cut->values.values.get() : slot.data(),
        slot.size() * sizeof(float), cut);
  }
  const BlockSnapshot previous = block.SnapshotAt(cut->values.version - 1);
  state.set_has_previous(previous.version < cut->values.version &&
                         !PARLEY_PLANTED_BUG("copy_forgets_the_values_before"));
  if (state.has_previous()) {
    payload->Append(previous.values.get(), previous.size * sizeof(float), previous.values);
  }
  state.set_skipped(cut->values.skipped);
  return state;
}

absl::StatusOr<std::unique_ptr<Block>> BlockOf(const Job& job, const Optimizer& optimizer,
                                               const v1::LogRecord::BlockState& state,
                                               const Payload& payload,
                                               std::shared_ptr<SharedArena> arena) {
  const bool known = state.block() < job.blocks().size();
  const size_t size = known ? static_cast<size_t>(job.blocks()[state.block()].size) : 0;
  const size_t slot_count = static_cast<size_t>(optimizer.num_slots());
  const size_t arrays = 1 + slot_count + (state.has_previous() ? 1 : 0);
  if (!known || state.version() < 0 || state.num_slots() != optimizer.num_slots() ||
      payload.size() != arrays * size * sizeof(float)) {
    return absl::DataLossError(
        absl::StrCat("the state of block ", state.block(), " does not fit the job"));
  }
  PayloadReader reader(payload);
  FloatBuffer values(size, arena.get());  // where they stay
  reader.Take(size * sizeof(float)).CopyTo(values.data());
  std::vector<FloatBuffer> slots;
  while (slots.size() < slot_count) {
    slots.emplace_back(size);
    reader.Take(size * sizeof(float)).CopyTo(slots.back().data());
  }
  absl::optional<FloatBuffer> previous;
  if (state.has_previous()) {
    previous.emplace(size, arena.get());
    reader.Take(size * sizeof(float)).CopyTo(previous->data());
  }
  auto block = std::make_unique<Block>(std::move(values), std::move(slots), state.version(),
                                       std::move(arena),
                                       state.has_rate_factor() ? state.rate_factor() : 1.0f);
  block->SetPrevious(std::move(previous), state.skipped());
  return block;
}

std::vector<NormRounds::BlockSums> NormSumsOf(const v1::LogRecord::BlockState& state) {
  std::vector<NormRounds::BlockSums> result;
  for (const v1::LogRecord::BlockState::NormSums& each : state.norm_sums()) {
    result.push_back({each.round(), {each.sums().begin(), each.sums().end()}});
  }
  return result;
}

void SetNormSums(const std::vector<NormRounds::BlockSums>& sums, v1::LogRecord::BlockState* state) {
  for (const NormRounds::BlockSums& each : sums) {
    v1::LogRecord::BlockState::NormSums* const to = state->add_norm_sums();
    to->set_round(each.round);
    to->mutable_sums()->Add(each.sums.begin(), each.sums.end());
  }
}

}  // namespace parley
