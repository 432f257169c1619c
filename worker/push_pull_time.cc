#include "worker/push_pull_time.h"

#include <algorithm>

namespace parley {

WaitParts SplitWait(absl::Duration wait, const PushPullTime& request) {
  const absl::Duration zero = absl::ZeroDuration();
  const absl::Duration whole = std::max(zero, request.answered - request.sent);
  const absl::Duration held = std::clamp(request.held, zero, whole);
  const absl::Duration waited = std::clamp(request.waited, zero, held);
  const absl::Duration wire = whole - held;
  const int64_t bytes = request.pushed_bytes + request.pulled_bytes;
  const double down =
      bytes > 0 ? static_cast<double>(request.pulled_bytes) / static_cast<double>(bytes) : 0.5;
  // From the end backwards.
  absl::Duration left = std::max(zero, wait);
  const auto take = [&left](absl::Duration part) {
    const absl::Duration taken = std::min(left, part);
    left -= taken;
    return taken;
  };
  WaitParts parts;
  parts.wire = take(wire * down);
  parts.shard = take(held - waited);
  parts.workers = take(waited);
  if (parts.workers > zero) parts.worker = request.waited_for;
  parts.wire += left;
  return parts;
}

}  // namespace parley
