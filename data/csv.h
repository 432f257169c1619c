#ifndef PARLEY_DATA_CSV_H_
#define PARLEY_DATA_CSV_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "data/dataset.h"

namespace parley::data {

struct CsvOptions {
  // The column to predict: its name in the header line, or its number from 1. Empty: the last.
  std::string label_column;
  // Whether the column to predict holds classes (whole numbers from 0) or any numbers.
  bool classes = true;
};

// Reads a table of numbers, plain or gzip: RFC 4180, with an optional header line (a first line
// with a field that is no number). Features are all columns but the one to predict, of shape
// {columns}.
//
// Errors name the file: a bad cell (no number, NaN, infinity, a class that is no whole number from
// 0 to 65535) gives INVALID_ARGUMENT "file:line:column: ...", line and column counted from 1, the
// column by fields; so does a line of another length than the first.
absl::StatusOr<std::unique_ptr<Dataset>> ReadCsvDataset(const std::string& path,
                                                        const CsvOptions& options);

}  // namespace parley::data

#endif  // PARLEY_DATA_CSV_H_
