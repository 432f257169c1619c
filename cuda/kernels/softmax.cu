#include "cuda/kernels/rowwise.cuh"
#include "cuda/kernels/softmax.h"

namespace parley {
namespace {

// y = softmax(x), or its logarithm.
template <typename T, typename Group, bool kLog>
__global__ void __launch_bounds__(Group::kBlock)
    SoftmaxKernel(const T* x, int64_t rows, int64_t columns, int64_t causal_rows, T* y) {
  using W = Work<T>;
  const int64_t row = Group::Row();
  if (row >= rows) return;
  const int64_t visible = causal_rows == 0 ? columns : min(columns, row % causal_rows + 1);
  const RowValues<T, Group> values(x + row * columns, visible);
  y += row * columns;

  W largest = -static_cast<W>(INFINITY);
  Group::ForEachColumn(visible, [&](int k, int64_t column) {
    const W value = values.At(k, column);
    largest = value > largest ? value : largest;
  });
  largest = Group::MaxOfRow(largest);
  W sum = 0;
  Group::ForEachColumn(visible,
                       [&](int k, int64_t column) { sum += exp(values.At(k, column) - largest); });
  sum = Group::SumOfRow(sum);
  if constexpr (kLog) {
    const W shift = largest + log(sum);
    Group::ForEachColumn(columns, [&](int k, int64_t column) {
      y[column] = Convert<T>(values.At(k, column) - shift);
    });
  } else {
    const W scale = 1 / sum;
    Group::ForEachColumn(columns, [&](int k, int64_t column) {
      y[column] = Convert<T>(column < visible ? exp(values.At(k, column) - largest) * scale : W(0));
    });
  }
}

// dx = y * (dy - sum(y * dy)), or, where y is a logarithm, dy - exp(y) * sum(dy).
template <typename T, typename Group, bool kLog>
__global__ void __launch_bounds__(Group::kBlock)
    GradientKernel(const T* y, const T* dy, int64_t rows, int64_t columns, bool add, T* dx) {
  using W = Work<T>;
  const int64_t row = Group::Row();
  if (row >= rows) return;
  const RowValues<T, Group> outputs(y + row * columns, columns);
  const RowValues<T, Group> gradients(dy + row * columns, columns);
  dx += row * columns;

  W sum = 0;
  Group::ForEachColumn(columns, [&](int k, int64_t column) {
    const W gradient = gradients.At(k, column);
    sum += kLog ? gradient : gradient * outputs.At(k, column);
  });
  sum = Group::SumOfRow(sum);
  Group::ForEachColumn(columns, [&](int k, int64_t column) {
    const W output = outputs.At(k, column), gradient = gradients.At(k, column);
    Put(dx + column, kLog ? gradient - exp(output) * sum : output * (gradient - sum), add);
  });
}

template <bool kLog>
cudaError_t Forward(const void* x, int64_t rows, int64_t columns, int64_t causal_rows, DType dtype,
                    void* y, cudaStream_t stream) {
  if (rows == 0 || columns == 0) return cudaSuccess;
  return WithFloatingType(dtype, [&](auto tag) {
    return WithRowGroup(columns, [&](auto group) {
      using T = typename decltype(tag)::Type;
      using Group = decltype(group);
      return LaunchRows<Group>(SoftmaxKernel<T, Group, kLog>, rows, stream,
                               static_cast<const T*>(x), rows, columns, causal_rows,
                               static_cast<T*>(y));
    });
  });
}

template <bool kLog>
cudaError_t Backward(const void* y, const void* dy, int64_t rows, int64_t columns, DType dtype,
                     Write write, void* dx, cudaStream_t stream) {
  if (rows == 0 || columns == 0) return cudaSuccess;
  return WithFloatingType(dtype, [&](auto tag) {
    return WithRowGroup(columns, [&](auto group) {
      using T = typename decltype(tag)::Type;
      using Group = decltype(group);
      return LaunchRows<Group>(GradientKernel<T, Group, kLog>, rows, stream,
                               static_cast<const T*>(y), static_cast<const T*>(dy), rows, columns,
                               write == Write::kAdd, static_cast<T*>(dx));
    });
  });
}

}  // namespace

cudaError_t LaunchSoftmax(const void* x, int64_t rows, int64_t columns, int64_t causal_rows,
                          DType dtype, void* y, cudaStream_t stream) {
  return Forward<false>(x, rows, columns, causal_rows, dtype, y, stream);
}

cudaError_t LaunchSoftmaxGradient(const void* y, const void* dy, int64_t rows, int64_t columns,
                                  DType dtype, Write write, void* dx, cudaStream_t stream) {
  return Backward<false>(y, dy, rows, columns, dtype, write, dx, stream);
}

cudaError_t LaunchLogSoftmax(const void* x, int64_t rows, int64_t columns, DType dtype, void* y,
                             cudaStream_t stream) {
  return Forward<true>(x, rows, columns, 0, dtype, y, stream);
}

cudaError_t LaunchLogSoftmaxGradient(const void* y, const void* dy, int64_t rows, int64_t columns,
                                     DType dtype, Write write, void* dx, cudaStream_t stream) {
  return Backward<true>(y, dy, rows, columns, dtype, write, dx, stream);
}

}  // namespace parley
