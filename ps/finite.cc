#include "ps/finite.h"

#include <cstdint>

#include "ps/element_cursor.h"

namespace parley {
namespace {

// An exponent of all ones means infinity or NaN. Integer arithmetic without branches: it
// vectorises, and raises no floating-point exception.
template <typename Bits, Bits kExponent>
bool AllFiniteAs(const Payload& payload) {
  typedef Bits Unaligned __attribute__((aligned(1), may_alias));
  ElementCursor<sizeof(Bits)> cursor(payload);
  for (;;) {
    const auto run = cursor.Next(payload.size());
    if (run.size == 0) return true;
    const Unaligned* const bits = reinterpret_cast<const Unaligned*>(run.data);
    Bits found = 0;
    for (size_t i = 0; i < run.size; ++i) {
      found = static_cast<Bits>(found | ((bits[i] & kExponent) == kExponent ? 1 : 0));
    }
    if (found != 0) return false;
  }
}

}  // namespace

bool AllFinite(const Gradient& gradient) {
  switch (gradient.dtype) {
    case v1::BFLOAT16:
      return AllFiniteAs<uint16_t, 0x7f80>(gradient.payload);
    case v1::FLOAT16:
      return AllFiniteAs<uint16_t, 0x7c00>(gradient.payload);
    default:
      return AllFiniteAs<uint32_t, 0x7f800000>(gradient.payload);
  }
}

}  // namespace parley
