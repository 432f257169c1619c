#ifndef PARLEY_CUDA_KERNELS_TILING_H_
#define PARLEY_CUDA_KERNELS_TILING_H_

#include <algorithm>
#include <cstdint>

namespace parley {

// How reductions are cut into blocks of threads. Everything follows from the shape alone, so that a
// result does not depend on the device. Pure functions.

constexpr int kReduceThreads = 256;
// Blocks that keep a large device (some 130 multiprocessors) busy; more bring nothing.
constexpr int64_t kReduceBlocks = 1024;

constexpr int64_t CeilDivide(int64_t a, int64_t b) { return (a + b - 1) / b; }

// The least power of two that is not below `value`.
constexpr int64_t PowerOfTwoFrom(int64_t value) {
  int64_t power = 1;
  while (power < value) power *= 2;
  return power;
}

// A block of kReduceThreads makes `outputs` results, each by `lanes` threads. Split s of each
// result is of the elements [s * split_size, (s + 1) * split_size); with more than one, their sums
// are joined by a second launch.
struct ReduceTiling {
  int outputs = 1;
  int lanes = kReduceThreads;
  int64_t blocks = 1;  // for all outputs; times splits
  int64_t splits = 1;
  int64_t split_size = 0;
};

// `outputs` > 0. `neighbours_are_outputs`: elements side by side in memory belong to different
// outputs, so that a block should make some beside each other.
constexpr ReduceTiling TileReduction(int64_t outputs, int64_t elements,
                                     bool neighbours_are_outputs) {
  ReduceTiling tiling;
  int64_t lanes = std::min<int64_t>(PowerOfTwoFrom(elements), kReduceThreads);
  if (neighbours_are_outputs) {
    lanes = std::min(lanes, kReduceThreads / std::min<int64_t>(PowerOfTwoFrom(outputs), 32));
  } else if (elements < 2048) {
    lanes = std::min<int64_t>(lanes, 32);
  }
  tiling.lanes = static_cast<int>(lanes);
  tiling.outputs = kReduceThreads / tiling.lanes;
  tiling.blocks = CeilDivide(outputs, tiling.outputs);
  // A thread adds at least 16 elements.
  const int64_t splits = std::max<int64_t>(
      std::min(kReduceBlocks / tiling.blocks, elements / (int64_t{16} * tiling.lanes)), 1);
  tiling.split_size = std::max<int64_t>(CeilDivide(elements, splits), 1);
  tiling.splits = std::max<int64_t>(CeilDivide(elements, tiling.split_size), 1);
  return tiling;
}

}  // namespace parley

#endif  // PARLEY_CUDA_KERNELS_TILING_H_
