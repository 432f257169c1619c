#ifndef PARLEY_PS_POLICIES_SYNCHRONOUS_H_
#define PARLEY_PS_POLICIES_SYNCHRONOUS_H_

#include <memory>

#include "ps/policy.h"

namespace parley {

// Round s is the gradients of step s, one from each worker that is awaited; a pull for step s waits
// for s rounds. Rounds never mix: a gradient of a step before the open round's is late, one of a
// later step is refused.
//
// A worker that was not awaited, and is back, finds rounds closed without it. When that is one, it
// does its step as if nothing had been, and the gradient is late: blocks, and shards, may not have
// closed the same rounds, and one that is started again in the middle of a step sees the same. When
// there are more it goes on with the open round's step.
//
// awaits_silent: a worker that is silent for its lease is awaited, too.
std::unique_ptr<Policy> NewSynchronous(bool awaits_silent = false);

}  // namespace parley

#endif  // PARLEY_PS_POLICIES_SYNCHRONOUS_H_
