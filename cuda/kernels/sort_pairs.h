#ifndef PARLEY_CUDA_KERNELS_SORT_PAIRS_H_
#define PARLEY_CUDA_KERNELS_SORT_PAIRS_H_

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

namespace parley {

// A stable sort (elementwise.h says what holds for all kernels). `count` is below 2^31.

cudaError_t SortPairsScratchBytes(int64_t count, size_t* bytes);

// sorted_keys, sorted_values = keys and their values by the lowest `bits` bits of the keys.
cudaError_t LaunchSortPairs(const uint32_t* keys, const int32_t* values, int64_t count, int bits,
                            uint32_t* sorted_keys, int32_t* sorted_values, void* scratch,
                            size_t scratch_bytes, cudaStream_t stream);

}  // namespace parley

#endif  // PARLEY_CUDA_KERNELS_SORT_PAIRS_H_
