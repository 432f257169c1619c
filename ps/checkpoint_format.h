#ifndef PARLEY_PS_CHECKPOINT_FORMAT_H_
#define PARLEY_PS_CHECKPOINT_FORMAT_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "base/env.h"
#include "proto/checkpoint.pb.h"

namespace parley {

// The bytes of a shard file: docs/checkpoint_format.md draws them. Pure functions; safe from any
// thread.

// Where the arrays begin, and every array within the file, in bytes.
constexpr size_t kArrayAlignment = 64;

// `bytes` and the padding behind them.
constexpr int64_t PaddedBytes(int64_t bytes) {
  constexpr int64_t kAlignment = kArrayAlignment;
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

// The bytes that an array of `elements` float32 takes in the file, its padding included.
constexpr int64_t ArrayBytes(int64_t elements) {
  return PaddedBytes(elements * static_cast<int64_t>(sizeof(float)));
}

// What stands before the arrays, without the padding. INVALID_ARGUMENT when the header is too long.
absl::StatusOr<std::string> EncodeShardHeader(const v1::ShardHeader& header);

struct ShardLayout {
  v1::ShardHeader header;
  int64_t arrays_begin;  // in bytes
};

// Reads the header of the shard file `file`, which errors call `path`. When OK, the header's
// checksum agrees, every block has size > 0, offset >= 0 and num_slots >= 0, every table a
// row_bytes in [1, 64 KiB] and virtual shards with rows, and the arrays end exactly where the file
// does. DATA_LOSS otherwise; FAILED_PRECONDITION for another version of the
// format. Allocates no more than the file's size for it.
absl::StatusOr<ShardLayout> ReadShardHeader(const ReadableFile& file, const std::string& path);

}  // namespace parley

#endif  // PARLEY_PS_CHECKPOINT_FORMAT_H_
