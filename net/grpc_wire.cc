#include "net/grpc_wire.h"

#include <google/protobuf/io/coded_stream.h>
#include <grpc/grpc.h>
#include <grpcpp/support/slice.h>

#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/tsan.h"
#include "net/grpc_status.h"

namespace parley {
namespace {

using Owner = std::shared_ptr<const void>;

constexpr uint32_t kPayloadTag = (kPayloadField << 3) | 2;  // field number, length-delimited

// Slices may be dropped after the last server and channel are gone, so gRPC stays initialised once
// it was used.
void KeepGrpcInitialised() {
  [[maybe_unused]] static const bool kInitialised = (grpc_init(), true);
}

void DropOwner(void* owner) {
  TsanAcquire(owner);
  delete static_cast<Owner*>(owner);
}

grpc::Slice ToGrpcSlice(const Payload::Slice& slice) {
  if (slice.owner == nullptr) {
    return grpc::Slice(slice.data, slice.size, grpc::Slice::STATIC_SLICE);
  }
  auto* owner = new Owner(slice.owner);
  TsanRelease(owner);
  return grpc::Slice(const_cast<std::byte*>(slice.data), slice.size, &DropOwner, owner);
}

// Slices for gRPC, one after another: what is small is copied, many pieces into one slice, since
// gRPC's work for a slice costs as much as copying a KiB or two.
class SliceWriter {
 public:
  explicit SliceWriter(size_t pieces) { slices_.reserve(pieces); }

  // `data` must stay until Finish.
  void Copy(const void* data, size_t size) {
    if (gathered_ + size > kGathered) Flush();
    pieces_.emplace_back(data, size);
    gathered_ += size;
  }
  void Append(const Payload::Slice& slice) {
    if (slice.size < kSmall) return Copy(slice.data, slice.size);
    Flush();
    slices_.push_back(ToGrpcSlice(slice));
  }
  grpc::ByteBuffer Finish() {
    Flush();
    return grpc::ByteBuffer(slices_.data(), slices_.size());
  }

 private:
  static constexpr size_t kSmall = 4 << 10;
  static constexpr size_t kGathered = 64 << 10;  // of one slice, unless a piece is larger

  void Flush() {
    if (gathered_ == 0) return;
    grpc_slice together = grpc_slice_malloc(gathered_);
    uint8_t* out = GRPC_SLICE_START_PTR(together);
    for (const auto& [data, size] : pieces_) {
      std::memcpy(out, data, size);
      out += size;
    }
    slices_.emplace_back(together, grpc::Slice::STEAL_REF);
    pieces_.clear();
    gathered_ = 0;
  }

  std::vector<grpc::Slice> slices_;
  std::vector<std::pair<const void*, size_t>> pieces_;  // not written yet
  size_t gathered_ = 0;                                 // bytes of these
};

absl::Status Malformed(size_t offset, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("malformed message: ", what, " at byte ", offset));
}

// Reads protobuf's wire format from slices. Every read is bounds-checked and fails at the end of
// the bytes.
class Scanner {
 public:
  explicit Scanner(const Payload& bytes) : bytes_(bytes) {}

  size_t offset() const { return offset_; }
  size_t remaining() const { return bytes_.size() - offset_; }

  // As protobuf reads varints: at most `max_bytes` long, higher bits than 64 dropped.
  bool ReadVarint(int max_bytes, uint64_t* value) {
    *value = 0;
    for (int i = 0; i < max_bytes; ++i) {
      if (remaining() == 0) return false;
      const uint64_t byte = std::to_integer<uint64_t>(bytes_.slices()[slice_].data[in_slice_]);
      Skip(1);
      *value |= (byte & 0x7f) << (7 * i);
      if (byte < 0x80) return true;
    }
    return false;
  }

  bool Skip(size_t count) {
    if (count > remaining()) return false;
    offset_ += count;
    in_slice_ += count;
    while (slice_ < bytes_.slices().size() && in_slice_ >= bytes_.slices()[slice_].size) {
      in_slice_ -= bytes_.slices()[slice_].size;
      ++slice_;
    }
    return true;
  }

 private:
  const Payload& bytes_;
  size_t offset_ = 0;
  size_t slice_ = 0;
  size_t in_slice_ = 0;
};

void AppendTo(const Payload& bytes, std::string* out) {
  const size_t old_size = out->size();
  out->resize(old_size + bytes.size());
  bytes.CopyTo(out->data() + old_size);
}

// Cuts `message` into its payload field and the bytes of all other fields, which are few and are
// copied to `rest`. Only finds where fields end; whether they are sound is left to protobuf, which
// parses `rest`.
absl::Status SplitOffPayload(const Payload& message, std::string* rest, Payload* payload) {
  Scanner scanner(message);
  size_t rest_begin = 0;  // of the bytes not yet copied to `rest`
  int group_depth = 0;    // field 15 of a group (an unknown field) is not the payload
  while (scanner.remaining() > 0) {
    const size_t field_begin = scanner.offset();
    uint64_t wide_tag;
    if (!scanner.ReadVarint(5, &wide_tag)) return Malformed(field_begin, "a bad tag");
    const uint32_t tag = static_cast<uint32_t>(wide_tag);
    if (tag >> 3 == 0) return Malformed(field_begin, "field number 0");
    uint64_t length = 0;
    bool sound = true;
    switch (tag & 7) {
      case 0:
        sound = scanner.ReadVarint(10, &length);
        break;
      case 1:
        sound = scanner.Skip(8);
        break;
      case 2: {
        sound = scanner.ReadVarint(5, &length);
        const size_t begin = scanner.offset();
        sound = sound && scanner.Skip(length);
        if (sound && tag == kPayloadTag && group_depth == 0) {
          AppendTo(message.Sub(rest_begin, field_begin - rest_begin), rest);
          rest_begin = scanner.offset();
          *payload = message.Sub(begin, length);
        }
        break;
      }
      case 3:
        ++group_depth;
        break;
      case 4:
        sound = --group_depth >= 0;
        break;
      case 5:
        sound = scanner.Skip(4);
        break;
      default:
        sound = false;
    }
    if (!sound) return Malformed(field_begin, absl::StrCat("a bad field ", tag >> 3));
  }
  AppendTo(message.Sub(rest_begin, message.size() - rest_begin), rest);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<grpc::ByteBuffer> EncodeMessage(const google::protobuf::MessageLite& message,
                                               const Payload& payload) {
  KeepGrpcInitialised();
  constexpr size_t kLimit = std::numeric_limits<int32_t>::max();
  std::string head;
  if (message.ByteSizeLong() > kLimit || payload.size() > kLimit ||
      !message.SerializePartialToString(&head)) {
    return absl::InvalidArgumentError(absl::StrCat("a message of ", message.ByteSizeLong(),
                                                   " bytes with ", payload.size(),
                                                   " bytes of payload is over protobuf's 2 GiB"));
  }
  if (!payload.empty()) {
    uint8_t prefix[16];
    uint8_t* end =
        google::protobuf::io::CodedOutputStream::WriteVarint32ToArray(kPayloadTag, prefix);
    end = google::protobuf::io::CodedOutputStream::WriteVarint32ToArray(
        static_cast<uint32_t>(payload.size()), end);
    head.append(reinterpret_cast<const char*>(prefix), end - prefix);
  }
  SliceWriter writer(payload.slices().size() + 1);
  writer.Copy(head.data(), head.size());
  for (const Payload::Slice& slice : payload.slices()) writer.Append(slice);
  return writer.Finish();
}

absl::Status DecodeMessage(const grpc::ByteBuffer& buffer, google::protobuf::MessageLite* message,
                           Payload* payload) {
  KeepGrpcInitialised();
  const auto slices = std::make_shared<std::vector<grpc::Slice>>();
  if (buffer.Valid()) {
    if (const grpc::Status status = buffer.Dump(slices.get()); !status.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("unreadable message: ", FromGrpcStatus(status).message()));
    }
  }
  // Small slices hold their bytes in themselves: `slices` is the owner and does not change from
  // here on.
  Payload whole;
  for (const grpc::Slice& slice : *slices) whole.Append(slice.begin(), slice.size(), slices);
  std::string rest;
  if (payload != nullptr) {
    if (absl::Status status = SplitOffPayload(whole, &rest, payload); !status.ok()) return status;
  } else {
    AppendTo(whole, &rest);
  }
  if (!message->ParseFromString(rest)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "malformed message: ", whole.size(), " bytes that are not a ", message->GetTypeName()));
  }
  return absl::OkStatus();
}

}  // namespace parley
