#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "base/env.h"
#include "base/status.h"

namespace parley {
namespace {

class PosixWritableFile final : public WritableFile {
 public:
  PosixWritableFile(std::string path, int descriptor)
      : path_(std::move(path)), descriptor_(descriptor) {}
  ~PosixWritableFile() override {
    if (descriptor_ >= 0) ::close(descriptor_);
  }

  absl::Status Append(const void* data, size_t size) override {
    const char* bytes = static_cast<const char*>(data);
    while (size > 0) {
      const ssize_t written = ::write(descriptor_, bytes, size);
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return ErrnoToStatus(errno, absl::StrCat("writing ", path_));
      bytes += written;
      size -= static_cast<size_t>(written);
    }
    return absl::OkStatus();
  }

  absl::Status Truncate(int64_t size) override {
    if (::ftruncate(descriptor_, size) != 0 || ::lseek(descriptor_, size, SEEK_SET) < 0) {
      return ErrnoToStatus(errno, absl::StrCat("truncating ", path_));
    }
    return absl::OkStatus();
  }

  absl::Status Sync() override {
    if (::fsync(descriptor_) != 0) return ErrnoToStatus(errno, absl::StrCat("syncing ", path_));
    return absl::OkStatus();
  }

  absl::Status Close() override {
    const int descriptor = descriptor_;
    descriptor_ = -1;
    if (::close(descriptor) != 0) return ErrnoToStatus(errno, absl::StrCat("closing ", path_));
    return absl::OkStatus();
  }

 private:
  const std::string path_;
  int descriptor_;
};

class PosixReadableFile final : public ReadableFile {
 public:
  PosixReadableFile(std::string path, int descriptor, int64_t size)
      : path_(std::move(path)), descriptor_(descriptor), size_(size) {}
  ~PosixReadableFile() override { ::close(descriptor_); }

  absl::Status ReadAt(int64_t offset, void* data, size_t size) const override {
    char* bytes = static_cast<char*>(data);
    while (size > 0) {
      const ssize_t read = ::pread(descriptor_, bytes, size, offset);
      if (read < 0 && errno == EINTR) continue;
      if (read < 0) return ErrnoToStatus(errno, absl::StrCat("reading ", path_));
      if (read == 0) {
        return absl::DataLossError(
            absl::StrCat(path_, " ends at byte ", offset, ", ", size, " bytes before it should"));
      }
      bytes += read;
      offset += read;
      size -= static_cast<size_t>(read);
    }
    return absl::OkStatus();
  }

  int64_t size() const override { return size_; }

 private:
  const std::string path_;
  const int descriptor_;
  const int64_t size_;
};

class PosixEnv final : public Env {
 public:
  absl::Time Now() override {
    return absl::UnixEpoch() +
           absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch());
  }

  absl::StatusOr<std::unique_ptr<WritableFile>> NewWritableFile(const std::string& path) override {
    const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (descriptor < 0) return ErrnoToStatus(errno, absl::StrCat("creating ", path));
    return std::make_unique<PosixWritableFile>(path, descriptor);
  }

  absl::StatusOr<std::unique_ptr<ReadableFile>> OpenFile(const std::string& path) override {
    // O_NONBLOCK: else opening a pipe would wait for its other end.
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0) return ErrnoToStatus(errno, absl::StrCat("opening ", path));
    struct stat info;
    if (::fstat(descriptor, &info) != 0) {
      const int error = errno;
      ::close(descriptor);
      return ErrnoToStatus(error, absl::StrCat("opening ", path));
    }
    if (!S_ISREG(info.st_mode)) {
      ::close(descriptor);
      return absl::InvalidArgumentError(absl::StrCat(path, " is not a regular file"));
    }
    return std::make_unique<PosixReadableFile>(path, descriptor, info.st_size);
  }

  absl::Status RenameFile(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) {
      return ErrnoToStatus(errno, absl::StrCat("renaming ", from, " to ", to));
    }
    return absl::OkStatus();
  }

  absl::Status RemoveFile(const std::string& path) override {
    if (::unlink(path.c_str()) != 0) {
      return ErrnoToStatus(errno, absl::StrCat("removing ", path));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<std::string>> ListFolder(const std::string& folder) override {
    DIR* const stream = ::opendir(folder.c_str());
    if (stream == nullptr) return ErrnoToStatus(errno, absl::StrCat("listing ", folder));
    std::vector<std::string> names;
    errno = 0;
    while (const dirent* entry = ::readdir(stream)) {
      const std::string name = entry->d_name;
      if (name != "." && name != "..") names.push_back(name);
      errno = 0;
    }
    const int error = errno;
    ::closedir(stream);
    if (error != 0) return ErrnoToStatus(error, absl::StrCat("listing ", folder));
    std::sort(names.begin(), names.end());
    return names;
  }

  absl::Status CreateFolders(const std::string& folder) override {
    for (size_t end = folder.find('/', 1);; end = folder.find('/', end + 1)) {
      const std::string path = folder.substr(0, end);
      if (::mkdir(path.c_str(), 0755) != 0 && errno != EEXIST) {
        return ErrnoToStatus(errno, absl::StrCat("creating folder ", path));
      }
      if (end == std::string::npos) return absl::OkStatus();
    }
  }

  absl::Status SyncFolder(const std::string& folder) override {
    const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) return ErrnoToStatus(errno, absl::StrCat("opening folder ", folder));
    const int error = ::fsync(descriptor) != 0 ? errno : 0;
    ::close(descriptor);
    if (error != 0) return ErrnoToStatus(error, absl::StrCat("syncing folder ", folder));
    return absl::OkStatus();
  }
};

}  // namespace

Env* Env::Posix() {
  static Env* const env = new PosixEnv;
  return env;
}

}  // namespace parley
