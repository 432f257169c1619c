#ifndef PARLEY_CUDA_CUBLAS_H_
#define PARLEY_CUDA_CUBLAS_H_

#include <cublas_v2.h>
#include <cuda_runtime_api.h>

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tensor/dtype.h"

namespace parley {

// out[i] = scale * op(a[i])[m, k] op(b[i])[k, n] + (add ? out[i] : 0) for `batch` row-major
// matrices that lie close to each other; op transposes if told so, and then a is [k, m] and b
// [n, k]. Sums are in float32, in float64 for float64.
struct MatrixProduct {
  int64_t m = 0;
  int64_t n = 0;
  int64_t k = 0;
  int64_t batch = 1;
  DType dtype = DType::kFloat32;      // of a and b; a floating one
  DType out_dtype = DType::kFloat32;  // dtype, or float32
  const void* a = nullptr;
  const void* b = nullptr;
  void* out = nullptr;
  bool transpose_a = false;
  bool transpose_b = false;
  double scale = 1;
  bool add = false;
};

// How cuBLAS is told of such a product. Its matrices are column-major: it sees each of ours
// transposed, so it is asked for out' = op(b)' op(a)'.
struct CublasArguments {
  cublasOperation_t first_op;  // on b
  cublasOperation_t second_op;
  int64_t rows, columns, inner;
  int64_t first_ld, second_ld, out_ld;
  int64_t first_stride, second_stride, out_stride;
};
CublasArguments ArgumentsOf(const MatrixProduct& product);

// cuBLAS on one device and one stream. Its sums are the same on each call: it has a workspace of
// its own, and no atomics. Thread safety: one thread at a time, with the device current.
class Cublas {
 public:
  static constexpr size_t kWorkspaceBytes = size_t{32} << 20;  // as NVIDIA advises for Hopper

  // `workspace` is of kWorkspaceBytes and outlives it. TF32 rounds the inputs of float32 products
  // to 10 bits. UNAVAILABLE where the library is missing. The device is current.
  static absl::StatusOr<std::unique_ptr<Cublas>> Open(cudaStream_t stream, void* workspace,
                                                      bool allow_tf32);
  ~Cublas();
  Cublas(const Cublas&) = delete;
  Cublas& operator=(const Cublas&) = delete;

  // Enqueues it; m, n, k and batch are not 0.
  absl::Status Multiply(const MatrixProduct& product);

 private:
  struct Functions;

  static absl::StatusOr<Functions> Load();
  Cublas(const Functions& functions, cublasHandle_t handle, bool allow_tf32);

  const std::unique_ptr<const Functions> functions_;
  const cublasHandle_t handle_;
  const bool allow_tf32_;
};

}  // namespace parley

#endif  // PARLEY_CUDA_CUBLAS_H_
