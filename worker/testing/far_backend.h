#ifndef PARLEY_WORKER_TESTING_FAR_BACKEND_H_
#define PARLEY_WORKER_TESTING_FAR_BACKEND_H_

#include <memory>

#include "tensor/backend.h"

namespace parley {

// A Backend that computes as the CPU's but stands for a device far away: it is not CpuBackend(), so
// its tensors are to be copied to and fro; and what StartCopyToHost brings arrives in the host's
// memory only when the transfer is asked about a second time, or waited for. Who looks earlier
// reads what was there before, and who lets the memory go too early is found by a sanitizer.
// Thread safety: safe from any thread, as every Backend.
std::unique_ptr<Backend> NewFarBackend();

}  // namespace parley

#endif  // PARLEY_WORKER_TESTING_FAR_BACKEND_H_
