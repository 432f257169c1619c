#include "nn/layout.h"

#include <numeric>
#include <utility>

#include "glog/logging.h"
#include "nn/axis.h"

namespace parley::nn {
namespace {

std::vector<int64_t> Beginning(const Shape& shape, size_t axis, int64_t begin) {
  std::vector<int64_t> result(shape.rank(), 0);
  result[axis] = begin;
  return result;
}

}  // namespace

Variable Reshape(const Variable& x, Shape shape) {
  if (x.shape() == shape) return x;
  return Variable::Computed(x.value().Reshape(std::move(shape)), {x},
                            [to_x = x.sink()](const Tensor& dy) { to_x.Pass(dy); });
}

Variable Permute(const Variable& x, const std::vector<int>& axes) {
  const size_t rank = x.shape().rank();
  CHECK_EQ(axes.size(), rank) << "axes for " << x.shape().ToString();
  std::vector<int> forward(rank), back(rank, -1);
  std::vector<int64_t> dimensions(rank);
  for (size_t i = 0; i < rank; ++i) {
    const size_t axis = ResolveAxis(x.shape(), axes[i]);
    CHECK_EQ(back[axis], -1) << "axis " << axes[i] << " of " << x.shape().ToString() << " twice";
    forward[i] = static_cast<int>(axis);
    back[axis] = static_cast<int>(i);
    dimensions[i] = x.shape()[axis];
  }
  const Tensor y(x.backend(), Shape(dimensions), x.dtype());
  x.backend()->Permute(x.value(), forward, Write::kReplace, y);
  return Variable::Computed(y, {x}, [to_x = x.sink(), back](const Tensor& dy) {
    to_x.Add([&](Write write, const Tensor& dx) { dy.backend()->Permute(dy, back, write, dx); });
  });
}

Variable Transpose(const Variable& x) {
  const size_t rank = x.shape().rank();
  CHECK_GE(rank, 2u) << "a matrix, not " << x.shape().ToString();
  std::vector<int> axes(rank);
  std::iota(axes.begin(), axes.end(), 0);
  std::swap(axes[rank - 1], axes[rank - 2]);
  return Permute(x, axes);
}

Variable Concat(const std::vector<Variable>& parts, int axis) {
  CHECK(!parts.empty()) << "nothing to concatenate";
  const Variable& first = parts[0];
  const size_t along = ResolveAxis(first.shape(), axis);
  std::vector<int64_t> dimensions = first.shape().ToVector();
  dimensions[along] = 0;
  for (const Variable& part : parts) {
    std::vector<int64_t> others = part.shape().ToVector();
    CHECK(others.size() == dimensions.size() && part.dtype() == first.dtype())
        << NameOf(first.dtype()) << first.shape().ToString() << " and " << NameOf(part.dtype())
        << part.shape().ToString();
    dimensions[along] += std::exchange(others[along], first.shape()[along]);
    CHECK(Shape(others) == first.shape())
        << first.shape().ToString() << " and " << part.shape().ToString() << " along axis " << axis;
  }
  const Tensor y(first.backend(), Shape(dimensions), first.dtype());
  std::vector<GradientSink> sinks;
  std::vector<int64_t> sizes;
  int64_t begin = 0;
  for (const Variable& part : parts) {
    first.backend()->WriteSlice(part.value(), Beginning(y.shape(), along, begin), Write::kReplace,
                                y);
    sinks.push_back(part.sink());
    sizes.push_back(part.shape()[along]);
    begin += sizes.back();
  }
  return Variable::Computed(y, parts, [sinks, sizes, along](const Tensor& dy) {
    int64_t at = 0;
    for (size_t i = 0; i < sinks.size(); at += sizes[i++]) {
      sinks[i].Add([&](Write write, const Tensor& dx) {
        dy.backend()->ReadSlice(dy, Beginning(dy.shape(), along, at), write, dx);
      });
    }
  });
}

Variable Slice(const Variable& x, int axis, int64_t begin, int64_t size) {
  const size_t along = ResolveAxis(x.shape(), axis);
  CHECK(begin >= 0 && size >= 0 && begin <= x.shape()[along] - size)
      << size << " places from " << begin << " of axis " << axis << " of " << x.shape().ToString();
  std::vector<int64_t> dimensions = x.shape().ToVector();
  dimensions[along] = size;
  const Tensor y(x.backend(), Shape(dimensions), x.dtype());
  const std::vector<int64_t> from = Beginning(x.shape(), along, begin);
  x.backend()->ReadSlice(x.value(), from, Write::kReplace, y);
  return Variable::Computed(y, {x}, [to_x = x.sink(), from](const Tensor& dy) {
    to_x.Add([&](Write write, const Tensor& dx) {
      // The first of several slices makes the zeros around it; the others touch only their part.
      if (write == Write::kReplace) dy.backend()->Fill(0, dx);
      dy.backend()->WriteSlice(dy, from, write, dx);
    });
  });
}

std::vector<Variable> Split(const Variable& x, int axis, const std::vector<int64_t>& sizes) {
  std::vector<Variable> parts;
  int64_t begin = 0;
  for (const int64_t size : sizes) {
    parts.push_back(Slice(x, axis, begin, size));
    begin += size;
  }
  CHECK_EQ(begin, x.shape()[ResolveAxis(x.shape(), axis)])
      << "sizes of slices of " << x.shape().ToString() << " along axis " << axis;
  return parts;
}

Variable GatherRows(const Variable& table, const Tensor& indices) {
  CHECK_EQ(table.shape().rank(), 2u) << "a table, not " << table.shape().ToString();
  CHECK(!IsFloating(indices.dtype())) << NameOf(indices.dtype()) << " indices";
  std::vector<int64_t> dimensions = indices.shape().ToVector();
  dimensions.push_back(table.shape()[1]);
  const Tensor y(table.backend(), Shape(dimensions), table.dtype());
  table.backend()->GatherRows(table.value(), indices, y);
  return Variable::Computed(y, {table}, [to_table = table.sink(), indices](const Tensor& dy) {
    to_table.Add([&](Write write, const Tensor& dtable) {
      dy.backend()->ScatterAddRows(dy, indices, write, dtable);
    });
  });
}

}  // namespace parley::nn
