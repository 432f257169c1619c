#include "worker/unpack_answer.h"

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "net/payload.h"

namespace parley {
namespace {

absl::Status CheckShape(int pushes, const ParameterServer::PushPullReply& reply,
                        const std::vector<absl::Span<float>>& targets) {
  const v1::PushPullResponse& response = reply.response;
  size_t bytes = 0;
  for (const absl::Span<float> target : targets) bytes += target.size() * sizeof(float);
  if (response.pushed_size() != pushes ||
      response.pulled_size() != static_cast<int>(targets.size()) || reply.payload.size() != bytes) {
    return absl::InternalError(absl::StrCat("malformed answer: ", response.pushed_size(),
                                            " blocks pushed, ", response.pulled_size(), " pulled, ",
                                            reply.payload.size(), " payload bytes; asked for ",
                                            pushes, ", ", targets.size(), ", ", bytes));
  }
  for (const v1::PushPullResponse::Pulled& pulled : response.pulled()) {
    if (pulled.version() >= 0) continue;
    return absl::InternalError(absl::StrCat("malformed answer: version ", pulled.version()));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status UnpackAnswer(int pushes, const ParameterServer::PushPullReply& reply,
                          const std::vector<absl::Span<float>>& targets) {
  if (absl::Status shape = CheckShape(pushes, reply, targets); !shape.ok()) return shape;
  size_t target = 0;
  size_t filled = 0;  // bytes of targets[target]
  for (const Payload::Slice& slice : reply.payload.slices()) {
    size_t read = 0;
    while (read < slice.size) {
      const size_t room = targets[target].size() * sizeof(float) - filled;
      const size_t taken = std::min(room, slice.size - read);  // an element may straddle slices
      std::memcpy(reinterpret_cast<std::byte*>(targets[target].data()) + filled, slice.data + read,
                  taken);
      read += taken;
      filled += taken;
      if (taken == room) {
        ++target;
        filled = 0;
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace parley
