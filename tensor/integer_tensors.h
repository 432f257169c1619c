#ifndef PARLEY_TENSOR_INTEGER_TENSORS_H_
#define PARLEY_TENSOR_INTEGER_TENSORS_H_

#include <cstdint>
#include <random>
#include <vector>

#include "tensor/backend.h"

namespace parley {

// For tests of products on the CPU: of small integers every sum is exact in float32, whatever its
// order, so that results must be equal, to the last bit also in 16 bits, where the sum is rounded
// once.

// Integers from -4 to 4.
Tensor RandomIntegers(const Shape& shape, DType dtype, std::mt19937* random);
// Elements that no operation should leave there.
Tensor NanTensor(const Shape& shape, DType dtype);
std::vector<double> ToDoubles(const Tensor& tensor);
// `values` rounded to the element type.
std::vector<double> Rounded(const std::vector<double>& values, DType dtype);

// A printed seed, a new one each run.
uint32_t NewSeed();

}  // namespace parley

#endif  // PARLEY_TENSOR_INTEGER_TENSORS_H_
