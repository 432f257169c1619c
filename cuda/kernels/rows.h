#ifndef PARLEY_CUDA_KERNELS_ROWS_H_
#define PARLEY_CUDA_KERNELS_ROWS_H_

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "tensor/dtype.h"
#include "tensor/ops.h"

namespace parley {

// Rows of a table found by index (elementwise.h says what holds for all kernels). An index outside
// of [0, rows) stops the device for good: cudaErrorLaunchFailure, at the next synchronisation.

// out[i, :] = table[indices[i], :] for a table of [rows, width] of any dtype; `count` indices, of
// kInt32 or kInt64.
cudaError_t LaunchGatherRows(const void* table, int64_t rows, int64_t width, DType dtype,
                             const void* indices, DType index_dtype, int64_t count, void* out,
                             cudaStream_t stream);

// For the next function. Up to 2^31 - 1 indices.
cudaError_t ScatterAddRowsScratchBytes(int64_t count, size_t* bytes);

// dtable[indices[i], :] += x[i, :], in the order of i: sorts (index, i), then sums each run of
// equal indices in order. kReplace zeroes dtable first. Fewer than 2^32 table rows.
cudaError_t LaunchScatterAddRows(const void* x, const void* indices, DType index_dtype,
                                 int64_t count, DType dtype, Write write, void* dtable,
                                 int64_t rows, int64_t width, void* scratch, size_t scratch_bytes,
                                 cudaStream_t stream);

}  // namespace parley

#endif  // PARLEY_CUDA_KERNELS_ROWS_H_
