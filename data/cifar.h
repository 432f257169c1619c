#ifndef PARLEY_DATA_CIFAR_H_
#define PARLEY_DATA_CIFAR_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "data/dataset.h"
#include "data/images.h"

namespace parley::data {

// Reads files of the binary version of CIFAR-10 (Krizhevsky, 2009), plain or gzip, one after the
// other: records of 3073 bytes, a label 0 to 9, then 32 rows of 32 pixels in red, the same in
// green, and in blue. Features are float32 of shape {32, 32, 3}; without options.num_classes there
// are 10 classes. Errors name the file: DATA_LOSS when it does not end with a record;
// INVALID_ARGUMENT for a label above 9, with its record from 0, or when an option makes no sense;
// those of read_file.h.
absl::StatusOr<std::unique_ptr<Dataset>> ReadCifar10Dataset(const std::vector<std::string>& paths,
                                                            const ImageOptions& options = {});

}  // namespace parley::data

#endif  // PARLEY_DATA_CIFAR_H_
