#ifndef PARLEY_BASE_TESTING_FAULTY_ENV_H_
#define PARLEY_BASE_TESTING_FAULTY_ENV_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/env.h"
#include "base/mutex.h"

namespace parley {

// An Env over another one whose changes to files fail on demand: NewWritableFile, Append,
// Truncate, Sync, Close, RenameFile, RemoveFile, CreateFolders and SyncFolder, counted from 0 over
// all files. A failing Append leaves half of its bytes. Thread safety: safe from any thread, as the
// other Env is.
class FaultyEnv final : public Env {
 public:
  enum class After {
    kRecovers,  // only the chosen change fails: a full disk, a failing sync
    kCrashes,   // all later ones fail too, as if the process had died there; nothing is cleaned up
  };

  explicit FaultyEnv(Env* target) : target_(target) {}

  // The change number `change` from now on fails with `error`; -1: none does.
  void FailAt(int64_t change, After after, absl::Status error);
  // While it is full, what needs room, NewWritableFile, Append and CreateFolders, fails with
  // RESOURCE_EXHAUSTED.
  void SetFull(bool full);
  // How often anything has failed for that.
  int64_t found_full() const {
    MutexLock lock(&mutex_);
    return found_full_;
  }
  // Changes since the last FailAt (or construction).
  int64_t changes() const {
    MutexLock lock(&mutex_);
    return changes_;
  }

  absl::Time Now() override { return target_->Now(); }
  absl::StatusOr<std::unique_ptr<WritableFile>> NewWritableFile(const std::string& path) override;
  absl::StatusOr<std::unique_ptr<ReadableFile>> OpenFile(const std::string& path) override {
    return target_->OpenFile(path);
  }
  absl::Status RenameFile(const std::string& from, const std::string& to) override;
  absl::Status RemoveFile(const std::string& path) override;
  absl::StatusOr<std::vector<std::string>> ListFolder(const std::string& folder) override {
    return target_->ListFolder(folder);
  }
  absl::Status CreateFolders(const std::string& folder) override;
  absl::Status SyncFolder(const std::string& folder) override;

 private:
  class File;

  // Counts a change; not OK when it fails.
  absl::Status Change(bool needs_room = false);

  Env* const target_;
  bool is_full() const {
    MutexLock lock(&mutex_);
    return absl::IsResourceExhausted(error_);
  }
  mutable Mutex mutex_;
  int64_t changes_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t fail_at_ ABSL_GUARDED_BY(mutex_) = -1;
  After after_ ABSL_GUARDED_BY(mutex_) = After::kRecovers;
  absl::Status error_ ABSL_GUARDED_BY(mutex_);
  bool full_ ABSL_GUARDED_BY(mutex_) = false;
  int64_t found_full_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace parley

#endif  // PARLEY_BASE_TESTING_FAULTY_ENV_H_
