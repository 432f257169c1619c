#ifndef PARLEY_NET_NORM_SUMS_H_
#define PARLEY_NET_NORM_SUMS_H_

#include "absl/strings/string_view.h"
#include "proto/job.pb.h"

namespace parley {

// How many sums of squares a block's update needs first: 0 for optimizers that need no norms.
inline int NumNormSums(const v1::Optimizer& optimizer) {
  if (optimizer.has_lamb() || optimizer.has_lars()) return 2;
  return optimizer.clip_norm() > 0 ? 1 : 0;
}

// The field because of which it needs norms, for messages: "lamb", "lars" or "clip_norm".
inline absl::string_view NormField(const v1::Optimizer& optimizer) {
  if (optimizer.has_lamb()) return "lamb";
  return optimizer.has_lars() ? "lars" : "clip_norm";
}

}  // namespace parley

#endif  // PARLEY_NET_NORM_SUMS_H_
