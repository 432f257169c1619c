#ifndef PARLEY_BASE_MAPPED_FILE_H_
#define PARLEY_BASE_MAPPED_FILE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"

namespace parley {

// A MappedFile reads many small pieces of a file at once where the system keeps it in memory,
// without a system call for each. What it cannot read, because the disk fails or somebody made the
// file shorter, is an error. The system answers that with a SIGBUS; a handler of ours (the first
// MappedFile installs it; other signals of this kind go to who was there before) puts zeros in the
// place of what is mapped and says so. From then on each piece is read with a call.
//
// Thread safety: as for a std::vector: Map beside nothing else, Read beside Read.
class MappedFile {
 public:
  struct Piece {
    int64_t offset;
    std::byte* out;
  };

  // Of an open file, which must stay open. Nothing is mapped yet.
  explicit MappedFile(int descriptor) : file_(descriptor) {}
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  // From now on the first `size` bytes can be read, as far as the file has them. Errors have no
  // name of a file.
  absl::Status Map(int64_t size);
  // `size` bytes of each piece, all of which are mapped. UNAVAILABLE: they cannot be read.
  absl::Status Read(absl::Span<const Piece> pieces, size_t size) const;

 private:
  static constexpr int kShift = 28;  // of the bytes that are mapped together: 256 MiB

  const std::byte* At(int64_t offset) const {
    return chunks_[static_cast<size_t>(offset >> kShift)] + (offset & ((int64_t{1} << kShift) - 1));
  }
  void CopyAll(absl::Span<const Piece> pieces, size_t size) const;
  absl::Status ReadWithCalls(absl::Span<const Piece> pieces, size_t size) const;

  const int file_;
  std::vector<std::byte*> chunks_;
  // Whether zeros stand somewhere in chunks_ for what could not be read. Set before they do, so
  // that who has copied some finds it set.
  mutable std::atomic<bool> lost_{false};
};

}  // namespace parley

#endif  // PARLEY_BASE_MAPPED_FILE_H_
