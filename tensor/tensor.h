#ifndef PARLEY_TENSOR_TENSOR_H_
#define PARLEY_TENSOR_TENSOR_H_

#include <cstdint>
#include <memory>
#include <utility>

#include "absl/types/span.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace parley {

class Backend;

// A dense row-major array on one device. Copying a Tensor shares its elements. All begin at a
// multiple of kBufferAlignment (base/aligned_buffer.h). Thread safety: as for a shared_ptr to the
// elements.
class Tensor {
 public:
  Tensor() = default;
  // Not initialised; on the device of `backend`, which must outlive it.
  Tensor(Backend* backend, Shape shape, DType dtype = DType::kFloat32);
  // Uses memory of someone else, who keeps it alive: `data` is on the device of `backend`, aligned
  // as above.
  static Tensor Borrow(Backend* backend, Shape shape, void* data, DType dtype = DType::kFloat32);

  bool defined() const { return backend_ != nullptr; }
  Backend* backend() const { return backend_; }
  const Shape& shape() const { return shape_; }
  DType dtype() const { return dtype_; }
  int64_t num_elements() const { return shape_.num_elements(); }
  size_t bytes() const { return static_cast<size_t>(num_elements()) * SizeOf(dtype_); }

  // On the device; only a CPU tensor's may be read by the caller. T is the C++ type of dtype().
  template <typename T>
  T* As() const {
    return static_cast<T*>(data_.get());
  }
  float* data() const { return As<float>(); }
  int32_t* int_data() const { return As<int32_t>(); }
  absl::Span<float> span() const { return {data(), static_cast<size_t>(num_elements())}; }

  // Whether no other tensor shares these elements.
  bool unique() const { return data_.use_count() == 1; }

  // The same elements under another shape of as many.
  Tensor Reshape(Shape shape) const;

 private:
  Backend* backend_ = nullptr;
  Shape shape_;
  DType dtype_ = DType::kFloat32;
  std::shared_ptr<void> data_;
};

}  // namespace parley

#endif  // PARLEY_TENSOR_TENSOR_H_
