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
#include "google/protobuf/descriptor.h"
#include "net/checkpoint_folder.h"
#include "ps/checkpoint_index.h"
#include "ps/checkpoint_path.h"

namespace parley {
namespace {

// "adam with learning rate 0.1"; what else is not the default follows as the spec says it:
// "momentum with learning rate 0.1, momentum { momentum: 0.9 }".
std::string OptimizerName(v1::Optimizer optimizer) {
  const google::protobuf::FieldDescriptor* const kind =
      optimizer.GetReflection()->GetOneofFieldDescriptor(
          optimizer, v1::Optimizer::descriptor()->FindOneofByName("kind"));
  if (kind == nullptr) return "unknown";
  std::string name = absl::StrCat(kind->name(), " with learning rate ", optimizer.learning_rate());
  optimizer.clear_learning_rate();
  if (optimizer.GetReflection()->GetMessage(optimizer, kind).ByteSizeLong() == 0) {
    optimizer.clear_kind();
  }
  if (optimizer.ByteSizeLong() > 0) absl::StrAppend(&name, ", ", optimizer.ShortDebugString());
  return name;
}

std::string PolicyName(const v1::Policy& policy) {
  std::string name = "unknown";
  switch (policy.kind_case()) {
    case v1::Policy::kSynchronous: {
      const v1::Synchronous& synchronous = policy.synchronous();
      name = "synchronous";
      if (synchronous.replicas_to_aggregate() > 0) {
        absl::StrAppend(&name, ", ", synchronous.replicas_to_aggregate(), " replicas");
      }
      if (synchronous.await_silent()) absl::StrAppend(&name, ", with silent workers");
      break;
    }
    case v1::Policy::kAsynchronous:
      name = "asynchronous";
      break;
    case v1::Policy::kBoundedStaleness:
      name = absl::StrCat("bounded staleness, limit ", policy.bounded_staleness().limit());
      break;
    case v1::Policy::kLocalSgd:
      name = absl::StrCat("local sgd, every ", policy.local_sgd().every());
      break;
    case v1::Policy::kElasticAveraging:
      name = absl::StrCat("elastic averaging, every ", policy.elastic_averaging().every());
      break;
    case v1::Policy::kGeo:
      name = absl::StrCat("geo, every ", policy.geo().every());
      break;
    case v1::Policy::kCustom:
      name = absl::StrCat("custom, ", policy.custom().name());
      break;
    case v1::Policy::kPhases:
      name.clear();
      for (const v1::Phases::Phase& phase : policy.phases().phase()) {
        absl::StrAppend(&name, name.empty() ? "" : ", then ", PolicyName(phase.policy()));
        if (phase.rounds() > 0) absl::StrAppend(&name, " for ", phase.rounds(), " rounds");
      }
      break;
    case v1::Policy::KIND_NOT_SET:
      break;
  }
  if (policy.rate_by_staleness()) absl::StrAppend(&name, ", rate by staleness");
  if (policy.has_delay_compensation()) {
    absl::StrAppend(&name, ", delay compensation ", policy.delay_compensation().lambda());
  }
  return name;
}

// Columns as wide as their widest cell; the last one, of numbers, to the right.
void PrintTable(const std::vector<std::vector<std::string>>& rows, std::ostream& out) {
  std::vector<int> widths(rows.front().size(), 0);
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], static_cast<int>(row[i].size()));
    }
  }
  for (const auto& row : rows) {
    for (size_t i = 0; i + 1 < row.size(); ++i) {
      out << absl::StrFormat("%-*s  ", widths[i], row[i]);
    }
    out << absl::StrFormat("%*s\n", widths.back(), row.back());
  }
}

void PrintContents(const CheckpointIndex& index, const std::string& manifest_file,
                   std::ostream& out) {
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
  if (spec.parameters_size() > 0) PrintTable(rows, out);
  std::vector<std::vector<std::string>> tables = {{"table", "width", "dtype", "rows", "bytes"}};
  for (int i = 0; i < spec.tables_size(); ++i) {
    const v1::TableSpec& table = spec.tables(i);
    int64_t count = 0;
    for (const CheckpointIndex::TablePiece& piece : index.table_pieces(i)) count += piece.rows;
    tables.push_back({table.name(), absl::StrCat(table.width()), v1::DType_Name(table.dtype()),
                      absl::StrCat(count), absl::StrCat(count * index.row_bytes(i))});
    for (const CheckpointIndex::TableClocks& clocks : index.table_clocks(i)) {
      lowest = std::min(lowest, clocks.version);
      highest = std::max(highest, clocks.version);
    }
  }
  if (spec.tables_size() > 0) PrintTable(tables, out);
  out << "\nparameters: " << spec.parameters_size() << ", " << elements * sizeof(float)
      << " bytes; slots: " << slots << ", " << slot_elements * sizeof(float) << " bytes\n"
      << "step: " << index.step() << "; round: " << lowest;
  if (highest != lowest) out << " to " << highest;
  out << "\noptimizer: " << OptimizerName(spec.optimizer())
      << "\npolicy: " << PolicyName(spec.policy()) << "\nworkers: " << spec.num_workers()
      << "; shards: " << spec.num_shards() << "\n";
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
  PrintContents(index, checkpoint.manifest_file, out);
  out << absl::StrFormat("digest: crc32c 0x%08x\n", digest);
  return absl::OkStatus();
}

}  // namespace parley
