#include "worker/unpack_answer.h"

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "net/payload.h"
#include "net/wire_dtype.h"

namespace parley {
namespace {

absl::Status CheckShape(int pushes, v1::DType dtype, const ParameterServer::PushPullReply& reply,
                        const std::vector<absl::Span<float>>& targets) {
  const v1::PushPullResponse& response = reply.response;
  size_t bytes = 0;
  for (const absl::Span<float> target : targets) bytes += target.size() * WireBytes(dtype);
  const int pulls = static_cast<int>(targets.size());
  if (response.staleness_size() != pushes || response.version_size() != pulls ||
      (response.skipped_size() != 0 && response.skipped_size() != pulls) ||
      reply.payload.size() != bytes) {
    return absl::InternalError(
        absl::StrCat("malformed answer: ", response.staleness_size(), " blocks pushed, ",
                     response.version_size(), " pulled, ", reply.payload.size(),
                     " payload bytes; asked for ", pushes, ", ", targets.size(), ", ", bytes));
  }
  for (const int64_t version : response.version()) {
    if (version >= 0) continue;
    return absl::InternalError(absl::StrCat("malformed answer: version ", version));
  }
  return absl::OkStatus();
}

// Writes elements to the targets, one after another.
class Filler {
 public:
  explicit Filler(const std::vector<absl::Span<float>>& targets) : targets_(targets) {}

  // The next `size` bytes; an element may straddle two calls.
  void Write(v1::DType dtype, const std::byte* data, size_t size) {
    const size_t element = WireBytes(dtype);
    if (have_ > 0) {
      const size_t taken = std::min(element - have_, size);
      std::memcpy(straddling_ + have_, data, taken);
      have_ += taken;
      data += taken;
      size -= taken;
      if (have_ < element) return;
      Fill(dtype, straddling_, 1);
    }
    const size_t whole = size / element;
    Fill(dtype, data, whole);
    have_ = size - whole * element;
    std::memcpy(straddling_, data + whole * element, have_);
  }

 private:
  void Fill(v1::DType dtype, const std::byte* data, size_t count) {
    while (count > 0) {
      const absl::Span<float> target = targets_[target_];
      const size_t taken = std::min(count, target.size() - filled_);
      FromWire(dtype, data, taken, target.data() + filled_);
      data += taken * WireBytes(dtype);
      count -= taken;
      filled_ += taken;
      if (filled_ < target.size()) return;
      ++target_;
      filled_ = 0;
    }
  }

  const std::vector<absl::Span<float>>& targets_;
  size_t target_ = 0;
  size_t filled_ = 0;  // elements of targets_[target_]
  std::byte straddling_[sizeof(float)] = {};
  size_t have_ = 0;  // bytes of it
};

}  // namespace

absl::Status UnpackAnswer(int pushes, v1::DType dtype, const ParameterServer::PushPullReply& reply,
                          const std::vector<absl::Span<float>>& targets) {
  if (absl::Status shape = CheckShape(pushes, dtype, reply, targets); !shape.ok()) return shape;
  if (!targets.empty() && targets[0].data() == nullptr) return absl::OkStatus();
  Filler filler(targets);
  for (const Payload::Slice& slice : reply.payload.slices()) {
    filler.Write(dtype, slice.data, slice.size);
  }
  return absl::OkStatus();
}

}  // namespace parley
