#include <cub/device/device_radix_sort.cuh>

#include "cuda/kernels/sort_pairs.h"

namespace parley {

cudaError_t SortPairsScratchBytes(int64_t count, size_t* bytes) {
  *bytes = 0;
  const uint32_t* const keys = nullptr;
  const int32_t* const values = nullptr;
  return cub::DeviceRadixSort::SortPairs(nullptr, *bytes, keys, static_cast<uint32_t*>(nullptr),
                                         values, static_cast<int32_t*>(nullptr),
                                         static_cast<int>(count), 0, 32);
}

cudaError_t LaunchSortPairs(const uint32_t* keys, const int32_t* values, int64_t count, int bits,
                            uint32_t* sorted_keys, int32_t* sorted_values, void* scratch,
                            size_t scratch_bytes, cudaStream_t stream) {
  return cub::DeviceRadixSort::SortPairs(scratch, scratch_bytes, keys, sorted_keys, values,
                                         sorted_values, static_cast<int>(count), 0, bits, stream);
}

}  // namespace parley
