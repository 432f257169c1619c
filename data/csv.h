#ifndef PARLEY_DATA_CSV_H_
#define PARLEY_DATA_CSV_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "data/dataset.h"

namespace parley::data {

// A column whose cells are no numbers but names of categories, which become ids. Spaces around a
// cell do not count; an empty cell is a category like any other.
struct CategoricalColumn {
  std::string column;  // its name in the header line, or its number from 1
  // Above 0: the id is the cell's hash (64-bit FNV-1a) modulo this, at most 2^24: for a column with
  // more categories than are worth learning each.
  int buckets = 0;
  // Otherwise the id is 1 and up for these, in their order, and 0 for any other. Empty: those that
  // the file has, in the order of their first lines.
  std::vector<std::string> values = {};
};

// What a flag says: names or numbers with commas between, each with ":buckets" if it is to be
// hashed: "city,street:1000". INVALID_ARGUMENT names the part that cannot be read.
absl::StatusOr<std::vector<CategoricalColumn>> ParseCategoricalColumns(absl::string_view text);

struct CsvOptions {
  // The column to predict: its name in the header line, or its number from 1. Empty: the last.
  std::string label_column;
  // Whether the column to predict holds classes (whole numbers from 0) or any numbers.
  bool classes = true;
  // How many classes there are: 0 to num_classes - 1, at most 65536. 0: one more than the largest.
  int num_classes = 0;
  // These are ids of an example, in this order; all others, but the one to predict, are features.
  std::vector<CategoricalColumn> categorical = {};
};

// Reads a table of numbers and categories, plain or gzip: RFC 4180, with an optional byte order
// mark and header line. A first line without any number is a header; with some, it is a row with a
// bad cell, and an error: it is not guessed which was meant, for a row must not get lost. Features
// are all columns but the categorical ones and the one to predict, of shape {columns}.
//
// `learned`, if not null, becomes the options with what the file taught: its number of classes and
// its categories; so that another file can be read alike.
//
// Errors name the file: a bad cell (no number, NaN, infinity, a class that is no whole number from
// 0 to 65535, or not below num_classes, one category more than 2^24) gives INVALID_ARGUMENT
// "file:line:column: ...", line and column counted from 1, the line where the row begins, the
// column by fields and with its name when there is a header. A line of another length than the
// first gives "file:line: ...".
absl::StatusOr<std::unique_ptr<Dataset>> ReadCsvDataset(const std::string& path,
                                                        const CsvOptions& options,
                                                        CsvOptions* learned = nullptr);

}  // namespace parley::data

#endif  // PARLEY_DATA_CSV_H_
