#include "tensor/tensor.h"

#include "base/aligned_buffer.h"
#include "glog/logging.h"
#include "tensor/backend.h"

namespace parley {

Tensor::Tensor(Backend* backend, Shape shape, DType dtype)
    : backend_(backend),
      shape_(std::move(shape)),
      dtype_(dtype),
      data_(backend->Allocate(bytes())) {}

Tensor Tensor::Borrow(Backend* backend, Shape shape, void* data, DType dtype) {
  CHECK_EQ(reinterpret_cast<uintptr_t>(data) % kBufferAlignment, 0u);
  Tensor tensor;
  tensor.backend_ = backend;
  tensor.shape_ = std::move(shape);
  tensor.dtype_ = dtype;
  tensor.data_ = std::shared_ptr<void>(data, [](void*) {});
  return tensor;
}

Tensor Tensor::Reshape(Shape shape) const {
  CHECK_EQ(shape.num_elements(), num_elements()) << shape_.ToString() << " as " << shape.ToString();
  Tensor tensor = *this;
  tensor.shape_ = std::move(shape);
  return tensor;
}

}  // namespace parley
