#ifndef PARLEY_PS_CHECKPOINT_INSPECT_H_
#define PARLEY_PS_CHECKPOINT_INSPECT_H_

#include <cstdint>
#include <ostream>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/env.h"
#include "proto/checkpoint.pb.h"

namespace parley {

// The CRC32C of all parameters' float32 values, one parameter after another in the order of their
// names: two checkpoints have the same digest when their parameters have the same bits, whatever
// their shards and blocks. DATA_LOSS when a file is damaged. Safe from any thread.
absl::StatusOr<uint32_t> CheckpointDigest(Env* env, const std::string& folder,
                                          const v1::Manifest& manifest);

// Prints what a checkpoint holds, for people; the last line is "digest: crc32c 0x........". `path`
// is a checkpoint folder, of which the newest valid checkpoint is taken, or a manifest file. The
// errors of ReadManifest and CheckpointDigest.
absl::Status InspectCheckpoint(Env* env, const std::string& path, std::ostream& out);

}  // namespace parley

#endif  // PARLEY_PS_CHECKPOINT_INSPECT_H_
