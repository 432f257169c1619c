#ifndef PARLEY_NN_MODULE_H_
#define PARLEY_NN_MODULE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "base/initializer.h"
#include "nn/variable.h"

namespace parley::nn {

// A parameter of a model: its name ("conv1/filter"), how it begins, and its value. Copying shares
// the value.
struct Parameter {
  std::string name;
  Initializer initializer;
  Variable variable;

  // Set for a parameter that is not learned but follows a statistic of the batches (BatchNorm2d's
  // moving mean and variance): the share that a new value has in it. Its gradient is value -
  // statistic, so that SGD with this learning rate makes it (1 - averaged) * value + averaged *
  // statistic: its own optimizer, without decay, momentum or clipping, whatever the others have.
  // So it is averaged over the workers, kept and restored like every other parameter.
  std::optional<float> averaged = std::nullopt;
};

// What a forward pass is for.
struct ForwardContext {
  // Dropout drops, and batch normalisation uses the batch's own statistics.
  bool training = false;
  // What is random is a function of these two and the layer's name. A worker has a seed of its own.
  uint64_t seed = 0;
  int64_t step = 0;
  // What is computed in where the input does not say: an embedding of integers, and whole models
  // (models.h). A layer computes in its input's dtype; parameters are float32 and cast to it.
  DType dtype = DType::kFloat32;
  // The scale that Backward will get: `averaged` parameters multiply their gradient by it too.
  double loss_scale = 1;
};

// A Module is a function with parameters: a layer, or a model made of layers.
// Thread safety: none; see Variable. Owns its parameters.
class Module {
 public:
  virtual ~Module() = default;

  virtual Variable Forward(const Variable& x, const ForwardContext& context) = 0;
  // The same for a model of several inputs, which says which; one of one input takes that.
  virtual Variable ForwardInputs(absl::Span<const Variable> inputs, const ForwardContext& context);
  // As it is used when it has learned.
  Variable Forward(const Variable& x) { return Forward(x, ForwardContext()); }
  // In an order that never changes. Until they are initialised or bound, their values are not.
  virtual std::vector<Parameter> parameters() const { return {}; }
};

}  // namespace parley::nn

#endif  // PARLEY_NN_MODULE_H_
