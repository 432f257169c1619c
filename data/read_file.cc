#include "data/read_file.h"

#include <zlib.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/env.h"
#include "base/file.h"

namespace parley::data {
namespace {

constexpr size_t kLimit = size_t{16} << 30;
constexpr size_t kPiece = 1 << 16;
constexpr int kGzipOnly = 16 + MAX_WBITS;  // inflateInit2: a gzip header and trailer are expected

bool IsGzip(absl::string_view bytes) {
  return bytes.size() >= 2 && bytes[0] == '\x1f' && bytes[1] == '\x8b';
}

// Not zlib's gz functions: they take whatever follows a gzip member for harmless and drop it.
absl::StatusOr<std::string> Unpack(const std::string& path, absl::string_view packed) {
  const auto damaged = [&](absl::string_view what) {
    return absl::DataLossError(absl::StrCat(path, ": its gzip is ", what));
  };
  z_stream stream = {};
  if (inflateInit2(&stream, kGzipOnly) != Z_OK) {
    return absl::ResourceExhaustedError(absl::StrCat(path, ": no memory to unpack it"));
  }
  const std::unique_ptr<z_stream, int (*)(z_stream*)> end(&stream, &inflateEnd);
  std::string bytes;
  size_t taken = 0;  // of `packed`
  for (;;) {
    const size_t size = bytes.size();
    if (size + kPiece > kLimit) {
      return absl::ResourceExhaustedError(absl::StrCat(path, ": it has more than 16 GiB"));
    }
    bytes.resize(size + kPiece);
    const size_t given = std::min<size_t>(packed.size() - taken, std::numeric_limits<uInt>::max());
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data() + taken));
    stream.avail_in = static_cast<uInt>(given);
    stream.next_out = reinterpret_cast<Bytef*>(&bytes[size]);
    stream.avail_out = kPiece;
    const int result = inflate(&stream, Z_NO_FLUSH);
    taken += given - stream.avail_in;
    bytes.resize(size + kPiece - stream.avail_out);
    if (result == Z_STREAM_END) {
      if (taken == packed.size()) return bytes;
      if (!IsGzip(packed.substr(taken))) {
        return damaged(absl::StrCat("followed by ", packed.size() - taken, " bytes too many"));
      }
      inflateReset(&stream);
    } else if (result == Z_BUF_ERROR) {  // no progress was possible: the room was there, so input
      return damaged("truncated");
    } else if (result != Z_OK) {
      return damaged(
          absl::StrCat("damaged: ", stream.msg == nullptr ? "unknown error" : stream.msg));
    }
  }
}

}  // namespace

absl::StatusOr<std::string> ReadPossiblyGzipped(const std::string& path) {
  absl::StatusOr<std::string> bytes =
      ReadWholeFile(Env::Posix(), path, static_cast<int64_t>(kLimit));
  if (!bytes.ok() || !IsGzip(*bytes)) return bytes;
  return Unpack(path, *bytes);
}

}  // namespace parley::data
