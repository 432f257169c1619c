#ifndef PARLEY_CUDA_DEVICE_MEMORY_H_
#define PARLEY_CUDA_DEVICE_MEMORY_H_

#include <memory>

#include "cuda/allocator.h"

namespace parley {

// Memory of CUDA device number `device`, which exists. Free waits for all work of the device.
std::unique_ptr<RawAllocator> NewDeviceMemory(int device);

}  // namespace parley

#endif  // PARLEY_CUDA_DEVICE_MEMORY_H_
