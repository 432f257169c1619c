#include "ps/finite.h"

#include "net/wire_dtype.h"
#include "ps/element_cursor.h"

namespace parley {
namespace {

template <size_t kBytes>
bool AllFiniteOf(const Gradient& gradient) {
  ElementCursor<kBytes> cursor(gradient.payload);
  for (;;) {
    const auto run = cursor.Next(gradient.payload.size());
    if (run.size == 0) return true;
    if (!AllFiniteOnWire(gradient.dtype, run.data, run.size)) return false;
  }
}

}  // namespace

bool AllFinite(const Gradient& gradient) {
  return WireBytes(gradient.dtype) == 2 ? AllFiniteOf<2>(gradient) : AllFiniteOf<4>(gradient);
}

}  // namespace parley
