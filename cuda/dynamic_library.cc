#include "cuda/dynamic_library.h"

#include <dlfcn.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace parley {

absl::StatusOr<DynamicLibrary> DynamicLibrary::Open(const std::vector<std::string>& names,
                                                    const std::vector<std::string>& folders) {
  std::vector<std::string> places = names;
  for (const std::string& folder : folders) {
    for (const std::string& name : names) places.push_back(absl::StrCat(folder, "/", name));
  }
  std::vector<std::string> errors;
  for (const std::string& place : places) {
    void* const handle = dlopen(place.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle != nullptr) return DynamicLibrary(place, handle);
    const char* const error = dlerror();
    errors.push_back(error == nullptr ? place : error);
  }
  return absl::UnavailableError(absl::StrCat("cannot be opened: ", absl::StrJoin(errors, "; ")));
}

absl::StatusOr<void*> DynamicLibrary::FindSymbol(const char* name) const {
  void* const symbol = dlsym(handle_, name);
  if (symbol == nullptr) return absl::UnavailableError(absl::StrCat(name_, " has no ", name));
  return symbol;
}

}  // namespace parley
