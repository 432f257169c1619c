#include "worker/custom_flag.h"

#include <limits>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace parley {

absl::StatusOr<v1::Custom> ParseCustomFlag(const char* flag, const std::string& value) {
  const auto invalid = [&](absl::string_view what) {
    return absl::InvalidArgumentError(
        absl::StrCat("--", flag, "=", value, " is not like name,option=1.5,other=2: ", what));
  };
  const std::vector<std::string> parts = absl::StrSplit(value, ',');
  v1::Custom custom;
  if (parts[0].empty() || parts[0].find('=') != std::string::npos) return invalid("it has no name");
  custom.set_name(parts[0]);
  for (size_t i = 1; i < parts.size(); ++i) {
    const size_t equals = parts[i].find('=');
    double number = 0;
    if (equals == 0 || equals == std::string::npos ||
        !absl::SimpleAtod(parts[i].substr(equals + 1), &number)) {
      return invalid(absl::StrCat("'", parts[i], "' is not an option and its number"));
    }
    constexpr double kLargest = std::numeric_limits<float>::max();
    if (number > kLargest) number = std::numeric_limits<double>::infinity();
    if (number < -kLargest) number = -std::numeric_limits<double>::infinity();
    const std::string option = parts[i].substr(0, equals);
    if (!custom.mutable_options()->insert({option, static_cast<float>(number)}).second) {
      return invalid(absl::StrCat("option ", option, " is there twice"));
    }
  }
  return custom;
}

}  // namespace parley
