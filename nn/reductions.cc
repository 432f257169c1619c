#include "nn/reductions.h"

#include <numeric>

#include "glog/logging.h"
#include "nn/axis.h"
#include "nn/elementwise.h"
#include "nn/layout.h"

namespace parley::nn {
namespace {

// dx = factor * dy repeated along the dimensions in which they differ, where dy has size 1.
void Repeat(double factor, const Tensor& dy, Write write, const Tensor& dx) {
  Backend* const backend = dx.backend();
  const size_t rank = dx.shape().rank();
  if (rank == 0) {
    backend->Affine(factor, dy, 0, write, dx);
    return;
  }
  // dy is first repeated along the last dimension, then times ones over the others: so no tensor of
  // dx's size is made, even when dy is a scalar.
  std::vector<int64_t> last = dy.shape().ToVector(), others = dx.shape().ToVector();
  last[rank - 1] = dx.shape().back();
  for (size_t i = 0; i < rank; ++i) {
    if (i + 1 == rank || dy.shape()[i] == others[i]) others[i] = 1;
  }
  const Tensor factors(backend, Shape(std::vector<int64_t>{dx.shape().back()}), dx.dtype());
  backend->Fill(factor, factors);
  const Tensor row(backend, Shape(last), dx.dtype());
  backend->Binary(BinaryOp::kMultiply, dy, factors, Write::kReplace, row);
  const Tensor ones(backend, Shape(others), dx.dtype());
  backend->Fill(1, ones);
  backend->Binary(BinaryOp::kMultiply, ones, row, write, dx);
}

// factor times the sum to `reduced`, which has size 1 in the dimensions that are summed over.
Variable ScaledSum(const Variable& x, const Shape& reduced, double factor) {
  Backend* const backend = x.backend();
  const Tensor sum(backend, reduced, x.dtype());
  backend->Reduce(Reduction::kSum, x.value(), Write::kReplace, sum);
  if (factor != 1) backend->Affine(factor, sum, 0, Write::kReplace, sum);
  return Variable::Computed(sum, {x}, [to_x = x.sink(), factor](const Tensor& dy) {
    to_x.Add([&](Write write, const Tensor& dx) { Repeat(factor, dy, write, dx); });
  });
}

Variable Reduced(const Variable& x, const std::vector<int>& axes, bool keep_dimensions, bool mean) {
  std::vector<int64_t> reduced = x.shape().ToVector();
  std::vector<bool> gone(reduced.size(), false);
  int64_t count = 1;
  for (const int axis : axes) {
    const size_t i = ResolveAxis(x.shape(), axis);
    CHECK(!gone[i]) << "axis " << axis << " of " << x.shape().ToString() << " twice";
    gone[i] = true;
    count *= reduced[i];
    reduced[i] = 1;
  }
  std::vector<int64_t> remaining;
  for (size_t i = 0; i < reduced.size(); ++i) {
    if (!gone[i] || keep_dimensions) remaining.push_back(reduced[i]);
  }
  const double factor = mean ? 1 / static_cast<double>(count) : 1;
  // The sum behind a 16-bit mean may be beyond the dtype's range where the mean is not.
  const bool narrow = mean && SizeOf(x.dtype()) == 2;
  const Variable sum = ScaledSum(narrow ? Cast(x, DType::kFloat32) : x, Shape(reduced), factor);
  return Reshape(narrow ? Cast(sum, x.dtype()) : sum, Shape(remaining));
}

std::vector<int> AllAxes(const Variable& x) {
  std::vector<int> axes(x.shape().rank());
  std::iota(axes.begin(), axes.end(), 0);
  return axes;
}

}  // namespace

Variable Sum(const Variable& x) { return Reduced(x, AllAxes(x), false, false); }
Variable Mean(const Variable& x) { return Reduced(x, AllAxes(x), false, true); }
Variable Sum(const Variable& x, const std::vector<int>& axes, bool keep_dimensions) {
  return Reduced(x, axes, keep_dimensions, false);
}
Variable Mean(const Variable& x, const std::vector<int>& axes, bool keep_dimensions) {
  return Reduced(x, axes, keep_dimensions, true);
}

}  // namespace parley::nn
