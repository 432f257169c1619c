#ifndef PARLEY_BASE_UNNAMED_FILE_H_
#define PARLEY_BASE_UNNAMED_FILE_H_

#include <string>

#include "absl/status/statusor.h"

namespace parley {

// Opens a new, empty file on the disk of `folder`, which is made when missing, to be read and
// written. It has no name: whatever ends the process, nothing is left of it. The caller closes the
// descriptor. Errors name the folder. Safe from any thread.
absl::StatusOr<int> OpenUnnamedFile(const std::string& folder);

}  // namespace parley

#endif  // PARLEY_BASE_UNNAMED_FILE_H_
