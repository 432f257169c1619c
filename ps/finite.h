#ifndef PARLEY_PS_FINITE_H_
#define PARLEY_PS_FINITE_H_

#include "ps/gradient.h"

namespace parley {

// Whether no element of `gradient` is a NaN or an infinity. Elements may straddle slices. Pure.
bool AllFinite(const Gradient& gradient);

}  // namespace parley

#endif  // PARLEY_PS_FINITE_H_
