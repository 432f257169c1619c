#ifndef PARLEY_PS_TABLE_TABLE_LAYOUT_H_
#define PARLEY_PS_TABLE_TABLE_LAYOUT_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "proto/job.pb.h"
#include "ps/table/row_initializer.h"
#include "ps/table/row_optimizer.h"

namespace parley {

// What all parts of a table share. A row in memory is its `width` values, padding up to 4 bytes,
// where rows expire the round of its last update, and what its optimizer keeps. Thread safety:
// immutable after construction.
struct TableLayout {
  // `spec` is legal (net/check_table.h), with virtual_shards filled in; `seed` is the job's.
  static absl::StatusOr<TableLayout> Create(const v1::TableSpec& spec, uint64_t seed);

  // Whether `row` was last updated too long before the end of `round`.
  bool HasExpired(const std::byte* row, int64_t round) const {
    if (expire_after == 0) return false;
    uint32_t stamp;
    std::memcpy(&stamp, row + stamp_offset, sizeof(stamp));
    // Less than 2^32 rounds ago: what has expired is swept sooner.
    return static_cast<int64_t>(static_cast<uint32_t>(round) - stamp) >= expire_after;
  }

  std::string name;
  int width;
  v1::DType dtype;          // of the values: FLOAT32 or BFLOAT16
  uint32_t virtual_shards;  // of the whole table
  int64_t expire_after;     // rounds; 0: rows stay
  uint32_t admit_after;     // rounds that name a key until it has a row; 0 and 1: the first does
  size_t value_bytes;       // of a row's values, without padding
  size_t stamp_offset;  // in bytes, where rows expire: the round of the row's last update, 32 bits
  size_t state_offset;  // in bytes
  size_t row_bytes;
  RowInitializer initializer;
  std::unique_ptr<RowOptimizer> optimizer;
};

}  // namespace parley

#endif  // PARLEY_PS_TABLE_TABLE_LAYOUT_H_
