#ifndef PARLEY_BASE_TESTING_MEMORY_ENV_H_
#define PARLEY_BASE_TESTING_MEMORY_ENV_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/env.h"
#include "base/mutex.h"

namespace parley {

// An Env whose files are in memory, on a disk that forgets: when the power fails, what was written
// and not synced may be lost, and so may creations, renames and removals in folders that were not
// synced. Folders themselves stay. Its clock is this process's, and can be set forward.
// Thread safety: safe from any thread. Files that are open when the power fails must not be used.
class MemoryEnv final : public Env {
 public:
  enum class Loses {
    kAll,   // that may be lost
    kSome,  // of each file the end of what was not synced, of each folder all changes or none
  };

  // `seed` decides what kSome loses.
  void PowerFails(Loses loses, uint32_t seed);

  // From now on the clock is so much further.
  void Advance(absl::Duration duration);

  absl::Time Now() override;
  absl::StatusOr<std::unique_ptr<WritableFile>> NewWritableFile(const std::string& path) override;
  absl::StatusOr<std::unique_ptr<ReadableFile>> OpenFile(const std::string& path) override;
  absl::Status RenameFile(const std::string& from, const std::string& to) override;
  absl::Status RemoveFile(const std::string& path) override;
  absl::StatusOr<std::vector<std::string>> ListFolder(const std::string& folder) override;
  absl::Status CreateFolders(const std::string& folder) override;
  absl::Status SyncFolder(const std::string& folder) override;

 private:
  class Writer;
  class Reader;
  struct File {
    std::string bytes;
    std::string synced;
  };
  using Names = std::map<std::string, std::shared_ptr<File>>;
  struct Folder {
    Names names;
    Names synced;
  };

  // Null: there is no such folder.
  Folder* FolderWith(const std::string& path) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable Mutex mutex_;
  std::map<std::string, Folder> folders_ ABSL_GUARDED_BY(mutex_);  // by path
  absl::Duration ahead_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace parley

#endif  // PARLEY_BASE_TESTING_MEMORY_ENV_H_
