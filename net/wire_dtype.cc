#include "net/wire_dtype.h"

#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/finite.h"
#include "base/half.h"

namespace parley {

size_t WireBytes(v1::DType dtype) {
  switch (dtype) {
    case v1::FLOAT32:
      return 4;
    case v1::BFLOAT16:
    case v1::FLOAT16:
      return 2;
    default:
      return 0;
  }
}

absl::StatusOr<v1::DType> ParseWireDType(absl::string_view name) {
  if (name == "float32") return v1::FLOAT32;
  if (name == "bfloat16") return v1::BFLOAT16;
  if (name == "float16") return v1::FLOAT16;
  return absl::InvalidArgumentError(absl::StrCat(name, " is none of float32, bfloat16, float16"));
}

bool ToWire(v1::DType dtype, const float* in, size_t count, void* out) {
  switch (dtype) {
    case v1::BFLOAT16:
      return ToBFloat16(in, count, out);
    case v1::FLOAT16:
      return ToFloat16(in, count, out);
    default:
      return CopyFinite(in, count, out);
  }
}

void FromWire(v1::DType dtype, const void* in, size_t count, float* out) {
  switch (dtype) {
    case v1::BFLOAT16:
      return FromBFloat16(in, count, out);
    case v1::FLOAT16:
      return FromFloat16(in, count, out);
    default:
      std::memcpy(out, in, count * sizeof(float));
  }
}

bool AllFiniteOnWire(v1::DType dtype, const void* in, size_t count) {
  switch (dtype) {
    case v1::BFLOAT16:
      return AllFiniteBFloat16(in, count);
    case v1::FLOAT16:
      return AllFiniteFloat16(in, count);
    default:
      return AllFinite(static_cast<const float*>(in), count);
  }
}

}  // namespace parley
