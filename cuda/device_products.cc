#include "cuda/device_backend.h"
#include "cuda/kernels/elementwise.h"
#include "glog/logging.h"

// DeviceBackend's matrix products, by cuBLAS.

namespace parley {
namespace {

// Enqueues it, also where sizes are 0: a sum over nothing is 0.
absl::Status Multiply(Context& context, const MatrixProduct& product) {
  const int64_t elements = product.batch * product.m * product.n;
  if (elements == 0) return absl::OkStatus();
  if (product.k == 0) {
    if (product.add) return absl::OkStatus();
    return Launched(LaunchFill(0, product.out, elements, product.out_dtype, context.compute()));
  }
  return context.cublas().Multiply(product);
}

}  // namespace

void DeviceBackend::MatMul(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b,
                           Write write, const Tensor& out) {
  CHECK(out.shape().rank() > 0 && a.dtype() == out.dtype() && b.dtype() == out.dtype());
  if (out.num_elements() == 0) return;
  MatrixProduct product;
  product.n = out.shape().back();
  product.m = out.num_elements() / product.n;
  product.k = a.num_elements() / product.m;
  CHECK(product.m * product.k == a.num_elements() && product.k * product.n == b.num_elements())
      << "MatMul of " << a.shape().ToString() << " and " << b.shape().ToString() << " into "
      << out.shape().ToString();
  product.dtype = product.out_dtype = out.dtype();
  product.a = a.As<void>();
  product.b = b.As<void>();
  product.out = out.As<void>();
  product.transpose_a = transpose_a;
  product.transpose_b = transpose_b;
  product.add = write == Write::kAdd;
  Enqueue("MatMul", {&a, &b}, {&out}, [&](Context& context) { return Multiply(context, product); });
}

void DeviceBackend::BatchMatMul(double scale, const Tensor& a, bool transpose_a, const Tensor& b,
                                bool transpose_b, Write write, const Tensor& out) {
  const size_t rank = out.shape().rank();
  CHECK(rank >= 2 && a.dtype() == out.dtype() && b.dtype() == out.dtype());
  if (out.num_elements() == 0) return;
  MatrixProduct product;
  product.m = out.shape()[rank - 2];
  product.n = out.shape()[rank - 1];
  product.batch = out.num_elements() / (product.m * product.n);
  product.k = a.num_elements() / (product.batch * product.m);
  CHECK(product.batch * product.m * product.k == a.num_elements() &&
        product.batch * product.k * product.n == b.num_elements())
      << "BatchMatMul of " << a.shape().ToString() << " and " << b.shape().ToString() << " into "
      << out.shape().ToString();
  product.dtype = product.out_dtype = out.dtype();
  product.a = a.As<void>();
  product.b = b.As<void>();
  product.out = out.As<void>();
  product.transpose_a = transpose_a;
  product.transpose_b = transpose_b;
  product.scale = scale;
  product.add = write == Write::kAdd;
  Enqueue("BatchMatMul", {&a, &b}, {&out},
          [&](Context& context) { return Multiply(context, product); });
}

}  // namespace parley
