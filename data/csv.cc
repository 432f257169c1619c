#include "data/csv.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/status.h"
#include "data/read_file.h"
#include "data/table.h"

namespace parley::data {
namespace {

constexpr int kMaxClasses = 65536;
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

// The index of the column to predict among `names` (empty without a header) and `columns` columns.
absl::StatusOr<size_t> FindLabelColumn(const std::string& path, const std::string& wanted,
                                       const std::vector<std::string>& names, size_t columns) {
  if (wanted.empty()) return columns - 1;
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

}  // namespace

absl::StatusOr<std::unique_ptr<Dataset>> ReadCsvDataset(const std::string& path,
                                                        const CsvOptions& options) {
  if (options.num_classes < 0 || options.num_classes > kMaxClasses) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": cannot be read with ",
                                                   options.num_classes, " classes, at most ",
                                                   kMaxClasses, " are possible"));
  }
  PARLEY_ASSIGN_OR_RETURN(const std::string text, ReadPossiblyGzipped(path));
  CsvReader reader(path, text);
  Record record;
  std::vector<std::string> names;
  size_t columns = 0;
  size_t label_column = 0;
  std::vector<float> features;
  std::vector<float> predicted;
  for (bool first = true;; first = false) {
    PARLEY_ASSIGN_OR_RETURN(const bool more, reader.Next(&record));
    if (!more) break;
    if (first) {
      columns = record.fields.size();
      float number;
      const bool header =
          std::none_of(record.fields.begin(), record.fields.end(),
                       [&](const std::string& field) { return IsNumber(field, &number); });
      if (header) {
        for (const std::string& field : record.fields) {
          names.emplace_back(absl::StripAsciiWhitespace(field));
        }
      }
      if (columns < 2) {
        return absl::InvalidArgumentError(
            absl::StrCat(path, ": a table needs a column to learn from and one to predict"));
      }
      PARLEY_ASSIGN_OR_RETURN(label_column,
                              FindLabelColumn(path, options.label_column, names, columns));
      if (header) continue;
    }
    if (record.fields.size() != columns) {
      return absl::InvalidArgumentError(absl::StrCat(path, ":", record.line, ": ",
                                                     record.fields.size(),
                                                     " fields, the first line has ", columns));
    }
    for (size_t i = 0; i < columns; ++i) {
      float value = 0;
      std::string fault;
      if (!IsNumber(record.fields[i], &value)) {
        fault = absl::StrCat("not a number", first ? " (and a header line has none)" : "");
      } else if (!std::isfinite(value)) {
        fault = "not a finite number";
      } else if (i == label_column) {
        fault = LabelFault(value, options);
      }
      if (!fault.empty()) {
        return absl::InvalidArgumentError(absl::StrCat(
            path, ":", record.line, ":", i + 1, ": ", names.empty() ? "" : Shown(names[i]) + ": ",
            "\"", Shown(record.fields[i]), "\" is ", fault));
      }
      (i == label_column ? predicted : features).push_back(value);
    }
  }
  if (predicted.empty()) return absl::InvalidArgumentError(absl::StrCat(path, ": no rows"));
  int num_classes = 0;
  if (options.classes) {
    const float largest = *std::max_element(predicted.begin(), predicted.end());
    num_classes = options.num_classes > 0 ? options.num_classes : 1 + static_cast<int>(largest);
  }
  return std::make_unique<Table>(std::move(features), static_cast<int>(columns) - 1,
                                 std::move(predicted), num_classes);
}

}  // namespace parley::data
