#include "ps/finite.h"

#include "net/wire_dtype.h"
#include "ps/element_cursor.h"

namespace parley {

bool AllFinite(const Gradient& gradient) {
  ElementCursor cursor(gradient.payload, WireBytes(gradient.dtype));
  for (;;) {
    const auto run = cursor.Next(gradient.payload.size());
    if (run.size == 0) return true;
    if (!AllFiniteOnWire(gradient.dtype, run.data, run.size)) return false;
  }
}

}  // namespace parley
