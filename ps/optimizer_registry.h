#ifndef PARLEY_PS_OPTIMIZER_REGISTRY_H_
#define PARLEY_PS_OPTIMIZER_REGISTRY_H_

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace parley {

class Optimizer;  // ps/optimizer.h

// Optimizers that a program brings of its own, by the name under which a job asks for them
// (Optimizer.custom in proto/job.proto). A factory gets the job's options as they came over the
// wire, finite but otherwise unchecked: it answers INVALID_ARGUMENT, naming the option, to one that
// it does not know or that is out of range. It is called once for each parameter, and when a
// checkpoint is read; the same options must make equal optimizers. A value: no registration happens
// by linking alone.
using OptimizerFactory =
    std::function<absl::StatusOr<std::unique_ptr<Optimizer>>(const std::map<std::string, float>&)>;
using OptimizerRegistry = std::map<std::string, OptimizerFactory>;

}  // namespace parley

#endif  // PARLEY_PS_OPTIMIZER_REGISTRY_H_
