#include "ps/sum_tile.h"

#include <immintrin.h>

#include <cstring>

#include "base/half_lanes.h"

namespace parley {
namespace {

constexpr size_t kLanes = 8;  // of float32 in a vector
// Elements of each array that are added before those of the next: their sums stay in registers, and
// each array is read in pieces of one or two cache lines.
constexpr size_t kStep = 4 * kLanes;

struct Float32 {
  static constexpr size_t kBytes = 4;
  static __m256 Load(const std::byte* in) {
    return _mm256_loadu_ps(reinterpret_cast<const float*>(in));
  }
};

struct BFloat16 {
  static constexpr size_t kBytes = 2;
  static __m256 Load(const std::byte* in) { return BFloat16Lanes(in); }
};

struct Float16 {
  static constexpr size_t kBytes = 2;
  static __m256 Load(const std::byte* in) { return Float16Lanes(in); }
};

// Of kStep elements; array_of(j) is where those of in[j] begin.
template <typename Type, typename ArrayOf>
inline void Step(size_t count, ArrayOf array_of, const float* start, __m256 factor, float* out) {
  constexpr size_t kVector = kLanes * Type::kBytes;
  __m256 sum0, sum1, sum2, sum3;
  size_t j = 0;
  if (start != nullptr) {
    sum0 = _mm256_loadu_ps(start);
    sum1 = _mm256_loadu_ps(start + kLanes);
    sum2 = _mm256_loadu_ps(start + 2 * kLanes);
    sum3 = _mm256_loadu_ps(start + 3 * kLanes);
  } else {
    const std::byte* const in = array_of(j++);
    sum0 = Type::Load(in);
    sum1 = Type::Load(in + kVector);
    sum2 = Type::Load(in + 2 * kVector);
    sum3 = Type::Load(in + 3 * kVector);
  }
  for (; j < count; ++j) {
    const std::byte* const in = array_of(j);
    sum0 = _mm256_add_ps(sum0, Type::Load(in));
    sum1 = _mm256_add_ps(sum1, Type::Load(in + kVector));
    sum2 = _mm256_add_ps(sum2, Type::Load(in + 2 * kVector));
    sum3 = _mm256_add_ps(sum3, Type::Load(in + 3 * kVector));
  }
  _mm256_storeu_ps(out, _mm256_mul_ps(sum0, factor));
  _mm256_storeu_ps(out + kLanes, _mm256_mul_ps(sum1, factor));
  _mm256_storeu_ps(out + 2 * kLanes, _mm256_mul_ps(sum2, factor));
  _mm256_storeu_ps(out + 3 * kLanes, _mm256_mul_ps(sum3, factor));
}

template <typename Type>
void Sum(absl::Span<const std::byte* const> in, size_t in_at, const float* start, float factor,
         size_t size, float* out) {
  const __m256 factors = _mm256_set1_ps(factor);
  size_t at = 0;
  for (; at + kStep <= size; at += kStep) {
    Step<Type>(
        in.size(), [&](size_t j) { return in[j] + (in_at + at) * Type::kBytes; },
        start == nullptr ? nullptr : start + at, factors, out + at);
  }
  if (at == size) return;
  // The last few go through memory of their own.
  std::byte rest[kStep * Type::kBytes] = {};
  float rest_start[kStep] = {};
  float rest_out[kStep];
  if (start != nullptr) std::memcpy(rest_start, start + at, (size - at) * sizeof(float));
  Step<Type>(
      in.size(),
      [&](size_t j) {
        std::memcpy(rest, in[j] + (in_at + at) * Type::kBytes, (size - at) * Type::kBytes);
        return rest;
      },
      start == nullptr ? nullptr : rest_start, factors, rest_out);
  std::memcpy(out + at, rest_out, (size - at) * sizeof(float));
}

}  // namespace

void SumTile(v1::DType dtype, absl::Span<const std::byte* const> in, size_t at, const float* start,
             float factor, size_t size, float* out) {
  switch (dtype) {
    case v1::BFLOAT16:
      return Sum<BFloat16>(in, at, start, factor, size, out);
    case v1::FLOAT16:
      return Sum<Float16>(in, at, start, factor, size, out);
    default:
      return Sum<Float32>(in, at, start, factor, size, out);
  }
}

}  // namespace parley
