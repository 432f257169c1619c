#include "tensor/cpu_layout.h"

#include <immintrin.h>

#include <algorithm>
#include <cstring>
#include <type_traits>
#include <vector>

#include "absl/strings/str_join.h"
#include "glog/logging.h"
#include "tensor/cpu_lanes.h"
#include "tensor/strides.h"

namespace parley {
namespace {

// Stores `value` as `write` says.
template <typename T>
void PutOne(T value, Write write, T* out) {
  if (write == Write::kReplace) {
    *out = value;
  } else if constexpr (std::is_integral_v<T>) {
    *out += value;
  } else {
    *out = static_cast<T>(static_cast<WorkType<T>>(*out) + static_cast<WorkType<T>>(value));
  }
}

template <typename T>
void CopyRun(const T* in, int64_t count, Write write, T* out) {
  if (write == Write::kReplace) {
    std::memcpy(static_cast<void*>(out), in, static_cast<size_t>(count) * sizeof(T));
  } else if constexpr (std::is_integral_v<T>) {
    for (int64_t i = 0; i < count; ++i) out[i] += in[i];
  } else {
    MapLanes(
        count, write, out, [](Lanes<T> v) { return v; }, in);
  }
}

// out[j * out_stride + i] = in[i * in_stride + j], for 8x8.
void Transpose8x8(const float* in, int64_t in_stride, float* out, int64_t out_stride) {
  __m256 r[8], t[8];
  for (int i = 0; i < 8; ++i) r[i] = _mm256_loadu_ps(in + i * in_stride);
  for (int i = 0; i < 8; i += 2) {
    t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
    t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
  }
  for (int i = 0; i < 8; i += 4) {
    r[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
    r[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xEE);
    r[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
    r[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xEE);
  }
  for (int i = 0; i < 4; ++i) {
    _mm256_storeu_ps(out + i * out_stride, _mm256_permute2f128_ps(r[i], r[i + 4], 0x20));
    _mm256_storeu_ps(out + (i + 4) * out_stride, _mm256_permute2f128_ps(r[i], r[i + 4], 0x31));
  }
}
template <typename T>
void Transpose8x8(const T* in, int64_t in_stride, T* out, int64_t out_stride) {
  if constexpr (sizeof(T) == 2) {
    __m128i r[8], t[8];
    for (int i = 0; i < 8; ++i) {
      r[i] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(in + i * in_stride));
    }
    for (int i = 0; i < 4; ++i) {
      t[2 * i] = _mm_unpacklo_epi16(r[2 * i], r[2 * i + 1]);
      t[2 * i + 1] = _mm_unpackhi_epi16(r[2 * i], r[2 * i + 1]);
    }
    for (int half = 0; half < 2; ++half) {
      const __m128i a = _mm_unpacklo_epi32(t[half], t[half + 2]);
      const __m128i b = _mm_unpackhi_epi32(t[half], t[half + 2]);
      const __m128i c = _mm_unpacklo_epi32(t[half + 4], t[half + 6]);
      const __m128i d = _mm_unpackhi_epi32(t[half + 4], t[half + 6]);
      const __m128i rows[4] = {_mm_unpacklo_epi64(a, c), _mm_unpackhi_epi64(a, c),
                               _mm_unpacklo_epi64(b, d), _mm_unpackhi_epi64(b, d)};
      for (int i = 0; i < 4; ++i) {
        _mm_storeu_si128(reinterpret_cast<__m128i*>(out + (4 * half + i) * out_stride), rows[i]);
      }
    }
  } else {
    for (int j = 0; j < 8; ++j) {
      for (int i = 0; i < 8; ++i) out[j * out_stride + i] = in[i * in_stride + j];
    }
  }
}

// out[j * out_stride + i] = in[i * in_stride + j], for i < rows and j < columns, by tiles so that
// every cache line is used whole.
template <typename T>
void TransposeRun(const T* in, int64_t in_stride, int64_t rows, int64_t columns, Write write,
                  T* out, int64_t out_stride) {
  constexpr int64_t kTile = 32;
  for (int64_t i0 = 0; i0 < rows; i0 += kTile) {
    const int64_t i1 = std::min(i0 + kTile, rows);
    for (int64_t j0 = 0; j0 < columns; j0 += kTile) {
      const int64_t j1 = std::min(j0 + kTile, columns);
      int64_t j = j0;
      if (write == Write::kReplace) {
        const int64_t whole_i = i0 + (i1 - i0) / 8 * 8;
        for (; j + 8 <= j1; j += 8) {
          for (int64_t i = i0; i < whole_i; i += 8) {
            Transpose8x8(in + i * in_stride + j, in_stride, out + j * out_stride + i, out_stride);
          }
          for (int64_t k = j; k < j + 8; ++k) {
            for (int64_t i = whole_i; i < i1; ++i) {
              out[k * out_stride + i] = in[i * in_stride + k];
            }
          }
        }
      }
      for (; j < j1; ++j) {
        for (int64_t i = i0; i < i1; ++i) {
          PutOne(in[i * in_stride + j], write, out + j * out_stride + i);
        }
      }
    }
  }
}

// Copies along `loop`, whose arrays are in and out; in the last dimension one of them has stride 1.
template <typename T>
void CopyLoop(const Loop<2>& loop, const T* in, Write write, T* out) {
  if (loop.empty()) return PutOne(*in, write, out);
  const LoopDimension<2> last = loop.back();
  if (last.strides[0] == 1 && last.strides[1] == 1) {
    ForEachStep(loop, loop.size() - 1, [&](const std::array<int64_t, 2>& at) {
      CopyRun(in + at[0], last.size, write, out + at[1]);
    });
    return;
  }
  if (last.strides[1] != 1) {
    ForEachStep(loop, loop.size() - 1, [&](const std::array<int64_t, 2>& at) {
      TransposeRun(in + at[0], 0, 1, last.size, write, out + at[1], last.strides[1]);
    });
    return;
  }
  // The dimension that the input has together, beside the one that the output has so.
  Loop<2> outer = loop;
  outer.pop_back();
  LoopDimension<2> across = {1, {1, 1}};
  for (size_t d = 0; d < outer.size(); ++d) {
    if (outer[d].strides[0] == 1) {
      across = outer[d];
      outer.erase(outer.begin() + static_cast<int64_t>(d));
      break;
    }
  }
  ForEachStep(outer, outer.size(), [&](const std::array<int64_t, 2>& at) {
    TransposeRun(in + at[0], last.strides[0], last.size, across.size, write, out + at[1],
                 across.strides[1]);
  });
}

// Copies between tensors of one dtype; `in_offset` and `out_offset` are in elements.
void Copy(const Loop<2>& loop, const Tensor& x, int64_t in_offset, Write write, const Tensor& out,
          int64_t out_offset) {
  CHECK(x.dtype() == out.dtype()) << NameOf(x.dtype()) << " to " << NameOf(out.dtype());
  if (x.num_elements() == 0 || out.num_elements() == 0) return;
  const Loop<2> collapsed = Collapsed(loop);
  const auto copy = [&](auto zero) {
    using T = decltype(zero);
    CopyLoop(collapsed, x.As<const T>() + in_offset, write, out.As<T>() + out_offset);
  };
  if (x.dtype() == DType::kInt32) return copy(int32_t());
  if (x.dtype() == DType::kInt64) return copy(int64_t());
  WithFloatingType(x.dtype(), copy);
}

// The offset of the part of `whole` of shape `part` that begins at `begin`.
int64_t SliceOffset(const Shape& whole, const Shape& part, absl::Span<const int64_t> begin) {
  const std::vector<int64_t> strides = StridesOf(whole);
  bool fits = whole.rank() == part.rank() && begin.size() == whole.rank();
  int64_t offset = 0;
  for (size_t d = 0; fits && d < begin.size(); ++d) {
    fits = begin[d] >= 0 && begin[d] + part[d] <= whole[d];
    offset += begin[d] * strides[d];
  }
  CHECK(fits) << part.ToString() << " at [" << absl::StrJoin(begin, ", ") << "] of "
              << whole.ToString();
  return offset;
}

Loop<2> LoopOf(const Shape& sizes, const Shape& in, const Shape& out) {
  const std::vector<int64_t> from = StridesOf(in), to = StridesOf(out);
  Loop<2> loop;
  for (size_t d = 0; d < sizes.rank(); ++d) loop.push_back({sizes[d], {from[d], to[d]}});
  return loop;
}

}  // namespace

void CpuPermute(const Tensor& x, absl::Span<const int> axes, Write write, const Tensor& out) {
  const size_t rank = x.shape().rank();
  CHECK(axes.size() == rank && out.shape().rank() == rank);
  const std::vector<int64_t> from = StridesOf(x.shape()), to = StridesOf(out.shape());
  std::vector<bool> used(rank, false);
  Loop<2> loop;
  for (size_t d = 0; d < rank; ++d) {
    const auto axis = static_cast<size_t>(axes[d]);
    CHECK(axis < rank && !used[axis] && out.shape()[d] == x.shape()[axis])
        << "permute " << x.shape().ToString() << " by [" << absl::StrJoin(axes, ", ") << "] to "
        << out.shape().ToString();
    used[axis] = true;
    loop.push_back({out.shape()[d], {from[axis], to[d]}});
  }
  Copy(loop, x, 0, write, out, 0);
}

void CpuReadSlice(const Tensor& x, absl::Span<const int64_t> begin, Write write,
                  const Tensor& out) {
  const int64_t offset = SliceOffset(x.shape(), out.shape(), begin);
  Copy(LoopOf(out.shape(), x.shape(), out.shape()), x, offset, write, out, 0);
}

void CpuWriteSlice(const Tensor& x, absl::Span<const int64_t> begin, Write write,
                   const Tensor& out) {
  const int64_t offset = SliceOffset(out.shape(), x.shape(), begin);
  Copy(LoopOf(x.shape(), x.shape(), out.shape()), x, 0, write, out, offset);
}

}  // namespace parley
