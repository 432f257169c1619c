#include "ps/log_format.h"

#include <cstring>
#include <memory>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "base/aligned_buffer.h"
#include "base/crc32c.h"
#include "base/status.h"

namespace parley {
namespace {

constexpr char kPrefix[] = "log-";
constexpr size_t kDigits = 8;

// Before each record, little-endian.
struct Head {
  uint32_t crc32c;  // of the rest of the head, the message and the payload
  uint32_t message_bytes;
  uint64_t payload_bytes;
};
static_assert(sizeof(Head) == 16, "it is written as it stands");
constexpr size_t kUnchecked = sizeof(uint32_t);

uint32_t ChecksumOfHead(const Head& head) {
  return Crc32c(reinterpret_cast<const char*>(&head) + kUnchecked, sizeof(head) - kUnchecked);
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
  head.message_bytes = static_cast<uint32_t>(message.size());
  head.payload_bytes = payload.size();
  head.crc32c = ExtendCrc32c(ChecksumOfHead(head), message.data(), message.size());
  for (const Payload::Slice& slice : payload.slices()) {
    head.crc32c = ExtendCrc32c(head.crc32c, slice.data, slice.size);
  }
  return std::string(reinterpret_cast<const char*>(&head), sizeof(head)) + message;
}

absl::StatusOr<ReadLogRecord> ReadLogRecordAt(const ReadableFile& file, int64_t begin) {
  const absl::Status torn = absl::OutOfRangeError("no whole record");
  int64_t left = file.size() - begin;
  Head head;
  if (left < static_cast<int64_t>(sizeof(head))) return torn;
  PARLEY_RETURN_IF_ERROR(file.ReadAt(begin, &head, sizeof(head)));
  left -= static_cast<int64_t>(sizeof(head));
  if (head.message_bytes == 0 || head.message_bytes > left) return torn;
  if (head.payload_bytes > static_cast<uint64_t>(left - head.message_bytes)) return torn;

  ReadLogRecord result;
  std::string message(head.message_bytes, '\0');
  const int64_t at = begin + static_cast<int64_t>(sizeof(head));
  PARLEY_RETURN_IF_ERROR(file.ReadAt(at, &message[0], message.size()));
  const std::shared_ptr<std::byte> payload(NewAlignedBytes(head.payload_bytes).release(),
                                           FreeDeleter());
  PARLEY_RETURN_IF_ERROR(file.ReadAt(at + head.message_bytes, payload.get(), head.payload_bytes));
  uint32_t crc = ExtendCrc32c(ChecksumOfHead(head), message.data(), message.size());
  crc = ExtendCrc32c(crc, payload.get(), head.payload_bytes);
  if (crc != head.crc32c || !result.record.ParseFromString(message)) return torn;
  result.payload.Append(payload.get(), head.payload_bytes, payload);
  result.end = at + head.message_bytes + static_cast<int64_t>(head.payload_bytes);
  return result;
}

bool IsFollowedByAnother(const ReadableFile& file, int64_t begin) {
  Head head;
  const int64_t left = file.size() - begin - static_cast<int64_t>(sizeof(head));
  if (left < 0 || !file.ReadAt(begin, &head, sizeof(head)).ok()) return false;
  if (head.message_bytes > left ||
      head.payload_bytes > static_cast<uint64_t>(left - head.message_bytes)) {
    return false;
  }
  const int64_t end = begin + static_cast<int64_t>(sizeof(head)) + head.message_bytes +
                      static_cast<int64_t>(head.payload_bytes);
  return ReadLogRecordAt(file, end).ok();
}

}  // namespace parley
