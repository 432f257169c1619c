#include "ps/log_format.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "base/crc32c.h"
#include "base/planted_bug.h"
#include "base/status.h"

namespace parley {
namespace {

constexpr char kPrefix[] = "log-";
constexpr size_t kDigits = 8;

// Before each record, little-endian.
struct Head {
  uint32_t head_crc32c;  // of the rest of the head
  uint32_t body_crc32c;  // of the message and the payload
  uint64_t message_bytes;
  uint64_t payload_bytes;
};
static_assert(sizeof(Head) == 24, "it is written as it stands");

uint32_t ChecksumOfHead(const Head& head) {
  const size_t unchecked = sizeof(head.head_crc32c);
  return Crc32c(reinterpret_cast<const char*>(&head) + unchecked, sizeof(head) - unchecked);
}

// The record at `begin`; DATA_LOSS when there is no whole one.
absl::StatusOr<ReadLogRecord> ReadWhole(const ReadableFile& file, int64_t begin,
                                        ReusedBuffers* buffers) {
  const absl::Status not_whole = absl::DataLossError("no whole record");
  int64_t left = file.size() - begin;
  Head head;
  if (left < static_cast<int64_t>(sizeof(head))) return not_whole;
  PARLEY_RETURN_IF_ERROR(file.ReadAt(begin, &head, sizeof(head)));
  left -= static_cast<int64_t>(sizeof(head));
  if (head.head_crc32c != ChecksumOfHead(head)) return not_whole;
  const uint64_t room = static_cast<uint64_t>(left);
  if (head.message_bytes > room || head.payload_bytes > room - head.message_bytes) return not_whole;
  const int64_t message_bytes = static_cast<int64_t>(head.message_bytes);
  const int64_t payload_bytes = static_cast<int64_t>(head.payload_bytes);

  ReadLogRecord result;
  std::string message(head.message_bytes, '\0');
  const int64_t at = begin + static_cast<int64_t>(sizeof(head));
  PARLEY_RETURN_IF_ERROR(file.ReadAt(at, &message[0], message.size()));
  const std::shared_ptr<std::byte> payload = buffers->Take(head.payload_bytes);
  PARLEY_RETURN_IF_ERROR(file.ReadAt(at + message_bytes, payload.get(), head.payload_bytes));
  result.end = at + message_bytes + payload_bytes;
  const uint32_t crc =
      ExtendCrc32c(Crc32c(message.data(), message.size()), payload.get(), head.payload_bytes);
  if ((crc != head.body_crc32c && !PARLEY_PLANTED_BUG("log_checksum_not_checked")) ||
      !result.record.ParseFromString(message)) {
    return PARLEY_PLANTED_BUG("torn_record_taken") ? absl::StatusOr<ReadLogRecord>(result)
                                                   : not_whole;
  }
  result.payload.Append(payload.get(), head.payload_bytes, payload);
  return result;
}

// Whether a record behind byte `at`, where none is whole, says that what stands there was on disk.
// Where the next record begins is not known, so each byte may be its first. A worker's gradient may
// look like the heads of many records, each of which reaches to the file's end: so that they are
// not read again and again, where what was read is twice the file, it is taken for damage.
absl::StatusOr<bool> WasDurable(const ReadableFile& file, int64_t at, ReusedBuffers* buffers) {
  if (PARLEY_PLANTED_BUG("damage_taken_for_the_logs_end")) return false;
  constexpr int64_t kPiece = 1 << 20;
  std::string piece;
  const uint64_t size = static_cast<uint64_t>(file.size());
  uint64_t budget = 2 * size;
  for (int64_t begin = at + 1; begin + static_cast<int64_t>(sizeof(Head)) <= file.size();) {
    piece.resize(static_cast<size_t>(std::min(kPiece, file.size() - begin)));
    PARLEY_RETURN_IF_ERROR(file.ReadAt(begin, &piece[0], piece.size()));
    const size_t heads = piece.size() - sizeof(Head) + 1;
    for (size_t i = 0; i < heads; ++i) {
      Head head;
      std::memcpy(&head, piece.data() + i, sizeof(head));
      // An empty message says nothing of what is durable: zeros are passed over quickly.
      if (head.message_bytes == 0) continue;
      if (head.message_bytes > size || head.payload_bytes > size) continue;
      if (head.head_crc32c != ChecksumOfHead(head)) continue;
      const auto record = ReadWhole(file, begin + static_cast<int64_t>(i), buffers);
      const uint64_t bytes = head.message_bytes + head.payload_bytes;
      if (bytes > budget) return true;
      budget -= bytes;
      if (!record.ok() && !absl::IsDataLoss(record.status())) return record.status();
      if (record.ok() && record->record.durable_bytes() > static_cast<uint64_t>(at)) return true;
    }
    begin += static_cast<int64_t>(heads);
  }
  return false;
}

}  // namespace

std::string LogSegmentName(uint64_t segment) { return absl::StrFormat("%s%08d", kPrefix, segment); }

absl::optional<uint64_t> ParseLogSegmentName(absl::string_view name) {
  uint64_t segment = 0;
  if (!absl::ConsumePrefix(&name, kPrefix) || name.size() < kDigits ||
      !absl::SimpleAtoi(name, &segment) || segment == 0 ||
      LogSegmentName(segment) != kPrefix + std::string(name)) {
    return absl::nullopt;
  }
  return segment;
}

std::string EncodeLogRecord(const v1::LogRecord& record, const Payload& payload,
                            int64_t durable_bytes) {
  v1::LogRecord durable;
  durable.set_durable_bytes(static_cast<uint64_t>(durable_bytes));
  // A field that is behind the others: as if the record had it.
  const std::string message = record.SerializeAsString() + durable.SerializeAsString();
  Head head;
  head.message_bytes = message.size();
  head.payload_bytes = payload.size();
  head.body_crc32c = Crc32c(message.data(), message.size());
  for (const Payload::Slice& slice : payload.slices()) {
    head.body_crc32c = ExtendCrc32c(head.body_crc32c, slice.data, slice.size);
  }
  head.head_crc32c = ChecksumOfHead(head);
  return std::string(reinterpret_cast<const char*>(&head), sizeof(head)) + message;
}

absl::StatusOr<ReadLogRecord> ReadLogRecordAt(const ReadableFile& file, int64_t begin,
                                              ReusedBuffers* buffers) {
  if (begin == file.size()) return absl::OutOfRangeError("the end of the log");
  absl::StatusOr<ReadLogRecord> record = ReadWhole(file, begin, buffers);
  if (!absl::IsDataLoss(record.status())) return record;
  PARLEY_ASSIGN_OR_RETURN(const bool durable, WasDurable(file, begin, buffers));
  if (durable) return absl::DataLossError(absl::StrCat("damaged at byte ", begin));
  return absl::OutOfRangeError("no whole record");
}

}  // namespace parley
