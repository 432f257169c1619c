#include "ps/row_spool.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "base/unnamed_file.h"

namespace parley {
namespace {

absl::Status Error(const std::string& folder, absl::string_view what) {
  const int error = errno;
  const std::string message = absl::StrCat(folder, ": ", what, ": ", strerror(error));
  if (error == ENOSPC || error == EDQUOT) return absl::ResourceExhaustedError(message);
  return absl::UnavailableError(message);
}

}  // namespace

absl::StatusOr<std::unique_ptr<RowSpool>> RowSpool::InFile(const std::string& folder) {
  auto spool = std::make_unique<RowSpool>();
  PARLEY_ASSIGN_OR_RETURN(spool->file_, OpenUnnamedFile(folder));
  spool->folder_ = folder;
  return spool;
}

RowSpool::~RowSpool() {
  if (file_ >= 0) close(file_);
}

absl::Status RowSpool::Append(const void* data, size_t size) {
  const char* from = static_cast<const char*>(data);
  while (size > 0) {
    const size_t at = static_cast<size_t>(size_) % kPiece;
    if (at == 0 && (file_ < 0 || pieces_.empty())) pieces_.push_back(NewAlignedBytes(kPiece));
    const size_t some = std::min(size, kPiece - at);
    std::memcpy(pieces_.back().get() + at, from, some);
    size_ += static_cast<int64_t>(some);
    from += some;
    size -= some;
    if (file_ >= 0 && at + some == kPiece) PARLEY_RETURN_IF_ERROR(WritePiece());
  }
  return absl::OkStatus();
}

absl::Status RowSpool::WritePiece() {
  const std::byte* from = pieces_.back().get();
  for (int64_t at = size_ - static_cast<int64_t>(kPiece); at < size_;) {
    const ssize_t written = pwrite(file_, from, static_cast<size_t>(size_ - at), at);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return Error(folder_, "cannot write rows of a checkpoint");
    at += written;
    from += written;
  }
  return absl::OkStatus();
}

absl::Status RowSpool::Read(
    int64_t begin, int64_t size,
    absl::FunctionRef<absl::Status(const void* data, size_t size)> use) const {
  constexpr int64_t kBytes = kPiece;
  const int64_t in_file = file_ < 0 ? 0 : size_ / kBytes * kBytes;
  AlignedBytes read;
  for (const int64_t end = begin + size; begin < end;) {
    const int64_t some = std::min(end, begin / kBytes * kBytes + kBytes) - begin;
    const std::byte* from;
    if (begin < in_file) {
      if (read == nullptr) read = NewAlignedBytes(kPiece);
      for (int64_t done = 0; done < some;) {
        const ssize_t got =
            pread(file_, read.get() + done, static_cast<size_t>(some - done), begin + done);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return Error(folder_, "cannot read rows of a checkpoint");
        done += got;
      }
      from = read.get();
    } else {
      from = (file_ < 0 ? pieces_[static_cast<size_t>(begin / kBytes)] : pieces_.back()).get() +
             begin % kBytes;
    }
    PARLEY_RETURN_IF_ERROR(use(from, static_cast<size_t>(some)));
    begin += some;
  }
  return absl::OkStatus();
}

}  // namespace parley
