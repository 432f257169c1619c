#ifndef PARLEY_PS_TABLE_ROCKSDB_ROW_SPILL_H_
#define PARLEY_PS_TABLE_ROCKSDB_ROW_SPILL_H_

#include <cstddef>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "ps/table/row_spill.h"

namespace parley {

// A RowSpill in a RocksDB of its own, in `folder`, which is made anew and removed at the end: it
// keeps nothing, so it neither logs nor syncs. Besides the disk it needs some 64 MiB of memory, and
// about 10 bits for each row. `row_bytes` of a row.
absl::StatusOr<std::unique_ptr<RowSpill>> NewRocksDbRowSpill(const std::string& folder,
                                                             size_t row_bytes);

}  // namespace parley

#endif  // PARLEY_PS_TABLE_ROCKSDB_ROW_SPILL_H_
