#include "net/check_custom.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>

#include "absl/strings/str_cat.h"

namespace parley {

absl::Status CheckCustom(absl::string_view field, const v1::Custom& custom) {
  constexpr size_t kMaxName = 256;
  constexpr int kMaxOptions = 64;
  if (custom.name().empty() || custom.name().size() > kMaxName) {
    return absl::InvalidArgumentError(absl::StrCat(field, ".name has ", custom.name().size(),
                                                   " characters, allowed are names of ", "1 to ",
                                                   kMaxName, " characters"));
  }
  if (custom.options_size() > kMaxOptions) {
    return absl::InvalidArgumentError(absl::StrCat(field, ".options has ", custom.options_size(),
                                                   " entries, allowed are up to ", kMaxOptions));
  }
  // In an order that does not depend on the map's, so that all tasks say the same.
  const std::map<std::string, float> options(custom.options().begin(), custom.options().end());
  for (const auto& [name, value] : options) {
    if (name.size() > kMaxName) {
      return absl::InvalidArgumentError(absl::StrCat(field, ".options has a name of ", name.size(),
                                                     " characters, allowed are up to ", kMaxName));
    }
    if (!std::isfinite(value)) {
      return absl::InvalidArgumentError(
          absl::StrCat(field, ".options[", name, "] is ", value, ", allowed are finite numbers"));
    }
  }
  return absl::OkStatus();
}

}  // namespace parley
