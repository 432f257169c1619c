#include "tensor/integer_tensors.h"

#include <iostream>
#include <limits>

#include "tensor/cpu_backend.h"
#include "tensor/cpu_widen.h"

namespace parley {

Tensor RandomIntegers(const Shape& shape, DType dtype, std::mt19937* random) {
  const Tensor tensor(CpuBackend(), shape, dtype);
  std::uniform_int_distribution<int> integers(-4, 4);
  WithFloatingType(dtype, [&](auto zero) {
    using T = decltype(zero);
    for (int64_t i = 0; i < tensor.num_elements(); ++i) {
      tensor.As<T>()[i] = static_cast<T>(static_cast<float>(integers(*random)));
    }
  });
  return tensor;
}

Tensor NanTensor(const Shape& shape, DType dtype) {
  const Tensor tensor(CpuBackend(), shape, dtype);
  WithFloatingType(dtype, [&](auto zero) {
    using T = decltype(zero);
    std::fill_n(tensor.As<T>(), tensor.num_elements(), std::numeric_limits<T>::quiet_NaN());
  });
  return tensor;
}

std::vector<double> ToDoubles(const Tensor& tensor) {
  std::vector<double> values;
  WithFloatingType(tensor.dtype(), [&](auto zero) {
    using T = decltype(zero);
    for (int64_t i = 0; i < tensor.num_elements(); ++i) {
      values.push_back(static_cast<double>(tensor.As<T>()[i]));
    }
  });
  return values;
}

std::vector<double> Rounded(const std::vector<double>& values, DType dtype) {
  std::vector<double> rounded;
  WithFloatingType(dtype, [&](auto zero) {
    using T = decltype(zero);
    for (const double value : values) {
      rounded.push_back(static_cast<double>(static_cast<T>(static_cast<WorkType<T>>(value))));
    }
  });
  return rounded;
}

uint32_t NewSeed() {
  const uint32_t seed = std::random_device()();
  std::cout << "seed " << seed << std::endl;
  return seed;
}

}  // namespace parley
