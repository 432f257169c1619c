#include "base/byte_size.h"

#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace parley {

absl::StatusOr<int64_t> ParseByteSize(absl::string_view text) {
  constexpr struct {
    const char* name;
    int shift;
  } kUnits[] = {{"KiB", 10}, {"MiB", 20}, {"GiB", 30}, {"TiB", 40}, {"B", 0}};
  constexpr double kMost = static_cast<double>(int64_t{1} << 62);
  for (const auto& unit : kUnits) {
    absl::string_view number = text;
    if (!absl::ConsumeSuffix(&number, unit.name)) continue;
    double value = 0;
    if (!absl::SimpleAtod(number, &value)) break;
    const double bytes = value * static_cast<double>(int64_t{1} << unit.shift);
    if (!(bytes >= 1 && bytes <= kMost)) break;
    return static_cast<int64_t>(bytes);
  }
  return absl::InvalidArgumentError(absl::StrCat(text, " is not a size in bytes, like 512MiB"));
}

}  // namespace parley
