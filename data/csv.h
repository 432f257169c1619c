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
  // How many classes there are: 0 to num_classes - 1, at most 65536. 0: one more than the largest.
  int num_classes = 0;
};

// Reads a table of numbers, plain or gzip: RFC 4180, with an optional byte order mark and header
// line. A first line without any number is a header; with some, it is a row with a bad cell, and
// an error: it is not guessed which was meant, for a row must not get lost. Features are all
// columns but the one to predict, of shape {columns}.
//
// Errors name the file: a bad cell (no number, NaN, infinity, a class that is no whole number from
// 0 to 65535, or not below num_classes) gives INVALID_ARGUMENT "file:line:column: ...", line and
// column counted from 1, the line where the row begins, the column by fields and with its name
// when there is a header. A line of another length than the first gives "file:line: ...".
absl::StatusOr<std::unique_ptr<Dataset>> ReadCsvDataset(const std::string& path,
                                                        const CsvOptions& options);

}  // namespace parley::data

#endif  // PARLEY_DATA_CSV_H_
