#include "cuda/kernels/device_loop.cuh"
#include "cuda/kernels/map.cuh"
#include "cuda/kernels/reduce.h"
#include "cuda/kernels/types.cuh"

namespace parley {
namespace {

template <Reduction kReduction, typename W>
__device__ __forceinline__ W Identity() {
  if constexpr (kReduction == Reduction::kSum) return W(0);
  return -static_cast<W>(INFINITY);
}

template <Reduction kReduction, typename W>
__device__ __forceinline__ W Join(W a, W b) {
  if constexpr (kReduction == Reduction::kSum) return a + b;
  return a > b || a != a ? a : b;  // a NaN wins
}

// What is reduced to what, and by which threads.
template <typename Index>
struct ReduceShape {
  DeviceLoop<Index> kept;
  DeviceLoop<Index> reduced;
  int64_t outputs;
  int64_t elements;
  int64_t splits;
  int64_t split_size;
  int lanes;
  // How far apart in a block the threads of one output are: 1, or the outputs of a block where
  // those are neighbours in memory.
  int lane_stride;
};

// out[split * outputs + o] = the reduction of that split.
template <Reduction kReduction, typename From, typename To, typename Index>
__global__ void __launch_bounds__(kReduceThreads)
    ReduceKernel(ReduceShape<Index> shape, const From* x, To* out, bool add) {
  using W = Work<From>;
  __shared__ W values[kReduceThreads];
  const int thread = threadIdx.x;
  const int in_block = kReduceThreads / shape.lanes;
  const bool side_by_side = shape.lane_stride != 1;
  const int lane = side_by_side ? thread / in_block : thread % shape.lanes;
  const int slot = side_by_side ? thread % in_block : thread / shape.lanes;
  const int64_t split = blockIdx.x % shape.splits;
  const int64_t output = blockIdx.x / shape.splits * in_block + slot;

  W value = Identity<kReduction, W>();
  if (output < shape.outputs) {
    const From* base = x + shape.kept.Place(static_cast<Index>(output));
    const int64_t begin = split * shape.split_size;
    const int64_t end = min(begin + shape.split_size, shape.elements);
    if (shape.reduced.rank == 1) {
      const Index stride = shape.reduced.strides[0][0];
#pragma unroll 4
      for (int64_t r = begin + lane; r < end; r += shape.lanes) {
        value = Join<kReduction>(value, ToWork(base[r * stride]));
      }
    } else {
      for (int64_t r = begin + lane; r < end; r += shape.lanes) {
        value = Join<kReduction>(value, ToWork(base[shape.reduced.Place(static_cast<Index>(r))]));
      }
    }
  }
  values[thread] = value;
  for (int half = shape.lanes / 2; half > 0; half /= 2) {
    __syncthreads();
    if (lane < half) {
      values[thread] = Join<kReduction>(values[thread], values[thread + half * shape.lane_stride]);
    }
  }
  if (lane == 0 && output < shape.outputs) {
    Put(out + split * shape.outputs + output, Convert<Work<To>>(values[thread]), add);
  }
}

template <Reduction kReduction, typename From, typename To>
cudaError_t ReduceOnce(const ReducePlan& plan, const ReduceTiling& tiling, const From* x, To* out,
                       bool add, cudaStream_t stream) {
  const int64_t bound = std::max(BoundOf(plan.kept), plan.kept.count() * plan.reduced.count());
  return WithIndexBelow(bound, [&](auto index_tag) {
    using Index = typename decltype(index_tag)::Type;
    const ReduceShape<Index> shape{DeviceLoop<Index>(plan.kept),
                                   DeviceLoop<Index>(plan.reduced),
                                   plan.kept.count(),
                                   plan.reduced.count(),
                                   tiling.splits,
                                   tiling.split_size,
                                   tiling.lanes,
                                   plan.innermost_is_reduced ? 1 : tiling.outputs};
    return LaunchKernel(ReduceKernel<kReduction, From, To, Index>,
                        dim3(static_cast<unsigned>(tiling.blocks * tiling.splits)),
                        dim3(kReduceThreads), stream, shape, x, out, add);
  });
}

// Of `splits` rows of partial results.
ReducePlan PlanJoiningOf(int64_t splits, int64_t outputs) {
  ReducePlan plan;
  PlanReduce({splits, outputs}, {outputs}, &plan);
  return plan;
}

template <Reduction kReduction, typename T>
cudaError_t ReduceAll(const ReducePlan& plan, const T* x, bool add, T* out, void* scratch,
                      cudaStream_t stream) {
  using W = Work<T>;
  const int64_t outputs = plan.kept.count();
  const ReduceTiling tiling =
      TileReduction(outputs, plan.reduced.count(), !plan.innermost_is_reduced);
  if (tiling.splits == 1) {
    return ReduceOnce<kReduction, T, T>(plan, tiling, x, out, add, stream);
  }
  W* partial = static_cast<W*>(scratch);
  const cudaError_t error = ReduceOnce<kReduction, T, W>(plan, tiling, x, partial, false, stream);
  if (error != cudaSuccess) return error;
  const ReducePlan joining = PlanJoiningOf(tiling.splits, outputs);
  ReduceTiling all = TileReduction(outputs, tiling.splits, !joining.innermost_is_reduced);
  all.splits = 1;
  all.split_size = tiling.splits;
  return ReduceOnce<kReduction, W, T>(joining, all, partial, out, add, stream);
}

template <typename T>
struct NotFiniteBody {
  const T* x;
  int32_t* found;

  template <int N>
  __device__ void At(int64_t i) const {
    Work<T> values[N];
    LoadWork<N>(x + i, values);
    bool finite = true;
#pragma unroll
    // Zero times what is not finite is not a number.
    for (int k = 0; k < N; ++k) finite = finite && values[k] * 0 == 0;
    if (!finite) *found = 1;
  }
};

}  // namespace

size_t ReduceScratchBytes(const Extents& x_extents, const Extents& out_extents, DType dtype) {
  ReducePlan plan;
  if (!PlanReduce(x_extents, out_extents, &plan)) return 0;
  const int64_t outputs = plan.kept.count();
  if (outputs == 0) return 0;
  const ReduceTiling tiling =
      TileReduction(outputs, plan.reduced.count(), !plan.innermost_is_reduced);
  if (tiling.splits == 1) return 0;
  return static_cast<size_t>(tiling.splits * outputs) *
         (dtype == DType::kFloat64 ? sizeof(double) : sizeof(float));
}

cudaError_t LaunchReduce(Reduction reduction, const void* x, const Extents& x_extents, DType dtype,
                         Write write, void* out, const Extents& out_extents, void* scratch,
                         cudaStream_t stream) {
  ReducePlan plan;
  if (!PlanReduce(x_extents, out_extents, &plan)) return cudaErrorInvalidValue;
  if (plan.kept.count() == 0) return cudaSuccess;
  const bool add = write == Write::kAdd;
  return WithFloatingType(dtype, [&](auto tag) {
    using T = typename decltype(tag)::Type;
    const T* from = static_cast<const T*>(x);
    T* to = static_cast<T*>(out);
    if (reduction == Reduction::kSum) {
      return ReduceAll<Reduction::kSum>(plan, from, add, to, scratch, stream);
    }
    return ReduceAll<Reduction::kMax>(plan, from, add, to, scratch, stream);
  });
}

cudaError_t LaunchFindNotFinite(const void* x, int64_t count, DType dtype, int32_t* found,
                                cudaStream_t stream) {
  const cudaError_t error = cudaMemsetAsync(found, 0, sizeof(*found), stream);
  if (error != cudaSuccess) return error;
  return WithFloatingType(dtype, [&](auto tag) {
    using T = typename decltype(tag)::Type;
    const NotFiniteBody<T> body{static_cast<const T*>(x), found};
    return LaunchMap<kPack<T>>(body, count, AlignedForPacks(x), stream);
  });
}

}  // namespace parley
