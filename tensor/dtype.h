#ifndef PARLEY_TENSOR_DTYPE_H_
#define PARLEY_TENSOR_DTYPE_H_

#include <cstddef>
#include <cstdint>

namespace parley {

// What a tensor's elements are.
enum class DType {
  kFloat32,
  kFloat64,   // for checking the others
  kBFloat16,  // the upper half of a float32
  kFloat16,   // IEEE 754 binary16
  kInt32,     // labels and indices
  kInt64,     // likewise
};

inline bool IsFloating(DType dtype) { return dtype != DType::kInt32 && dtype != DType::kInt64; }

inline size_t SizeOf(DType dtype) {
  switch (dtype) {
    case DType::kBFloat16:
    case DType::kFloat16:
      return 2;
    case DType::kFloat32:
    case DType::kInt32:
      return 4;
    case DType::kFloat64:
    case DType::kInt64:
      return 8;
  }
  return 0;
}

inline const char* NameOf(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return "float32";
    case DType::kFloat64:
      return "float64";
    case DType::kBFloat16:
      return "bfloat16";
    case DType::kFloat16:
      return "float16";
    case DType::kInt32:
      return "int32";
    case DType::kInt64:
      return "int64";
  }
  return "unknown";
}

}  // namespace parley

#endif  // PARLEY_TENSOR_DTYPE_H_
