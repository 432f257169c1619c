#include "ps/checkpoint_reader.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/crc32c.h"
#include "base/planted_bug.h"
#include "base/status.h"
#include "net/checkpoint_folder.h"
#include "ps/checkpoint_format.h"
#include "ps/checkpoint_index.h"
#include "ps/optimizer.h"

namespace parley {
namespace {

constexpr int64_t kPieceBytes = 1 << 20;

// Elements of a saved block that belong into a restored one.
struct Overlap {
  RestoredBlock* to;
  int64_t from_begin;  // elements, in the saved block
  int64_t to_begin;    // elements, in the restored one
  int64_t size;        // elements
};

struct Source {
  const CheckpointIndex::Piece* piece;
  int num_slots;
  std::vector<Overlap> overlaps;
};

// Of one file, the saved blocks that are needed, by the place of their first array.
using SourcesOfFile = std::map<int64_t, Source>;

absl::StatusOr<std::string> SlotsOf(const v1::Optimizer& spec, const OptimizerRegistry& registry) {
  PARLEY_ASSIGN_OR_RETURN(const std::unique_ptr<Optimizer> optimizer, NewOptimizer(spec, registry));
  return absl::StrJoin(optimizer->slot_names(), ",");
}

// The index in `saved` of parameter `parameter` of `job`.
absl::StatusOr<int> MatchParameter(const Job& job, int parameter, const Job& saved,
                                   const OptimizerRegistry& registry) {
  const v1::ParameterSpec& now = job.spec().parameters(parameter);
  const absl::StatusOr<int> found = saved.FindParameter(now.name());
  if (!found.ok()) {
    return absl::FailedPreconditionError(
        absl::StrCat("parameter ", now.name(), " is not in the checkpoint"));
  }
  const v1::ParameterSpec& then = saved.spec().parameters(*found);
  if (!std::equal(now.shape().begin(), now.shape().end(), then.shape().begin(),
                  then.shape().end())) {
    return absl::FailedPreconditionError(
        absl::StrCat("parameter ", now.name(), " has shape [", absl::StrJoin(now.shape(), ","),
                     "], in the checkpoint [", absl::StrJoin(then.shape(), ","), "]"));
  }
  const v1::Optimizer& optimizer = job.OptimizerOf(parameter);
  const v1::Optimizer& saved_optimizer = saved.OptimizerOf(*found);
  if (optimizer.kind_case() != saved_optimizer.kind_case() ||
      optimizer.custom().name() != saved_optimizer.custom().name()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "parameter ", now.name(),
        " has another kind of optimizer than in the checkpoint, whose slots it cannot use"));
  }
  PARLEY_ASSIGN_OR_RETURN(const std::string slots, SlotsOf(optimizer, registry));
  PARLEY_ASSIGN_OR_RETURN(const std::string saved_slots, SlotsOf(saved_optimizer, registry));
  if (slots != saved_slots) {
    return absl::FailedPreconditionError(absl::StrCat("parameter ", now.name(),
                                                      " has an optimizer with the slots [", slots,
                                                      "], in the checkpoint [", saved_slots, "]"));
  }
  return found;
}

// The version and clocks of a block that has elements of `pieces`: see "Reading" in
// docs/checkpoint_format.md.
void MergeClocks(const std::vector<const CheckpointIndex::Piece*>& pieces, size_t num_workers,
                 RestoredBlock* block) {
  std::vector<int64_t> clocks = pieces.front()->clocks;
  for (const CheckpointIndex::Piece* piece : pieces) {
    if (piece->version >= block->version) block->rate_factor = piece->rate_factor;
    block->version = std::max(block->version, piece->version);
    for (size_t i = 0; i < clocks.size(); ++i) clocks[i] = std::min(clocks[i], piece->clocks[i]);
  }
  if (clocks.size() != num_workers) {
    clocks.assign(num_workers, *std::min_element(clocks.begin(), clocks.end()));
  }
  block->clocks = std::move(clocks);
}

// Allocates `block` for `info` and notes in `sources`, by file, what belongs into it.
void Plan(const CheckpointIndex& index, int saved_parameter, const BlockInfo& info,
          size_t num_workers, SharedArena* arena, RestoredBlock* block,
          std::vector<SourcesOfFile>* sources) {
  block->values = FloatBuffer(static_cast<size_t>(info.size), arena);
  for (int i = 0; i < index.num_slots(saved_parameter); ++i) {
    block->slots.emplace_back(static_cast<size_t>(info.size));
  }
  const std::vector<CheckpointIndex::Piece>& pieces = index.pieces(saved_parameter);
  // The last piece that begins at or before the block.
  auto piece = std::upper_bound(pieces.begin(), pieces.end(), info.offset,
                                [](int64_t offset, const CheckpointIndex::Piece& candidate) {
                                  return offset < candidate.offset;
                                }) -
               1;
  std::vector<const CheckpointIndex::Piece*> used;
  const int64_t end = info.offset + info.size;
  for (; piece != pieces.end() && piece->offset < end; ++piece) {
    const int64_t from = std::max(info.offset, piece->offset);
    const int64_t to = std::min(end, piece->offset + piece->size);
    Source& source = (*sources)[piece->file][piece->begin];
    source.piece = &*piece;
    source.num_slots = index.num_slots(saved_parameter);
    source.overlaps.push_back({block, from - piece->offset, from - info.offset, to - from});
    used.push_back(&*piece);
  }
  MergeClocks(used, num_workers, block);
}

// Copies what of elements [begin, begin + size) of a saved array, at `bytes`, is needed; array 0 is
// the values, array 1 + i is slot i.
void CopyOverlaps(const std::vector<Overlap>& overlaps, int array, int64_t begin, int64_t size,
                  const char* bytes) {
  for (const Overlap& overlap : overlaps) {
    const int64_t from = std::max(begin, overlap.from_begin);
    const int64_t to = std::min(begin + size, overlap.from_begin + overlap.size);
    if (from >= to) continue;
    FloatBuffer& target = array == 0 ? overlap.to->values : overlap.to->slots[array - 1];
    std::memcpy(target.data() + overlap.to_begin + (from - overlap.from_begin),
                bytes + (from - begin) * static_cast<int64_t>(sizeof(float)),
                static_cast<size_t>(to - from) * sizeof(float));
  }
}

// Reads the file from end to end, copies what is needed, and checks at the end that what was read
// is what was written.
absl::Status CopyFromFile(const CheckpointIndex::File& file, const SourcesOfFile& sources) {
  std::vector<char> bytes(static_cast<size_t>(std::min(kPieceBytes, file.file->size())));
  uint32_t crc = 0;
  int64_t place = 0;
  // Reads on to byte `end`, giving each part to use(place, size).
  const auto read_to = [&](int64_t end, auto use) {
    while (place < end) {
      const int64_t size = std::min(kPieceBytes, end - place);
      PARLEY_RETURN_IF_ERROR(file.file->ReadAt(place, bytes.data(), static_cast<size_t>(size)));
      crc = ExtendCrc32c(crc, bytes.data(), static_cast<size_t>(size));
      use(place, size);
      place += size;
    }
    return absl::OkStatus();
  };
  const auto skip = [](int64_t, int64_t) {};
  for (const auto& [begin, source] : sources) {
    PARLEY_RETURN_IF_ERROR(read_to(begin, skip));
    const int64_t array_bytes = ArrayBytes(source.piece->size);
    for (int array = 0; array <= source.num_slots; ++array) {
      const int64_t array_begin = begin + array * array_bytes;
      PARLEY_RETURN_IF_ERROR(read_to(array_begin + array_bytes, [&](int64_t at, int64_t size) {
        constexpr int64_t kElement = sizeof(float);
        CopyOverlaps(source.overlaps, array, (at - array_begin) / kElement, size / kElement,
                     bytes.data());
      }));
    }
  }
  PARLEY_RETURN_IF_ERROR(read_to(file.file->size(), skip));
  if (crc == file.crc32c || PARLEY_PLANTED_BUG("checkpoint_checksum_not_checked"))
    return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(file.path, ": its checksum does not agree"));
}

// A synchronous job goes on from one cut: every block at the checkpoint's step, and every worker
// too.
absl::Status CheckOneCut(const Job& job, const RestoredBlock& block, int64_t step) {
  bool sound = block.version == step;
  for (const int64_t clock : block.clocks) sound = sound && clock == step;
  if (sound) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("job ", job.name(), " is synchronous, and parameter ",
                   job.parameters()[job.blocks()[block.number].parameter].name,
                   " was saved at another version than step ", step, ", by another policy"));
}

}  // namespace

absl::StatusOr<std::vector<RestoredBlock>> RestoreBlocks(Env* env, const std::string& folder,
                                                         const std::string& manifest_file,
                                                         const Job& job, int shard,
                                                         const OptimizerRegistry& registry,
                                                         SharedArena* arena) {
  PARLEY_ASSIGN_OR_RETURN(const v1::Manifest manifest, ReadManifest(env, folder, manifest_file));
  PARLEY_ASSIGN_OR_RETURN(const CheckpointIndex index,
                          CheckpointIndex::Open(env, folder, manifest));
  const auto in_file = [&](const absl::Status& status) { return Annotate(status, manifest_file); };

  const std::vector<uint32_t> numbers = job.BlocksOfShard(shard);
  std::vector<RestoredBlock> blocks(numbers.size());  // `sources` points into it
  std::vector<SourcesOfFile> sources(index.files().size());
  for (size_t i = 0; i < numbers.size(); ++i) {
    const BlockInfo& info = job.blocks()[numbers[i]];
    const absl::StatusOr<int> parameter =
        MatchParameter(job, info.parameter, index.job(), registry);
    if (!parameter.ok()) return in_file(parameter.status());
    blocks[i].number = numbers[i];
    Plan(index, *parameter, info, static_cast<size_t>(job.spec().num_workers()), arena, &blocks[i],
         &sources);
    if (std::min(blocks[i].version, index.step()) < job.LockstepRounds(info.parameter)) {
      PARLEY_RETURN_IF_ERROR(in_file(CheckOneCut(job, blocks[i], index.step())));
    }
  }
  for (size_t i = 0; i < sources.size(); ++i) {
    if (sources[i].empty()) continue;
    PARLEY_RETURN_IF_ERROR(CopyFromFile(index.files()[i], sources[i]));
  }
  return blocks;
}

}  // namespace parley
