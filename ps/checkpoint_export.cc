#include "ps/checkpoint_export.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/file.h"
#include "base/status.h"
#include "net/checkpoint_folder.h"
#include "ps/checkpoint_format.h"
#include "ps/checkpoint_index.h"
#include "ps/checkpoint_path.h"
#include "ps/checkpoint_rows.h"
#include "ps/safetensors_header.h"
#include "ps/table/table_layout.h"

namespace parley {
namespace {

constexpr size_t kPart = size_t{1} << 20;  // bytes that are copied together

using Metadata = std::vector<std::pair<std::string, std::string>>;

Metadata MetadataOf(const CheckpointIndex& index) {
  return {{"job", index.job().name()}, {"step", absl::StrCat(index.step())}};
}

absl::Status ExportParameters(Env* env, const CheckpointIndex& index, const std::string& folder,
                              std::ostream& out) {
  const v1::JobSpec& spec = index.job().spec();
  if (spec.parameters().empty()) return absl::OkStatus();
  std::vector<SafeTensor> tensors;
  for (int i = 0; i < spec.parameters_size(); ++i) {
    const v1::ParameterSpec& parameter = spec.parameters(i);
    if (parameter.name() == "__metadata__") {
      return absl::InvalidArgumentError(
          "no tensor of a safetensors file can have the name __metadata__");
    }
    tensors.push_back({parameter.name(),
                       "F32",
                       {parameter.shape().begin(), parameter.shape().end()},
                       index.job().parameters()[static_cast<size_t>(i)].size *
                           static_cast<int64_t>(sizeof(float))});
  }
  const std::string path = JoinPath(folder, "parameters.safetensors");
  PARLEY_ASSIGN_OR_RETURN(const std::unique_ptr<AtomicFile> file, AtomicFile::Create(env, path));
  const std::string header = SafeTensorsHeader(MetadataOf(index), tensors);
  PARLEY_RETURN_IF_ERROR(file->Append(header.data(), header.size()));
  std::vector<char> bytes(kPart);
  for (int i = 0; i < spec.parameters_size(); ++i) {
    for (const CheckpointIndex::Piece& piece : index.pieces(i)) {
      const int64_t end = piece.begin + piece.size * static_cast<int64_t>(sizeof(float));
      for (int64_t at = piece.begin; at < end; at += static_cast<int64_t>(kPart)) {
        const size_t size = static_cast<size_t>(std::min<int64_t>(kPart, end - at));
        PARLEY_RETURN_IF_ERROR(
            index.files()[static_cast<size_t>(piece.file)].file->ReadAt(at, bytes.data(), size));
        PARLEY_RETURN_IF_ERROR(file->Append(bytes.data(), size));
      }
    }
  }
  PARLEY_RETURN_IF_ERROR(file->Commit());
  out << path << ": " << spec.parameters_size() << " parameters\n";
  return absl::OkStatus();
}

// A table's name as part of a file's: other names are other file names.
std::string FileName(const std::string& table) {
  std::string name;
  for (const char each : table) {
    const unsigned char byte = static_cast<unsigned char>(each);
    if (absl::ascii_isalnum(byte) || each == '_' || (each == '.' && !name.empty())) {
      name += each;
    } else {
      absl::StrAppendFormat(&name, "%%%02x", byte);
    }
  }
  return name;
}

// Reads the rows of a table from a checkpoint, virtual shard by virtual shard: those that have not
// expired.
class TableRowsReader {
 public:
  using Places = std::vector<CheckpointRows::Place>;

  static absl::StatusOr<TableRowsReader> Create(const CheckpointIndex& index, int table) {
    const v1::JobSpec& spec = index.job().spec();
    PARLEY_ASSIGN_OR_RETURN(TableLayout layout,
                            TableLayout::Create(spec.tables(table), spec.seed()));
    if (static_cast<int64_t>(layout.row_bytes) != index.row_bytes(table) &&
        !index.table_pieces(table).empty()) {
      return absl::DataLossError(absl::StrCat("table ", layout.name, " has rows of ",
                                              index.row_bytes(table), " bytes, not ",
                                              layout.row_bytes));
    }
    return TableRowsReader(index, table, std::move(layout));
  }

  const TableLayout& layout() const { return layout_; }
  const std::vector<uint32_t>& virtual_shards() const { return rows_.virtual_shards(); }

  absl::StatusOr<Places> Find(uint32_t virtual_shard) const {
    PARLEY_ASSIGN_OR_RETURN(Places places, rows_.Find(virtual_shard));
    if (layout_.expire_after == 0) return places;
    const size_t shard = static_cast<size_t>(rows_.ShardOf(virtual_shard));
    const int64_t version = index_.table_clocks(table_)[shard].version;
    Places live;
    PARLEY_RETURN_IF_ERROR(rows_.Read(places, [&](size_t i, const std::byte* row) {
      if (!layout_.HasExpired(row, version)) live.push_back(places[i]);
      return absl::OkStatus();
    }));
    return live;
  }
  static absl::Status AppendKeys(const Places& places, AtomicFile* file) {
    std::vector<uint64_t> keys;
    for (const CheckpointRows::Place& place : places) keys.push_back(place.key);
    return file->Append(keys.data(), keys.size() * sizeof(uint64_t));
  }
  absl::Status AppendRows(const Places& places, AtomicFile* file) const {
    std::string values;
    PARLEY_RETURN_IF_ERROR(rows_.Read(places, [&](size_t, const std::byte* row) {
      values.append(reinterpret_cast<const char*>(row), layout_.value_bytes);
      if (values.size() < kPart) return absl::OkStatus();
      const absl::Status written = file->Append(values.data(), values.size());
      values.clear();
      return written;
    }));
    return file->Append(values.data(), values.size());
  }

 private:
  TableRowsReader(const CheckpointIndex& index, int table, TableLayout layout)
      : index_(index), table_(table), layout_(std::move(layout)), rows_(&index, table) {}

  const CheckpointIndex& index_;
  const int table_;
  TableLayout layout_;
  CheckpointRows rows_;
};

absl::Status ExportTable(Env* env, const CheckpointIndex& index, int table,
                         const std::string& folder, int64_t part_rows, std::ostream& out) {
  PARLEY_ASSIGN_OR_RETURN(const TableRowsReader reader, TableRowsReader::Create(index, table));
  const TableLayout& layout = reader.layout();
  struct Part {
    std::vector<uint32_t> virtual_shards;
    int64_t rows = 0;
  };
  std::vector<Part> parts(1);
  for (const uint32_t number : reader.virtual_shards()) {
    PARLEY_ASSIGN_OR_RETURN(const TableRowsReader::Places places, reader.Find(number));
    const int64_t rows = static_cast<int64_t>(places.size());
    if (rows == 0) continue;
    if (parts.back().rows > 0 && parts.back().rows + rows > part_rows) parts.emplace_back();
    parts.back().virtual_shards.push_back(number);
    parts.back().rows += rows;
  }
  for (size_t i = 0; i < parts.size(); ++i) {
    const Part& part = parts[i];
    Metadata metadata = MetadataOf(index);
    metadata.emplace_back("table", layout.name);
    const std::string header = SafeTensorsHeader(
        metadata, {{"keys", "U64", {part.rows}, part.rows * int64_t{sizeof(uint64_t)}},
                   {"rows",
                    layout.dtype == v1::BFLOAT16 ? "BF16" : "F32",
                    {part.rows, layout.width},
                    part.rows * static_cast<int64_t>(layout.value_bytes)}});
    const std::string path = JoinPath(
        folder,
        absl::StrFormat("%s-%05d-of-%05d.safetensors", FileName(layout.name), i + 1, parts.size()));
    PARLEY_ASSIGN_OR_RETURN(const std::unique_ptr<AtomicFile> file, AtomicFile::Create(env, path));
    PARLEY_RETURN_IF_ERROR(file->Append(header.data(), header.size()));
    for (const bool keys : {true, false}) {
      for (const uint32_t number : part.virtual_shards) {
        PARLEY_ASSIGN_OR_RETURN(const TableRowsReader::Places places, reader.Find(number));
        PARLEY_RETURN_IF_ERROR(keys ? reader.AppendKeys(places, file.get())
                                    : reader.AppendRows(places, file.get()));
      }
    }
    PARLEY_RETURN_IF_ERROR(file->Commit());
    out << path << ": " << part.rows << " rows of table " << layout.name << "\n";
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ExportCheckpoint(Env* env, const std::string& checkpoint, const std::string& folder,
                              const ExportOptions& options, std::ostream& out) {
  if (options.part_rows < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("parts of ", options.part_rows, " rows; allowed is 1 or more"));
  }
  std::string from;
  PARLEY_ASSIGN_OR_RETURN(const Checkpoint found, FindCheckpoint(env, checkpoint, &from));
  PARLEY_RETURN_IF_ERROR(VerifyCheckpoint(env, from, found.manifest));
  PARLEY_ASSIGN_OR_RETURN(const CheckpointIndex index,
                          CheckpointIndex::Open(env, from, found.manifest));
  std::vector<int> tables;
  for (const std::string& name : options.tables) {
    PARLEY_ASSIGN_OR_RETURN(const int table, index.job().FindTable(name));
    tables.push_back(table);
  }
  PARLEY_RETURN_IF_ERROR(env->CreateFolders(folder));
  if (options.tables.empty()) {
    PARLEY_RETURN_IF_ERROR(ExportParameters(env, index, folder, out));
    for (int i = 0; i < index.job().spec().tables_size(); ++i) tables.push_back(i);
  }
  for (const int table : tables) {
    PARLEY_RETURN_IF_ERROR(ExportTable(env, index, table, folder, options.part_rows, out));
  }
  return absl::OkStatus();
}

}  // namespace parley
