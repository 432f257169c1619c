#include "tensor/cpu_tile.h"

#include <immintrin.h>

#include <type_traits>
#include <utility>

#include "glog/logging.h"

namespace parley {
namespace {

template <typename W>
struct Simd;

template <>
struct Simd<float> {
  using Vector = __m256;
  static constexpr int kLanes = 8;
  static Vector Zero() { return _mm256_setzero_ps(); }
  static Vector Load(const float* from) { return _mm256_loadu_ps(from); }
  static Vector Repeat(const float* from) { return _mm256_broadcast_ss(from); }
  static Vector Repeat(float value) { return _mm256_set1_ps(value); }
  static Vector MultiplyAdd(Vector a, Vector b, Vector c) { return _mm256_fmadd_ps(a, b, c); }
  static Vector Multiply(Vector a, Vector b) { return _mm256_mul_ps(a, b); }
  static Vector Add(Vector a, Vector b) { return _mm256_add_ps(a, b); }
  static void Store(float* to, Vector v) { _mm256_storeu_ps(to, v); }
  // The first `lanes` lanes.
  static __m256i Mask(int lanes) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(lanes), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
  static Vector Load(const float* from, __m256i mask) { return _mm256_maskload_ps(from, mask); }
  static void Store(float* to, __m256i mask, Vector v) { _mm256_maskstore_ps(to, mask, v); }
};

template <>
struct Simd<double> {
  using Vector = __m256d;
  static constexpr int kLanes = 4;
  static Vector Zero() { return _mm256_setzero_pd(); }
  static Vector Load(const double* from) { return _mm256_loadu_pd(from); }
  static Vector Repeat(const double* from) { return _mm256_broadcast_sd(from); }
  static Vector Repeat(double value) { return _mm256_set1_pd(value); }
  static Vector MultiplyAdd(Vector a, Vector b, Vector c) { return _mm256_fmadd_pd(a, b, c); }
  static Vector Multiply(Vector a, Vector b) { return _mm256_mul_pd(a, b); }
  static Vector Add(Vector a, Vector b) { return _mm256_add_pd(a, b); }
  static void Store(double* to, Vector v) { _mm256_storeu_pd(to, v); }
  static __m256i Mask(int lanes) {
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x(lanes), _mm256_setr_epi64x(0, 1, 2, 3));
  }
  static Vector Load(const double* from, __m256i mask) { return _mm256_maskload_pd(from, mask); }
  static void Store(double* to, __m256i mask, Vector v) { _mm256_maskstore_pd(to, mask, v); }
};

// body(0), body(1), ... with constants: an array of which every index is one stays in registers.
template <typename Body, size_t... kIndices>
[[gnu::always_inline]] inline void Unrolled(Body body, std::index_sequence<kIndices...>) {
  (body(std::integral_constant<size_t, kIndices>()), ...);
}
template <size_t kCount, typename Body>
[[gnu::always_inline]] inline void Unrolled(Body body) {
  Unrolled(body, std::make_index_sequence<kCount>());
}

// The sums of a tile; kVectors: of a panel's row, those that hold columns at all.
template <typename W, size_t kRows, size_t kVectors>
struct Tile {
  using S = Simd<W>;
  using Vector = typename S::Vector;

  Vector sum[kRows * kVectors];

  [[gnu::always_inline]] void Clear() {
    Unrolled<kRows * kVectors>([this](auto i) { sum[i] = S::Zero(); });
  }

  [[gnu::always_inline]] void AddTerm(const W* const (&row)[kRows], int64_t at, const W* panel) {
    Vector right[kVectors];
    Unrolled<kVectors>([&](auto v) { right[v] = S::Load(panel + v * S::kLanes); });
    Unrolled<kRows>([&](auto i) {
      const Vector left = S::Repeat(row[i] + at);
      Unrolled<kVectors>([&](auto v) {
        sum[i * kVectors + v] = S::MultiplyAdd(left, right[v], sum[i * kVectors + v]);
      });
    });
  }

  [[gnu::always_inline]] void Put(int columns, W scale, Write write, W* const* c) {
    if (scale != 1) {
      Unrolled<kRows * kVectors>([&](auto i) { sum[i] = S::Multiply(S::Repeat(scale), sum[i]); });
    }
    if (columns == static_cast<int>(kVectors) * S::kLanes) {
      Unrolled<kRows * kVectors>([&](auto i) {
        W* const to = c[i / kVectors] + i % kVectors * S::kLanes;
        S::Store(to, write == Write::kAdd ? S::Add(S::Load(to), sum[i]) : sum[i]);
      });
      return;
    }
    Unrolled<kRows * kVectors>([&](auto i) {
      const __m256i mask = S::Mask(columns - static_cast<int>(i % kVectors) * S::kLanes);
      W* const to = c[i / kVectors] + i % kVectors * S::kLanes;
      S::Store(to, mask, write == Write::kAdd ? S::Add(S::Load(to, mask), sum[i]) : sum[i]);
    });
  }
};

// kUnit: the innermost step in a is 1.
template <typename W, size_t kRows, size_t kVectors, bool kUnit>
void WalkTile(int columns, const TileWalk& walk, const W* const* a, const W* b, W scale,
              Write write, W* const* c) {
  const W* row[kRows];
  Unrolled<kRows>([&](auto i) { row[i] = a[i]; });
  // The result comes from far when it is large, and is wanted only at the end.
  Unrolled<kRows>([&](auto i) { __builtin_prefetch(c[i], 1); });
  Tile<W, kRows, kVectors> tile;
  tile.Clear();
  const int64_t step = kUnit ? 1 : walk.a_step[2];
  for (int64_t outer = 0; outer < walk.count[0]; ++outer) {
    for (int64_t middle = 0; middle < walk.count[1]; ++middle) {
      int64_t at = outer * walk.a_step[0] + middle * walk.a_step[1];
      const W* panel = b + outer * walk.b_step[0] + middle * walk.b_step[1];
      for (int64_t inner = walk.count[2]; inner > 0; --inner) {
        tile.AddTerm(row, at, panel);
        panel += kTileColumns<W>;
        at += step;
      }
    }
  }
  tile.Put(columns, scale, write, c);
}

template <typename W, size_t kRows, size_t kVectors>
void ListTile(int columns, absl::Span<const TileTerm> terms, const W* const* a, const W* b, W scale,
              Write write, W* const* c) {
  const W* row[kRows];
  Unrolled<kRows>([&](auto i) { row[i] = a[i]; });
  Tile<W, kRows, kVectors> tile;
  tile.Clear();
  for (const TileTerm& term : terms) tile.AddTerm(row, term.a, b + term.b);
  tile.Put(columns, scale, write, c);
}

// function(rows), a constant.
template <typename Function>
void WithRows(int rows, Function function) {
  switch (rows) {
    case 1:
      return function(std::integral_constant<size_t, 1>());
    case 2:
      return function(std::integral_constant<size_t, 2>());
    case 3:
      return function(std::integral_constant<size_t, 3>());
    case 4:
      return function(std::integral_constant<size_t, 4>());
    case 5:
      return function(std::integral_constant<size_t, 5>());
    case 6:
      return function(std::integral_constant<size_t, 6>());
    default:
      LOG(FATAL) << "a tile of " << rows << " rows";
  }
}

}  // namespace

template <typename W>
void TileProduct(int rows, int columns, const TileWalk& walk, const W* const* a, const W* b,
                 W scale, Write write, W* const* c) {
  const bool unit = walk.a_step[2] == 1;
  WithRows(rows, [&](auto count) {
    constexpr size_t kRows = decltype(count)::value;
    if (columns > Simd<W>::kLanes) {
      if (unit) {
        WalkTile<W, kRows, 2, true>(columns, walk, a, b, scale, write, c);
      } else {
        WalkTile<W, kRows, 2, false>(columns, walk, a, b, scale, write, c);
      }
    } else if (unit) {
      WalkTile<W, kRows, 1, true>(columns, walk, a, b, scale, write, c);
    } else {
      WalkTile<W, kRows, 1, false>(columns, walk, a, b, scale, write, c);
    }
  });
}

template <typename W>
void TileProductOfTerms(int rows, int columns, absl::Span<const TileTerm> terms, const W* const* a,
                        const W* b, W scale, Write write, W* const* c) {
  WithRows(rows, [&](auto count) {
    constexpr size_t kRows = decltype(count)::value;
    if (columns > Simd<W>::kLanes) {
      ListTile<W, kRows, 2>(columns, terms, a, b, scale, write, c);
    } else {
      ListTile<W, kRows, 1>(columns, terms, a, b, scale, write, c);
    }
  });
}

template void TileProduct<float>(int, int, const TileWalk&, const float* const*, const float*,
                                 float, Write, float* const*);
template void TileProduct<double>(int, int, const TileWalk&, const double* const*, const double*,
                                  double, Write, double* const*);
template void TileProductOfTerms<float>(int, int, absl::Span<const TileTerm>, const float* const*,
                                        const float*, float, Write, float* const*);
template void TileProductOfTerms<double>(int, int, absl::Span<const TileTerm>, const double* const*,
                                         const double*, double, Write, double* const*);

}  // namespace parley
