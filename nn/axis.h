#ifndef PARLEY_NN_AXIS_H_
#define PARLEY_NN_AXIS_H_

#include <cstddef>

#include "tensor/shape.h"

namespace parley::nn {

// The dimension of `shape` that `axis` names, in [-rank, rank), a negative one counting from the
// end. A failed CHECK when there is none.
size_t ResolveAxis(const Shape& shape, int axis);

}  // namespace parley::nn

#endif  // PARLEY_NN_AXIS_H_
