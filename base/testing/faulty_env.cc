#include "base/testing/faulty_env.h"

#include <utility>

#include "base/status.h"

namespace parley {

class FaultyEnv::File final : public WritableFile {
 public:
  File(FaultyEnv* env, std::unique_ptr<WritableFile> target)
      : env_(env), target_(std::move(target)) {}

  absl::Status Append(const void* data, size_t size) override {
    const absl::Status change = env_->Change(/*needs_room=*/true);
    if (!change.ok()) {
      PARLEY_RETURN_IF_ERROR(target_->Append(data, size / 2));
      return change;
    }
    return target_->Append(data, size);
  }
  absl::Status Truncate(int64_t size) override {
    if (env_->is_full()) return target_->Truncate(size);  // which needs no room
    PARLEY_RETURN_IF_ERROR(env_->Change());
    return target_->Truncate(size);
  }
  absl::Status Sync() override {
    PARLEY_RETURN_IF_ERROR(env_->Change());
    return target_->Sync();
  }
  absl::Status Close() override {
    PARLEY_RETURN_IF_ERROR(env_->Change());
    return target_->Close();
  }

 private:
  FaultyEnv* const env_;
  const std::unique_ptr<WritableFile> target_;
};

void FaultyEnv::FailAt(int64_t change, After after, absl::Status error) {
  MutexLock lock(&mutex_);
  changes_ = 0;
  fail_at_ = change;
  after_ = after;
  error_ = std::move(error);
}

void FaultyEnv::SetFull(bool full) {
  MutexLock lock(&mutex_);
  full_ = full;
}

absl::Status FaultyEnv::Change(bool needs_room) {
  MutexLock lock(&mutex_);
  const int64_t change = changes_++;
  if (full_ && needs_room) {
    ++found_full_;
    return absl::ResourceExhaustedError("the disk is full");
  }
  if (fail_at_ < 0 || change < fail_at_) return absl::OkStatus();
  if (change == fail_at_ || after_ == After::kCrashes) return error_;
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<WritableFile>> FaultyEnv::NewWritableFile(const std::string& path) {
  PARLEY_RETURN_IF_ERROR(Change(/*needs_room=*/true));
  PARLEY_ASSIGN_OR_RETURN(std::unique_ptr<WritableFile> file, target_->NewWritableFile(path));
  return std::make_unique<File>(this, std::move(file));
}

absl::Status FaultyEnv::RenameFile(const std::string& from, const std::string& to) {
  PARLEY_RETURN_IF_ERROR(Change());
  return target_->RenameFile(from, to);
}

absl::Status FaultyEnv::RemoveFile(const std::string& path) {
  PARLEY_RETURN_IF_ERROR(Change());
  return target_->RemoveFile(path);
}

absl::Status FaultyEnv::CreateFolders(const std::string& folder) {
  PARLEY_RETURN_IF_ERROR(Change(/*needs_room=*/true));
  return target_->CreateFolders(folder);
}

absl::Status FaultyEnv::SyncFolder(const std::string& folder) {
  PARLEY_RETURN_IF_ERROR(Change());
  return target_->SyncFolder(folder);
}

}  // namespace parley
