#include "data/idx.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "data/read_file.h"

namespace parley::data {
namespace {

constexpr int kUnsignedByte = 8;
constexpr int kMaxDimensions = 8;

class IdxDataset final : public Dataset {
 public:
  IdxDataset(IdxArray images, std::vector<uint8_t> labels, int num_classes, float mean,
             float stddev)
      : images_(std::move(images.values)),
        labels_(std::move(labels)),
        num_classes_(num_classes),
        mean_(mean),
        scale_(1 / stddev) {
    feature_shape_.assign(images.shape.begin() + 1, images.shape.end());
    if (feature_shape_.size() == 2) feature_shape_.push_back(1);
    features_ = 1;
    for (const int dimension : feature_shape_) features_ *= static_cast<size_t>(dimension);
  }

  int64_t size() const override { return static_cast<int64_t>(labels_.size()); }
  const std::vector<int>& feature_shape() const override { return feature_shape_; }
  int num_classes() const override { return num_classes_; }

  void Fill(absl::Span<const int64_t> indices, Batch* batch) const override {
    batch->Resize(indices.size(), features_);
    batch->labels.resize(indices.size());
    batch->targets.clear();
    float* out = batch->feature_data();
    // Copies: the compiler cannot know that writing `out` leaves the members as they are.
    const float mean = mean_;
    const float scale = scale_;
    for (size_t i = 0; i < indices.size(); ++i) {
      const size_t index = static_cast<size_t>(indices[i]);
      const uint8_t* in = images_.data() + index * features_;
      for (size_t j = 0; j < features_; ++j) {
        *out++ = (static_cast<float>(in[j]) * (1.0f / 255.0f) - mean) * scale;
      }
      batch->labels[i] = labels_[index];
    }
  }

 private:
  const std::vector<uint8_t> images_;
  const std::vector<uint8_t> labels_;
  const int num_classes_;
  const float mean_;
  const float scale_;  // one over the standard deviation
  std::vector<int> feature_shape_;
  size_t features_;
};

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
                                                        const IdxOptions& options) {
  if (options.num_classes < 0 || !std::isfinite(options.mean) || !std::isfinite(options.stddev) ||
      !std::isfinite(1 / options.stddev) || options.stddev <= 0) {
    return Illegal(images_path,
                   absl::StrCat("cannot be read with ", options.num_classes, " classes, mean ",
                                options.mean, " and standard deviation ", options.stddev));
  }
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
  const auto largest = std::max_element(labels.values.begin(), labels.values.end());
  if (options.num_classes > 0 && *largest >= options.num_classes) {
    return Illegal(labels_path, absl::StrCat("label ", int{*largest}, " of example ",
                                             largest - labels.values.begin(), " (from 0) is not ",
                                             "among the classes 0 to ", options.num_classes - 1));
  }
  const int num_classes = options.num_classes > 0 ? options.num_classes : 1 + *largest;
  return std::make_unique<IdxDataset>(std::move(images), std::move(labels.values), num_classes,
                                      options.mean, options.stddev);
}

}  // namespace parley::data
