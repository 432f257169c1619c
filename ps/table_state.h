#ifndef PARLEY_PS_TABLE_STATE_H_
#define PARLEY_PS_TABLE_STATE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "ps/record_sink.h"
#include "ps/shard_table.h"

namespace parley {

// What `part` of a table, which is `block` in its job, holds now, as records of some MiB
// (proto/log.proto, TableState): a copy of the virtual shards at indices [*begin, end) in
// table.virtual_shards(part), or of as many from the first one on as have a MiB together; `*begin`
// is then the first that is not among them. The records belong behind each other.
// `holder` lives as long as any of them, or of their payloads.
//
// By the part's queue. The error is that of the disk where the table's rows are spilled. Throws
// std::bad_alloc.
absl::StatusOr<std::vector<ShardRecord>> TableStateOf(const ShardTable& table, uint32_t block,
                                                      size_t part, size_t* begin, size_t end,
                                                      std::shared_ptr<const void> holder = nullptr);

}  // namespace parley

#endif  // PARLEY_PS_TABLE_STATE_H_
