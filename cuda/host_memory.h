#ifndef PARLEY_CUDA_HOST_MEMORY_H_
#define PARLEY_CUDA_HOST_MEMORY_H_

#include <memory>

#include "cuda/allocator.h"

namespace parley {

// Host memory that stays in place (pinned), from and to which all devices copy by themselves,
// beside everything else; ordinary memory where no more can be pinned, which is copied slower.
std::unique_ptr<RawAllocator> NewPinnedMemory();

}  // namespace parley

#endif  // PARLEY_CUDA_HOST_MEMORY_H_
