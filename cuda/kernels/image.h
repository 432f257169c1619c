#ifndef PARLEY_CUDA_KERNELS_IMAGE_H_
#define PARLEY_CUDA_KERNELS_IMAGE_H_

#include <cstdint>

#include "tensor/ops.h"

namespace parley {

// The shape of images [batch, height, width, channels] over which a window slides, and of the
// outputs [batch, out_height, out_width, channels]. The window fits.
struct ImageShape {
  int64_t batch = 0;
  int64_t height = 0;
  int64_t width = 0;
  int64_t channels = 0;

  int64_t elements() const { return batch * height * width * channels; }
  // Of all outputs of `window`, in pixels: elements but for the channels.
  int64_t output_pixels(const Window& window) const {
    return batch * window.OutputHeight(height) * window.OutputWidth(width);
  }
};

}  // namespace parley

#endif  // PARLEY_CUDA_KERNELS_IMAGE_H_
