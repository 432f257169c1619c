#ifndef PARLEY_PS_GRADIENT_H_
#define PARLEY_PS_GRADIENT_H_

#include <memory>
#include <utility>

#include "absl/types/optional.h"
#include "net/payload.h"
#include "proto/job.pb.h"

namespace parley {

struct RowGradients;  // ps/shard_table.h

// A worker's gradient of one block, as it came: elements of `dtype` (net/wire_dtype.h), and what
// the chief says with it. A value.
struct Gradient {
  Gradient() = default;
  Gradient(Payload bytes, v1::DType type = v1::FLOAT32)  // NOLINT: a float32 payload is one
      : payload(std::move(bytes)), dtype(type) {}

  Payload payload;
  v1::DType dtype = v1::FLOAT32;
  absl::optional<float> rate_factor;  // of the learning rate, from this gradient's round on
  // The values that it was computed from, as many float32; null where nobody needs them.
  std::shared_ptr<const float> base;
  // Of the shard's part of a table, instead of a payload.
  std::shared_ptr<const RowGradients> rows;
};

}  // namespace parley

#endif  // PARLEY_PS_GRADIENT_H_
