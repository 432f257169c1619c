#ifndef PARLEY_DATA_OPEN_DATASET_H_
#define PARLEY_DATA_OPEN_DATASET_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "data/csv.h"
#include "data/dataset.h"
#include "data/idx.h"

namespace parley::data {

struct TrainAndTest {
  std::shared_ptr<const Dataset> train;
  std::shared_ptr<const Dataset> test;
};

// Opens what `path` holds:
//  - a folder with the four files of MNIST (train-images-idx3-ubyte, train-labels-idx1-ubyte,
//    t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte), each plain or with ".gz";
//  - a folder with train.csv and test.csv, each plain or with ".gz";
//  - one CSV file, of which every fifth row is held out for the test.
// Where the options do not say how many classes there are, the examples to train on do, also for
// the test; so a class that could not be learned is an error of the test's file.
// NOT_FOUND says what was looked for; INVALID_ARGUMENT when train and test do not have the same
// shape; and all errors of idx.h and csv.h.
absl::StatusOr<TrainAndTest> OpenDataset(const std::string& path, const CsvOptions& csv_options,
                                         const IdxOptions& idx_options = {});

}  // namespace parley::data

#endif  // PARLEY_DATA_OPEN_DATASET_H_
