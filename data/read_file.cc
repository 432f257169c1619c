#include "data/read_file.h"

#include <sys/stat.h>
#include <zlib.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <memory>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace parley::data {
namespace {

constexpr size_t kLimit = size_t{16} << 30;
constexpr size_t kPiece = 1 << 16;

}  // namespace

// zlib's gz functions read plain files as they are, and of gzip files check CRC and length at the
// end.
absl::StatusOr<std::string> ReadPossiblyGzipped(const std::string& path) {
  struct stat info;
  if (stat(path.c_str(), &info) != 0) return ErrnoToStatus(errno, path);
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": not a regular file"));
  }
  errno = 0;
  const std::unique_ptr<gzFile_s, int (*)(gzFile)> file(gzopen(path.c_str(), "rb"), &gzclose_r);
  if (file == nullptr) return ErrnoToStatus(errno == 0 ? ENOMEM : errno, path);
  gzbuffer(file.get(), 1 << 17);
  std::string bytes;
  for (;;) {
    const size_t size = bytes.size();
    if (size + kPiece > kLimit) {
      return absl::ResourceExhaustedError(absl::StrCat(path, ": it has more than 16 GiB"));
    }
    bytes.resize(size + kPiece);
    const int read = gzread(file.get(), &bytes[size], kPiece);
    bytes.resize(size + (read > 0 ? static_cast<size_t>(read) : 0));
    if (read > 0) continue;
    int error = Z_OK;
    const char* message = gzerror(file.get(), &error);
    if (error == Z_OK || error == Z_STREAM_END) return bytes;
    if (error == Z_ERRNO) return ErrnoToStatus(errno, path);
    return absl::DataLossError(absl::StrCat(
        path, error == Z_BUF_ERROR ? ": its gzip is truncated" : ": its gzip is damaged: ",
        error == Z_BUF_ERROR ? "" : message));
  }
}

}  // namespace parley::data
