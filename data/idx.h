#ifndef PARLEY_DATA_IDX_H_
#define PARLEY_DATA_IDX_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "data/dataset.h"
#include "data/images.h"

namespace parley::data {

// An IDX file of unsigned bytes: the format of MNIST. Big-endian: two zero bytes, the element type
// (8: unsigned byte), the number of dimensions, each dimension as 32 bits, then the elements, the
// last dimension fastest.
struct IdxArray {
  std::vector<int> shape;
  std::vector<uint8_t> values;
};

// Reads `path`, plain or gzip (told by content). Errors name the file: NOT_FOUND; DATA_LOSS when it
// is truncated, longer than its header says, or its gzip is damaged; INVALID_ARGUMENT when it is no
// IDX file of unsigned bytes.
absl::StatusOr<IdxArray> ReadIdx(const std::string& path);

// Images [n, height, width] or [n, height, width, channels] with labels [n]. Features are float32
// of shape {height, width, channels}. INVALID_ARGUMENT when the files do not belong together:
// exchanged, or of different lengths; when a label is out of range; or when an option makes no
// sense.
absl::StatusOr<std::unique_ptr<Dataset>> ReadIdxDataset(const std::string& images_path,
                                                        const std::string& labels_path,
                                                        const ImageOptions& options = {});

}  // namespace parley::data

#endif  // PARLEY_DATA_IDX_H_
