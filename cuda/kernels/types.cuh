#ifndef PARLEY_CUDA_KERNELS_TYPES_CUH_
#define PARLEY_CUDA_KERNELS_TYPES_CUH_

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>

#include "tensor/dtype.h"

namespace parley {

// Element types on the device: T is stored, Work<T> is computed and summed in.
template <typename T>
struct WorkOf {
  using Type = T;
};
template <>
struct WorkOf<__nv_bfloat16> {
  using Type = float;
};
template <>
struct WorkOf<__half> {
  using Type = float;
};
template <typename T>
using Work = typename WorkOf<T>::Type;

// x as To: rounded once, to nearest even; integers from floats truncate.
template <typename To, typename From>
__device__ __forceinline__ To Convert(From x) {
  if constexpr (std::is_same_v<To, From>) {
    return x;
  } else if constexpr (std::is_same_v<From, __nv_bfloat16>) {
    return Convert<To>(__bfloat162float(x));
  } else if constexpr (std::is_same_v<From, __half>) {
    return Convert<To>(__half2float(x));
  } else if constexpr (std::is_same_v<To, __nv_bfloat16>) {
    if constexpr (std::is_same_v<From, float>) return __float2bfloat16_rn(x);
    if constexpr (std::is_same_v<From, double>) return __double2bfloat16(x);
    if constexpr (std::is_same_v<From, int32_t>) return __int2bfloat16_rn(x);
    if constexpr (std::is_same_v<From, int64_t>) return __ll2bfloat16_rn(x);
  } else if constexpr (std::is_same_v<To, __half>) {
    if constexpr (std::is_same_v<From, float>) return __float2half_rn(x);
    if constexpr (std::is_same_v<From, double>) return __double2half(x);
    if constexpr (std::is_same_v<From, int32_t>) return __int2half_rn(x);
    if constexpr (std::is_same_v<From, int64_t>) return __ll2half_rn(x);
  } else {
    return static_cast<To>(x);
  }
}

template <typename T>
__device__ __forceinline__ Work<T> ToWork(T x) {
  return Convert<Work<T>>(x);
}

// *to = value, or that added to it.
template <typename T>
__device__ __forceinline__ void Put(T* to, Work<T> value, bool add) {
  *to = Convert<T>(add ? ToWork(*to) + value : value);
}

// N neighbours that are loaded and stored as one, in words of up to 16 bytes.
template <typename T, int N>
struct alignas(sizeof(T) * N < 16 ? sizeof(T) * N : 16) Pack {
  T v[N];
};

// As many as fill 16 bytes.
template <typename T>
constexpr int kPack = 16 / static_cast<int>(sizeof(T));

template <int N, typename T>
__device__ __forceinline__ void LoadWork(const T* from, Work<T> (&values)[N]) {
  const Pack<T, N> pack = *reinterpret_cast<const Pack<T, N>*>(from);
#pragma unroll
  for (int k = 0; k < N; ++k) values[k] = ToWork(pack.v[k]);
}

// to = values, or those added to it.
template <int N, typename T>
__device__ __forceinline__ void StoreWork(T* to, const Work<T> (&values)[N], bool add) {
  Pack<T, N> pack;
  if (add) {
    const Pack<T, N> old = *reinterpret_cast<const Pack<T, N>*>(to);
#pragma unroll
    for (int k = 0; k < N; ++k) pack.v[k] = Convert<T>(ToWork(old.v[k]) + values[k]);
  } else {
#pragma unroll
    for (int k = 0; k < N; ++k) pack.v[k] = Convert<T>(values[k]);
  }
  *reinterpret_cast<Pack<T, N>*>(to) = pack;
}

template <typename T>
struct TypeTag {
  using Type = T;
};

// function(TypeTag<T>()) for the element type of a floating `dtype`; an error for others.
template <typename Function>
cudaError_t WithFloatingType(DType dtype, Function function) {
  switch (dtype) {
    case DType::kFloat32:
      return function(TypeTag<float>());
    case DType::kFloat64:
      return function(TypeTag<double>());
    case DType::kBFloat16:
      return function(TypeTag<__nv_bfloat16>());
    case DType::kFloat16:
      return function(TypeTag<__half>());
    case DType::kInt32:
    case DType::kInt64:
      break;
  }
  return cudaErrorInvalidValue;
}

// The same of any `dtype`.
template <typename Function>
cudaError_t WithType(DType dtype, Function function) {
  if (dtype == DType::kInt32) return function(TypeTag<int32_t>());
  if (dtype == DType::kInt64) return function(TypeTag<int64_t>());
  return WithFloatingType(dtype, function);
}

// function(TypeTag<int32_t or int64_t>()); an error for floating ones.
template <typename Function>
cudaError_t WithIndexType(DType dtype, Function function) {
  if (dtype == DType::kInt32) return function(TypeTag<int32_t>());
  if (dtype == DType::kInt64) return function(TypeTag<int64_t>());
  return cudaErrorInvalidValue;
}

// function(TypeTag<Index>()) for the type of indices that are below `bound`: divisions by 32-bit
// ones are fast.
template <typename Function>
cudaError_t WithIndexBelow(int64_t bound, Function function) {
  if (bound < int64_t{1} << 31) return function(TypeTag<uint32_t>());
  return function(TypeTag<uint64_t>());
}

// Whether packs of 16 bytes may be read and written there.
template <typename... Pointers>
bool AlignedForPacks(Pointers... pointers) {
  return ((reinterpret_cast<uintptr_t>(pointers) % 16 == 0) && ...);
}

}  // namespace parley

#endif  // PARLEY_CUDA_KERNELS_TYPES_CUH_
