#ifndef PARLEY_CUDA_DYNAMIC_LIBRARY_H_
#define PARLEY_CUDA_DYNAMIC_LIBRARY_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace parley {

// A shared library opened while the program runs, so that one that is missing takes away what it
// does and nothing else. Never closed: others may hold its functions. A value; thread-safe.
class DynamicLibrary {
 public:
  // The first of `names` that can be opened; a name without a slash is looked up as the loader does
  // (LD_LIBRARY_PATH, the system's folders) and then in `folders`. UNAVAILABLE, with what the
  // loader said of each, when none can.
  static absl::StatusOr<DynamicLibrary> Open(const std::vector<std::string>& names,
                                             const std::vector<std::string>& folders = {});

  // Sets `function`, a pointer to a function, to the one called `name`; UNAVAILABLE when there is
  // none, as in an older library.
  template <typename Function>
  absl::Status Find(const char* name, Function* function) const {
    absl::StatusOr<void*> symbol = FindSymbol(name);
    if (!symbol.ok()) return symbol.status();
    *function = reinterpret_cast<Function>(*symbol);
    return absl::OkStatus();
  }

 private:
  DynamicLibrary(std::string name, void* handle) : name_(std::move(name)), handle_(handle) {}

  absl::StatusOr<void*> FindSymbol(const char* name) const;

  std::string name_;
  void* handle_;
};

}  // namespace parley

#endif  // PARLEY_CUDA_DYNAMIC_LIBRARY_H_
