#include "cuda/kernels/cross_entropy.h"
#include "cuda/kernels/map.cuh"
#include "cuda/kernels/rowwise.cuh"

namespace parley {
namespace {

template <typename T, typename Group>
__global__ void __launch_bounds__(Group::kBlock)
    CrossEntropyKernel(const T* logits, const int32_t* labels, int64_t rows, int64_t classes,
                       T* probabilities, Work<T>* losses) {
  using W = Work<T>;
  const int64_t row = Group::Row();
  if (row >= rows) return;
  const RowValues<T, Group> values(logits + row * classes, classes);
  probabilities += row * classes;

  W largest = -static_cast<W>(INFINITY);
  Group::ForEachColumn(classes, [&](int k, int64_t column) {
    const W value = values.At(k, column);
    largest = value > largest ? value : largest;
  });
  largest = Group::MaxOfRow(largest);
  W sum = 0;
  Group::ForEachColumn(classes,
                       [&](int k, int64_t column) { sum += exp(values.At(k, column) - largest); });
  sum = Group::SumOfRow(sum);
  const W scale = 1 / sum;
  Group::ForEachColumn(classes, [&](int k, int64_t column) {
    probabilities[column] = Convert<T>(exp(values.At(k, column) - largest) * scale);
  });
  if (threadIdx.x % Group::kThreads == 0) {
    const int32_t label = labels[row];
    if (label < 0 || label >= classes) __trap();
    losses[row] = log(sum) + largest - ToWork(logits[row * classes + label]);
  }
}

// loss[0] = the mean of `rows` losses; one block.
template <typename T, typename Group>
__global__ void __launch_bounds__(Group::kBlock)
    MeanKernel(const Work<T>* losses, int64_t rows, T* loss) {
  Work<T> sum = 0;
  Group::ForEachColumn(rows, [&](int, int64_t row) { sum += losses[row]; });
  sum = Group::SumOfRow(sum);
  if (threadIdx.x == 0) loss[0] = Convert<T>(sum / static_cast<Work<T>>(rows));
}

template <typename T>
struct GradientBody {
  const T* probabilities;
  const int32_t* labels;
  const T* dloss;
  T* dlogits;
  int64_t classes;
  Work<T> scale;
  bool add;

  template <int N>
  __device__ void At(int64_t i) const {
    Work<T> values[N];
    LoadWork<N>(probabilities + i, values);
    const Work<T> factor = ToWork(dloss[0]) * scale;
    int64_t row = i >> 32 == 0 && classes >> 32 == 0
                      ? static_cast<uint32_t>(i) / static_cast<uint32_t>(classes)
                      : i / classes;
    int64_t column = i - row * classes;
    int32_t label = labels[row];
#pragma unroll
    for (int k = 0; k < N; ++k) {
      if (column == classes) {
        column = 0;
        label = labels[++row];
      }
      values[k] = (values[k] - (column == label ? 1 : 0)) * factor;
      ++column;
    }
    StoreWork<N>(dlogits + i, values, add);
  }
};

}  // namespace

size_t CrossEntropyScratchBytes(int64_t rows, DType dtype) {
  return static_cast<size_t>(rows) * (dtype == DType::kFloat64 ? sizeof(double) : sizeof(float));
}

cudaError_t LaunchCrossEntropy(const void* logits, const int32_t* labels, int64_t rows,
                               int64_t classes, DType dtype, void* probabilities, void* loss,
                               void* scratch, cudaStream_t stream) {
  return WithFloatingType(dtype, [&](auto tag) {
    using T = typename decltype(tag)::Type;
    Work<T>* losses = static_cast<Work<T>*>(scratch);
    if (rows > 0) {
      const cudaError_t error = WithRowGroup(classes, [&](auto group) {
        using Group = decltype(group);
        return LaunchRows<Group>(CrossEntropyKernel<T, Group>, rows, stream,
                                 static_cast<const T*>(logits), labels, rows, classes,
                                 static_cast<T*>(probabilities), losses);
      });
      if (error != cudaSuccess) return error;
    }
    using Group = RowGroup<1024, 0>;
    return LaunchRows<Group>(MeanKernel<T, Group>, 1, stream, losses, rows, static_cast<T*>(loss));
  });
}

cudaError_t LaunchCrossEntropyGradient(const void* probabilities, const int32_t* labels,
                                       const void* dloss, int64_t rows, int64_t classes,
                                       DType dtype, Write write, void* dlogits,
                                       cudaStream_t stream) {
  if (rows == 0) return cudaSuccess;
  return WithFloatingType(dtype, [&](auto tag) {
    using T = typename decltype(tag)::Type;
    const GradientBody<T> body{static_cast<const T*>(probabilities),
                               labels,
                               static_cast<const T*>(dloss),
                               static_cast<T*>(dlogits),
                               classes,
                               static_cast<Work<T>>(1) / static_cast<Work<T>>(rows),
                               write == Write::kAdd};
    return LaunchMap<kPack<T>>(body, rows * classes, AlignedForPacks(probabilities, dlogits),
                               stream);
  });
}

}  // namespace parley
