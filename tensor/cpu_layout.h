#ifndef PARLEY_TENSOR_CPU_LAYOUT_H_
#define PARLEY_TENSOR_CPU_LAYOUT_H_

#include "tensor/backend.h"

namespace parley {

// Backend's operations of these names (backend.h), of CPU tensors.
// Of any dtype.
void CpuPermute(const Tensor& x, absl::Span<const int> axes, Write write, const Tensor& out);
void CpuReadSlice(const Tensor& x, absl::Span<const int64_t> begin, Write write, const Tensor& out);
void CpuWriteSlice(const Tensor& x, absl::Span<const int64_t> begin, Write write,
                   const Tensor& out);

}  // namespace parley

#endif  // PARLEY_TENSOR_CPU_LAYOUT_H_
