#include "ps/table_copy.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/aligned_buffer.h"
#include "base/planted_bug.h"
#include "base/status.h"
#include "ps/gradient.h"

namespace parley {
namespace {

// Without the keys of virtual shards that are not there.
std::shared_ptr<const RowGradients> Only(const std::vector<bool>& there, const ShardTable& table,
                                         const RowGradients& all) {
  auto some = std::make_shared<RowGradients>();
  some->rows = all.rows;
  for (const PartKeys& from : all.parts) {
    PartKeys& to = some->parts.emplace_back();
    for (size_t i = 0; i < from.keys.size(); ++i) {
      if (!there[table.VirtualShardOfKey(from.keys[i])]) continue;
      to.keys.push_back(from.keys[i]);
      to.places.push_back(from.places[i]);
    }
  }
  return some;
}

}  // namespace

absl::Status ReplayTableRound(const v1::LogRecord::Round& round, const Payload& payload,
                              ShardTable* table, const std::vector<bool>* there) {
  const auto refuse = [&](absl::string_view why) {
    return absl::DataLossError(
        absl::StrCat("round ", round.version(), " of table ", table->name(), " ", why));
  };
  if (round.version() != table->version(0) + 1) return refuse("is not the next");
  std::vector<Gradient> gradients;
  PayloadReader reader(payload);
  for (const uint32_t count : round.rows()) {
    v1::TableRows rows;
    if (count > reader.left() / sizeof(uint64_t)) return refuse("is cut short");
    rows.mutable_keys()->Resize(static_cast<int>(count), 0);
    reader.Take(count * sizeof(uint64_t)).CopyTo(rows.mutable_keys()->mutable_data());
    auto taken = table->TakeGradients(rows, v1::FLOAT32, &reader);
    if (!taken.ok()) return refuse(taken.status().message());
    gradients.emplace_back().rows =
        there == nullptr ? *std::move(taken) : Only(*there, *table, **taken);
  }
  if (reader.left() > 0) return refuse("has more than its rows");
  uint32_t digest = 0;
  const bool compares = round.has_state_crc32c() && there == nullptr;
  for (size_t part = 0; part < table->num_parts(); ++part) {
    table->Apply(part, gradients);
    if (compares) digest += table->Digest(part, gradients);
  }
  PARLEY_RETURN_IF_ERROR(table->health());
  if (compares && digest != round.state_crc32c() && !PARLEY_PLANTED_BUG("rows_are_not_compared")) {
    return refuse("makes other rows than the shard's: they have diverged");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<TableCopy>> TableCopy::Create(const Job& job, int table, int shard,
                                                             size_t num_parts, int64_t version,
                                                             const std::string& spill_folder) {
  PARLEY_ASSIGN_OR_RETURN(std::unique_ptr<ShardTable> made,
                          ShardTable::Create(job, table, shard, num_parts, version, spill_folder));
  return std::unique_ptr<TableCopy>(new TableCopy(std::move(made)));
}

TableCopy::TableCopy(std::unique_ptr<ShardTable> table)
    : table_(std::move(table)), there_(table_->layout().virtual_shards) {
  for (uint32_t i = 0; i < there_.size(); ++i) missing_ += table_->OwnsVirtualShard(i) ? 1 : 0;
}

absl::Status TableCopy::Fault(absl::string_view what) const {
  return absl::DataLossError(
      absl::StrCat("the state of table ", table_->name(), " at round ", version(), ": ", what));
}

absl::Status TableCopy::TakeState(const v1::LogRecord::TableState& state, const Payload& payload) {
  if (state.version() != version() && !PARLEY_PLANTED_BUG("state_of_a_table_out_of_its_turn")) {
    return Fault(absl::StrCat("it is of round ", state.version()));
  }
  if (state.row_bytes() != static_cast<int64_t>(table_->layout().row_bytes)) {
    return Fault(absl::StrCat("its rows have ", state.row_bytes(), " bytes"));
  }
  PayloadReader reader(payload);
  for (const v1::LogRecord::TableState::VirtualShard& piece : state.virtual_shards()) {
    PARLEY_RETURN_IF_ERROR(TakePiece(piece, &reader));
  }
  if (reader.left() > 0) return Fault("it has more than its rows");
  return table_->health();
}

absl::Status TableCopy::TakePiece(const v1::LogRecord::TableState::VirtualShard& piece,
                                  PayloadReader* reader) {
  constexpr size_t kCountBytes = sizeof(uint64_t) + sizeof(uint32_t);
  const size_t row_bytes = table_->layout().row_bytes;
  const size_t bytes =
      piece.rows() * (sizeof(uint64_t) + row_bytes) + piece.counted() * kCountBytes;
  if (!table_->OwnsVirtualShard(piece.number())) return Fault("it has rows of another shard");
  if (bytes > reader->left()) return Fault("it is cut short");
  if (going_on_ >= 0 && going_on_ != piece.number()) return Fault("it does not go on");
  const Payload part = reader->Take(bytes);
  if (there_[piece.number()]) return absl::OkStatus();
  if (piece.counted() > 0 && table_->layout().admit_after <= 1) return Fault("nothing is counted");
  const auto belongs = [&](uint64_t key) {
    return table_->VirtualShardOfKey(key) == piece.number();
  };
  PayloadReader rest(part);
  std::vector<uint64_t> keys(piece.rows());
  rest.Take(keys.size() * sizeof(uint64_t)).CopyTo(keys.data());
  const AlignedBytes rows = NewAlignedBytes(keys.size() * row_bytes);
  rest.Take(keys.size() * row_bytes).CopyTo(rows.get());
  for (size_t i = 0; i < keys.size(); ++i) {
    if (!belongs(keys[i])) return Fault("a key is in the wrong place");
    PARLEY_ASSIGN_OR_RETURN(const bool added,
                            table_->RestoreRow(keys[i], rows.get() + i * row_bytes));
    if (!added) return Fault("a key comes twice");
  }
  keys.resize(piece.counted());
  rest.Take(keys.size() * sizeof(uint64_t)).CopyTo(keys.data());
  std::vector<uint32_t> counts(piece.counted());
  rest.Take(counts.size() * sizeof(uint32_t)).CopyTo(counts.data());
  for (size_t i = 0; i < keys.size(); ++i) {
    if (!belongs(keys[i])) return Fault("a key is in the wrong place");
    table_->RestoreSighting(keys[i], counts[i]);
  }
  going_on_ = piece.goes_on() ? static_cast<int64_t>(piece.number()) : -1;
  if (piece.goes_on()) return absl::OkStatus();
  there_[piece.number()] = true;
  --missing_;
  return absl::OkStatus();
}

absl::Status TableCopy::TakeRound(const v1::LogRecord::Round& round, const Payload& payload) {
  if (going_on_ >= 0) return Fault("a round comes in the middle of it");
  return ReplayTableRound(round, payload, table_.get(), IsWhole() ? nullptr : &there_);
}

}  // namespace parley
