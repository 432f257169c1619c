#include "ps/checkpoint_format.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/crc32c.h"
#include "base/status.h"

namespace parley {
namespace {

constexpr char kMagic[] = "PRLYSHRD";
constexpr size_t kMagicSize = 8;
constexpr uint32_t kFormatVersion = 1;
constexpr uint32_t kIncrementalVersion = 2;      // so that who knows only whole ones refuses it
constexpr size_t kChecked = kMagicSize + 4 + 4;  // of the prefix, what its checksum covers
constexpr size_t kPrefixSize = kChecked + 4;
constexpr size_t kMaxHeaderSize = std::numeric_limits<int32_t>::max();  // protobuf's limit

uint32_t LoadU32(const char* bytes) {
  uint32_t value;
  std::memcpy(&value, bytes, sizeof(value));
  return value;
}

void AppendU32(uint32_t value, std::string* bytes) {
  bytes->append(reinterpret_cast<const char*>(&value), sizeof(value));
}

absl::Status Damaged(const std::string& path, absl::string_view why) {
  return absl::DataLossError(absl::StrCat(path, ": ", why));
}

// Whether the arrays that `layout` declares fill the file from arrays_begin to its end. Every sum
// stays below the file's size, so none overflows.
absl::Status CheckArrays(const ShardLayout& layout, const std::string& path, int64_t file_size) {
  constexpr int64_t kMaxSlots = 64;
  constexpr int64_t kMaxRowBytes = 64 << 10;
  int64_t room = file_size - layout.arrays_begin;
  if (room < 0) return Damaged(path, "it ends within its header");
  for (const v1::ShardHeader::Block& block : layout.header.blocks()) {
    if (block.size() <= 0 || block.offset() < 0) return Damaged(path, "a block has no elements");
    if (block.num_slots() < 0 || block.num_slots() > kMaxSlots) {
      return Damaged(path, "a block's number of slots is absurd");
    }
    if (block.unchanged()) {
      if (!layout.header.has_base_step()) return Damaged(path, "it lacks a block");
      continue;
    }
    const int64_t arrays = 1 + block.num_slots();
    if (block.size() > room || ArrayBytes(block.size()) > room / arrays) {
      return Damaged(path, absl::StrCat("it ends within block ", block.block(), " of parameter ",
                                        block.parameter()));
    }
    room -= arrays * ArrayBytes(block.size());
  }
  for (const v1::ShardHeader::Table& table : layout.header.tables()) {
    if (table.row_bytes() < 1 || table.row_bytes() > kMaxRowBytes) {
      return Damaged(path,
                     absl::StrCat("the rows of table ", table.name(), " have an absurd size"));
    }
    for (const v1::ShardHeader::Table::VirtualShard& part : table.virtual_shards()) {
      const int64_t most = room / (static_cast<int64_t>(sizeof(uint64_t)) + table.row_bytes());
      const int64_t keys = PaddedBytes(std::min(part.rows(), most) * int64_t{sizeof(uint64_t)});
      const int64_t rows = PaddedBytes(std::min(part.rows(), most) * table.row_bytes());
      if (part.rows() < 1 || part.rows() > most || keys + rows > room) {
        return Damaged(path, absl::StrCat("it ends within virtual shard ", part.virtual_shard(),
                                          " of table ", table.name()));
      }
      room -= keys + rows;
    }
  }
  if (room != 0) return Damaged(path, absl::StrCat("it has ", room, " bytes too many"));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> EncodeShardHeader(const v1::ShardHeader& header) {
  const std::string message = header.SerializeAsString();
  if (message.size() > kMaxHeaderSize || message.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("a shard file's header of ", message.size(), " bytes"));
  }
  std::string bytes(kMagic, kMagicSize);
  AppendU32(header.has_base_step() ? kIncrementalVersion : kFormatVersion, &bytes);
  AppendU32(static_cast<uint32_t>(message.size()), &bytes);
  const uint32_t crc = ExtendCrc32c(Crc32c(bytes.data(), kChecked), message.data(), message.size());
  AppendU32(crc, &bytes);
  return bytes + message;
}

absl::StatusOr<ShardLayout> ReadShardHeader(const ReadableFile& file, const std::string& path) {
  char prefix[kPrefixSize];
  if (file.size() < static_cast<int64_t>(kPrefixSize)) return Damaged(path, "it is too short");
  PARLEY_RETURN_IF_ERROR(file.ReadAt(0, prefix, kPrefixSize));
  if (std::memcmp(prefix, kMagic, kMagicSize) != 0) return Damaged(path, "it is no shard file");
  const uint32_t length = LoadU32(prefix + kMagicSize + 4);
  if (length > kMaxHeaderSize || length > file.size() - static_cast<int64_t>(kPrefixSize)) {
    return Damaged(path, "it ends within its header");
  }
  std::string message(length, '\0');
  PARLEY_RETURN_IF_ERROR(file.ReadAt(kPrefixSize, &message[0], length));
  if (ExtendCrc32c(Crc32c(prefix, kChecked), message.data(), length) !=
      LoadU32(prefix + kChecked)) {
    return Damaged(path, "its header's checksum does not agree");
  }
  const uint32_t version = LoadU32(prefix + kMagicSize);
  if (version != kFormatVersion && version != kIncrementalVersion) {
    return absl::FailedPreconditionError(absl::StrCat(path, ": its format is version ", version,
                                                      ", known are ", kFormatVersion, " and ",
                                                      kIncrementalVersion));
  }
  ShardLayout layout;
  if (!layout.header.ParseFromString(message)) {
    return Damaged(path, "its header cannot be parsed");
  }
  if (layout.header.has_base_step() != (version == kIncrementalVersion)) {
    return Damaged(path, "its header has a base or not, unlike its version");
  }
  const int64_t end = static_cast<int64_t>(kPrefixSize + length);
  constexpr int64_t kAlignment = kArrayAlignment;
  layout.arrays_begin = (end + kAlignment - 1) / kAlignment * kAlignment;
  PARLEY_RETURN_IF_ERROR(CheckArrays(layout, path, file.size()));
  return layout;
}

}  // namespace parley
