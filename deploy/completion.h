#ifndef PARLEY_DEPLOY_COMPLETION_H_
#define PARLEY_DEPLOY_COMPLETION_H_

namespace parley {

// What bash sources to complete commands and flags of parley, parley_ps and parley_worker. It has
// none of them: it asks the programs, by `parley help` and --help, so that it is never out of date.
const char* BashCompletion();

}  // namespace parley

#endif  // PARLEY_DEPLOY_COMPLETION_H_
