#ifndef PARLEY_PS_TABLE_SPILL_FILE_H_
#define PARLEY_PS_TABLE_SPILL_FILE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "ps/table/row_spill.h"

namespace parley {

// A RowSpill in a file of its own in `folder`, which is made when missing. The file has no name
// from its beginning on: whatever ends the process, nothing is left of it.
//
// Rows are written one behind another, a segment of half a MiB at a time, and read each by itself,
// where the system keeps the file in memory or from the disk; where they are, an index in memory
// knows (10 to 12 bytes a row). A row that is replaced or erased
// leaves a hole. When half of the file is holes, the segment with the most of them is read, and
// what it still has is written behind the others; so the file takes twice what is there, and a few
// MiB.
//
// It writes without syncing and believes what it reads: the bytes never outlive the process, so
// they are as safe as memory that the system pages out.
//
// `row_bytes` of a row; `virtual_shards` of the whole table. Besides its index it takes a MiB.
absl::StatusOr<std::unique_ptr<RowSpill>> NewSpillFile(const std::string& folder, size_t row_bytes,
                                                       uint32_t virtual_shards);

}  // namespace parley

#endif  // PARLEY_PS_TABLE_SPILL_FILE_H_
