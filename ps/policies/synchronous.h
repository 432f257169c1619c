#ifndef PARLEY_PS_POLICIES_SYNCHRONOUS_H_
#define PARLEY_PS_POLICIES_SYNCHRONOUS_H_

#include <memory>

#include "ps/policy.h"

namespace parley {

// Round s is the gradients of step s, one from each worker that has not left; a pull for step s
// waits for s rounds. Rounds never mix: a gradient of any other step than the open round's is
// refused.
std::unique_ptr<Policy> NewSynchronous();

}  // namespace parley

#endif  // PARLEY_PS_POLICIES_SYNCHRONOUS_H_
