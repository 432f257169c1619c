#ifndef PARLEY_NN_TESTING_GRADIENT_CHECK_H_
#define PARLEY_NN_TESTING_GRADIENT_CHECK_H_

#include <functional>
#include <vector>

#include "nn/variable.h"

namespace parley::nn {

// Expects that the gradients of `function` with respect to all `inputs` agree with central
// differences: of a random weighting of its outputs, summed in float64, with steps that float32
// resolves. Inputs are CPU parameters.
void ExpectGradientsAgree(const std::function<Variable(const std::vector<Variable>&)>& function,
                          std::vector<Variable> inputs, uint64_t seed);

}  // namespace parley::nn

#endif  // PARLEY_NN_TESTING_GRADIENT_CHECK_H_
