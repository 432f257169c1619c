#include "cuda/kernels/columns.cuh"
#include "cuda/kernels/layer_norm.h"
#include "cuda/kernels/rowwise.cuh"

namespace parley {
namespace {

template <typename T, typename Group>
__global__ void __launch_bounds__(Group::kBlock)
    LayerNormKernel(const T* x, const Work<T>* gamma, const Work<T>* beta, Work<T> epsilon,
                    int64_t rows, int64_t columns, T* y, Work<T>* mean, Work<T>* rstd) {
  using W = Work<T>;
  const int64_t row = Group::Row();
  if (row >= rows) return;
  const RowValues<T, Group> values(x + row * columns, columns);
  y += row * columns;

  W sum = 0;
  Group::ForEachColumn(columns, [&](int k, int64_t column) { sum += values.At(k, column); });
  const W center = Group::SumOfRow(sum) / static_cast<W>(columns);
  W squares = 0;
  Group::ForEachColumn(columns, [&](int k, int64_t column) {
    const W difference = values.At(k, column) - center;
    squares += difference * difference;
  });
  const W variance = Group::SumOfRow(squares) / static_cast<W>(columns);
  const W scale = 1 / sqrt(variance + epsilon);
  Group::ForEachColumn(columns, [&](int k, int64_t column) {
    const W normal = (values.At(k, column) - center) * scale;
    y[column] = Convert<T>(normal * gamma[column] + beta[column]);
  });
  if (threadIdx.x % Group::kThreads == 0) {
    mean[row] = center;
    rstd[row] = scale;
  }
}

// With g = dy * gamma and h = (x - mean) * rstd: dx = rstd * (g - mean of g - h * mean of g * h).
template <typename T, typename Group>
__global__ void __launch_bounds__(Group::kBlock)
    GradientKernel(const T* x, const Work<T>* gamma, const Work<T>* mean, const Work<T>* rstd,
                   const T* dy, int64_t rows, int64_t columns, bool add, T* dx) {
  using W = Work<T>;
  const int64_t row = Group::Row();
  if (row >= rows) return;
  const RowValues<T, Group> inputs(x + row * columns, columns);
  const RowValues<T, Group> gradients(dy + row * columns, columns);
  dx += row * columns;
  const W center = mean[row], scale = rstd[row];

  W sum = 0, with_normal = 0;
  Group::ForEachColumn(columns, [&](int k, int64_t column) {
    const W gradient = gradients.At(k, column) * gamma[column];
    sum += gradient;
    with_normal += gradient * (inputs.At(k, column) - center) * scale;
  });
  const W mean_gradient = Group::SumOfRow(sum) / static_cast<W>(columns);
  const W mean_with_normal = Group::SumOfRow(with_normal) / static_cast<W>(columns);
  Group::ForEachColumn(columns, [&](int k, int64_t column) {
    const W gradient = gradients.At(k, column) * gamma[column];
    const W normal = (inputs.At(k, column) - center) * scale;
    Put(dx + column, scale * (gradient - mean_gradient - normal * mean_with_normal), add);
  });
}

// Terms of dgamma and dbeta.
template <typename T>
struct ParameterTerms {
  const T* x;
  const Work<T>* mean;
  const Work<T>* rstd;
  const T* dy;
  int64_t columns;

  template <int N>
  struct OfColumns {
    __device__ OfColumns(const ParameterTerms&, int64_t) {}
  };

  template <int N>
  __device__ void Add(const OfColumns<N>&, int64_t row, int64_t column, Work<T> (&first)[N],
                      Work<T> (&second)[N]) const {
    Work<T> inputs[N], gradients[N];
    LoadWork<N>(x + row * columns + column, inputs);
    LoadWork<N>(dy + row * columns + column, gradients);
    const Work<T> center = mean[row], scale = rstd[row];
#pragma unroll
    for (int k = 0; k < N; ++k) {
      first[k] += gradients[k] * ((inputs[k] - center) * scale);
      second[k] += gradients[k];
    }
  }
};

}  // namespace

cudaError_t LaunchLayerNorm(const void* x, const void* gamma, const void* beta, double epsilon,
                            int64_t rows, int64_t columns, DType dtype, void* y, void* mean,
                            void* rstd, cudaStream_t stream) {
  if (rows == 0) return cudaSuccess;
  return WithFloatingType(dtype, [&](auto tag) {
    return WithRowGroup(columns, [&](auto group) {
      using T = typename decltype(tag)::Type;
      using W = Work<T>;
      using Group = decltype(group);
      return LaunchRows<Group>(LayerNormKernel<T, Group>, rows, stream, static_cast<const T*>(x),
                               static_cast<const W*>(gamma), static_cast<const W*>(beta),
                               static_cast<W>(epsilon), rows, columns, static_cast<T*>(y),
                               static_cast<W*>(mean), static_cast<W*>(rstd));
    });
  });
}

cudaError_t LaunchLayerNormGradient(const void* x, const void* gamma, const void* mean,
                                    const void* rstd, const void* dy, int64_t rows, int64_t columns,
                                    DType dtype, Write write, void* dx, cudaStream_t stream) {
  if (rows == 0 || columns == 0) return cudaSuccess;
  return WithFloatingType(dtype, [&](auto tag) {
    return WithRowGroup(columns, [&](auto group) {
      using T = typename decltype(tag)::Type;
      using W = Work<T>;
      using Group = decltype(group);
      return LaunchRows<Group>(GradientKernel<T, Group>, rows, stream, static_cast<const T*>(x),
                               static_cast<const W*>(gamma), static_cast<const W*>(mean),
                               static_cast<const W*>(rstd), static_cast<const T*>(dy), rows,
                               columns, write == Write::kAdd, static_cast<T*>(dx));
    });
  });
}

size_t LayerNormParameterGradientScratchBytes(int64_t rows, int64_t columns, DType dtype) {
  return ColumnSumsScratchBytes(rows, columns, dtype);
}

cudaError_t LaunchLayerNormParameterGradient(const void* x, const void* mean, const void* rstd,
                                             const void* dy, int64_t rows, int64_t columns,
                                             DType dtype, void* dgamma, void* dbeta, void* scratch,
                                             cudaStream_t stream) {
  return WithFloatingType(dtype, [&](auto tag) {
    using T = typename decltype(tag)::Type;
    using W = Work<T>;
    const ParameterTerms<T> terms{static_cast<const T*>(x), static_cast<const W*>(mean),
                                  static_cast<const W*>(rstd), static_cast<const T*>(dy), columns};
    return LaunchColumnSums<T>(terms, rows, columns, AlignedForPacks(x, dy),
                               static_cast<W*>(dgamma), static_cast<W*>(dbeta),
                               static_cast<W*>(scratch), stream);
  });
}

}  // namespace parley
