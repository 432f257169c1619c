#ifndef PARLEY_CUDA_KERNELS_PHILOX_CUH_
#define PARLEY_CUDA_KERNELS_PHILOX_CUH_

#include <cuda_runtime.h>

#include <cstdint>

namespace parley {

// The four words of Philox4x32-10 at (counter_high, counter_low) of the stream named by `key`: bit
// for bit those of base/philox.h.
__device__ __forceinline__ uint4 DevicePhilox(uint64_t key, uint64_t counter_high,
                                              uint64_t counter_low) {
  uint32_t key0 = static_cast<uint32_t>(key), key1 = static_cast<uint32_t>(key >> 32);
  uint4 c =
      make_uint4(static_cast<uint32_t>(counter_low), static_cast<uint32_t>(counter_low >> 32),
                 static_cast<uint32_t>(counter_high), static_cast<uint32_t>(counter_high >> 32));
#pragma unroll
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{0xD2511F53} * c.x;
    const uint64_t product1 = uint64_t{0xCD9E8D57} * c.z;
    c = make_uint4(
        static_cast<uint32_t>(product1 >> 32) ^ c.y ^ key0, static_cast<uint32_t>(product1),
        static_cast<uint32_t>(product0 >> 32) ^ c.w ^ key1, static_cast<uint32_t>(product0));
    key0 += 0x9E3779B9;
    key1 += 0xBB67AE85;
  }
  return c;
}

}  // namespace parley

#endif  // PARLEY_CUDA_KERNELS_PHILOX_CUH_
