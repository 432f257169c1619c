#include "ps/shard_table.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/aligned_buffer.h"
#include "base/crc32c.h"
#include "base/status.h"
#include "net/row_wire.h"
#include "net/table_placement.h"
#include "ps/table/round_gradients.h"
#include "ps/table/spill_file.h"

namespace parley {
namespace {

// Rows that are brought back, used and let go together: so many may be in memory beyond its limit.
constexpr size_t kTogether = 2048;

std::shared_ptr<float> NewFloats(size_t bytes) {
  return {reinterpret_cast<float*>(NewAlignedBytes(bytes).release()), FreeDeleter()};
}

// The rows in `payload` as float32: where they are when they can be read there.
absl::StatusOr<std::shared_ptr<const float>> AsFloats(const Payload& payload, v1::DType dtype,
                                                      size_t rows, size_t width) {
  const auto check = [](bool finite) {
    if (finite) return absl::OkStatus();
    return absl::InvalidArgumentError("a row's gradient has a NaN or an infinity");
  };
  const absl::Span<const Payload::Slice> slices = payload.slices();
  if (dtype == v1::FLOAT32 && slices.size() == 1 &&
      reinterpret_cast<uintptr_t>(slices[0].data) % alignof(float) == 0) {
    PARLEY_RETURN_IF_ERROR(check(RowsFiniteOnWire(dtype, slices[0].data, rows, width)));
    return std::shared_ptr<const float>(slices[0].owner,
                                        reinterpret_cast<const float*>(slices[0].data));
  }
  const std::shared_ptr<float> whole = NewFloats(payload.size());
  payload.CopyTo(whole.get());
  PARLEY_RETURN_IF_ERROR(check(RowsFiniteOnWire(dtype, whole.get(), rows, width)));
  if (dtype == v1::FLOAT32) return whole;
  const std::shared_ptr<float> floats = NewFloats(rows * width * sizeof(float));
  const size_t row_bytes = RowWireBytes(dtype, width);
  for (size_t i = 0; i < rows; ++i) {
    RowFromWire(dtype, reinterpret_cast<const std::byte*>(whole.get()) + i * row_bytes, width,
                floats.get() + i * width);
  }
  return floats;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ShardTable>> ShardTable::Create(const Job& job, int table, int shard,
                                                               size_t num_parts, int64_t version,
                                                               const std::string& spill_folder) {
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
    result->parts_.push_back(
        {TablePart(&result->layout_, std::move(some)), version, nullptr, nullptr});
  }
  const int64_t limit = job.spec().tables(table).memory_limit();
  if (limit == 0) return result;
  const std::string who = absl::StrCat("table ", result->name());
  if (spill_folder.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat(who, " has a memory_limit of ", limit,
                     " bytes, which needs a folder for what is beyond it (--spill_dir)"));
  }
  result->spill_folder_ = spill_folder;
  for (Part& part : result->parts_) {
    auto spill = NewSpillFile(spill_folder, result->layout_.row_bytes, virtual_shards);
    if (!spill.ok()) return Annotate(spill.status(), who);
    part.spill = *std::move(spill);
    part.spilled = std::make_unique<SpilledRows>(&result->layout_, &part.rows, part.spill.get(),
                                                 static_cast<size_t>(limit) / num_parts);
  }
  return result;
}

absl::Status ShardTable::health() const {
  if (!failed_.load(std::memory_order_acquire)) return absl::OkStatus();
  MutexLock lock(&mutex_);
  return health_;
}

absl::StatusOr<std::vector<PartKeys>> ShardTable::Split(const v1::TableRows& request) const {
  PARLEY_RETURN_IF_ERROR(health());
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
  const size_t rows = static_cast<size_t>(request.keys_size());
  const size_t width = static_cast<size_t>(layout_.width);
  const size_t bytes = rows * RowWireBytes(dtype, width);
  if (bytes > payload->left()) {
    return absl::InvalidArgumentError(absl::StrCat(rows, " rows of width ", width, " have ", bytes,
                                                   " bytes, the payload only ", payload->left(),
                                                   " more"));
  }
  if (rows > 0) {
    PARLEY_ASSIGN_OR_RETURN(result->rows, AsFloats(payload->Take(bytes), dtype, rows, width));
  }
  return std::shared_ptr<const RowGradients>(std::move(result));
}

template <typename Change>
absl::Status ShardTable::ChangePart(Part* part, Change change) {
  const int64_t before = static_cast<int64_t>(part->memory());
  const absl::Status changed = change();
  memory_.fetch_add(static_cast<int64_t>(part->memory()) - before, std::memory_order_relaxed);
  if (changed.ok()) return changed;
  MutexLock lock(&mutex_);
  if (health_.ok()) health_ = Annotate(changed, "rows that were spilled are lost");
  failed_.store(true, std::memory_order_release);
  return health_;
}

void ShardTable::Apply(size_t part, absl::Span<const Gradient> gradients) {
  Part& to = parts_[part];
  ++to.version;
  if (gradients.empty() || !health().ok()) return;
  std::vector<RoundGradients::Push> pushes;
  for (const Gradient& gradient : gradients) {
    const PartKeys& keys = gradient.rows->parts[part];
    pushes.push_back({keys.keys, keys.places, gradient.rows->rows.get()});
  }
  const RoundGradients round(layout_.width, pushes, 1.0f / static_cast<float>(gradients.size()));
  const absl::Span<const uint64_t> keys = round.keys();
  const absl::Span<const float* const> means = round.gradients();
  // health() keeps the error.
  ChangePart(&to, [&]() -> absl::Status {
    if (to.spilled == nullptr) {
      to.rows.Update(to.version, keys, means);
      return absl::OkStatus();
    }
    for (size_t begin = 0; begin < keys.size(); begin += kTogether) {
      const absl::Span<const uint64_t> some = keys.subspan(begin, kTogether);
      PARLEY_RETURN_IF_ERROR(to.spilled->BringBack(some));
      to.rows.UpdateRows(to.version, some, means.subspan(begin, kTogether), to.spilled->slots());
      to.spilled->Changed(some);
      PARLEY_RETURN_IF_ERROR(to.spilled->LetGo());
    }
    return to.spilled->Sweep(to.version);
  }).IgnoreError();
}

absl::StatusOr<bool> ShardTable::RestoreRow(uint64_t key, const std::byte* row) {
  Part& to = parts_[PartOf(key)];
  bool added = true;
  PARLEY_RETURN_IF_ERROR(ChangePart(&to, [&]() -> absl::Status {
    if (to.spilled != nullptr) PARLEY_RETURN_IF_ERROR(to.spilled->BringBack({&key, 1}));
    added = to.rows.FindRow(key) == nullptr;
    if (!added) return absl::OkStatus();
    if (to.spilled == nullptr) {
      to.rows.RestoreRow(key, row);
      return absl::OkStatus();
    }
    to.spilled->Restore(key, row);
    return to.spilled->LetGo();
  }));
  return added;
}

void ShardTable::RestoreSighting(uint64_t key, uint32_t count) {
  Part& to = parts_[PartOf(key)];
  ChangePart(&to, [&] {
    to.rows.RestoreSighting(key, count);
    return absl::OkStatus();
  }).IgnoreError();
}

uint32_t ShardTable::Digest(size_t part, absl::Span<const Gradient> gradients) const {
  uint32_t digest = 0;
  for (const Gradient& gradient : gradients) {
    for (const uint64_t key : gradient.rows->parts[part].keys) {
      const std::byte* const row = parts_[part].rows.FindRow(key);
      if (row == nullptr) continue;
      digest += ExtendCrc32c(Crc32c(&key, sizeof(key)), row, layout_.row_bytes);
    }
  }
  return digest;
}

int64_t ShardTable::Gather(size_t part, const PartKeys& keys, v1::DType dtype, std::byte* out) {
  Part& from = parts_[part];
  if (from.spilled == nullptr) {
    from.rows.Gather(from.version, keys.keys, keys.places, dtype, out);
    return from.version;
  }
  if (!health().ok()) return from.version;
  // health() keeps the error.
  ChangePart(&from, [&]() -> absl::Status {
    for (size_t begin = 0; begin < keys.keys.size(); begin += kTogether) {
      const absl::Span<const uint64_t> some =
          absl::MakeConstSpan(keys.keys).subspan(begin, kTogether);
      PARLEY_RETURN_IF_ERROR(from.spilled->BringBack(some));
      from.rows.Gather(from.version, some,
                       absl::MakeConstSpan(keys.places).subspan(begin, kTogether), dtype, out,
                       from.spilled->slots());
      PARLEY_RETURN_IF_ERROR(from.spilled->LetGo());
    }
    return absl::OkStatus();
  }).IgnoreError();
  return from.version;
}

void ShardTable::TrackChanges(size_t part, bool on) {
  Part& of = parts_[part];
  const int64_t before = static_cast<int64_t>(of.memory());
  if (of.spilled != nullptr) {
    of.spilled->TrackChanges(on);
  } else {
    of.rows.TrackChanges(on);
  }
  memory_.fetch_add(static_cast<int64_t>(of.memory()) - before, std::memory_order_relaxed);
}

absl::Status ShardTable::ForEachChangedRow(
    size_t part, uint32_t virtual_shard,
    absl::FunctionRef<void(uint64_t key, const std::byte* row)> visit) {
  PARLEY_RETURN_IF_ERROR(health());
  Part& from = parts_[part];
  if (from.spilled != nullptr) return from.spilled->ForEachChanged(virtual_shard, visit);
  for (const uint64_t key : from.rows.ChangedKeysOf(virtual_shard)) {
    visit(key, from.rows.FindRow(key));
  }
  return absl::OkStatus();
}

absl::Status ShardTable::ForEachRow(
    size_t part, uint32_t virtual_shard,
    absl::FunctionRef<void(uint64_t key, const std::byte* row)> visit) const {
  PARLEY_RETURN_IF_ERROR(health());
  const Part& from = parts_[part];
  if (from.spilled != nullptr) return from.spilled->ForEach(virtual_shard, visit);
  for (const uint64_t key : from.rows.KeysOf(virtual_shard)) visit(key, from.rows.FindRow(key));
  return absl::OkStatus();
}

}  // namespace parley
