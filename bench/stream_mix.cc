#include "bench/stream_mix.h"

#include <cstdlib>
#include <cstring>

namespace parley::bench {
namespace {

float Widened(float value) { return value; }
float Widened(uint16_t bits) {
  const uint32_t word = static_cast<uint32_t>(bits) << 16;
  float value;
  std::memcpy(&value, &word, sizeof(value));
  return value;
}

uint16_t UpperHalf(float value) {
  uint32_t word;
  std::memcpy(&word, &value, sizeof(word));
  return static_cast<uint16_t>(word >> 16);
}

// Of arrays that are not there others stand in, which are not touched.
template <typename Number, int kGradients, int kSlots, bool kCopy>
void Loop(size_t size, const Number* __restrict g0, const Number* __restrict g1,
          const Number* __restrict g2, const Number* __restrict g3, const Number* __restrict g4,
          const Number* __restrict g5, const Number* __restrict g6, const Number* __restrict g7,
          const float* __restrict values, float* __restrict new_values, float* __restrict slot0,
          float* __restrict slot1, float* __restrict slot2, uint16_t* __restrict copy) {
  for (size_t i = 0; i < size; ++i) {
    float sum = Widened(g0[i]);
    if (kGradients > 1) sum += Widened(g1[i]);
    if (kGradients > 2) sum += Widened(g2[i]) + Widened(g3[i]);
    if (kGradients > 4) {
      sum += Widened(g4[i]) + Widened(g5[i]) + Widened(g6[i]) + Widened(g7[i]);
    }
    if (kSlots > 0) slot0[i] = 0.5f * slot0[i] + sum;
    if (kSlots > 1) slot1[i] = 0.5f * slot1[i] + sum;
    if (kSlots > 2) slot2[i] = 0.5f * slot2[i] + sum;
    const float value = values[i] - 0.01f * sum;
    new_values[i] = value;
    if (kCopy) copy[i] = UpperHalf(value);
  }
}

template <typename Number, int kGradients, int kSlots, bool kCopy>
void Run(const StreamMix& mix) {
  const auto g = [&](size_t i) {
    return static_cast<const Number*>(mix.gradients[i < kGradients ? i : 0]);
  };
  const auto slot = [&](size_t i) { return i < kSlots ? mix.slots[i] : nullptr; };
  Loop<Number, kGradients, kSlots, kCopy>(mix.size, g(0), g(1), g(2), g(3), g(4), g(5), g(6), g(7),
                                          mix.values, mix.new_values, slot(0), slot(1), slot(2),
                                          mix.copy);
}

template <typename Number, int kGradients, int kSlots>
void ChooseCopy(const StreamMix& mix) {
  return mix.copy == nullptr ? Run<Number, kGradients, kSlots, false>(mix)
                             : Run<Number, kGradients, kSlots, true>(mix);
}

template <typename Number, int kGradients>
void ChooseSlots(const StreamMix& mix) {
  switch (mix.slots.size()) {
    case 0:
      return ChooseCopy<Number, kGradients, 0>(mix);
    case 1:
      return ChooseCopy<Number, kGradients, 1>(mix);
    case 2:
      return ChooseCopy<Number, kGradients, 2>(mix);
    case 3:
      return ChooseCopy<Number, kGradients, 3>(mix);
    default:
      std::abort();
  }
}

template <typename Number>
void ChooseGradients(const StreamMix& mix) {
  switch (mix.gradients.size()) {
    case 1:
      return ChooseSlots<Number, 1>(mix);
    case 2:
      return ChooseSlots<Number, 2>(mix);
    case 4:
      return ChooseSlots<Number, 4>(mix);
    case 8:
      return ChooseSlots<Number, 8>(mix);
    default:
      std::abort();
  }
}

}  // namespace

void RunStreamMix(const StreamMix& mix) {
  return mix.half_gradients ? ChooseGradients<uint16_t>(mix) : ChooseGradients<float>(mix);
}

}  // namespace parley::bench
