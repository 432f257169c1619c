#ifndef PARLEY_CUDA_KERNELS_LAUNCH_CUH_
#define PARLEY_CUDA_KERNELS_LAUNCH_CUH_

#include <cuda_runtime.h>

namespace parley {

// Starts `kernel` in `stream`, and says whether that went well.
template <typename... Parameters, typename... Arguments>
cudaError_t LaunchKernel(void (*kernel)(Parameters...), dim3 blocks, dim3 threads,
                         cudaStream_t stream, Arguments... arguments) {
  kernel<<<blocks, threads, 0, stream>>>(static_cast<Parameters>(arguments)...);
  return cudaGetLastError();
}

}  // namespace parley

#endif  // PARLEY_CUDA_KERNELS_LAUNCH_CUH_
