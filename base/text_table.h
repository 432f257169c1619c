#ifndef PARLEY_BASE_TEXT_TABLE_H_
#define PARLEY_BASE_TEXT_TABLE_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace parley {

// Rows of cells as lines, columns as wide as their widest cell and two spaces apart. `alignment`
// has a letter for each column: 'l' to the left, 'r' to the right, as numbers stand. A row may have
// fewer cells; in its last one a long text makes no column wide, when it is beyond `alignment`.
// Lines end without spaces, and without a newline. Cells are ASCII.
std::vector<std::string> FormatColumns(const std::vector<std::vector<std::string>>& rows,
                                       absl::string_view alignment);

}  // namespace parley

#endif  // PARLEY_BASE_TEXT_TABLE_H_
