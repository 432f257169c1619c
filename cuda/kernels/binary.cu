#include "cuda/kernels/binary.h"
#include "cuda/kernels/device_loop.cuh"
#include "cuda/kernels/map.cuh"
#include "cuda/kernels/types.cuh"

namespace parley {
namespace {

template <typename W>
__device__ __forceinline__ W Apply(BinaryOp op, W a, W b) {
  switch (op) {
    case BinaryOp::kAdd:
      return a + b;
    case BinaryOp::kSubtract:
      return a - b;
    case BinaryOp::kMultiply:
      return a * b;
    case BinaryOp::kDivide:
      return a / b;
  }
  return a;
}

// Of an operand whose elements are side by side, or one repeated: its innermost stride is 1 or 0.
template <int N, typename T>
__device__ __forceinline__ void LoadOperand(const T* from, bool repeated, Work<T> (&values)[N]) {
  if (repeated) {
    const Work<T> value = ToWork(*from);
#pragma unroll
    for (int k = 0; k < N; ++k) values[k] = value;
  } else {
    LoadWork<N>(from, values);
  }
}

template <typename T, typename Index>
struct BinaryBody {
  DeviceLoop<Index> loop;
  const T* a;
  const T* b;
  T* out;
  BinaryOp op;
  bool add;
  bool a_repeated;
  bool b_repeated;

  template <int N>
  __device__ void At(int64_t i) const {
    Index places[StridedLoop::kMaxArrays];
    loop.Places(static_cast<Index>(i), places);
    Work<T> left[N], right[N];
    LoadOperand<N>(a + places[0], a_repeated, left);
    LoadOperand<N>(b + places[1], b_repeated, right);
#pragma unroll
    for (int k = 0; k < N; ++k) left[k] = Apply(op, left[k], right[k]);
    StoreWork<N>(out + i, left, add);
  }
};

// Whether packs of `neighbours` lie within one innermost run, and begin at multiples of their size
// in both operands.
bool RunsHoldPacks(const StridedLoop& loop, int64_t neighbours) {
  const int inner = loop.rank - 1;
  for (int array = 0; array < StridedLoop::kMaxArrays; ++array) {
    if (loop.strides[array][inner] == 0) continue;
    for (int d = 0; d < inner; ++d) {
      if (loop.strides[array][d] % neighbours != 0) return false;
    }
  }
  return inner == 0 || loop.extents[inner] % neighbours == 0;
}

}  // namespace

cudaError_t LaunchBinary(BinaryOp op, const void* a, const Extents& a_extents, const void* b,
                         const Extents& b_extents, DType dtype, Write write, void* out,
                         const Extents& out_extents, cudaStream_t stream) {
  StridedLoop loop;
  if (!PlanBroadcast(a_extents, b_extents, out_extents, &loop)) return cudaErrorInvalidValue;
  const int64_t count = loop.count();
  if (count == 0) return cudaSuccess;
  const int inner = loop.rank - 1;
  return WithFloatingType(dtype, [&](auto tag) {
    return WithIndexBelow(BoundOf(loop), [&](auto index_tag) {
      using T = typename decltype(tag)::Type;
      using Index = typename decltype(index_tag)::Type;
      const BinaryBody<T, Index> body{DeviceLoop<Index>(loop),
                                      static_cast<const T*>(a),
                                      static_cast<const T*>(b),
                                      static_cast<T*>(out),
                                      op,
                                      write == Write::kAdd,
                                      loop.strides[0][inner] == 0,
                                      loop.strides[1][inner] == 0};
      const bool in_packs = AlignedForPacks(a, b, out) && RunsHoldPacks(loop, kPack<T>);
      return LaunchMap<kPack<T>>(body, count, in_packs, stream);
    });
  });
}

}  // namespace parley
