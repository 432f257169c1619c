#include "net/row_wire.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "absl/strings/str_cat.h"
#include "net/wire_dtype.h"

namespace parley {
namespace {

constexpr float kMost = 127;

void ToInt8(const float* in, size_t width, void* out) {
  float most = 0;
  bool finite = true;
  for (size_t i = 0; i < width; ++i) {
    const float magnitude = std::fabs(in[i]);
    finite = finite & (magnitude <= std::numeric_limits<float>::max());
    most = std::max(most, magnitude);
  }
  const float scale = finite ? most / kMost : std::numeric_limits<float>::quiet_NaN();
  std::memcpy(out, &scale, sizeof(scale));
  int8_t* const bytes = static_cast<int8_t*>(out) + sizeof(scale);
  const size_t padded = (width + 3) / 4 * 4;
  if (!(scale > 0)) {
    std::memset(bytes, 0, padded);
    return;
  }
  for (size_t i = 0; i < width; ++i) {
    // Where the scale is denormal, and so was rounded, it may be more than 127.
    const float rounded = std::nearbyint(in[i] / scale);
    bytes[i] = static_cast<int8_t>(std::min(kMost, std::max(-kMost, rounded)));
  }
  std::memset(bytes + width, 0, padded - width);
}

void FromInt8(const void* in, size_t width, float* out) {
  float scale;
  std::memcpy(&scale, in, sizeof(scale));
  const int8_t* const bytes = static_cast<const int8_t*>(in) + sizeof(scale);
  for (size_t i = 0; i < width; ++i) out[i] = static_cast<float>(bytes[i]) * scale;
}

}  // namespace

size_t RowWireBytes(v1::DType dtype, size_t width) {
  if (dtype == v1::INT8) return sizeof(float) + (width + 3) / 4 * 4;
  return width * WireBytes(dtype);
}

absl::StatusOr<v1::DType> ParseRowDType(absl::string_view name) {
  if (name == "int8") return v1::INT8;
  const absl::StatusOr<v1::DType> dtype = ParseWireDType(name);
  if (dtype.ok()) return dtype;
  return absl::InvalidArgumentError(
      absl::StrCat(name, " is none of float32, bfloat16, float16, int8"));
}

void RowToWire(v1::DType dtype, const float* in, size_t width, void* out) {
  if (dtype == v1::INT8) return ToInt8(in, width, out);
  ToWire(dtype, in, width, out);
}

void RowFromWire(v1::DType dtype, const void* in, size_t width, float* out) {
  if (dtype == v1::INT8) return FromInt8(in, width, out);
  FromWire(dtype, in, width, out);
}

bool RowsFiniteOnWire(v1::DType dtype, const void* in, size_t rows, size_t width) {
  if (dtype != v1::INT8) return AllFiniteOnWire(dtype, in, rows * width);
  const char* row = static_cast<const char*>(in);
  for (size_t i = 0; i < rows; ++i, row += RowWireBytes(dtype, width)) {
    float scale;
    std::memcpy(&scale, row, sizeof(scale));
    // A peer's byte may be -128.
    if (!(std::fabs(scale) <= std::numeric_limits<float>::max() / 128)) return false;
  }
  return true;
}

}  // namespace parley
