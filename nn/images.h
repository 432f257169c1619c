#ifndef PARLEY_NN_IMAGES_H_
#define PARLEY_NN_IMAGES_H_

#include "nn/variable.h"
#include "tensor/ops.h"

namespace parley::nn {

// Differentiable functions of images x [batch, height, width, channels]. A window that does not fit
// is a failed CHECK.

// filter [window.height, window.width, channels, out channels]
Variable Conv2d(const Variable& x, const Variable& filter, const Window& window);
// The largest of each window; the gradient goes to the first of equal ones.
Variable MaxPool2d(const Variable& x, const Window& window);
// The sum of each window over the window's size, padding counted as zeros.
Variable AvgPool2d(const Variable& x, const Window& window);
// The mean over height and width, of which neither is 0: [batch, channels].
Variable GlobalAvgPool2d(const Variable& x);

}  // namespace parley::nn

#endif  // PARLEY_NN_IMAGES_H_
