#include "nn/matrix.h"

#include <vector>

#include "glog/logging.h"

namespace parley::nn {
namespace {

void CheckDTypes(const Variable& a, const Variable& b) {
  CHECK(a.dtype() == b.dtype()) << NameOf(a.dtype()) << " and " << NameOf(b.dtype());
}

Tensor Keep(bool needed, const Tensor& value) { return needed ? value : Tensor(); }

}  // namespace

Variable MatMul(const Variable& x, const Variable& w, bool transpose_w) {
  CheckDTypes(x, w);
  CHECK(x.shape().rank() > 0 && w.shape().rank() == 2 &&
        x.shape().back() == w.shape()[transpose_w ? 1 : 0])
      << "the product of " << x.shape().ToString() << " and " << w.shape().ToString()
      << (transpose_w ? " transposed" : "");
  std::vector<int64_t> dimensions = x.shape().ToVector();
  dimensions.back() = w.shape()[transpose_w ? 0 : 1];
  const Tensor y(x.backend(), Shape(dimensions), x.dtype());
  x.backend()->MatMul(x.value(), false, w.value(), transpose_w, Write::kReplace, y);
  return Variable::Computed(
      y, {x, w},
      [to_x = x.sink(), to_w = w.sink(), transpose_w, x_value = Keep(w.wants_gradient(), x.value()),
       w_value = Keep(x.wants_gradient(), w.value())](const Tensor& dy) {
        to_w.Add([&](Write write, const Tensor& dw) {
          if (transpose_w) {
            dy.backend()->MatMul(dy, true, x_value, false, write, dw);
          } else {
            dy.backend()->MatMul(x_value, true, dy, false, write, dw);
          }
        });
        to_x.Add([&](Write write, const Tensor& dx) {
          dy.backend()->MatMul(dy, false, w_value, !transpose_w, write, dx);
        });
      });
}

Variable BatchMatMul(const Variable& a, bool transpose_a, const Variable& b, bool transpose_b,
                     double scale) {
  CheckDTypes(a, b);
  const size_t rank = a.shape().rank();
  CHECK(rank >= 2 && b.shape().rank() == rank)
      << a.shape().ToString() << " and " << b.shape().ToString();
  std::vector<int64_t> dimensions = a.shape().ToVector();
  bool fit = a.shape()[rank - (transpose_a ? 2 : 1)] == b.shape()[rank - (transpose_b ? 1 : 2)];
  for (size_t i = 0; i + 2 < rank; ++i) fit = fit && b.shape()[i] == dimensions[i];
  CHECK(fit) << "the products of " << a.shape().ToString() << (transpose_a ? " transposed" : "")
             << " and " << b.shape().ToString() << (transpose_b ? " transposed" : "");
  dimensions[rank - 2] = a.shape()[rank - (transpose_a ? 1 : 2)];
  dimensions[rank - 1] = b.shape()[rank - (transpose_b ? 2 : 1)];
  const Tensor y(a.backend(), Shape(dimensions), a.dtype());
  a.backend()->BatchMatMul(scale, a.value(), transpose_a, b.value(), transpose_b, Write::kReplace,
                           y);
  return Variable::Computed(
      y, {a, b},
      [to_a = a.sink(), to_b = b.sink(), transpose_a, transpose_b, scale,
       a_value = Keep(b.wants_gradient(), a.value()),
       b_value = Keep(a.wants_gradient(), b.value())](const Tensor& dy) {
        Backend* const backend = dy.backend();
        to_a.Add([&](Write write, const Tensor& da) {
          if (transpose_a) {  // op(b) dy^T
            backend->BatchMatMul(scale, b_value, transpose_b, dy, true, write, da);
          } else {  // dy op(b)^T
            backend->BatchMatMul(scale, dy, false, b_value, !transpose_b, write, da);
          }
        });
        to_b.Add([&](Write write, const Tensor& db) {
          if (transpose_b) {  // dy^T op(a)
            backend->BatchMatMul(scale, dy, true, a_value, transpose_a, write, db);
          } else {  // op(a)^T dy
            backend->BatchMatMul(scale, a_value, !transpose_a, dy, false, write, db);
          }
        });
      });
}

}  // namespace parley::nn
