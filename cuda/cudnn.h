#ifndef PARLEY_CUDA_CUDNN_H_
#define PARLEY_CUDA_CUDNN_H_

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tensor/dtype.h"
#include "tensor/ops.h"

namespace parley {

// The sizes of one convolution; images are [batch, height, width, channels].
struct ConvolutionSizes {
  int64_t batch = 0;
  int64_t height = 0;  // of the input
  int64_t width = 0;
  int64_t in_channels = 0;
  int64_t out_channels = 0;
  Window window;
  DType dtype = DType::kFloat32;

  int64_t out_height() const { return window.OutputHeight(height); }
  int64_t out_width() const { return window.OutputWidth(width); }
};

// What is computed from what: y from x and the filter, dx from dy and the filter, the filter's
// gradient from x and dy.
enum class ConvolutionPass { kForward, kInputGradient, kFilterGradient };

// cuDNN's convolutions on one device and one stream, of its algorithms only those that give the
// same bits on each call. Its filters are [channels out, height, width, channels in]. Thread
// safety: one thread at a time, with the device current.
class Cudnn {
 public:
  virtual ~Cudnn() = default;

  // UNAVAILABLE where the library is missing; UNIMPLEMENTED when Parley was built without its
  // headers. TF32 as in Cublas.
  static absl::StatusOr<std::unique_ptr<Cudnn>> Open(cudaStream_t stream, bool allow_tf32);

  // How many bytes of workspace this convolution takes; UNIMPLEMENTED when cuDNN has no algorithm
  // for it.
  virtual absl::StatusOr<size_t> WorkspaceBytes(ConvolutionPass pass,
                                                const ConvolutionSizes& sizes) = 0;
  // Enqueues out = (add ? out : 0) + the convolution of `first` and `second`, in ConvolutionPass'
  // order. UNIMPLEMENTED, with nothing enqueued, as above.
  virtual absl::Status Run(ConvolutionPass pass, const ConvolutionSizes& sizes, const void* first,
                           const void* second, bool add, void* out, void* workspace) = 0;
};

}  // namespace parley

#endif  // PARLEY_CUDA_CUDNN_H_
