#include "ps/checkpoint_path.h"

#include <utility>

#include "absl/status/status.h"
#include "base/file.h"
#include "base/status.h"

namespace parley {

absl::StatusOr<Checkpoint> FindCheckpoint(Env* env, const std::string& path, std::string* folder) {
  *folder = path;
  absl::StatusOr<Checkpoint> newest = FindNewestValid(env, path);
  // ENOTDIR: it may be a manifest.
  if (!absl::IsInvalidArgument(newest.status())) return newest;
  *folder = FolderOf(path);
  const std::string file = path.substr(path.rfind('/') + 1);
  PARLEY_ASSIGN_OR_RETURN(v1::Manifest manifest, ReadManifest(env, *folder, file));
  return Checkpoint{file, std::move(manifest)};
}

}  // namespace parley
