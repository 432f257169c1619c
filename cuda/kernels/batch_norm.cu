#include "cuda/kernels/batch_norm.h"
#include "cuda/kernels/columns.cuh"

namespace parley {
namespace {

// Of some elements: their number, mean, and sum of squared differences from it.
template <typename W>
struct Moments {
  W count = 0;
  W mean = 0;
  W squares = 0;
};

// Of the elements of both (Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for
// computing sample variances", 1979).
template <typename W>
__device__ __forceinline__ Moments<W> Join(const Moments<W>& a, const Moments<W>& b) {
  if (b.count == 0) return a;
  Moments<W> both;
  both.count = a.count + b.count;
  const W share = b.count / both.count;
  const W difference = b.mean - a.mean;
  both.mean = a.mean + difference * share;
  both.squares = a.squares + b.squares + difference * difference * a.count * share;
  return both;
}

template <typename T>
struct Elements {
  const T* x;
  int64_t columns;

  template <int N>
  __device__ void Load(int64_t row, int64_t column, Moments<Work<T>> (&moments)[N]) const {
    Work<T> values[N];
    LoadWork<N>(x + row * columns + column, values);
#pragma unroll
    for (int k = 0; k < N; ++k) moments[k] = {1, values[k], 0};
  }
};

// Of splits of `split_size` rows but for the last.
template <typename W>
struct PartialMoments {
  const W* means;
  const W* squares;
  int64_t split_size;
  int64_t rows;
  int64_t columns;

  template <int N>
  __device__ void Load(int64_t split, int64_t column, Moments<W> (&moments)[N]) const {
    const W count = static_cast<W>(min(split_size, rows - split * split_size));
#pragma unroll
    for (int k = 0; k < N; ++k) {
      const int64_t place = split * columns + column + k;
      moments[k] = {count, means[place], squares[place]};
    }
  }
};

// Of all rows of a split: their mean, and the sum of squares, or the variance where `divide`.
template <int N, typename W, typename Source>
__global__ void __launch_bounds__(kReduceThreads)
    MomentsKernel(Source source, ReduceTiling tiling, int64_t rows, int64_t columns, bool divide,
                  W* means, W* squares) {
  __shared__ W shared_means[N][kReduceThreads], shared_squares[N][kReduceThreads];
  __shared__ W shared_counts[kReduceThreads];
  const ColumnTask task = TaskOf<N>(tiling, rows);
  Moments<W> all[N];
  if (task.column < columns) {
#pragma unroll 4
    for (int64_t row = task.begin + task.lane; row < task.end; row += tiling.lanes) {
      Moments<W> one[N];
      source.template Load<N>(row, task.column, one);
#pragma unroll
      for (int k = 0; k < N; ++k) all[k] = Join(all[k], one[k]);
    }
  }
#pragma unroll
  for (int k = 0; k < N; ++k) {
    shared_means[k][threadIdx.x] = all[k].mean;
    shared_squares[k][threadIdx.x] = all[k].squares;
  }
  shared_counts[threadIdx.x] = all[0].count;
  for (int half = tiling.lanes / 2; half > 0; half /= 2) {
    __syncthreads();
    if (task.lane < half) {
      const int other = threadIdx.x + half * tiling.outputs;
      const W count = shared_counts[other];
#pragma unroll
      for (int k = 0; k < N; ++k) {
        all[k] = Join(all[k], Moments<W>{count, shared_means[k][other], shared_squares[k][other]});
        shared_means[k][threadIdx.x] = all[k].mean;
        shared_squares[k][threadIdx.x] = all[k].squares;
      }
      shared_counts[threadIdx.x] = all[0].count;
    }
  }
  if (task.lane == 0 && task.column < columns) {
#pragma unroll
    for (int k = 0; k < N; ++k) {
      const int64_t place = task.split * columns + task.column + k;
      means[place] = all[k].count == 0 ? static_cast<W>(NAN) : all[k].mean;
      squares[place] = divide ? all[k].squares / all[k].count : all[k].squares;
    }
  }
}

template <typename T>
cudaError_t LaunchMoments(const T* x, int64_t rows, int64_t columns, Work<T>* mean,
                          Work<T>* variance, Work<T>* scratch, cudaStream_t stream) {
  using W = Work<T>;
  const bool in_packs = AlignedForPacks(x) && columns % kPack<T> == 0;
  const ReduceTiling tiling = TileColumns(rows, columns, in_packs ? kPack<T> : 1);
  const bool split = tiling.splits > 1;
  W* means = split ? scratch : mean;
  W* squares = split ? scratch + tiling.splits * columns : variance;
  const cudaError_t error = LaunchKernel(
      in_packs ? MomentsKernel<kPack<T>, W, Elements<T>> : MomentsKernel<1, W, Elements<T>>,
      dim3(static_cast<unsigned>(tiling.blocks * tiling.splits)), dim3(kReduceThreads), stream,
      Elements<T>{x, columns}, tiling, rows, columns, !split, means, squares);
  if (error != cudaSuccess || !split) return error;
  const ReduceTiling joining = TileJoining(tiling.splits, columns);
  const PartialMoments<W> partial{means, squares, tiling.split_size, rows, columns};
  return LaunchKernel(MomentsKernel<1, W, PartialMoments<W>>,
                      dim3(static_cast<unsigned>(joining.blocks)), dim3(kReduceThreads), stream,
                      partial, joining, tiling.splits, columns, true, mean, variance);
}

template <typename T>
struct NormalizeBody {
  const T* x;
  const Work<T>* gamma;
  const Work<T>* beta;
  const Work<T>* mean;
  const Work<T>* variance;
  Work<T> epsilon;
  int64_t columns;
  T* y;

  template <int N>
  struct OfColumns {
    __device__ OfColumns(const NormalizeBody& body, int64_t column) {
#pragma unroll
      for (int k = 0; k < N; ++k) {
        center[k] = body.mean[column + k];
        scale[k] = body.gamma[column + k] / sqrt(body.variance[column + k] + body.epsilon);
        shift[k] = body.beta[column + k];
      }
    }
    Work<T> center[N], scale[N], shift[N];
  };

  template <int N>
  __device__ void At(const OfColumns<N>& of, int64_t row, int64_t column) const {
    Work<T> values[N];
    LoadWork<N>(x + row * columns + column, values);
#pragma unroll
    for (int k = 0; k < N; ++k) values[k] = (values[k] - of.center[k]) * of.scale[k] + of.shift[k];
    StoreWork<N>(y + row * columns + column, values, false);
  }
};

// Terms of dgamma and dbeta.
template <typename T>
struct ParameterTerms {
  const T* x;
  const Work<T>* mean;
  const Work<T>* variance;
  Work<T> epsilon;
  const T* dy;
  int64_t columns;

  template <int N>
  struct OfColumns {
    __device__ OfColumns(const ParameterTerms& terms, int64_t column) {
#pragma unroll
      for (int k = 0; k < N; ++k) {
        center[k] = terms.mean[column + k];
        rstd[k] = 1 / sqrt(terms.variance[column + k] + terms.epsilon);
      }
    }
    Work<T> center[N], rstd[N];
  };

  template <int N>
  __device__ void Add(const OfColumns<N>& of, int64_t row, int64_t column, Work<T> (&first)[N],
                      Work<T> (&second)[N]) const {
    Work<T> inputs[N], gradients[N];
    LoadWork<N>(x + row * columns + column, inputs);
    LoadWork<N>(dy + row * columns + column, gradients);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      first[k] += gradients[k] * ((inputs[k] - of.center[k]) * of.rstd[k]);
      second[k] += gradients[k];
    }
  }
};

// With h = (x - mean) * rstd: dx = gamma * rstd * (dy - dbeta / rows - h * dgamma / rows).
template <typename T>
struct InputGradientBody {
  ParameterTerms<T> terms;
  const Work<T>* gamma;
  const Work<T>* dgamma;
  const Work<T>* dbeta;
  Work<T> rows;
  bool add;
  T* dx;

  template <int N>
  struct OfColumns {
    __device__ OfColumns(const InputGradientBody& body, int64_t column)
        : input(body.terms, column) {
#pragma unroll
      for (int k = 0; k < N; ++k) {
        scale[k] = body.gamma[column + k] * input.rstd[k];
        with_normal[k] = body.dgamma[column + k] / body.rows;
        alone[k] = body.dbeta[column + k] / body.rows;
      }
    }
    typename ParameterTerms<T>::template OfColumns<N> input;
    Work<T> scale[N], with_normal[N], alone[N];
  };

  template <int N>
  __device__ void At(const OfColumns<N>& of, int64_t row, int64_t column) const {
    const int64_t place = row * terms.columns + column;
    Work<T> inputs[N], gradients[N];
    LoadWork<N>(terms.x + place, inputs);
    LoadWork<N>(terms.dy + place, gradients);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      const Work<T> normal = (inputs[k] - of.input.center[k]) * of.input.rstd[k];
      gradients[k] = of.scale[k] * (gradients[k] - of.alone[k] - normal * of.with_normal[k]);
    }
    StoreWork<N>(dx + place, gradients, add);
  }
};

}  // namespace

size_t BatchNormScratchBytes(int64_t rows, int64_t columns, DType dtype) {
  return ColumnSumsScratchBytes(rows, columns, dtype);
}

cudaError_t LaunchBatchNorm(const void* x, const void* gamma, const void* beta, double epsilon,
                            int64_t rows, int64_t columns, DType dtype, void* y, void* mean,
                            void* variance, void* scratch, cudaStream_t stream) {
  if (columns == 0) return cudaSuccess;
  const cudaError_t error = WithFloatingType(dtype, [&](auto tag) {
    using T = typename decltype(tag)::Type;
    using W = Work<T>;
    return LaunchMoments(static_cast<const T*>(x), rows, columns, static_cast<W*>(mean),
                         static_cast<W*>(variance), static_cast<W*>(scratch), stream);
  });
  if (error != cudaSuccess) return error;
  return LaunchBatchNormInference(x, gamma, beta, mean, variance, epsilon, rows, columns, dtype, y,
                                  stream);
}

cudaError_t LaunchBatchNormInference(const void* x, const void* gamma, const void* beta,
                                     const void* mean, const void* variance, double epsilon,
                                     int64_t rows, int64_t columns, DType dtype, void* y,
                                     cudaStream_t stream) {
  return WithFloatingType(dtype, [&](auto tag) {
    using T = typename decltype(tag)::Type;
    using W = Work<T>;
    const NormalizeBody<T> body{static_cast<const T*>(x),
                                static_cast<const W*>(gamma),
                                static_cast<const W*>(beta),
                                static_cast<const W*>(mean),
                                static_cast<const W*>(variance),
                                static_cast<W>(epsilon),
                                columns,
                                static_cast<T*>(y)};
    return LaunchColumnMap<kPack<T>>(body, rows, columns, AlignedForPacks(x, y), stream);
  });
}

cudaError_t LaunchBatchNormGradient(const void* x, const void* gamma, const void* mean,
                                    const void* variance, double epsilon, const void* dy,
                                    int64_t rows, int64_t columns, DType dtype, Write write,
                                    void* dx, void* dgamma, void* dbeta, void* scratch,
                                    cudaStream_t stream) {
  return WithFloatingType(dtype, [&](auto tag) {
    using T = typename decltype(tag)::Type;
    using W = Work<T>;
    const ParameterTerms<T> terms{static_cast<const T*>(x),        static_cast<const W*>(mean),
                                  static_cast<const W*>(variance), static_cast<W>(epsilon),
                                  static_cast<const T*>(dy),       columns};
    const cudaError_t error =
        LaunchColumnSums<T>(terms, rows, columns, AlignedForPacks(x, dy), static_cast<W*>(dgamma),
                            static_cast<W*>(dbeta), static_cast<W*>(scratch), stream);
    if (error != cudaSuccess || dx == nullptr) return error;
    const InputGradientBody<T> body{terms,
                                    static_cast<const W*>(gamma),
                                    static_cast<const W*>(dgamma),
                                    static_cast<const W*>(dbeta),
                                    static_cast<W>(rows),
                                    write == Write::kAdd,
                                    static_cast<T*>(dx)};
    return LaunchColumnMap<kPack<T>>(body, rows, columns, AlignedForPacks(x, dy, dx), stream);
  });
}

}  // namespace parley
