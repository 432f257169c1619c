#ifndef PARLEY_BENCH_STREAM_MIX_H_
#define PARLEY_BENCH_STREAM_MIX_H_

#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"

namespace parley::bench {

// The arrays that a round's pass goes through, each of `size` elements.
struct StreamMix {
  absl::Span<const void* const> gradients;  // read: 1, 2, 4 or 8
  bool half_gradients = false;              // of 16 bits, else of float32
  const float* values = nullptr;            // read
  float* new_values = nullptr;              // written
  absl::Span<float* const> slots;           // read and written in place: 0 to 3
  uint16_t* copy = nullptr;                 // written, unless null
  size_t size = 0;
};

// What the memory of this machine gives to such a pass: McCalpin's STREAM, with as many arrays read
// and written. A plain loop, as the compiler vectorises it: an addition for each array that is
// read.
void RunStreamMix(const StreamMix& mix);

}  // namespace parley::bench

#endif  // PARLEY_BENCH_STREAM_MIX_H_
