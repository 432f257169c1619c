#include "ps/table_state.h"

#include <utility>

#include "base/status.h"

namespace parley {
namespace {

constexpr size_t kRecordBytes = 1 << 20;  // which one virtual shard's rows may go beyond, once

// Puts virtual shards into records, one after another.
class StateRecords {
 public:
  StateRecords(const ShardTable& table, uint32_t block, size_t part,
               std::shared_ptr<const void> holder)
      : table_(table), block_(block), part_(part), holder_(std::move(holder)) {
    BeginRecord();
  }

  absl::Status Add(uint32_t number) {
    const size_t row_bytes = table_.layout().row_bytes;
    PARLEY_RETURN_IF_ERROR(
        table_.ForEachRow(part_, number, [&](uint64_t key, const std::byte* row) {
          keys_.push_back(key);
          rows_.insert(rows_.end(), row, row + row_bytes);
          if (rows_.size() >= kRecordBytes) EndPiece(number, /*goes_on=*/true);
        }));
    table_.ForEachSighting(part_, number, [&](uint64_t key, uint32_t count) {
      counted_.push_back(key);
      counts_.push_back(count);
      if (counts_.size() * sizeof(key) >= kRecordBytes) EndPiece(number, /*goes_on=*/true);
    });
    EndPiece(number, /*goes_on=*/false);
    return absl::OkStatus();
  }
  size_t bytes() const { return bytes_; }

  std::vector<ShardRecord> Take() {
    EndRecord();
    return std::move(records_);
  }

 private:
  struct Bytes {
    std::vector<std::byte> bytes;
    std::shared_ptr<const void> holder;
  };

  v1::LogRecord::TableState* state() { return record_.record.mutable_table_state(); }

  void BeginRecord() {
    record_ = ShardRecord();
    state()->set_block(block_);
    state()->set_version(table_.version(part_));
    state()->set_row_bytes(static_cast<int64_t>(table_.layout().row_bytes));
    payload_ = std::make_shared<Bytes>();
    payload_->holder = holder_;
  }
  template <typename T>
  void Append(std::vector<T>* from) {
    const auto* const bytes = reinterpret_cast<const std::byte*>(from->data());
    payload_->bytes.insert(payload_->bytes.end(), bytes, bytes + from->size() * sizeof(T));
    from->clear();
  }
  void EndPiece(uint32_t number, bool goes_on) {
    v1::LogRecord::TableState::VirtualShard* const piece = state()->add_virtual_shards();
    piece->set_number(number);
    piece->set_rows(static_cast<uint32_t>(keys_.size()));
    piece->set_counted(static_cast<uint32_t>(counted_.size()));
    piece->set_goes_on(goes_on);
    Append(&keys_);
    Append(&rows_);
    Append(&counted_);
    Append(&counts_);
    if (goes_on || payload_->bytes.size() >= kRecordBytes) {
      EndRecord();
      BeginRecord();
    }
  }
  void EndRecord() {
    if (state()->virtual_shards_size() == 0) return;
    bytes_ += payload_->bytes.size();
    record_.payload.Append(payload_->bytes.data(), payload_->bytes.size(), payload_);
    records_.push_back(std::move(record_));
  }

  const ShardTable& table_;
  const uint32_t block_;
  const size_t part_;
  const std::shared_ptr<const void> holder_;
  // Of the piece that is being made.
  std::vector<uint64_t> keys_;
  std::vector<std::byte> rows_;
  std::vector<uint64_t> counted_;
  std::vector<uint32_t> counts_;
  // And of the record.
  ShardRecord record_;
  std::shared_ptr<Bytes> payload_;
  std::vector<ShardRecord> records_;
  size_t bytes_ = 0;  // of the payloads of these
};

}  // namespace

absl::StatusOr<std::vector<ShardRecord>> TableStateOf(const ShardTable& table, uint32_t block,
                                                      size_t part, size_t* begin, size_t end,
                                                      std::shared_ptr<const void> holder) {
  StateRecords records(table, block, part, std::move(holder));
  while (*begin < end && records.bytes() < kRecordBytes) {
    PARLEY_RETURN_IF_ERROR(records.Add(table.virtual_shards(part)[(*begin)++]));
  }
  return records.Take();
}

}  // namespace parley
