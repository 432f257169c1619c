#include "ps/shard_table.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/aligned_buffer.h"
#include "base/status.h"
#include "net/table_placement.h"
#include "net/wire_dtype.h"
#include "ps/finite.h"
#include "ps/table/round_gradients.h"

namespace parley {
namespace {

// `bytes` elements of `dtype` as float32: where they are when they can be read there.
std::shared_ptr<const float> AsFloats(const Payload& payload, v1::DType dtype) {
  const absl::Span<const Payload::Slice> slices = payload.slices();
  if (dtype == v1::FLOAT32 && slices.size() == 1 &&
      reinterpret_cast<uintptr_t>(slices[0].data) % alignof(float) == 0) {
    return {slices[0].owner, reinterpret_cast<const float*>(slices[0].data)};
  }
  const size_t elements = payload.size() / WireBytes(dtype);
  const auto floats_in = [](size_t bytes) {
    return std::shared_ptr<float>(reinterpret_cast<float*>(NewAlignedBytes(bytes).release()),
                                  FreeDeleter());
  };
  std::shared_ptr<float> floats = floats_in(elements * sizeof(float));
  if (dtype == v1::FLOAT32) {
    payload.CopyTo(floats.get());
    return floats;
  }
  const std::shared_ptr<float> narrow = floats_in(payload.size());
  payload.CopyTo(narrow.get());
  FromWire(dtype, narrow.get(), elements, floats.get());
  return floats;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ShardTable>> ShardTable::Create(const Job& job, int table, int shard,
                                                               size_t num_parts, int64_t version) {
  PARLEY_ASSIGN_OR_RETURN(TableLayout layout,
                          TableLayout::Create(job.spec().tables(table), job.spec().seed()));
  std::unique_ptr<ShardTable> result(new ShardTable(std::move(layout)));
  const uint32_t virtual_shards = result->layout_.virtual_shards;
  result->part_of_.assign(virtual_shards, kElsewhere);
  std::vector<std::vector<uint32_t>> of_part(num_parts);
  for (uint32_t i = 0; i < virtual_shards; ++i) {
    if (ShardOfVirtual(i, virtual_shards, job.spec().num_shards()) != shard) continue;
    result->part_of_[i] = static_cast<uint16_t>(i % num_parts);
    of_part[i % num_parts].push_back(i);
  }
  result->parts_.reserve(num_parts);
  for (std::vector<uint32_t>& some : of_part) {
    result->parts_.push_back({TablePart(&result->layout_, std::move(some)), version});
  }
  return result;
}

absl::StatusOr<std::vector<PartKeys>> ShardTable::Split(const v1::TableRows& request) const {
  if (request.keys_size() > kMaxKeys) {
    return absl::InvalidArgumentError(
        absl::StrCat("it has ", request.keys_size(), " keys, allowed are ", kMaxKeys));
  }
  std::vector<PartKeys> parts(parts_.size());
  for (PartKeys& part : parts) {
    const size_t most = static_cast<size_t>(request.keys_size());
    part.keys.reserve(parts.size() == 1 ? most : most / parts.size() * 5 / 4);
    part.places.reserve(part.keys.capacity());
  }
  for (int i = 0; i < request.keys_size(); ++i) {
    const uint64_t key = request.keys(i);
    const size_t part = PartOf(key);
    if (part == kElsewhere) {
      return absl::InvalidArgumentError(absl::StrCat("key ", key, " belongs to another shard"));
    }
    parts[part].keys.push_back(key);
    parts[part].places.push_back(static_cast<uint32_t>(i));
  }
  return parts;
}

absl::StatusOr<std::shared_ptr<const RowGradients>> ShardTable::TakeGradients(
    const v1::TableRows& request, v1::DType dtype, PayloadReader* payload) const {
  auto result = std::make_shared<RowGradients>();
  PARLEY_ASSIGN_OR_RETURN(result->parts, Split(request));
  const size_t bytes = static_cast<size_t>(request.keys_size()) *
                       static_cast<size_t>(layout_.width) * WireBytes(dtype);
  if (bytes > payload->left()) {
    return absl::InvalidArgumentError(
        absl::StrCat(request.keys_size(), " rows of width ", layout_.width, " have ", bytes,
                     " bytes, the payload only ", payload->left(), " more"));
  }
  const Payload rows = payload->Take(bytes);
  if (!AllFinite(Gradient(rows, dtype))) {
    return absl::InvalidArgumentError("a row's gradient has a NaN or an infinity");
  }
  if (bytes > 0) result->rows = AsFloats(rows, dtype);
  return std::shared_ptr<const RowGradients>(std::move(result));
}

template <typename Change>
void ShardTable::ChangePart(TablePart* part, Change change) {
  const int64_t before = static_cast<int64_t>(part->memory());
  change(part);
  memory_.fetch_add(static_cast<int64_t>(part->memory()) - before, std::memory_order_relaxed);
}

void ShardTable::Apply(size_t part, absl::Span<const Gradient> gradients) {
  Part& to = parts_[part];
  ++to.version;
  if (gradients.empty()) return;
  std::vector<RoundGradients::Push> pushes;
  for (const Gradient& gradient : gradients) {
    const PartKeys& keys = gradient.rows->parts[part];
    pushes.push_back({keys.keys, keys.places, gradient.rows->rows.get()});
  }
  const RoundGradients round(layout_.width, pushes, 1.0f / static_cast<float>(gradients.size()));
  ChangePart(&to.rows,
             [&](TablePart* rows) { rows->Update(to.version, round.keys(), round.gradients()); });
}

bool ShardTable::RestoreRow(uint64_t key, const std::byte* row) {
  TablePart& to = parts_[PartOf(key)].rows;
  if (to.FindRow(key) != nullptr) return false;
  ChangePart(&to, [&](TablePart* rows) { rows->RestoreRow(key, row); });
  return true;
}

int64_t ShardTable::Gather(size_t part, const PartKeys& keys, v1::DType dtype,
                           std::byte* out) const {
  const Part& from = parts_[part];
  from.rows.Gather(from.version, keys.keys, keys.places, dtype, out);
  return from.version;
}

}  // namespace parley
