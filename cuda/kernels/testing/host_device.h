#ifndef PARLEY_CUDA_KERNELS_TESTING_HOST_DEVICE_H_
#define PARLEY_CUDA_KERNELS_TESTING_HOST_DEVICE_H_

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>

// What device code needs of its language, so that a C++ compiler makes programs of the kernels that
// run here, without a GPU: to test what they compute. A .cu file is included after this header,
// which also takes the place of cuda/kernels/launch.cuh.
//
// Every thread of a block is a fiber with a stack of its own. Fibers change where threads would
// wait for each other, in an order that varies, so that a barrier that is missing is noticed; a
// barrier that not all threads reach aborts. Blocks run one after the other; a launch returns when
// its kernel has ended. Thread safety: one launch at a time.

#define cudaMemsetAsync parley::host_device::SetMemory

#undef __device__
#undef __forceinline__
#undef __global__
#undef __launch_bounds__
#undef __shared__
#define __device__
#define __forceinline__ inline
#define __global__
#define __launch_bounds__(...)
#define __shared__ static

extern dim3 gridDim, blockDim;
extern uint3 blockIdx, threadIdx;

namespace parley::host_device {

// Runs `thread` as every thread of every block.
void Run(dim3 blocks, dim3 threads, const std::function<void()>& thread);
// Device memory is the host's.
inline cudaError_t SetMemory(void* memory, int value, size_t bytes, cudaStream_t /*stream*/) {
  std::memset(memory, value, bytes);
  return cudaSuccess;
}
void WaitForBlock();
// The values that this thread and the others of its warp give; to be read before the next exchange.
const double* Exchange(double value);
int Lane();
[[noreturn]] void Trap();

}  // namespace parley::host_device

inline void __syncthreads() { parley::host_device::WaitForBlock(); }

template <typename T>
T __shfl_xor_sync(unsigned /*mask*/, T value, int distance) {
  namespace device = parley::host_device;
  return static_cast<T>(device::Exchange(static_cast<double>(value))[device::Lane() ^ distance]);
}

inline unsigned __ballot_sync(unsigned /*mask*/, bool vote) {
  const double* const votes = parley::host_device::Exchange(vote ? 1 : 0);
  unsigned ballot = 0;
  for (int lane = 0; lane < 32; ++lane) ballot |= votes[lane] != 0 ? 1u << lane : 0;
  return ballot;
}

inline int __ffs(int value) { return __builtin_ffs(value); }
[[noreturn]] inline void __trap() { parley::host_device::Trap(); }

inline int min(int a, int b) { return std::min(a, b); }
inline int64_t min(int64_t a, int64_t b) { return std::min(a, b); }
inline int max(int a, int b) { return std::max(a, b); }

#define PARLEY_CUDA_KERNELS_LAUNCH_CUH_

namespace parley {

template <typename... Parameters, typename... Arguments>
cudaError_t LaunchKernel(void (*kernel)(Parameters...), dim3 blocks, dim3 threads,
                         cudaStream_t /*stream*/, Arguments... arguments) {
  host_device::Run(blocks, threads, [=] { kernel(static_cast<Parameters>(arguments)...); });
  return cudaSuccess;
}

}  // namespace parley

#endif  // PARLEY_CUDA_KERNELS_TESTING_HOST_DEVICE_H_
