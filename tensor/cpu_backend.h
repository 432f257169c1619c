#ifndef PARLEY_TENSOR_CPU_BACKEND_H_
#define PARLEY_TENSOR_CPU_BACKEND_H_

#include "tensor/backend.h"

namespace parley {

// The CPU: each operation runs on the thread that calls it, at once. Never deleted.
Backend* CpuBackend();

}  // namespace parley

#endif  // PARLEY_TENSOR_CPU_BACKEND_H_
