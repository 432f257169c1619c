#include "nn/softmax.h"

#include "glog/logging.h"

namespace parley::nn {
namespace {

Tensor NewResult(const Variable& x) {
  CHECK_GT(x.shape().rank(), 0u) << "softmax of a scalar";
  return Tensor(x.backend(), x.shape(), x.dtype());
}

// Where a column is not seen y is 0, and so is its gradient: the same formula for both.
Variable Softmax(const Variable& x, bool causal) {
  const Tensor y = NewResult(x);
  x.backend()->Softmax(x.value(), causal, y);
  return Variable::Computed(y, {x}, [to_x = x.sink(), y](const Tensor& dy) {
    to_x.Add(
        [&](Write write, const Tensor& dx) { dy.backend()->SoftmaxGradient(y, dy, write, dx); });
  });
}

}  // namespace

Variable Softmax(const Variable& x) { return Softmax(x, false); }

Variable CausalSoftmax(const Variable& x) {
  CHECK_GE(x.shape().rank(), 2u) << "rows that see columns, not " << x.shape().ToString();
  return Softmax(x, true);
}

Variable LogSoftmax(const Variable& x) {
  const Tensor y = NewResult(x);
  x.backend()->LogSoftmax(x.value(), y);
  return Variable::Computed(y, {x}, [to_x = x.sink(), y](const Tensor& dy) {
    to_x.Add(
        [&](Write write, const Tensor& dx) { dy.backend()->LogSoftmaxGradient(y, dy, write, dx); });
  });
}

}  // namespace parley::nn
