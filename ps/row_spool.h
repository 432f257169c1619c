#ifndef PARLEY_PS_ROW_SPOOL_H_
#define PARLEY_PS_ROW_SPOOL_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/aligned_buffer.h"

namespace parley {

// A RowSpool keeps bytes between the thread that copies rows for a checkpoint and the one that
// writes them: in memory, or in a file without a name where they are those of a table for which
// there is no memory.
//
// Thread safety: none; one thread appends, and then another reads.
class RowSpool {
 public:
  // In memory; throws std::bad_alloc.
  RowSpool() = default;
  // In a file in `folder`, with a MiB of memory.
  static absl::StatusOr<std::unique_ptr<RowSpool>> InFile(const std::string& folder);
  ~RowSpool();
  RowSpool(const RowSpool&) = delete;
  RowSpool& operator=(const RowSpool&) = delete;

  absl::Status Append(const void* data, size_t size);
  int64_t size() const { return size_; }  // bytes
  // Calls use(data, size) for one piece of the bytes [begin, begin + size) after another.
  absl::Status Read(int64_t begin, int64_t size,
                    absl::FunctionRef<absl::Status(const void* data, size_t size)> use) const;

 private:
  static constexpr size_t kPiece = size_t{1} << 20;

  absl::Status WritePiece();

  int file_ = -1;
  std::string folder_;                // of the file
  std::vector<AlignedBytes> pieces_;  // of kPiece each; of a file only the last
  int64_t size_ = 0;
};

}  // namespace parley

#endif  // PARLEY_PS_ROW_SPOOL_H_
