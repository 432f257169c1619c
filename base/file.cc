#include "base/file.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/crc32c.h"
#include "base/planted_bug.h"
#include "base/status.h"

namespace parley {

std::string JoinPath(absl::string_view folder, absl::string_view name) {
  if (folder.empty()) return std::string(name);
  return absl::StrCat(folder, folder[folder.size() - 1] == '/' ? "" : "/", name);
}

std::string FolderOf(absl::string_view path) {
  const size_t slash = path.rfind('/');
  if (slash == absl::string_view::npos) return ".";
  return std::string(path.substr(0, std::max<size_t>(slash, 1)));
}

absl::StatusOr<std::string> ReadWholeFile(Env* env, const std::string& path, int64_t limit) {
  PARLEY_ASSIGN_OR_RETURN(const std::unique_ptr<ReadableFile> file, env->OpenFile(path));
  if (file->size() > limit) {
    return absl::ResourceExhaustedError(
        absl::StrCat(path, " has ", file->size(), " bytes, the limit is ", limit));
  }
  std::string bytes(static_cast<size_t>(file->size()), '\0');
  PARLEY_RETURN_IF_ERROR(file->ReadAt(0, &bytes[0], bytes.size()));
  return bytes;
}

absl::StatusOr<uint32_t> ChecksumFile(Env* env, const std::string& path) {
  constexpr int64_t kPiece = 1 << 20;
  PARLEY_ASSIGN_OR_RETURN(const std::unique_ptr<ReadableFile> file, env->OpenFile(path));
  std::vector<char> piece(static_cast<size_t>(std::min(kPiece, file->size())));
  uint32_t crc = 0;
  for (int64_t offset = 0; offset < file->size(); offset += kPiece) {
    const size_t size = static_cast<size_t>(std::min(kPiece, file->size() - offset));
    PARLEY_RETURN_IF_ERROR(file->ReadAt(offset, piece.data(), size));
    crc = ExtendCrc32c(crc, piece.data(), size);
  }
  return crc;
}

absl::StatusOr<std::unique_ptr<AtomicFile>> AtomicFile::Create(Env* env, const std::string& path) {
  PARLEY_ASSIGN_OR_RETURN(std::unique_ptr<WritableFile> file,
                          env->NewWritableFile(absl::StrCat(path, ".tmp")));
  return std::unique_ptr<AtomicFile>(new AtomicFile(env, path, std::move(file)));
}

AtomicFile::AtomicFile(Env* env, std::string path, std::unique_ptr<WritableFile> file)
    : env_(env),
      path_(std::move(path)),
      temporary_path_(absl::StrCat(path_, ".tmp")),
      file_(std::move(file)) {}

AtomicFile::~AtomicFile() {
  if (renamed_) return;
  file_.reset();
  // Nothing more can be done about it: whoever cleans the folder later finds the file.
  env_->RemoveFile(temporary_path_).IgnoreError();
}

absl::Status AtomicFile::Append(const void* data, size_t size) {
  PARLEY_RETURN_IF_ERROR(file_->Append(data, size));
  size_ += static_cast<int64_t>(size);
  crc32c_ = ExtendCrc32c(crc32c_, data, size);
  return absl::OkStatus();
}

absl::Status AtomicFile::PadTo(size_t alignment) {
  const size_t over = static_cast<size_t>(size_) % alignment;
  if (over == 0) return absl::OkStatus();
  const std::string zeros(alignment - over, '\0');
  return Append(zeros.data(), zeros.size());
}

absl::Status AtomicFile::Commit() {
  const bool syncs = !PARLEY_PLANTED_BUG("file_renamed_before_it_is_synced");
  if (syncs) PARLEY_RETURN_IF_ERROR(file_->Sync());
  PARLEY_RETURN_IF_ERROR(file_->Close());
  PARLEY_RETURN_IF_ERROR(env_->RenameFile(temporary_path_, path_));
  renamed_ = true;
  if (PARLEY_PLANTED_BUG("folder_not_synced_after_rename")) return absl::OkStatus();
  return env_->SyncFolder(FolderOf(path_));
}

absl::Status WriteFileAtomically(Env* env, const std::string& path, absl::string_view bytes) {
  PARLEY_ASSIGN_OR_RETURN(const std::unique_ptr<AtomicFile> file, AtomicFile::Create(env, path));
  PARLEY_RETURN_IF_ERROR(file->Append(bytes.data(), bytes.size()));
  return file->Commit();
}

}  // namespace parley
