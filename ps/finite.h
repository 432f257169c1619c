#ifndef PARLEY_PS_FINITE_H_
#define PARLEY_PS_FINITE_H_

#include "net/payload.h"

namespace parley {

// Whether no float32 element of `payload` is a NaN or an infinity. Elements may straddle slices.
// Pure.
bool AllFinite(const Payload& payload);

}  // namespace parley

#endif  // PARLEY_PS_FINITE_H_
