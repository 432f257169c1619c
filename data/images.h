#ifndef PARLEY_DATA_IMAGES_H_
#define PARLEY_DATA_IMAGES_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "data/dataset.h"

namespace parley::data {

struct ImageOptions {
  // How many classes there are: a label is 0 to num_classes - 1. 0: one more than the largest
  // label. A job that knows the number should say it, for then a damaged label is found.
  int num_classes = 0;
  // A feature is (byte / 255 - mean) / stddev. As they are, features are in [0, 1].
  float mean = 0;
  float stddev = 1;
  // Images that are lower or narrower than this, at most 1024, get a border of zero bytes: as much
  // on both sides, the odd row or column below and to the right. 0: images stay as they are.
  int pad_to = 0;
};

// INVALID_ARGUMENT, naming `path`, when an option makes no sense.
absl::Status CheckImageOptions(const std::string& path, const ImageOptions& options);

// A Dataset of images that stay bytes in memory and become float32 when they are put into a batch.
// `pixels` is [labels.size(), height, width, channels]; `shape` is {height, width, channels}, each
// at least 1. `labels_path` names an error: INVALID_ARGUMENT for a label that is out of range.
absl::StatusOr<std::unique_ptr<Dataset>> NewImageDataset(std::vector<uint8_t> pixels,
                                                         const std::vector<int>& shape,
                                                         std::vector<uint8_t> labels,
                                                         const std::string& labels_path,
                                                         const ImageOptions& options);

}  // namespace parley::data

#endif  // PARLEY_DATA_IMAGES_H_
