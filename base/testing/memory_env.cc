#include "base/testing/memory_env.h"

#include <algorithm>
#include <cstring>
#include <random>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"

namespace parley {
namespace {

absl::Status NotThere(const std::string& path) {
  return absl::NotFoundError(absl::StrCat(path, " is not there"));
}

std::string NameOf(const std::string& path) { return path.substr(path.rfind('/') + 1); }

}  // namespace

class MemoryEnv::Writer final : public WritableFile {
 public:
  Writer(MemoryEnv* env, std::shared_ptr<File> file) : env_(env), file_(std::move(file)) {}

  absl::Status Append(const void* data, size_t size) override {
    MutexLock lock(&env_->mutex_);
    file_->bytes.append(static_cast<const char*>(data), size);
    return absl::OkStatus();
  }
  absl::Status Truncate(int64_t size) override {
    MutexLock lock(&env_->mutex_);
    file_->bytes.resize(static_cast<size_t>(size));
    return absl::OkStatus();
  }
  absl::Status Sync() override {
    MutexLock lock(&env_->mutex_);
    file_->synced = file_->bytes;
    return absl::OkStatus();
  }
  absl::Status Close() override { return absl::OkStatus(); }

 private:
  MemoryEnv* const env_;
  const std::shared_ptr<File> file_;
};

class MemoryEnv::Reader final : public ReadableFile {
 public:
  Reader(std::string path, std::string bytes) : path_(std::move(path)), bytes_(std::move(bytes)) {}

  absl::Status ReadAt(int64_t offset, void* data, size_t size) const override {
    const size_t begin = static_cast<size_t>(offset);
    if (begin > bytes_.size() || size > bytes_.size() - begin) {
      return absl::DataLossError(absl::StrCat(path_, " ends before"));
    }
    if (size > 0) std::memcpy(data, bytes_.data() + begin, size);
    return absl::OkStatus();
  }
  int64_t size() const override { return static_cast<int64_t>(bytes_.size()); }

 private:
  const std::string path_;
  const std::string bytes_;  // when it was opened
};

void MemoryEnv::PowerFails(Loses loses, uint32_t seed) {
  std::mt19937 random(seed);
  MutexLock lock(&mutex_);
  std::vector<std::shared_ptr<File>> files;  // by name, so that a seed does the same again
  for (auto& [path, folder] : folders_) {
    if (loses == Loses::kAll || random() % 2 == 0) folder.names = folder.synced;
    folder.synced = folder.names;
    for (const auto& [name, file] : folder.names) {
      if (std::find(files.begin(), files.end(), file) == files.end()) files.push_back(file);
    }
  }
  for (const std::shared_ptr<File>& file : files) {
    const bool longer = absl::StartsWith(file->bytes, file->synced);
    if (loses == Loses::kAll || !longer) {
      file->bytes = file->synced;
    } else {
      const size_t more = file->bytes.size() - file->synced.size();
      file->bytes.resize(file->synced.size() + random() % (more + 1));
    }
    file->synced = file->bytes;
  }
}

void MemoryEnv::Advance(absl::Duration duration) {
  MutexLock lock(&mutex_);
  ahead_ += duration;
}

absl::Time MemoryEnv::Now() {
  MutexLock lock(&mutex_);
  return Env::Posix()->Now() + ahead_;
}

MemoryEnv::Folder* MemoryEnv::FolderWith(const std::string& path) {
  const auto found = folders_.find(FolderOf(path));
  return found == folders_.end() ? nullptr : &found->second;
}

absl::StatusOr<std::unique_ptr<WritableFile>> MemoryEnv::NewWritableFile(const std::string& path) {
  MutexLock lock(&mutex_);
  Folder* const folder = FolderWith(path);
  if (folder == nullptr) return NotThere(path);
  std::shared_ptr<File>& file = folder->names[NameOf(path)];
  if (file == nullptr) file = std::make_shared<File>();
  file->bytes.clear();
  return std::make_unique<Writer>(this, file);
}

absl::StatusOr<std::unique_ptr<ReadableFile>> MemoryEnv::OpenFile(const std::string& path) {
  MutexLock lock(&mutex_);
  Folder* const folder = FolderWith(path);
  if (folder == nullptr || folder->names.count(NameOf(path)) == 0) return NotThere(path);
  return std::make_unique<Reader>(path, folder->names[NameOf(path)]->bytes);
}

absl::Status MemoryEnv::RenameFile(const std::string& from, const std::string& to) {
  MutexLock lock(&mutex_);
  Folder* const old_folder = FolderWith(from);
  Folder* const new_folder = FolderWith(to);
  if (old_folder == nullptr || new_folder == nullptr) return NotThere(from);
  const auto found = old_folder->names.find(NameOf(from));
  if (found == old_folder->names.end()) return NotThere(from);
  const std::shared_ptr<File> file = found->second;
  old_folder->names.erase(found);
  new_folder->names[NameOf(to)] = file;
  return absl::OkStatus();
}

absl::Status MemoryEnv::RemoveFile(const std::string& path) {
  MutexLock lock(&mutex_);
  Folder* const folder = FolderWith(path);
  if (folder == nullptr || folder->names.erase(NameOf(path)) == 0) return NotThere(path);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> MemoryEnv::ListFolder(const std::string& folder) {
  MutexLock lock(&mutex_);
  const auto found = folders_.find(folder);
  if (found == folders_.end()) return NotThere(folder);
  std::vector<std::string> names;
  for (const auto& [name, file] : found->second.names) names.push_back(name);
  for (const auto& [path, below] : folders_) {
    if (path != folder && FolderOf(path) == folder) names.push_back(NameOf(path));
  }
  std::sort(names.begin(), names.end());
  return names;
}

absl::Status MemoryEnv::CreateFolders(const std::string& folder) {
  MutexLock lock(&mutex_);
  for (std::string path = folder; path.size() > 1; path = FolderOf(path)) folders_[path];
  return absl::OkStatus();
}

absl::Status MemoryEnv::SyncFolder(const std::string& folder) {
  MutexLock lock(&mutex_);
  const auto found = folders_.find(folder);
  if (found == folders_.end()) return NotThere(folder);
  found->second.synced = found->second.names;
  return absl::OkStatus();
}

}  // namespace parley
