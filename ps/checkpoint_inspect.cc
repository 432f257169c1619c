#include "ps/checkpoint_inspect.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/crc32c.h"
#include "base/status.h"
#include "base/text_table.h"
#include "net/checkpoint_folder.h"
#include "ps/checkpoint_index.h"
#include "ps/checkpoint_path.h"
#include "ps/checkpoint_rows.h"
#include "ps/spec_text.h"

namespace parley {
namespace {

void PrintLines(const std::vector<std::string>& lines, std::ostream& out) {
  for (const std::string& line : lines) out << line << "\n";
}

absl::StatusOr<int64_t> CountRows(const CheckpointIndex& index, int table) {
  const CheckpointRows rows(&index, table);
  size_t count = 0;
  for (const uint32_t virtual_shard : rows.virtual_shards()) {
    PARLEY_ASSIGN_OR_RETURN(const auto places, rows.Find(virtual_shard));
    count += places.size();
  }
  return static_cast<int64_t>(count);
}

absl::Status PrintContents(const CheckpointIndex& index, const v1::Manifest& manifest,
                           const std::string& manifest_file, std::ostream& out) {
  const v1::JobSpec& spec = index.job().spec();
  out << "checkpoint " << manifest_file << " of job " << spec.name() << "\n\n";
  std::vector<std::vector<std::string>> rows = {{"parameter", "shape", "dtype", "bytes"}};
  int64_t elements = 0;
  int64_t slot_elements = 0;
  int slots = 0;
  int64_t lowest = std::numeric_limits<int64_t>::max();
  int64_t highest = 0;
  for (int i = 0; i < spec.parameters_size(); ++i) {
    const v1::ParameterSpec& parameter = spec.parameters(i);
    const int64_t size = index.job().parameters()[i].size;
    rows.push_back({parameter.name(), absl::StrCat("[", absl::StrJoin(parameter.shape(), ","), "]"),
                    v1::DType_Name(parameter.dtype()), absl::StrCat(size * sizeof(float))});
    elements += size;
    slot_elements += index.num_slots(i) * size;
    slots = std::max(slots, index.num_slots(i));
    for (const CheckpointIndex::Piece& piece : index.pieces(i)) {
      lowest = std::min(lowest, piece.version);
      highest = std::max(highest, piece.version);
    }
  }
  if (spec.parameters_size() > 0) PrintLines(FormatColumns(rows, "lllr"), out);
  std::vector<std::vector<std::string>> tables = {{"table", "width", "dtype", "rows", "bytes"}};
  for (int i = 0; i < spec.tables_size(); ++i) {
    const v1::TableSpec& table = spec.tables(i);
    PARLEY_ASSIGN_OR_RETURN(const int64_t count, CountRows(index, i));
    tables.push_back({table.name(), absl::StrCat(table.width()), v1::DType_Name(table.dtype()),
                      absl::StrCat(count), absl::StrCat(count * index.row_bytes(i))});
    for (const CheckpointIndex::TableClocks& clocks : index.table_clocks(i)) {
      lowest = std::min(lowest, clocks.version);
      highest = std::max(highest, clocks.version);
    }
  }
  if (spec.tables_size() > 0) PrintLines(FormatColumns(tables, "llllr"), out);
  out << "\nparameters: " << spec.parameters_size() << ", " << elements * sizeof(float)
      << " bytes; slots: " << slots << ", " << slot_elements * sizeof(float) << " bytes\n"
      << "step: " << index.step() << "; round: " << lowest;
  if (highest != lowest) out << " to " << highest;
  int bases = 0;
  for (const v1::Manifest::ShardFile& shard : manifest.shards()) {
    bases = std::max(bases, shard.bases_size());
  }
  if (bases > 0) out << "; incremental, on " << bases << " before it";
  out << "\n" << DescribeJob(spec);
  const auto describe = [](std::string* text, const v1::WorkerCount& change) {
    absl::StrAppend(text, change.count(), " from ", change.from_step(), " on");
  };
  if (manifest.worker_counts_size() > 0) {
    out << "workers by step: " << absl::StrJoin(manifest.worker_counts(), ", ", describe) << "\n";
  }
  return absl::OkStatus();
}

// Of an index whose files are verified.
absl::StatusOr<uint32_t> DigestOf(const CheckpointIndex& index) {
  const std::vector<Job::Parameter>& parameters = index.job().parameters();
  std::vector<int> order(parameters.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(),
            [&](int a, int b) { return parameters[a].name < parameters[b].name; });
  constexpr int64_t kPart = 1 << 20;
  std::vector<char> bytes(kPart);
  uint32_t crc = 0;
  for (const int parameter : order) {
    for (const CheckpointIndex::Piece& piece : index.pieces(parameter)) {
      const int64_t end = piece.begin + piece.size * static_cast<int64_t>(sizeof(float));
      for (int64_t place = piece.begin; place < end; place += kPart) {
        const size_t size = static_cast<size_t>(std::min(kPart, end - place));
        PARLEY_RETURN_IF_ERROR(index.files()[piece.file].file->ReadAt(place, bytes.data(), size));
        crc = ExtendCrc32c(crc, bytes.data(), size);
      }
    }
  }
  return crc;
}

}  // namespace

absl::StatusOr<uint32_t> CheckpointDigest(Env* env, const std::string& folder,
                                          const v1::Manifest& manifest) {
  PARLEY_RETURN_IF_ERROR(VerifyCheckpoint(env, folder, manifest));
  PARLEY_ASSIGN_OR_RETURN(const CheckpointIndex index,
                          CheckpointIndex::Open(env, folder, manifest));
  return DigestOf(index);
}

absl::Status InspectCheckpoint(Env* env, const std::string& path, std::ostream& out) {
  std::string folder;
  PARLEY_ASSIGN_OR_RETURN(const Checkpoint checkpoint, FindCheckpoint(env, path, &folder));
  PARLEY_RETURN_IF_ERROR(VerifyCheckpoint(env, folder, checkpoint.manifest));
  PARLEY_ASSIGN_OR_RETURN(const CheckpointIndex index,
                          CheckpointIndex::Open(env, folder, checkpoint.manifest));
  PARLEY_ASSIGN_OR_RETURN(const uint32_t digest, DigestOf(index));
  PARLEY_RETURN_IF_ERROR(PrintContents(index, checkpoint.manifest, checkpoint.manifest_file, out));
  out << absl::StrFormat("digest: crc32c 0x%08x\n", digest);
  return absl::OkStatus();
}

}  // namespace parley
