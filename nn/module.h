#ifndef PARLEY_NN_MODULE_H_
#define PARLEY_NN_MODULE_H_

#include <string>
#include <vector>

#include "base/initializer.h"
#include "nn/variable.h"

namespace parley::nn {

// A parameter of a model: its name ("conv1/filter"), how it begins, and its value. Copying shares
// the value.
struct Parameter {
  std::string name;
  Initializer initializer;
  Variable variable;
};

// A Module is a function with parameters: a layer, or a model made of layers.
// Thread safety: none; see Variable. Owns its parameters.
class Module {
 public:
  virtual ~Module() = default;

  virtual Variable Forward(const Variable& x) = 0;
  // In an order that never changes. Until they are initialised or bound, their values are not.
  virtual std::vector<Parameter> parameters() const { return {}; }
};

}  // namespace parley::nn

#endif  // PARLEY_NN_MODULE_H_
