#include "ps/log_format.h"

#include <cstring>
#include <memory>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "base/aligned_buffer.h"
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

// A page that the disk had not got yet.
bool IsUnwritten(const Head& head) {
  return head.head_crc32c == 0 && head.body_crc32c == 0 && head.message_bytes == 0 &&
         head.payload_bytes == 0;
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

std::string EncodeLogRecord(const v1::LogRecord& record, const Payload& payload) {
  const std::string message = record.SerializeAsString();
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

absl::StatusOr<ReadLogRecord> ReadLogRecordAt(const ReadableFile& file, int64_t begin) {
  const absl::Status torn = absl::OutOfRangeError("no whole record");
  const absl::Status damaged = absl::DataLossError(absl::StrCat("damaged at byte ", begin));
  int64_t left = file.size() - begin;
  Head head;
  if (left < static_cast<int64_t>(sizeof(head))) return torn;
  PARLEY_RETURN_IF_ERROR(file.ReadAt(begin, &head, sizeof(head)));
  left -= static_cast<int64_t>(sizeof(head));
  if (IsUnwritten(head)) return torn;
  if (head.head_crc32c != ChecksumOfHead(head)) return damaged;
  const uint64_t room = static_cast<uint64_t>(left);
  if (head.message_bytes > room || head.payload_bytes > room - head.message_bytes) return torn;
  const int64_t message_bytes = static_cast<int64_t>(head.message_bytes);
  const int64_t payload_bytes = static_cast<int64_t>(head.payload_bytes);

  ReadLogRecord result;
  std::string message(head.message_bytes, '\0');
  const int64_t at = begin + static_cast<int64_t>(sizeof(head));
  PARLEY_RETURN_IF_ERROR(file.ReadAt(at, &message[0], message.size()));
  const std::shared_ptr<std::byte> payload(NewAlignedBytes(head.payload_bytes).release(),
                                           FreeDeleter());
  PARLEY_RETURN_IF_ERROR(file.ReadAt(at + message_bytes, payload.get(), head.payload_bytes));
  result.end = at + message_bytes + payload_bytes;
  const uint32_t crc =
      ExtendCrc32c(Crc32c(message.data(), message.size()), payload.get(), head.payload_bytes);
  if ((crc != head.body_crc32c && !PARLEY_PLANTED_BUG("log_checksum_not_checked")) ||
      !result.record.ParseFromString(message)) {
    // The last that was written may have been cut short; one that others follow was not.
    if (PARLEY_PLANTED_BUG("torn_record_taken")) return result;
    return result.end == file.size() ? torn : damaged;
  }
  result.payload.Append(payload.get(), head.payload_bytes, payload);
  return result;
}

}  // namespace parley
