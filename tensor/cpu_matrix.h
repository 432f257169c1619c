#ifndef PARLEY_TENSOR_CPU_MATRIX_H_
#define PARLEY_TENSOR_CPU_MATRIX_H_

#include "Eigen/Core"
#include "tensor/backend.h"

namespace parley {

// Row-major matrices and vectors over memory of someone else, for the CPU kernels.
using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using MatrixMap = Eigen::Map<Matrix>;
using ConstMatrixMap = Eigen::Map<const Matrix>;
using ArrayMap = Eigen::Map<Eigen::ArrayXf>;

inline MatrixMap AsMatrix(const Tensor& tensor) {
  const Shape& shape = tensor.shape();
  return MatrixMap(tensor.data(), shape.rows(), shape.rank() == 0 ? 1 : shape.back());
}
inline ArrayMap AsArray(const Tensor& tensor) {
  return ArrayMap(tensor.data(), tensor.num_elements());
}

}  // namespace parley

#endif  // PARLEY_TENSOR_CPU_MATRIX_H_
