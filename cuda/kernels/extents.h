#ifndef PARLEY_CUDA_KERNELS_EXTENTS_H_
#define PARLEY_CUDA_KERNELS_EXTENTS_H_

#include <cstdint>
#include <vector>

namespace parley {

// A tensor's dimensions, outermost first: Shape::ToVector(). The kernels' headers do without Shape,
// which nvcc need not read.
using Extents = std::vector<int64_t>;

}  // namespace parley

#endif  // PARLEY_CUDA_KERNELS_EXTENTS_H_
