#include "base/text_table.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace parley {

std::vector<std::string> FormatColumns(const std::vector<std::vector<std::string>>& rows,
                                       absl::string_view alignment) {
  std::vector<size_t> widths(alignment.size(), 0);
  for (const std::vector<std::string>& row : rows) {
    for (size_t i = 0; i < std::min(row.size(), widths.size()); ++i) {
      widths[i] = std::max(widths[i], row[i].size());
    }
  }
  std::vector<std::string> lines;
  for (const std::vector<std::string>& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      const size_t width = i < widths.size() ? widths[i] : 0;
      const std::string room(width - std::min(width, row[i].size()), ' ');
      const bool right = i < alignment.size() && alignment[i] == 'r';
      absl::StrAppend(&line, i == 0 ? "" : "  ", right ? room : "", row[i], right ? "" : room);
    }
    absl::StripTrailingAsciiWhitespace(&line);
    lines.push_back(std::move(line));
  }
  return lines;
}

}  // namespace parley
