#ifndef PARLEY_CUDA_KERNELS_TESTING_HOST_BACKEND_H_
#define PARLEY_CUDA_KERNELS_TESTING_HOST_BACKEND_H_

#include "tensor/backend.h"

namespace parley {

// A Backend made of the CUDA kernels, run on the host by testing/host_device.h: what they compute
// can be tested without a GPU. Matrix products, which are no kernels, are the CPU's; convolutions
// are those around im2col and col2im. Never deleted; null under a sanitizer, for which threads that
// are fibers are no threads. Thread safety: one thread.
Backend* HostKernelsBackend();

}  // namespace parley

#endif  // PARLEY_CUDA_KERNELS_TESTING_HOST_BACKEND_H_
