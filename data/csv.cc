#include "data/csv.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "base/status.h"
#include "data/read_file.h"
#include "data/table.h"

namespace parley::data {
namespace {

constexpr int kMaxClasses = 65536;
constexpr int kMaxCategories = 1 << 24;  // of one column
// Far more than a table has, and few enough that a file of nothing but commas takes little memory.
constexpr size_t kMaxColumns = size_t{1} << 20;
constexpr absl::string_view kByteOrderMark = "\xEF\xBB\xBF";

struct Record {
  int64_t line = 0;  // where it begins, from 1
  std::vector<std::string> fields;
};

// Cuts text into records as RFC 4180 says: fields may be quoted, and then hold commas, line ends
// and doubled quotes.
class CsvReader {
 public:
  CsvReader(const std::string& path, const std::string& text)
      : path_(path),
        text_(text),
        at_(absl::StartsWith(text, kByteOrderMark) ? kByteOrderMark.size() : 0) {}

  // False at the end. Empty lines are skipped.
  absl::StatusOr<bool> Next(Record* record) {
    while (at_ < text_.size() && (text_[at_] == '\n' || text_[at_] == '\r')) {
      if (text_[at_] == '\n') ++line_;
      ++at_;
    }
    if (at_ >= text_.size()) return false;
    record->line = line_;
    record->fields.clear();
    for (;;) {
      if (record->fields.size() == kMaxColumns) {
        return absl::InvalidArgumentError(
            absl::StrCat(path_, ":", record->line, ": more than ", kMaxColumns, " fields"));
      }
      record->fields.emplace_back();
      PARLEY_RETURN_IF_ERROR(ReadField(record, &record->fields.back()));
      if (at_ < text_.size() && text_[at_] == ',') {
        ++at_;
        continue;
      }
      if (at_ < text_.size() && text_[at_] == '\r') ++at_;
      if (at_ < text_.size() && text_[at_] == '\n') {
        ++at_;
        ++line_;
      }
      return true;
    }
  }

 private:
  absl::Status ReadField(Record* record, std::string* field) {
    if (at_ >= text_.size() || text_[at_] != '"') {
      while (at_ < text_.size() && text_[at_] != ',' && text_[at_] != '\n' && text_[at_] != '\r') {
        field->push_back(text_[at_++]);
      }
      return absl::OkStatus();
    }
    const auto wrong = [&](absl::string_view what) {
      return absl::InvalidArgumentError(
          absl::StrCat(path_, ":", record->line, ":", record->fields.size(), ": ", what));
    };
    for (++at_;;) {
      if (at_ >= text_.size()) return wrong("a quoted field does not end");
      const char c = text_[at_++];
      if (c == '\n') ++line_;
      if (c != '"') {
        field->push_back(c);
      } else if (at_ < text_.size() && text_[at_] == '"') {
        field->push_back('"');
        ++at_;
      } else {
        break;
      }
    }
    if (at_ < text_.size() && text_[at_] != ',' && text_[at_] != '\n' && text_[at_] != '\r') {
      return wrong("text after a quoted field");
    }
    return absl::OkStatus();
  }

  const std::string& path_;
  const std::string& text_;
  size_t at_;
  int64_t line_ = 1;
};

bool IsNumber(const std::string& field, float* value) {
  return absl::SimpleAtof(absl::StripAsciiWhitespace(field), value);
}

// A field as a one-line message can hold it, whatever its bytes.
std::string Shown(absl::string_view field) { return absl::CHexEscape(field.substr(0, 40)); }

// Fowler, Noll and Vo's hash, 1a, of 64 bits.
uint64_t Hash(absl::string_view text) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3u;
  return hash;
}

// The ids of one categorical column.
class Categories {
 public:
  explicit Categories(CategoricalColumn column)
      : column_(std::move(column)), learning_(column_.buckets == 0 && column_.values.empty()) {
    for (const std::string& value : column_.values) {
      ids_.emplace(value, static_cast<int32_t>(ids_.size()) + 1);
    }
  }

  // -1 when there are too many.
  int32_t Id(absl::string_view cell) {
    if (column_.buckets > 0) {
      return static_cast<int32_t>(Hash(cell) % static_cast<uint64_t>(column_.buckets));
    }
    const auto found = ids_.find(cell);
    if (found != ids_.end()) return found->second;
    if (!learning_) return 0;
    if (column_.values.size() == kMaxCategories) return -1;
    column_.values.emplace_back(cell);
    return ids_.emplace(cell, static_cast<int32_t>(ids_.size()) + 1).first->second;
  }

  // How many ids there are.
  int vocabulary() const {
    return column_.buckets > 0 ? column_.buckets : 1 + static_cast<int>(column_.values.size());
  }
  const CategoricalColumn& column() const { return column_; }

 private:
  CategoricalColumn column_;
  const bool learning_;
  absl::flat_hash_map<std::string, int32_t> ids_;
};

// The index of a column among `names` (empty without a header) and `columns` columns.
absl::StatusOr<size_t> FindColumn(const std::string& path, const std::string& wanted,
                                  const std::vector<std::string>& names, size_t columns) {
  const auto named = std::find(names.begin(), names.end(), wanted);
  if (named != names.end()) return static_cast<size_t>(named - names.begin());
  int number = 0;
  if (absl::SimpleAtoi(wanted, &number) && number >= 1 && static_cast<size_t>(number) <= columns) {
    return static_cast<size_t>(number) - 1;
  }
  return absl::InvalidArgumentError(absl::StrCat(path, ": no column ", wanted, " among its ",
                                                 columns,
                                                 names.empty() ? " (it has no header line)" : ""));
}

// Why `value` cannot be predicted, or "".
std::string LabelFault(float value, const CsvOptions& options) {
  if (!options.classes) return "";
  const int classes = options.num_classes > 0 ? options.num_classes : kMaxClasses;
  if (value >= 0 && value < static_cast<float>(classes) && value == std::floor(value)) return "";
  return absl::StrCat("not a class (a whole number from 0 to ", classes - 1, ")");
}

absl::Status CheckOptions(const std::string& path, const CsvOptions& options) {
  if (options.num_classes < 0 || options.num_classes > kMaxClasses) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": cannot be read with ",
                                                   options.num_classes, " classes, at most ",
                                                   kMaxClasses, " are possible"));
  }
  for (const CategoricalColumn& column : options.categorical) {
    if (column.buckets < 0 || column.buckets > kMaxCategories ||
        column.values.size() > kMaxCategories) {
      return absl::InvalidArgumentError(absl::StrCat(
          path, ": column ", column.column, " cannot have ",
          column.buckets != 0 ? column.buckets : static_cast<int64_t>(column.values.size()),
          " categories, 1 to ", kMaxCategories, " are possible"));
    }
  }
  return absl::OkStatus();
}

// Gathers the rows of one file.
class TableReader {
 public:
  TableReader(const std::string& path, const CsvOptions& options) : path_(path), options_(options) {
    for (const CategoricalColumn& column : options.categorical) categories_.emplace_back(column);
  }

  // The first line, which says what is in which column; returns whether it is a header.
  absl::StatusOr<bool> Begin(const Record& record) {
    const size_t columns = record.fields.size();
    float number;
    const bool header =
        std::none_of(record.fields.begin(), record.fields.end(),
                     [&](const std::string& field) { return IsNumber(field, &number); });
    if (header) {
      for (const std::string& field : record.fields) {
        names_.emplace_back(absl::StripAsciiWhitespace(field));
      }
    }
    if (columns < 2) {
      return absl::InvalidArgumentError(
          absl::StrCat(path_, ": a table needs a column to learn from and one to predict"));
    }
    kinds_.assign(columns, kFeature);
    size_t label_column = columns - 1;
    if (!options_.label_column.empty()) {
      PARLEY_ASSIGN_OR_RETURN(label_column,
                              FindColumn(path_, options_.label_column, names_, columns));
    }
    kinds_[label_column] = kLabel;
    for (size_t i = 0; i < categories_.size(); ++i) {
      const std::string& wanted = options_.categorical[i].column;
      PARLEY_ASSIGN_OR_RETURN(const size_t column, FindColumn(path_, wanted, names_, columns));
      if (kinds_[column] != kFeature) {
        return absl::InvalidArgumentError(
            absl::StrCat(path_, ": column ", wanted, " is ",
                         kinds_[column] == kLabel ? "the one to predict" : "categorical twice",
                         ", not to be a categorical one"));
      }
      kinds_[column] = static_cast<int>(i);
    }
    return header;
  }

  absl::Status Add(const Record& record, bool first) {
    if (record.fields.size() != kinds_.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat(path_, ":", record.line, ": ", record.fields.size(),
                       " fields, the first line has ", kinds_.size()));
    }
    const size_t ids_begin = ids_.size();
    ids_.resize(ids_begin + categories_.size());
    for (size_t i = 0; i < kinds_.size(); ++i) {
      const std::string& field = record.fields[i];
      std::string fault;
      float value = 0;
      if (kinds_[i] >= 0) {
        const size_t which = static_cast<size_t>(kinds_[i]);
        const int32_t id = categories_[which].Id(absl::StripAsciiWhitespace(field));
        if (id < 0) fault = absl::StrCat("one category more than ", kMaxCategories);
        ids_[ids_begin + which] = id;
      } else if (!IsNumber(field, &value)) {
        fault = absl::StrCat("not a number", first ? " (and a header line has none)" : "");
      } else if (!std::isfinite(value)) {
        fault = "not a finite number";
      } else if (kinds_[i] == kLabel) {
        fault = LabelFault(value, options_);
      }
      if (!fault.empty()) {
        return absl::InvalidArgumentError(absl::StrCat(
            path_, ":", record.line, ":", i + 1, ": ",
            names_.empty() ? "" : Shown(names_[i]) + ": ", "\"", Shown(field), "\" is ", fault));
      }
      if (kinds_[i] == kLabel) predicted_.push_back(value);
      if (kinds_[i] == kFeature) features_.push_back(value);
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Dataset>> Finish(CsvOptions* learned) {
    if (predicted_.empty()) return absl::InvalidArgumentError(absl::StrCat(path_, ": no rows"));
    int num_classes = 0;
    if (options_.classes) {
      const float largest = *std::max_element(predicted_.begin(), predicted_.end());
      num_classes = options_.num_classes > 0 ? options_.num_classes : 1 + static_cast<int>(largest);
    }
    std::vector<int> vocabularies;
    CsvOptions taught = options_;
    taught.num_classes = num_classes;
    taught.categorical.clear();
    for (const Categories& categories : categories_) {
      vocabularies.push_back(categories.vocabulary());
      taught.categorical.push_back(categories.column());
    }
    if (learned != nullptr) *learned = std::move(taught);
    const int columns = static_cast<int>(kinds_.size() - 1 - categories_.size());
    return std::make_unique<Table>(std::move(features_), columns, std::move(predicted_),
                                   num_classes, std::move(ids_), std::move(vocabularies));
  }

 private:
  // What a column is; 0 and up: which of the categorical ones.
  static constexpr int kFeature = -1;
  static constexpr int kLabel = -2;

  const std::string& path_;
  const CsvOptions& options_;
  std::vector<std::string> names_;  // empty without a header
  std::vector<int> kinds_;
  std::vector<Categories> categories_;
  std::vector<float> features_;
  std::vector<float> predicted_;
  std::vector<int32_t> ids_;
};

}  // namespace

absl::StatusOr<std::vector<CategoricalColumn>> ParseCategoricalColumns(absl::string_view text) {
  std::vector<CategoricalColumn> columns;
  if (text.empty()) return columns;
  for (const absl::string_view part : absl::StrSplit(text, ',')) {
    CategoricalColumn column;
    const size_t colon = part.rfind(':');
    column.column = std::string(absl::StripAsciiWhitespace(part.substr(0, colon)));
    if (colon != absl::string_view::npos &&
        (!absl::SimpleAtoi(part.substr(colon + 1), &column.buckets) || column.buckets < 1 ||
         column.buckets > kMaxCategories)) {
      return absl::InvalidArgumentError(absl::StrCat("\"", Shown(part), "\" does not end with a ",
                                                     "number of buckets from 1 to ",
                                                     kMaxCategories));
    }
    if (column.column.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", Shown(text), "\" has an empty name of a column"));
    }
    columns.push_back(std::move(column));
  }
  return columns;
}

absl::StatusOr<std::unique_ptr<Dataset>> ReadCsvDataset(const std::string& path,
                                                        const CsvOptions& options,
                                                        CsvOptions* learned) {
  PARLEY_RETURN_IF_ERROR(CheckOptions(path, options));
  PARLEY_ASSIGN_OR_RETURN(const std::string text, ReadPossiblyGzipped(path));
  CsvReader reader(path, text);
  TableReader table(path, options);
  Record record;
  for (bool first = true;; first = false) {
    PARLEY_ASSIGN_OR_RETURN(const bool more, reader.Next(&record));
    if (!more) break;
    if (first) {
      PARLEY_ASSIGN_OR_RETURN(const bool header, table.Begin(record));
      if (header) continue;
    }
    PARLEY_RETURN_IF_ERROR(table.Add(record, first));
  }
  return table.Finish(learned);
}

}  // namespace parley::data
