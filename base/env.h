#ifndef PARLEY_BASE_ENV_H_
#define PARLEY_BASE_ENV_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace parley {

// A file being written from its beginning. Nothing is durable before Sync. The destructor closes
// and discards errors, so call Close. Thread safety: none.
class WritableFile {
 public:
  virtual ~WritableFile() = default;
  virtual absl::Status Append(const void* data, size_t size) = 0;
  // Drops what was appended beyond the first `size` bytes.
  virtual absl::Status Truncate(int64_t size) = 0;
  virtual absl::Status Sync() = 0;
  virtual absl::Status Close() = 0;
};

// A file that is read at any place.
// Thread safety: safe from any thread.
class ReadableFile {
 public:
  virtual ~ReadableFile() = default;
  // Exactly `size` bytes from `offset` on; DATA_LOSS when the file ends before.
  virtual absl::Status ReadAt(int64_t offset, void* data, size_t size) const = 0;
  // Bytes, when it was opened.
  virtual int64_t size() const = 0;
};

// An Env is what Parley needs from the operating system where tests want to put something else:
// wrap it, and every fault can be injected (base/testing/faulty_env.h). Errors name the path.
// Thread safety: safe from any thread.
class Env {
 public:
  virtual ~Env() = default;

  // The one of this process. Never deleted.
  static Env* Posix();

  // The steady clock: only differences mean something.
  virtual absl::Time Now() = 0;

  // Creates `path`, or empties it when it exists.
  virtual absl::StatusOr<std::unique_ptr<WritableFile>> NewWritableFile(
      const std::string& path) = 0;
  // NOT_FOUND when there is none; INVALID_ARGUMENT when it is not a regular file.
  virtual absl::StatusOr<std::unique_ptr<ReadableFile>> OpenFile(const std::string& path) = 0;
  // Replaces `to` at once when it exists. Durable after SyncFolder.
  virtual absl::Status RenameFile(const std::string& from, const std::string& to) = 0;
  virtual absl::Status RemoveFile(const std::string& path) = 0;
  // Names, without their folder, of all that stands in `folder`, in ascending order.
  virtual absl::StatusOr<std::vector<std::string>> ListFolder(const std::string& folder) = 0;
  // Makes `folder` and those above it; OK when they exist.
  virtual absl::Status CreateFolders(const std::string& folder) = 0;
  // Makes creations, renames and removals in `folder` durable.
  virtual absl::Status SyncFolder(const std::string& folder) = 0;
};

}  // namespace parley

#endif  // PARLEY_BASE_ENV_H_
