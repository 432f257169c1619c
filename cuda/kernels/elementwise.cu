#include <cmath>
#include <cstring>

#include "cuda/kernels/elementwise.h"
#include "cuda/kernels/map.cuh"
#include "cuda/kernels/types.cuh"

namespace parley {
namespace {

template <typename T>
struct FillBody {
  T* out;
  double value;

  template <int N>
  __device__ void At(int64_t i) const {
    Pack<T, N> pack;
#pragma unroll
    for (int k = 0; k < N; ++k) pack.v[k] = Convert<T>(value);
    *reinterpret_cast<Pack<T, N>*>(out + i) = pack;
  }
};

template <typename From, typename To>
struct CastBody {
  const From* x;
  To* out;
  bool add;

  template <int N>
  __device__ void At(int64_t i) const {
    const Pack<From, N> in = *reinterpret_cast<const Pack<From, N>*>(x + i);
    Pack<To, N> pack;
    if (add) {
      const Pack<To, N> old = *reinterpret_cast<const Pack<To, N>*>(out + i);
#pragma unroll
      for (int k = 0; k < N; ++k) {
        pack.v[k] = Convert<To>(ToWork(old.v[k]) + Convert<Work<To>>(in.v[k]));
      }
    } else {
#pragma unroll
      for (int k = 0; k < N; ++k) pack.v[k] = Convert<To>(in.v[k]);
    }
    *reinterpret_cast<Pack<To, N>*>(out + i) = pack;
  }
};

template <typename T>
struct AffineBody {
  const T* x;
  T* out;
  Work<T> scale;
  Work<T> shift;
  bool add;

  template <int N>
  __device__ void At(int64_t i) const {
    Work<T> values[N];
    LoadWork<N>(x + i, values);
#pragma unroll
    for (int k = 0; k < N; ++k) values[k] = scale * values[k] + shift;
    StoreWork<N>(out + i, values, add);
  }
};

template <typename W>
__device__ __forceinline__ W Sigmoid(W x) {
  // The exponential of what is not positive does not overflow.
  const W e = exp(-fabs(x));
  return (x >= 0 ? W(1) : e) / (1 + e);
}

template <UnaryOp kOp, typename W>
__device__ __forceinline__ W Apply(W x) {
  switch (kOp) {
    case UnaryOp::kRelu:
      return x <= 0 ? W(0) : x;  // a NaN is not <= 0
    case UnaryOp::kSigmoid:
      return Sigmoid(x);
    case UnaryOp::kTanh:
      return tanh(x);
    case UnaryOp::kGelu:
      return W(0.5) * x * (1 + erf(x * W(0.70710678118654752440)));
    case UnaryOp::kExp:
      return exp(x);
    case UnaryOp::kLog:
      return log(x);
    case UnaryOp::kSqrt:
      return sqrt(x);
    case UnaryOp::kSquare:
      return x * x;
    case UnaryOp::kSoftplus:
      return (x > 0 ? x : W(0)) + log1p(exp(-fabs(x)));
  }
  return x;
}

// The derivative; `v` is x or y, as GradientNeedsInput says.
template <UnaryOp kOp, typename W>
__device__ __forceinline__ W Derivative(W v) {
  switch (kOp) {
    case UnaryOp::kRelu:
      return v > 0 ? W(1) : W(0);
    case UnaryOp::kSigmoid:
      return v * (1 - v);
    case UnaryOp::kTanh:
      return 1 - v * v;
    case UnaryOp::kGelu:
      return W(0.5) * (1 + erf(v * W(0.70710678118654752440))) +
             v * W(0.39894228040143267794) * exp(W(-0.5) * v * v);
    case UnaryOp::kExp:
      return v;
    case UnaryOp::kLog:
      return 1 / v;
    case UnaryOp::kSqrt:
      return W(0.5) / v;
    case UnaryOp::kSquare:
      return 2 * v;
    case UnaryOp::kSoftplus:
      return Sigmoid(v);
  }
  return v;
}

template <typename T, UnaryOp kOp>
struct UnaryBody {
  const T* x;
  T* y;

  template <int N>
  __device__ void At(int64_t i) const {
    Work<T> values[N];
    LoadWork<N>(x + i, values);
#pragma unroll
    for (int k = 0; k < N; ++k) values[k] = Apply<kOp>(values[k]);
    StoreWork<N>(y + i, values, false);
  }
};

template <typename T, UnaryOp kOp>
struct UnaryGradientBody {
  const T* v;
  const T* dy;
  T* dx;
  bool add;

  template <int N>
  __device__ void At(int64_t i) const {
    Work<T> values[N], gradients[N];
    LoadWork<N>(v + i, values);
    LoadWork<N>(dy + i, gradients);
#pragma unroll
    for (int k = 0; k < N; ++k) gradients[k] *= Derivative<kOp>(values[k]);
    StoreWork<N>(dx + i, gradients, add);
  }
};

template <UnaryOp kOp>
struct OpTag {
  static constexpr UnaryOp kValue = kOp;
};

// function(OpTag<op>())
template <typename Function>
cudaError_t WithOp(UnaryOp op, Function function) {
  switch (op) {
    case UnaryOp::kRelu:
      return function(OpTag<UnaryOp::kRelu>());
    case UnaryOp::kSigmoid:
      return function(OpTag<UnaryOp::kSigmoid>());
    case UnaryOp::kTanh:
      return function(OpTag<UnaryOp::kTanh>());
    case UnaryOp::kGelu:
      return function(OpTag<UnaryOp::kGelu>());
    case UnaryOp::kExp:
      return function(OpTag<UnaryOp::kExp>());
    case UnaryOp::kLog:
      return function(OpTag<UnaryOp::kLog>());
    case UnaryOp::kSqrt:
      return function(OpTag<UnaryOp::kSqrt>());
    case UnaryOp::kSquare:
      return function(OpTag<UnaryOp::kSquare>());
    case UnaryOp::kSoftplus:
      return function(OpTag<UnaryOp::kSoftplus>());
  }
  return cudaErrorInvalidValue;
}

}  // namespace

cudaError_t LaunchFill(double value, void* out, int64_t count, DType dtype, cudaStream_t stream) {
  if (count == 0) return cudaSuccess;
  if (value == 0 && !std::signbit(value)) {
    return cudaMemsetAsync(out, 0, static_cast<size_t>(count) * SizeOf(dtype), stream);
  }
  return WithType(dtype, [&](auto tag) {
    using T = typename decltype(tag)::Type;
    const FillBody<T> body{static_cast<T*>(out), value};
    return LaunchMap<kPack<T>>(body, count, AlignedForPacks(out), stream);
  });
}

cudaError_t LaunchCast(const void* x, DType x_dtype, int64_t count, Write write, void* out,
                       DType out_dtype, cudaStream_t stream) {
  return WithType(x_dtype, [&](auto from_tag) {
    return WithType(out_dtype, [&](auto to_tag) {
      using From = typename decltype(from_tag)::Type;
      using To = typename decltype(to_tag)::Type;
      constexpr int kNeighbours = kPack < From >> kPack<To> ? kPack<From> : kPack<To>;
      const CastBody<From, To> body{static_cast<const From*>(x), static_cast<To*>(out),
                                    write == Write::kAdd};
      return LaunchMap<kNeighbours>(body, count, AlignedForPacks(x, out), stream);
    });
  });
}

cudaError_t LaunchAffine(double scale, const void* x, double shift, int64_t count, DType dtype,
                         Write write, void* out, cudaStream_t stream) {
  return WithFloatingType(dtype, [&](auto tag) {
    using T = typename decltype(tag)::Type;
    const AffineBody<T> body{static_cast<const T*>(x), static_cast<T*>(out),
                             static_cast<Work<T>>(scale), static_cast<Work<T>>(shift),
                             write == Write::kAdd};
    return LaunchMap<kPack<T>>(body, count, AlignedForPacks(x, out), stream);
  });
}

cudaError_t LaunchUnary(UnaryOp op, const void* x, int64_t count, DType dtype, void* y,
                        cudaStream_t stream) {
  return WithFloatingType(dtype, [&](auto tag) {
    return WithOp(op, [&](auto op_tag) {
      using T = typename decltype(tag)::Type;
      constexpr UnaryOp kOp = decltype(op_tag)::kValue;
      const UnaryBody<T, kOp> body{static_cast<const T*>(x), static_cast<T*>(y)};
      return LaunchMap<kPack<T>>(body, count, AlignedForPacks(x, y), stream);
    });
  });
}

cudaError_t LaunchUnaryGradient(UnaryOp op, const void* x, const void* y, const void* dy,
                                int64_t count, DType dtype, Write write, void* dx,
                                cudaStream_t stream) {
  const void* v = GradientNeedsInput(op) ? x : y;
  return WithFloatingType(dtype, [&](auto tag) {
    return WithOp(op, [&](auto op_tag) {
      using T = typename decltype(tag)::Type;
      constexpr UnaryOp kOp = decltype(op_tag)::kValue;
      const UnaryGradientBody<T, kOp> body{static_cast<const T*>(v), static_cast<const T*>(dy),
                                           static_cast<T*>(dx), write == Write::kAdd};
      return LaunchMap<kPack<T>>(body, count, AlignedForPacks(v, dy, dx), stream);
    });
  });
}

}  // namespace parley
