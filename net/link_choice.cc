#include "net/link_choice.h"

#include <algorithm>

namespace parley {

LinkChoice::Load::Load(const v1::PushPullRequest& request, size_t payload_bytes)
    : pushes(request.push_size() > 0), bytes(payload_bytes) {
  if (!pushes) return;
  const auto ends = std::minmax_element(request.push().begin(), request.push().end());
  first = *ends.first;
  last = *ends.second;
}

absl::optional<int> LinkChoice::Choose(const Load& load) const {
  absl::optional<int> taken;
  int least = 0;
  for (int i = 0; i < static_cast<int>(links_.size()); ++i) {
    const Link& link = links_[static_cast<size_t>(i)];
    const Link& best = links_[static_cast<size_t>(least)];
    if (load.pushes) {
      const bool overlaps = std::any_of(
          link.pushes.begin(), link.pushes.end(),
          [&](const Load& one) { return one.first <= load.last && load.first <= one.last; });
      if (overlaps && taken.has_value()) return absl::nullopt;
      if (overlaps) taken = i;
      if (link.bytes < best.bytes) least = i;
    } else if (link.others < best.others) {
      least = i;
    }
  }
  return taken.value_or(least);
}

void LinkChoice::Begin(int link, const Load& load) {
  Link& chosen = links_[static_cast<size_t>(link)];
  if (load.pushes) {
    chosen.pushes.push_back(load);
    chosen.bytes += load.bytes;
  } else {
    ++chosen.others;
  }
}

void LinkChoice::End(int link, const Load& load) {
  Link& chosen = links_[static_cast<size_t>(link)];
  if (!load.pushes) {
    --chosen.others;
    return;
  }
  chosen.bytes -= load.bytes;
  const auto it = std::find_if(chosen.pushes.begin(), chosen.pushes.end(), [&](const Load& one) {
    return one.first == load.first && one.last == load.last && one.bytes == load.bytes;
  });
  *it = chosen.pushes.back();
  chosen.pushes.pop_back();
}

}  // namespace parley
