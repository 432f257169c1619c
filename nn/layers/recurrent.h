#ifndef PARLEY_NN_LAYERS_RECURRENT_H_
#define PARLEY_NN_LAYERS_RECURRENT_H_

#include <memory>
#include <string>

#include "nn/module.h"

namespace parley::nn {

// Recurrent layers x [batch, time, inputs] -> [batch, time, units], the states h after each time,
// of which the first begins with zeros. The products of all times with the inputs' kernel are made
// at once. s is the sigmoid, * elementwise. Kernels begin uniform in +-1 / sqrt(units), biases as
// zeros.

// Hochreiter and Schmidhuber, 1997, with the forget gate of Gers et al., 2000:
//   (i f g o) = x kernel + h recurrent_kernel + bias
//   c = s(f) * c + s(i) * tanh(g);  h = s(o) * tanh(c)
// Parameters "<name>/kernel" [inputs, 4 units], "<name>/recurrent_kernel" [units, 4 units] and
// "<name>/bias" [4 units], the gates side by side in the order above.
std::unique_ptr<Module> NewLstm(Backend* backend, const std::string& name, int64_t inputs,
                                int64_t units);

// Cho et al., 2014, with the reset gate after the product (as cuDNN, PyTorch and Keras):
//   (r z n) = x kernel + bias;  (r' z' n') = h recurrent_kernel + recurrent_bias
//   u = s(z + z');  h = (1 - u) * tanh(n + s(r + r') * n') + u * h
// Parameters "<name>/kernel" [inputs, 3 units], "<name>/recurrent_kernel" [units, 3 units],
// "<name>/bias" [3 units] and "<name>/recurrent_bias" [3 units].
std::unique_ptr<Module> NewGru(Backend* backend, const std::string& name, int64_t inputs,
                               int64_t units);

}  // namespace parley::nn

#endif  // PARLEY_NN_LAYERS_RECURRENT_H_
