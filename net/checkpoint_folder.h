#ifndef PARLEY_NET_CHECKPOINT_FOLDER_H_
#define PARLEY_NET_CHECKPOINT_FOLDER_H_

#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/env.h"
#include "proto/checkpoint.pb.h"

namespace parley {

// The folder that holds a job's checkpoints, as docs/checkpoint_format.md describes it: names,
// manifests, and which checkpoint counts. What stands in a shard file is for ps/ to know.
//
// Errors name the file. DATA_LOSS: a file is damaged or missing; INVALID_ARGUMENT: a name that is
// not a manifest's. Thread safety: safe from any thread. Of one folder, only one task (the chief)
// writes manifests and removes.

// "step-000000123.shard-0-of-2"
std::string ShardFileName(int64_t step, int shard, int num_shards);
// "step-000000123.manifest"
std::string ManifestFileName(int64_t step);

struct Checkpoint {
  std::string manifest_file;  // name in the folder
  v1::Manifest manifest;
};

// Writes the manifest of manifest.step() after finding every file of it there, in its size. Durable
// when OK.
absl::Status WriteManifest(Env* env, const std::string& folder, const v1::Manifest& manifest);

// Names of manifest files, newest step first, unread. NOT_FOUND when there is no such folder.
absl::StatusOr<std::vector<std::string>> ListCheckpoints(Env* env, const std::string& folder);

// The manifest in `manifest_file`, a bare name: intact, and naming only the files of its own step
// and of those that it may be based on.
absl::StatusOr<v1::Manifest> ReadManifest(Env* env, const std::string& folder,
                                          const std::string& manifest_file);

// Whether all shard files, and those that they are based on, are there with their sizes and
// checksums. Reads all of them.
absl::Status VerifyCheckpoint(Env* env, const std::string& folder, const v1::Manifest& manifest);

// The newest checkpoint that is valid; logs each newer one that is not, and why. NOT_FOUND when the
// folder has none, DATA_LOSS when all are damaged.
absl::StatusOr<Checkpoint> FindNewestValid(Env* env, const std::string& folder);

// Files that were found to have their checksums: name and CRC32C.
using VerifiedFiles = std::set<std::pair<std::string, uint32_t>>;

// Keeps the newest `keep` (at least 2) valid checkpoints, whatever is not older than these, and
// the files that any of them is based on;
// removes older checkpoints, and files without a manifest that are older than the newest valid one.
// With fewer valid ones, removes no checkpoint. Reads the checkpoints that it keeps, to know that
// they are valid; where `verified` is given, not the files there, of which it takes note.
absl::Status RemoveOldCheckpoints(Env* env, const std::string& folder, int keep,
                                  VerifiedFiles* verified = nullptr);

}  // namespace parley

#endif  // PARLEY_NET_CHECKPOINT_FOLDER_H_
