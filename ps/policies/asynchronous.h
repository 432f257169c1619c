#ifndef PARLEY_PS_POLICIES_ASYNCHRONOUS_H_
#define PARLEY_PS_POLICIES_ASYNCHRONOUS_H_

#include <memory>

#include "ps/policy.h"

namespace parley {

// Each gradient is a round of its own, applied as it comes, corrected by `rule`; a pull waits for
// nobody.
std::unique_ptr<Policy> NewAsynchronous(CorrectionRule rule = {});

}  // namespace parley

#endif  // PARLEY_PS_POLICIES_ASYNCHRONOUS_H_
