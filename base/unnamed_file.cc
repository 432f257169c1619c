#include "base/unnamed_file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/env.h"
#include "base/file.h"
#include "base/status.h"

namespace parley {

absl::StatusOr<int> OpenUnnamedFile(const std::string& folder) {
  PARLEY_RETURN_IF_ERROR(Env::Posix()->CreateFolders(folder));
  // O_TMPFILE would be the same in one call, but not every file system has it.
  std::string path = JoinPath(folder, "parley-XXXXXX");
  const int file = mkostemp(path.data(), O_CLOEXEC);
  if (file >= 0 && unlink(path.c_str()) == 0) return file;
  const int error = errno;
  if (file >= 0) close(file);
  return absl::UnavailableError(absl::StrCat(folder, ": cannot make a file: ", strerror(error)));
}

}  // namespace parley
