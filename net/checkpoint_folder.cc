#include "net/checkpoint_folder.h"

#include <glog/logging.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <optional>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/crc32c.h"
#include "base/file.h"
#include "base/planted_bug.h"
#include "base/status.h"

namespace parley {
namespace {

constexpr char kMagic[] = "PRLYMNFT";
constexpr size_t kMagicSize = 8;
constexpr uint32_t kFormatVersion = 1;
constexpr size_t kPrefixSize = kMagicSize + 4 + 4;
constexpr size_t kChecksumSize = 4;
// A manifest lists parameters and shards, not values.
constexpr int64_t kMaxManifestBytes = int64_t{1} << 28;

uint32_t LoadU32(const char* bytes) {
  uint32_t value;
  std::memcpy(&value, bytes, sizeof(value));
  return value;
}

void AppendU32(uint32_t value, std::string* bytes) {
  bytes->append(reinterpret_cast<const char*>(&value), sizeof(value));
}

struct FileName {
  int64_t step;
  bool manifest;
  bool temporary;
};

// What `name` says, or nothing when it is not exactly a name that Parley gives.
std::optional<FileName> ParseFileName(absl::string_view name) {
  const std::string whole(name);
  FileName result = {};
  result.temporary = absl::EndsWith(name, ".tmp");
  if (result.temporary) name.remove_suffix(4);
  const std::vector<std::string> parts = absl::StrSplit(name, '.');
  if (parts.size() != 2 || !absl::StartsWith(parts[0], "step-")) return std::nullopt;
  if (!absl::SimpleAtoi(parts[0].substr(5), &result.step) || result.step < 0) return std::nullopt;
  std::string canonical;
  if (parts[1] == "manifest") {
    result.manifest = true;
    canonical = ManifestFileName(result.step);
  } else {
    const std::vector<std::string> words = absl::StrSplit(parts[1], '-');
    int shard;
    int num_shards;
    if (words.size() != 4 || !absl::SimpleAtoi(words[1], &shard) ||
        !absl::SimpleAtoi(words[3], &num_shards)) {
      return std::nullopt;
    }
    canonical = ShardFileName(result.step, shard, num_shards);
  }
  if (result.temporary) canonical += ".tmp";
  if (canonical != whole) return std::nullopt;
  return result;
}

// All files that a manifest names, each shard's newest first.
std::vector<const v1::Manifest::ShardFile*> FilesOf(const v1::Manifest& manifest) {
  std::vector<const v1::Manifest::ShardFile*> files;
  for (const v1::Manifest::ShardFile& shard : manifest.shards()) {
    files.push_back(&shard);
    for (const v1::Manifest::ShardFile& base : shard.bases()) files.push_back(&base);
  }
  return files;
}

// Whether every file is there with its size. Opening is enough: nothing is read.
absl::Status CheckSizes(Env* env, const std::string& folder, const v1::Manifest& manifest) {
  for (const v1::Manifest::ShardFile* const named : FilesOf(manifest)) {
    const std::string path = JoinPath(folder, named->file());
    const absl::StatusOr<std::unique_ptr<ReadableFile>> file = env->OpenFile(path);
    if (absl::IsNotFound(file.status())) {
      return absl::DataLossError(absl::StrCat(path, " is missing"));
    }
    PARLEY_RETURN_IF_ERROR(file.status());
    if ((*file)->size() != named->bytes()) {
      return absl::DataLossError(
          absl::StrCat(path, " has ", (*file)->size(), " bytes instead of ", named->bytes()));
    }
  }
  return absl::OkStatus();
}

// Whether the manifest names its own step's files, all of them, and besides them only files of the
// same shards and earlier steps that these may be based on.
absl::Status CheckNames(const v1::Manifest& manifest) {
  if (manifest.step() < 0) return absl::DataLossError("its step is negative");
  const int shards = manifest.shards_size();
  if (shards != manifest.spec().num_shards() || shards == 0) {
    return absl::DataLossError(
        absl::StrCat("it has ", shards, " files of ", manifest.spec().num_shards(), " shards"));
  }
  for (int i = 0; i < shards; ++i) {
    const v1::Manifest::ShardFile& newest = manifest.shards(i);
    const std::string expected = ShardFileName(manifest.step(), i, shards);
    if (newest.file() != expected) {
      return absl::DataLossError(
          absl::StrCat("it names a file '", newest.file(), "' instead of ", expected));
    }
    int64_t before = manifest.step();
    for (const v1::Manifest::ShardFile& base : newest.bases()) {
      const std::optional<FileName> name = ParseFileName(base.file());
      if (!name || name->step >= before || base.file() != ShardFileName(name->step, i, shards)) {
        return absl::DataLossError(absl::StrCat("it names a file '", base.file(),
                                                "', which cannot be what ", expected,
                                                " is based on"));
      }
      before = name->step;
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::Manifest> ParseManifest(const std::string& bytes) {
  if (bytes.size() < kPrefixSize + kChecksumSize) return absl::DataLossError("it is too short");
  if (bytes.compare(0, kMagicSize, kMagic) != 0) return absl::DataLossError("it is no manifest");
  const size_t end = bytes.size() - kChecksumSize;
  if (Crc32c(bytes.data(), end) != LoadU32(bytes.data() + end)) {
    return absl::DataLossError("its checksum does not agree");
  }
  const uint32_t version = LoadU32(bytes.data() + kMagicSize);
  if (version != kFormatVersion) {
    return absl::FailedPreconditionError(
        absl::StrCat("its format is version ", version, ", known is ", kFormatVersion));
  }
  if (LoadU32(bytes.data() + kMagicSize + 4) != end - kPrefixSize) {
    return absl::DataLossError("its length does not agree");
  }
  v1::Manifest manifest;
  if (!manifest.ParseFromArray(bytes.data() + kPrefixSize, static_cast<int>(end - kPrefixSize))) {
    return absl::DataLossError("it cannot be parsed");
  }
  PARLEY_RETURN_IF_ERROR(CheckNames(manifest));
  return manifest;
}

absl::Status Verify(Env* env, const std::string& folder, const v1::Manifest& manifest,
                    VerifiedFiles* verified) {
  PARLEY_RETURN_IF_ERROR(CheckNames(manifest));
  PARLEY_RETURN_IF_ERROR(CheckSizes(env, folder, manifest));
  for (const v1::Manifest::ShardFile* const file : FilesOf(manifest)) {
    const std::pair<std::string, uint32_t> known = {file->file(), file->crc32c()};
    if (verified != nullptr && verified->count(known) != 0) continue;
    const std::string path = JoinPath(folder, file->file());
    PARLEY_ASSIGN_OR_RETURN(const uint32_t crc, ChecksumFile(env, path));
    if (crc != file->crc32c()) {
      return absl::DataLossError(absl::StrCat(path, ": its checksum does not agree"));
    }
    if (verified != nullptr) verified->insert(known);
  }
  return absl::OkStatus();
}

// Files in `verified`, unless it is null, are not read again; those that are come there.
absl::StatusOr<v1::Manifest> ReadVerified(Env* env, const std::string& folder,
                                          const std::string& manifest_file,
                                          VerifiedFiles* verified = nullptr) {
  PARLEY_ASSIGN_OR_RETURN(v1::Manifest manifest, ReadManifest(env, folder, manifest_file));
  PARLEY_RETURN_IF_ERROR(Verify(env, folder, manifest, verified));
  return manifest;
}

}  // namespace

std::string ShardFileName(int64_t step, int shard, int num_shards) {
  return absl::StrFormat("step-%09d.shard-%d-of-%d", step, shard, num_shards);
}

std::string ManifestFileName(int64_t step) { return absl::StrFormat("step-%09d.manifest", step); }

absl::Status WriteManifest(Env* env, const std::string& folder, const v1::Manifest& manifest) {
  const std::string path = JoinPath(folder, ManifestFileName(manifest.step()));
  PARLEY_RETURN_IF_ERROR(Annotate(CheckNames(manifest), path));
  const bool checks = !PARLEY_PLANTED_BUG("manifest_of_files_that_are_not_there");
  if (checks) PARLEY_RETURN_IF_ERROR(Annotate(CheckSizes(env, folder, manifest), path));
  const size_t length = manifest.ByteSizeLong();
  std::string bytes(kMagic, kMagicSize);
  AppendU32(kFormatVersion, &bytes);
  AppendU32(static_cast<uint32_t>(length), &bytes);
  if (length > static_cast<size_t>(kMaxManifestBytes) - kPrefixSize - kChecksumSize ||
      !manifest.AppendToString(&bytes)) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": a manifest of ", length, " bytes"));
  }
  AppendU32(Crc32c(bytes.data(), bytes.size()), &bytes);
  return WriteFileAtomically(env, path, bytes);
}

absl::StatusOr<std::vector<std::string>> ListCheckpoints(Env* env, const std::string& folder) {
  PARLEY_ASSIGN_OR_RETURN(const std::vector<std::string> names, env->ListFolder(folder));
  std::vector<std::pair<int64_t, std::string>> found;
  for (const std::string& name : names) {
    const std::optional<FileName> parsed = ParseFileName(name);
    if (parsed && parsed->manifest && !parsed->temporary) found.emplace_back(parsed->step, name);
  }
  std::sort(found.begin(), found.end(), std::greater<>());
  std::vector<std::string> result;
  for (auto& [step, name] : found) result.push_back(std::move(name));
  return result;
}

absl::StatusOr<v1::Manifest> ReadManifest(Env* env, const std::string& folder,
                                          const std::string& manifest_file) {
  const std::optional<FileName> name = ParseFileName(manifest_file);
  if (!name || !name->manifest || name->temporary) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", manifest_file, "' is not the name of a checkpoint's manifest"));
  }
  const std::string path = JoinPath(folder, manifest_file);
  const absl::StatusOr<std::string> bytes = ReadWholeFile(env, path, kMaxManifestBytes);
  if (absl::IsResourceExhausted(bytes.status()))
    return absl::DataLossError(bytes.status().message());
  PARLEY_RETURN_IF_ERROR(bytes.status());
  absl::StatusOr<v1::Manifest> manifest = ParseManifest(*bytes);
  if (!manifest.ok()) return Annotate(manifest.status(), path);
  if (manifest->step() != name->step) {
    return absl::DataLossError(absl::StrCat(path, ": it is of step ", manifest->step()));
  }
  return manifest;
}

absl::Status VerifyCheckpoint(Env* env, const std::string& folder, const v1::Manifest& manifest) {
  return Verify(env, folder, manifest, nullptr);
}

absl::StatusOr<Checkpoint> FindNewestValid(Env* env, const std::string& folder) {
  PARLEY_ASSIGN_OR_RETURN(const std::vector<std::string> files, ListCheckpoints(env, folder));
  std::vector<std::string> faults;
  for (const std::string& file : files) {
    absl::StatusOr<v1::Manifest> manifest = ReadVerified(env, folder, file);
    if (manifest.ok()) return Checkpoint{file, *std::move(manifest)};
    LOG(WARNING) << "checkpoint " << file << " is not used: " << manifest.status();
    faults.push_back(std::string(manifest.status().message()));
  }
  if (faults.empty()) {
    return absl::NotFoundError(absl::StrCat("folder ", folder, " has no checkpoint"));
  }
  return absl::DataLossError(
      absl::StrCat("folder ", folder, " has no valid checkpoint: ", absl::StrJoin(faults, "; ")));
}

absl::Status RemoveOldCheckpoints(Env* env, const std::string& folder, int keep,
                                  VerifiedFiles* verified) {
  keep = std::max(keep, 2);
  PARLEY_ASSIGN_OR_RETURN(const std::vector<std::string> manifests, ListCheckpoints(env, folder));
  std::vector<int64_t> valid;  // steps, newest first
  for (const std::string& file : manifests) {
    if (static_cast<int>(valid.size()) == keep) break;
    const absl::StatusOr<v1::Manifest> manifest = ReadVerified(env, folder, file, verified);
    if (manifest.ok()) {
      valid.push_back(manifest->step());
    } else {
      LOG(WARNING) << "checkpoint " << file << " does not count: " << manifest.status();
    }
  }
  if (valid.empty()) return absl::OkStatus();
  // Checkpoints of steps below this go.
  const int64_t oldest_kept = static_cast<int>(valid.size()) == keep ? valid.back() : 0;

  std::set<int64_t> with_manifest;
  std::set<std::string> bases;  // that those which are kept need
  std::vector<std::string> old_manifests;
  for (const std::string& file : manifests) {
    const int64_t step = ParseFileName(file)->step;
    if (step < oldest_kept) {
      old_manifests.push_back(file);
    } else {
      with_manifest.insert(step);
      const absl::StatusOr<v1::Manifest> manifest = ReadManifest(env, folder, file);
      if (!manifest.ok()) continue;
      for (const v1::Manifest::ShardFile* const named : FilesOf(*manifest)) {
        bases.insert(named->file());
      }
    }
  }
  for (const std::string& file : old_manifests) {
    PARLEY_RETURN_IF_ERROR(env->RemoveFile(JoinPath(folder, file)));
  }
  // A manifest must never outlive its files, not even in a crash.
  const bool syncs =
      !old_manifests.empty() && !PARLEY_PLANTED_BUG("files_removed_before_their_manifest");
  if (syncs) PARLEY_RETURN_IF_ERROR(env->SyncFolder(folder));

  PARLEY_ASSIGN_OR_RETURN(const std::vector<std::string> names, env->ListFolder(folder));
  for (const std::string& name : names) {
    const std::optional<FileName> parsed = ParseFileName(name);
    if (!parsed || parsed->step >= valid.front()) continue;
    if (with_manifest.count(parsed->step) != 0 && !parsed->temporary) continue;
    if (bases.count(name) != 0 && !PARLEY_PLANTED_BUG("base_of_a_kept_checkpoint_removed"))
      continue;
    PARLEY_RETURN_IF_ERROR(env->RemoveFile(JoinPath(folder, name)));
    if (verified == nullptr) continue;
    verified->erase(verified->lower_bound({name, 0}), verified->upper_bound({name, 0xffffffff}));
  }
  return absl::OkStatus();
}

}  // namespace parley
