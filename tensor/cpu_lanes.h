#ifndef PARLEY_TENSOR_CPU_LANES_H_
#define PARLEY_TENSOR_CPU_LANES_H_

#include <immintrin.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "tensor/cpu_widen.h"

namespace parley {

// Loops over rows of elements in vectors of the work type (cpu_widen.h), the rest of a row in a
// vector that is partly used. So each element goes through the same instructions wherever it lies,
// and results depend neither on addresses nor on lengths.
//
// A body is called as body(i, place) for the elements from i on; `place` says how many, for Load
// and Store.

template <typename W>
struct LanesOf;
template <>
struct LanesOf<float> {
  using Type = __m256;
};
template <>
struct LanesOf<double> {
  using Type = __m256d;
};
// The vector in which elements T are computed, and how many it holds.
template <typename T>
using Lanes = typename LanesOf<WorkType<T>>::Type;
template <typename T>
constexpr int64_t kLanes = 32 / sizeof(WorkType<T>);

struct Whole {};
struct Part {
  int64_t count;  // from 1 to kLanes - 1
};

inline __m256 SameLanes(float value) { return _mm256_set1_ps(value); }
inline __m256d SameLanes(double value) { return _mm256_set1_pd(value); }

// All bits of the first `count` lanes.
inline __m256i FirstLanes(const float*, int64_t count) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)),
                            _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
inline __m256i FirstLanes(const double*, int64_t count) {
  return _mm256_cmpgt_epi64(_mm256_set1_epi64x(count), _mm256_setr_epi64x(0, 1, 2, 3));
}

template <typename T>
Lanes<T> Load(const T* from, Whole) {
  return LoadWide(from);
}
// The other lanes are 0.
inline __m256 Load(const float* from, Part part) {
  return _mm256_maskload_ps(from, FirstLanes(from, part.count));
}
inline __m256d Load(const double* from, Part part) {
  return _mm256_maskload_pd(from, FirstLanes(from, part.count));
}
template <typename T>
Lanes<T> Load(const T* from, Part part) {
  alignas(16) uint16_t bits[8] = {};
  std::memcpy(bits, from, static_cast<size_t>(part.count) * sizeof(uint16_t));
  return LoadWide(reinterpret_cast<const T*>(bits));
}

template <typename T>
void Store(T* to, Lanes<T> v, Whole) {
  StoreWide(to, v);
}
inline void Store(float* to, __m256 v, Part part) {
  _mm256_maskstore_ps(to, FirstLanes(to, part.count), v);
}
inline void Store(double* to, __m256d v, Part part) {
  _mm256_maskstore_pd(to, FirstLanes(to, part.count), v);
}
template <typename T>
void Store(T* to, Lanes<T> v, Part part) {
  T narrow[8];
  StoreWide(narrow, v);
  std::memcpy(static_cast<void*>(to), narrow, static_cast<size_t>(part.count) * sizeof(T));
}

// Stores, or adds to what is there.
template <typename T, typename Place>
void Put(T* to, Lanes<T> v, Write write, Place place) {
  Store(to, write == Write::kAdd ? Load(to, place) + v : v, place);
}

// The lanes in use; the others become 0.
template <typename V>
V Used(V v, Whole) {
  return v;
}
inline __m256 Used(__m256 v, Part part) {
  return _mm256_and_ps(v,
                       _mm256_castsi256_ps(FirstLanes(static_cast<float*>(nullptr), part.count)));
}
inline __m256d Used(__m256d v, Part part) {
  return _mm256_and_pd(v,
                       _mm256_castsi256_pd(FirstLanes(static_cast<double*>(nullptr), part.count)));
}

// Where `mask`, of comparisons, says so: `yes`, else `no`.
inline __m256 Select(__m256 mask, __m256 yes, __m256 no) { return _mm256_blendv_ps(no, yes, mask); }
inline __m256d Select(__m256d mask, __m256d yes, __m256d no) {
  return _mm256_blendv_pd(no, yes, mask);
}
inline __m256 Greater(__m256 a, __m256 b) { return _mm256_cmp_ps(a, b, _CMP_GT_OQ); }
inline __m256d Greater(__m256d a, __m256d b) { return _mm256_cmp_pd(a, b, _CMP_GT_OQ); }
inline __m256 IsNan(__m256 v) { return _mm256_cmp_ps(v, v, _CMP_UNORD_Q); }
inline __m256d IsNan(__m256d v) { return _mm256_cmp_pd(v, v, _CMP_UNORD_Q); }

// The larger; NaN where either is.
template <typename V>
V Larger(V a, V b) {
  return Select(Greater(a, b), a, Select(IsNan(a), a, b));
}

template <typename T, typename Body>
inline void ForLanes(int64_t count, Body body) {
  int64_t i = 0;
  for (; i + kLanes<T> <= count; i += kLanes<T>) body(i, Whole{});
  if (i < count) body(i, Part{count - i});
}

// out[i] = function(in[i]...), stored as `write` says; `out` may be one of them.
template <typename T, typename Function, typename... In>
inline void MapLanes(int64_t count, Write write, T* out, Function function, const In*... in) {
  if (write == Write::kReplace) {
    ForLanes<T>(count, [&](int64_t i, auto place) {
      Store(out + i, function(Load(in + i, place)...), place);
    });
  } else {
    ForLanes<T>(count, [&](int64_t i, auto place) {
      Store(out + i, Load(out + i, place) + function(Load(in + i, place)...), place);
    });
  }
}

// Sums of many floats in float64.
class LaneSum {
 public:
  void Add(__m256 v) {
    low_ = low_ + _mm256_cvtps_pd(_mm256_castps256_ps128(v));
    high_ = high_ + _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1));
  }
  void Add(__m256d v) { low_ = low_ + v; }

  double Total() const {
    alignas(32) double lanes[4];
    _mm256_store_pd(lanes, low_ + high_);
    return (lanes[0] + lanes[2]) + (lanes[1] + lanes[3]);
  }

 private:
  __m256d low_ = _mm256_setzero_pd();
  __m256d high_ = _mm256_setzero_pd();
};

// The sum of body(i, place)'s used lanes, in a fixed order: eight vectors as a tree, the trees in
// float64; so the relative error of n positive floats is under 3 * 2^-24, whatever n.
template <typename T, typename Body>
inline double SumLanes(int64_t count, Body body) {
  constexpr int64_t kStep = kLanes<T>;
  LaneSum sum;
  int64_t i = 0;
  for (; i + 8 * kStep <= count; i += 8 * kStep) {
    const auto at = [&](int64_t k) { return body(i + k * kStep, Whole{}); };
    const Lanes<T> a = (at(0) + at(1)) + (at(2) + at(3));
    const Lanes<T> b = (at(4) + at(5)) + (at(6) + at(7));
    sum.Add(a + b);
  }
  ForLanes<T>(count - i, [&](int64_t k, auto place) { sum.Add(Used(body(i + k, place), place)); });
  return sum.Total();
}

// The largest element, NaN if any is; -infinity of none.
template <typename T>
inline WorkType<T> MaxOf(const T* row, int64_t count) {
  using W = WorkType<T>;
  constexpr int64_t kStep = kLanes<T>;
  const Lanes<T> lowest = SameLanes(-std::numeric_limits<W>::infinity());
  Lanes<T> best[4] = {lowest, lowest, lowest, lowest};
  int64_t i = 0;
  for (; i + 4 * kStep <= count; i += 4 * kStep) {
    for (int k = 0; k < 4; ++k) best[k] = Larger(Load(row + i + k * kStep, Whole{}), best[k]);
  }
  for (; i + kStep <= count; i += kStep) best[0] = Larger(Load(row + i, Whole{}), best[0]);
  W lanes[kStep];
  StoreWide(lanes, Larger(Larger(best[0], best[1]), Larger(best[2], best[3])));
  W largest = lanes[0];
  const auto take = [&largest](W value) {
    if (value > largest || value != value) largest = value;
  };
  for (int64_t k = 1; k < kStep; ++k) take(lanes[k]);
  for (; i < count; ++i) take(static_cast<W>(row[i]));
  return largest;
}

// totals[s][j] += the sum over rows of sums[s] that body(row, j, place, sums) adds to; in a fixed
// order, eight rows at a time in the work type, these in float64. `totals` are of PaddedTo(columns)
// elements.
template <typename T, int kSums, typename Body>
inline void SumColumns(int64_t rows, int64_t columns, double* const (&totals)[kSums], Body body) {
  const auto add = [](double* to, Lanes<T> v) {
    if constexpr (std::is_same_v<WorkType<T>, float>) {
      StoreWide(to, LoadWide(to) + _mm256_cvtps_pd(_mm256_castps256_ps128(v)));
      StoreWide(to + 4, LoadWide(to + 4) + _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1)));
    } else {
      StoreWide(to, LoadWide(to) + v);
    }
  };
  for (int64_t begin = 0; begin < rows; begin += 8) {
    const int64_t end = std::min<int64_t>(begin + 8, rows);
    ForLanes<T>(columns, [&](int64_t j, auto place) {
      Lanes<T> sums[kSums] = {};
      if (end - begin == 8) {
        for (int64_t row = begin; row < begin + 8; ++row) body(row, j, place, sums);
      } else {
        for (int64_t row = begin; row < end; ++row) body(row, j, place, sums);
      }
      for (int s = 0; s < kSums; ++s) add(totals[s] + j, Used(sums[s], place));
    });
  }
}
inline int64_t PaddedTo(int64_t columns) { return (columns + 7) / 8 * 8; }

// A row of a tensor in the work type: its own memory where that is the element type, else a copy.
template <typename T>
class WideRow {
 public:
  explicit WideRow(int64_t count) : count_(count), copy_(kIsWorkType<T> ? 0 : count) {}
  const WorkType<T>* Of(const T* row) {
    if constexpr (kIsWorkType<T>) {
      return row;
    } else {
      Widen(row, count_, copy_.data());
      return copy_.data();
    }
  }

 private:
  const int64_t count_;
  std::vector<WorkType<T>> copy_;
};

}  // namespace parley

#endif  // PARLEY_TENSOR_CPU_LANES_H_
