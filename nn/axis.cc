#include "nn/axis.h"

#include "glog/logging.h"

namespace parley::nn {

size_t ResolveAxis(const Shape& shape, int axis) {
  const int rank = static_cast<int>(shape.rank());
  CHECK(axis >= -rank && axis < rank) << "axis " << axis << " of " << shape.ToString();
  return static_cast<size_t>(axis < 0 ? axis + rank : axis);
}

}  // namespace parley::nn
