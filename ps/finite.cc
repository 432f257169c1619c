#include "ps/finite.h"

#include <cstdint>

#include "ps/float_cursor.h"

namespace parley {
namespace {

typedef uint32_t UnalignedBits __attribute__((aligned(1), may_alias));

// An exponent of all ones means infinity or NaN. Integer arithmetic without branches: it
// vectorises, and raises no floating-point exception.
bool HasNonFinite(const FloatCursor::Run& run) {
  const UnalignedBits* bits = reinterpret_cast<const UnalignedBits*>(run.data);
  constexpr uint32_t kExponent = 0x7f800000;
  uint32_t found = 0;
  for (size_t i = 0; i < run.size; ++i) found |= (bits[i] & kExponent) == kExponent ? 1u : 0u;
  return found != 0;
}

}  // namespace

bool AllFinite(const Payload& payload) {
  FloatCursor cursor(payload);
  for (;;) {
    const FloatCursor::Run run = cursor.Next(payload.size());
    if (run.size == 0) return true;
    if (HasNonFinite(run)) return false;
  }
}

}  // namespace parley
