#ifndef PARLEY_DATA_OPEN_DATASET_H_
#define PARLEY_DATA_OPEN_DATASET_H_

#include <string>

#include "absl/status/statusor.h"
#include "data/csv.h"
#include "data/dataset.h"
#include "data/images.h"

namespace parley::data {

// Opens what `path` holds:
//  - a folder with the four files of MNIST (train-images-idx3-ubyte, train-labels-idx1-ubyte,
//    t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte), each plain or with ".gz";
//  - a folder with the six files of CIFAR-10's binary version (data_batch_1.bin to
//    data_batch_5.bin, test_batch.bin), likewise;
//  - a folder with train.csv and test.csv, each plain or with ".gz";
//  - one CSV file, of which every fifth row is held out for the test.
// Where the options do not say how many classes there are, or what the categories are, the examples
// to train on do, also for the test; so a class that could not be learned is an error of the test's
// file, and a category that could not be is the id 0 of all others.
// NOT_FOUND says what was looked for; INVALID_ARGUMENT when train and test do not have the same
// shape; and all errors of idx.h, cifar.h and csv.h.
absl::StatusOr<TrainAndTest> OpenDataset(const std::string& path, const CsvOptions& csv_options,
                                         const ImageOptions& image_options = {});

}  // namespace parley::data

#endif  // PARLEY_DATA_OPEN_DATASET_H_
