#ifndef PARLEY_TENSOR_SHAPE_H_
#define PARLEY_TENSOR_SHAPE_H_

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace parley {

// The dimensions of a tensor, outermost first; none for a scalar. A value.
class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<int64_t> dimensions) : dimensions_(dimensions) {}
  explicit Shape(const std::vector<int64_t>& dimensions)
      : dimensions_(dimensions.begin(), dimensions.end()) {}

  size_t rank() const { return dimensions_.size(); }
  int64_t operator[](size_t axis) const { return dimensions_[axis]; }
  int64_t back() const { return dimensions_.back(); }
  int64_t num_elements() const {
    int64_t elements = 1;
    for (const int64_t dimension : dimensions_) elements *= dimension;
    return elements;
  }
  // Elements of all dimensions but the last: how many rows the tensor has as a matrix.
  int64_t rows() const {
    int64_t rows = 1;
    for (size_t i = 0; i + 1 < rank(); ++i) rows *= dimensions_[i];
    return rows;
  }

  std::string ToString() const { return absl::StrCat("[", absl::StrJoin(dimensions_, ", "), "]"); }
  std::vector<int64_t> ToVector() const { return {dimensions_.begin(), dimensions_.end()}; }

  friend bool operator==(const Shape& a, const Shape& b) { return a.dimensions_ == b.dimensions_; }
  friend bool operator!=(const Shape& a, const Shape& b) { return !(a == b); }

 private:
  absl::InlinedVector<int64_t, 4> dimensions_;
};

}  // namespace parley

#endif  // PARLEY_TENSOR_SHAPE_H_
