#ifndef PARLEY_PS_POLICIES_BOUNDED_STALENESS_H_
#define PARLEY_PS_POLICIES_BOUNDED_STALENESS_H_

#include <memory>

#include "ps/policy.h"

namespace parley {

// Stale synchronous parallel (Ho et al., "More effective distributed ML via a stale synchronous
// parallel parameter server", NIPS 2013): each gradient is applied as it comes, corrected by
// `rule`; a pull for step s is answered when every worker that is awaited has the clock s - limit,
// and its gradients are applied. So no worker is ever more than `limit` steps ahead of another, and
// limit 0 makes all wait for each other at each step. Silent workers are not awaited; one whose
// clock the others have left behind meanwhile goes on from theirs.
std::unique_ptr<Policy> NewBoundedStaleness(int limit, CorrectionRule rule = {});

}  // namespace parley

#endif  // PARLEY_PS_POLICIES_BOUNDED_STALENESS_H_
