#ifndef PARLEY_TENSOR_CPU_WIDE_IMAGES_H_
#define PARLEY_TENSOR_CPU_WIDE_IMAGES_H_

#include <cstdint>
#include <memory>

#include "tensor/cpu_widen.h"

namespace parley {

// Images of a tensor in the work type, some at a time: in place where they are of that type.
template <typename T>
class WideImages {
 public:
  using W = WorkType<T>;

  WideImages(const Tensor& tensor, int64_t image, int64_t most_images)
      : data_(tensor.As<T>()), image_(image) {
    if (!kIsWorkType<T>) scratch_ = NewScratch<W>(tensor.backend(), image * most_images);
  }

  const W* Read(int64_t first, int64_t images) {
    if constexpr (kIsWorkType<T>) {
      return data_ + first * image_;
    } else {
      Widen(data_ + first * image_, images * image_, scratch_.get());
      return scratch_.get();
    }
  }

 private:
  const T* const data_;
  const int64_t image_;
  std::shared_ptr<W> scratch_;
};

// Images to be computed, likewise.
template <typename T>
class WideResults {
 public:
  using W = WorkType<T>;

  WideResults(const Tensor& tensor, int64_t image, int64_t most_images, Write write)
      : data_(tensor.As<T>()), image_(image), write_(write) {
    if (!kIsWorkType<T>) scratch_ = NewScratch<W>(tensor.backend(), image * most_images);
  }

  // Where to put, as inner_write() says, those from `first` on; Finish must follow.
  W* Begin(int64_t first) {
    if constexpr (kIsWorkType<T>) {
      return data_ + first * image_;
    } else {
      return scratch_.get();
    }
  }
  Write inner_write() const { return kIsWorkType<T> ? write_ : Write::kReplace; }
  void Finish(int64_t first, int64_t images) {
    if constexpr (!kIsWorkType<T>) {
      Narrow(scratch_.get(), images * image_, write_, data_ + first * image_);
    }
  }

 private:
  T* const data_;
  const int64_t image_;
  const Write write_;
  std::shared_ptr<W> scratch_;
};

}  // namespace parley

#endif  // PARLEY_TENSOR_CPU_WIDE_IMAGES_H_
