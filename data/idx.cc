#include "data/idx.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "data/read_file.h"

namespace parley::data {
namespace {

constexpr int kUnsignedByte = 8;
constexpr int kMaxDimensions = 8;

absl::Status Illegal(const std::string& path, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat(path, ": ", what));
}

}  // namespace

absl::StatusOr<IdxArray> ReadIdx(const std::string& path) {
  PARLEY_ASSIGN_OR_RETURN(const std::string bytes, ReadPossiblyGzipped(path));
  const auto* in = reinterpret_cast<const uint8_t*>(bytes.data());
  if (bytes.size() < 4) {
    return absl::DataLossError(absl::StrCat(path, ": truncated: ", bytes.size(), " bytes"));
  }
  if (in[0] != 0 || in[1] != 0) return Illegal(path, "not an IDX file");
  if (in[2] != kUnsignedByte) {
    return Illegal(path, absl::StrCat("IDX element type ", int{in[2]},
                                      " is not supported, unsigned bytes (8) are"));
  }
  const size_t dimensions = in[3];
  if (dimensions == 0 || dimensions > kMaxDimensions) {
    return Illegal(path, absl::StrCat("an IDX file of ", dimensions, " dimensions"));
  }
  const size_t header = 4 + 4 * dimensions;
  if (bytes.size() < header) {
    return absl::DataLossError(absl::StrCat(path, ": truncated in its header"));
  }
  const size_t held = bytes.size() - header;
  IdxArray array;
  size_t elements = 1;
  bool fits = true;
  for (size_t i = 0; i < dimensions; ++i) {
    const uint8_t* at = in + 4 + 4 * i;
    const uint32_t dimension = (uint32_t{at[0]} << 24) | (uint32_t{at[1]} << 16) |
                               (uint32_t{at[2]} << 8) | uint32_t{at[3]};
    if (dimension == 0 || dimension > INT32_MAX) {
      return Illegal(path, absl::StrCat("its dimension ", i, " is ", dimension));
    }
    array.shape.push_back(static_cast<int>(dimension));
    // Only multiplied when the product is at most what the file holds, so it cannot overflow.
    fits = fits && elements <= held / dimension;
    if (fits) elements *= dimension;
  }
  if (!fits) {
    return absl::DataLossError(absl::StrCat(path, ": truncated: its header says ",
                                            absl::StrJoin(array.shape, "x"), " bytes, it has ",
                                            held));
  }
  if (elements < held) {
    return absl::DataLossError(absl::StrCat(path, ": ", held - elements,
                                            " bytes too many: its header says ",
                                            absl::StrJoin(array.shape, "x")));
  }
  array.values.assign(in + header, in + bytes.size());
  return array;
}

absl::StatusOr<std::unique_ptr<Dataset>> ReadIdxDataset(const std::string& images_path,
                                                        const std::string& labels_path,
                                                        const ImageOptions& options) {
  PARLEY_RETURN_IF_ERROR(CheckImageOptions(images_path, options));
  PARLEY_ASSIGN_OR_RETURN(IdxArray images, ReadIdx(images_path));
  if (images.shape.size() != 3 && images.shape.size() != 4) {
    return Illegal(images_path, absl::StrCat("images have 3 or 4 dimensions, this file has ",
                                             images.shape.size(), ": are these labels?"));
  }
  PARLEY_ASSIGN_OR_RETURN(IdxArray labels, ReadIdx(labels_path));
  if (labels.shape.size() != 1) {
    return Illegal(labels_path, absl::StrCat("labels have 1 dimension, this file has ",
                                             labels.shape.size(), ": are these images?"));
  }
  if (images.shape[0] != labels.shape[0]) {
    return Illegal(labels_path, absl::StrCat(labels.shape[0], " labels, but ", images_path, " has ",
                                             images.shape[0], " images"));
  }
  std::vector<int> shape(images.shape.begin() + 1, images.shape.end());
  if (shape.size() == 2) shape.push_back(1);
  return NewImageDataset(std::move(images.values), shape, std::move(labels.values), labels_path,
                         options);
}

}  // namespace parley::data
