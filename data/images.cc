#include "data/images.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace parley::data {
namespace {

constexpr int kLargestPadding = 1024;

class Images final : public Dataset {
 public:
  Images(std::vector<uint8_t> pixels, const std::vector<int>& shape, std::vector<uint8_t> labels,
         int num_classes, const ImageOptions& options)
      : pixels_(std::move(pixels)),
        labels_(std::move(labels)),
        num_classes_(num_classes),
        mean_(options.mean),
        scale_(1 / options.stddev),
        rows_(static_cast<size_t>(shape[0])),
        row_(static_cast<size_t>(shape[1]) * static_cast<size_t>(shape[2])),
        feature_shape_(
            {std::max(shape[0], options.pad_to), std::max(shape[1], options.pad_to), shape[2]}) {
    const size_t channels = static_cast<size_t>(shape[2]);
    const size_t padded_row = static_cast<size_t>(feature_shape_[1]) * channels;
    above_ = static_cast<size_t>(feature_shape_[0] - shape[0]) / 2 * padded_row;
    left_ = static_cast<size_t>(feature_shape_[1] - shape[1]) / 2 * channels;
    padded_row_ = padded_row;
    features_ = static_cast<size_t>(feature_shape_[0]) * padded_row;
  }

  int64_t size() const override { return static_cast<int64_t>(labels_.size()); }
  const std::vector<int>& feature_shape() const override { return feature_shape_; }
  int num_classes() const override { return num_classes_; }

  void Fill(absl::Span<const int64_t> indices, Batch* batch) const override {
    batch->Resize(indices.size(), features_);
    batch->ids.clear();
    batch->labels.resize(indices.size());
    batch->targets.clear();
    const bool padded = features_ != rows_ * row_;
    for (size_t i = 0; i < indices.size(); ++i) {
      const size_t index = static_cast<size_t>(indices[i]);
      float* out = batch->feature_data() + i * features_;
      const uint8_t* in = pixels_.data() + index * rows_ * row_;
      if (padded) {
        std::fill(out, out + features_, (0 - mean_) * scale_);
        for (size_t row = 0; row < rows_; ++row) {
          Convert(in + row * row_, row_, out + above_ + row * padded_row_ + left_);
        }
      } else {
        Convert(in, features_, out);
      }
      batch->labels[i] = labels_[index];
    }
  }

 private:
  void Convert(const uint8_t* in, size_t count, float* out) const {
    // Copies: the compiler cannot know that writing `out` leaves the members as they are.
    const float mean = mean_;
    const float scale = scale_;
    for (size_t j = 0; j < count; ++j) {
      out[j] = (static_cast<float>(in[j]) * (1.0f / 255.0f) - mean) * scale;
    }
  }

  const std::vector<uint8_t> pixels_;
  const std::vector<uint8_t> labels_;
  const int num_classes_;
  const float mean_;
  const float scale_;  // one over the standard deviation
  const size_t rows_;  // of an image as it is in memory
  const size_t row_;   // bytes of one of its rows
  const std::vector<int> feature_shape_;
  // In elements of a padded image: where its first byte goes, its rows, all of it.
  size_t above_;
  size_t left_;
  size_t padded_row_;
  size_t features_;
};

}  // namespace

absl::Status CheckImageOptions(const std::string& path, const ImageOptions& options) {
  if (options.num_classes < 0 || !std::isfinite(options.mean) || !std::isfinite(options.stddev) ||
      !std::isfinite(1 / options.stddev) || options.stddev <= 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": cannot be read with ", options.num_classes, " classes, mean ",
                     options.mean, " and standard deviation ", options.stddev));
  }
  if (options.pad_to < 0 || options.pad_to > kLargestPadding) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": cannot be padded to ", options.pad_to,
                                                   ", 0 to ", kLargestPadding, " is possible"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Dataset>> NewImageDataset(std::vector<uint8_t> pixels,
                                                         const std::vector<int>& shape,
                                                         std::vector<uint8_t> labels,
                                                         const std::string& labels_path,
                                                         const ImageOptions& options) {
  const auto largest = std::max_element(labels.begin(), labels.end());
  if (largest == labels.end()) {
    return absl::InvalidArgumentError(absl::StrCat(labels_path, ": no examples"));
  }
  if (options.num_classes > 0 && *largest >= options.num_classes) {
    return absl::InvalidArgumentError(absl::StrCat(
        labels_path, ": label ", int{*largest}, " of example ", largest - labels.begin(),
        " (from 0) is not among the classes 0 to ", options.num_classes - 1));
  }
  const int num_classes = options.num_classes > 0 ? options.num_classes : 1 + *largest;
  return std::make_unique<Images>(std::move(pixels), shape, std::move(labels), num_classes,
                                  options);
}

}  // namespace parley::data
