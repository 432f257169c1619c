#ifndef PARLEY_PS_POLICIES_PHASED_H_
#define PARLEY_PS_POLICIES_PHASED_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "ps/policy.h"

namespace parley {

struct PolicyPhase {
  std::unique_ptr<Policy> policy;
  int64_t end;  // the first round that is not in it; of the last phase it does not count
};

// One policy after another: a block's open round is under the phase that its number is in. What
// enters and leaves a round is decided when it comes, so a gradient that was computed in one phase
// may come in the next, which then takes or drops it as it does any of its staleness. At least one
// phase.
std::unique_ptr<Policy> NewPhased(std::vector<PolicyPhase> phases);

}  // namespace parley

#endif  // PARLEY_PS_POLICIES_PHASED_H_
