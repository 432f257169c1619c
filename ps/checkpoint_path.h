#ifndef PARLEY_PS_CHECKPOINT_PATH_H_
#define PARLEY_PS_CHECKPOINT_PATH_H_

#include <string>

#include "absl/status/statusor.h"
#include "base/env.h"
#include "net/checkpoint_folder.h"

namespace parley {

// The checkpoint that somebody means by `path`: a checkpoint folder, of which it is the newest
// valid one, or a manifest file. Sets `folder`. The errors of FindNewestValid and ReadManifest.
// Safe from any thread.
absl::StatusOr<Checkpoint> FindCheckpoint(Env* env, const std::string& path, std::string* folder);

}  // namespace parley

#endif  // PARLEY_PS_CHECKPOINT_PATH_H_
