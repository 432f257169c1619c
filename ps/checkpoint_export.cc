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

// Reads the rows of a table from a checkpoint, virtual shard by virtual shard.
class TableRowsReader {
 public:
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
  const std::vector<CheckpointIndex::TablePiece>& pieces() const {
    return index_.table_pieces(table_);
  }

  // Of the piece, as many as the next two give: those that have not expired.
  absl::StatusOr<int64_t> Count(const CheckpointIndex::TablePiece& piece) const {
    if (layout_.expire_after == 0) return piece.rows;
    int64_t count = 0;
    PARLEY_RETURN_IF_ERROR(ForEachRow(piece, [&](int64_t, const char*) {
      ++count;
      return absl::OkStatus();
    }));
    return count;
  }
  absl::Status AppendKeys(const CheckpointIndex::TablePiece& piece, AtomicFile* file) const {
    std::vector<uint64_t> keys(static_cast<size_t>(piece.rows));
    PARLEY_RETURN_IF_ERROR(
        FileOf(piece).ReadAt(piece.begin, keys.data(), keys.size() * sizeof(uint64_t)));
    if (layout_.expire_after > 0) {
      std::vector<uint64_t> live;
      PARLEY_RETURN_IF_ERROR(ForEachRow(piece, [&](int64_t i, const char*) {
        live.push_back(keys[static_cast<size_t>(i)]);
        return absl::OkStatus();
      }));
      keys = std::move(live);
    }
    return file->Append(keys.data(), keys.size() * sizeof(uint64_t));
  }
  absl::Status AppendRows(const CheckpointIndex::TablePiece& piece, AtomicFile* file) const {
    std::string values;
    PARLEY_RETURN_IF_ERROR(ForEachRow(piece, [&](int64_t, const char* row) {
      values.append(row, layout_.value_bytes);
      if (values.size() < kPart) return absl::OkStatus();
      const absl::Status written = file->Append(values.data(), values.size());
      values.clear();
      return written;
    }));
    return file->Append(values.data(), values.size());
  }

 private:
  TableRowsReader(const CheckpointIndex& index, int table, TableLayout layout)
      : index_(index), table_(table), layout_(std::move(layout)) {}

  const ReadableFile& FileOf(const CheckpointIndex::TablePiece& piece) const {
    return *index_.files()[static_cast<size_t>(piece.file)].file;
  }

  // Calls take(i, row) for the rows that have not expired.
  template <typename Take>
  absl::Status ForEachRow(const CheckpointIndex::TablePiece& piece, Take take) const {
    const int64_t row_bytes = static_cast<int64_t>(layout_.row_bytes);
    const int64_t some = std::max<int64_t>(1, static_cast<int64_t>(kPart) / row_bytes);
    const int64_t begin = piece.begin + PaddedBytes(piece.rows * int64_t{sizeof(uint64_t)});
    const int64_t version = index_.table_clocks(table_)[static_cast<size_t>(piece.file)].version;
    std::vector<char> rows(static_cast<size_t>(std::min(some, piece.rows) * row_bytes));
    for (int64_t first = 0; first < piece.rows; first += some) {
      const int64_t size = std::min(some, piece.rows - first);
      PARLEY_RETURN_IF_ERROR(FileOf(piece).ReadAt(begin + first * row_bytes, rows.data(),
                                                  static_cast<size_t>(size * row_bytes)));
      for (int64_t i = 0; i < size; ++i) {
        const char* const row = rows.data() + i * row_bytes;
        if (layout_.HasExpired(reinterpret_cast<const std::byte*>(row), version)) continue;
        PARLEY_RETURN_IF_ERROR(take(first + i, row));
      }
    }
    return absl::OkStatus();
  }

  const CheckpointIndex& index_;
  const int table_;
  TableLayout layout_;
};

absl::Status ExportTable(Env* env, const CheckpointIndex& index, int table,
                         const std::string& folder, int64_t part_rows, std::ostream& out) {
  PARLEY_ASSIGN_OR_RETURN(const TableRowsReader reader, TableRowsReader::Create(index, table));
  const TableLayout& layout = reader.layout();
  struct Part {
    std::vector<const CheckpointIndex::TablePiece*> pieces;
    int64_t rows = 0;
  };
  std::vector<Part> parts(1);
  for (const CheckpointIndex::TablePiece& piece : reader.pieces()) {
    PARLEY_ASSIGN_OR_RETURN(const int64_t rows, reader.Count(piece));
    if (rows == 0) continue;
    if (parts.back().rows > 0 && parts.back().rows + rows > part_rows) parts.emplace_back();
    parts.back().pieces.push_back(&piece);
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
    for (const CheckpointIndex::TablePiece* piece : part.pieces) {
      PARLEY_RETURN_IF_ERROR(reader.AppendKeys(*piece, file.get()));
    }
    for (const CheckpointIndex::TablePiece* piece : part.pieces) {
      PARLEY_RETURN_IF_ERROR(reader.AppendRows(*piece, file.get()));
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
