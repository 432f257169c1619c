#include "cuda/cuda_backend.h"

#include <map>
#include <memory>

#include "absl/strings/str_cat.h"
#include "base/mutex.h"
#include "base/status.h"
#include "cuda/context.h"
#include "cuda/device_backend.h"

namespace parley {
namespace {

struct Opened {
  DeviceBackend* backend;
  CudaBackendOptions options;
};

// The process' backends by device. Never destroyed: tensors of static duration may outlive it.
struct Registry {
  Mutex mutex;
  std::map<int, Opened> opened ABSL_GUARDED_BY(mutex);
};

}  // namespace

absl::StatusOr<Backend*> CudaBackend(int device, const CudaBackendOptions& options) {
  static Registry* const registry = new Registry();
  MutexLock lock(&registry->mutex);
  const auto found = registry->opened.find(device);
  if (found != registry->opened.end()) {
    const CudaBackendOptions& first = found->second.options;
    if (first.allow_tf32 != options.allow_tf32 || first.memory_limit != options.memory_limit) {
      return absl::FailedPreconditionError(
          absl::StrCat("cuda:", device, " is already in use with other options"));
    }
    return found->second.backend;
  }
  Context::Options context_options;
  context_options.allow_tf32 = options.allow_tf32;
  context_options.memory_limit = options.memory_limit;
  PARLEY_ASSIGN_OR_RETURN(std::unique_ptr<Context> context,
                          Context::Create(device, context_options));
  DeviceBackend* const backend = new DeviceBackend(std::move(context));
  registry->opened[device] = {backend, options};
  return backend;
}

}  // namespace parley
