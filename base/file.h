#ifndef PARLEY_BASE_FILE_H_
#define PARLEY_BASE_FILE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/env.h"

namespace parley {

// `name` in `folder`; `name` alone when `folder` is empty.
std::string JoinPath(absl::string_view folder, absl::string_view name);

// The folder that `path` stands in: "." for a bare name.
std::string FolderOf(absl::string_view path);

// All bytes of a file; RESOURCE_EXHAUSTED when it has more than `limit`.
absl::StatusOr<std::string> ReadWholeFile(Env* env, const std::string& path, int64_t limit);

// The CRC32C of all bytes of a file, read in pieces.
absl::StatusOr<uint32_t> ChecksumFile(Env* env, const std::string& path);

// An AtomicFile appears under its path whole and durable, or not at all: the bytes go to
// "<path>.tmp", which Commit syncs and renames. Its size and CRC32C run along. Thread safety: none.
class AtomicFile {
 public:
  static absl::StatusOr<std::unique_ptr<AtomicFile>> Create(Env* env, const std::string& path);
  // Removes what was not committed.
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  absl::Status Append(const void* data, size_t size);
  // Zeros up to the next multiple of `alignment`.
  absl::Status PadTo(size_t alignment);
  // After an error, the path holds what it held before, or (when only the folder's sync failed) the
  // new bytes.
  absl::Status Commit();

  int64_t size() const { return size_; }
  uint32_t crc32c() const { return crc32c_; }

 private:
  AtomicFile(Env* env, std::string path, std::unique_ptr<WritableFile> file);

  Env* const env_;
  const std::string path_;
  const std::string temporary_path_;
  std::unique_ptr<WritableFile> file_;
  bool renamed_ = false;
  int64_t size_ = 0;
  uint32_t crc32c_ = 0;
};

// An AtomicFile of these bytes.
absl::Status WriteFileAtomically(Env* env, const std::string& path, absl::string_view bytes);

}  // namespace parley

#endif  // PARLEY_BASE_FILE_H_
