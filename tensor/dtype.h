#ifndef PARLEY_TENSOR_DTYPE_H_
#define PARLEY_TENSOR_DTYPE_H_

#include <cstddef>
#include <cstdint>

namespace parley {

// What a tensor's elements are.
enum class DType {
  kFloat32,
  kInt32,  // labels and indices
};

inline size_t SizeOf(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return sizeof(float);
    case DType::kInt32:
      return sizeof(int32_t);
  }
  return 0;
}

inline const char* NameOf(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return "float32";
    case DType::kInt32:
      return "int32";
  }
  return "unknown";
}

}  // namespace parley

#endif  // PARLEY_TENSOR_DTYPE_H_
