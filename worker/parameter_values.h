#ifndef PARLEY_WORKER_PARAMETER_VALUES_H_
#define PARLEY_WORKER_PARAMETER_VALUES_H_

#include <memory>
#include <vector>

#include "absl/types/span.h"

namespace parley {

// What a call of a Client takes and gives for one parameter. Values.

struct ParameterGradient {
  int parameter;                   // index in job().parameters()
  absl::Span<const float> values;  // the whole parameter, row-major; finite
};

struct ParameterTarget {
  int parameter;
  absl::Span<float> values;  // the whole parameter
};

// A parameter's values, uncopied where a shard on this host keeps them (for other shards, in memory
// of the client's). They do not change, and stay while `memory` is held: a shard writes each
// version into other memory than the one before it. Held for longer than until the next version has
// come, they cost the shard memory for one version more.
struct ParameterView {
  int parameter;
  std::vector<absl::Span<const float>> blocks;  // one after another they are the parameter
  std::shared_ptr<const void> memory;
};

}  // namespace parley

#endif  // PARLEY_WORKER_PARAMETER_VALUES_H_
