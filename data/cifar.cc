#include "data/cifar.h"

#include <cstdint>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "data/read_file.h"

namespace parley::data {
namespace {

constexpr int kSide = 32;
constexpr size_t kPlane = kSide * kSide;
constexpr size_t kChannels = 3;
constexpr size_t kRecord = 1 + kChannels * kPlane;
constexpr int kClasses = 10;

}  // namespace

absl::StatusOr<std::unique_ptr<Dataset>> ReadCifar10Dataset(const std::vector<std::string>& paths,
                                                            const ImageOptions& options) {
  const std::string all = absl::StrJoin(paths, ", ");
  PARLEY_RETURN_IF_ERROR(CheckImageOptions(all, options));
  std::vector<uint8_t> pixels;
  std::vector<uint8_t> labels;
  for (const std::string& path : paths) {
    PARLEY_ASSIGN_OR_RETURN(const std::string bytes, ReadPossiblyGzipped(path));
    if (bytes.empty() || bytes.size() % kRecord != 0) {
      return absl::DataLossError(
          absl::StrCat(path, ": ", bytes.size(), " bytes are not whole records of ", kRecord));
    }
    pixels.reserve(pixels.size() + bytes.size() / kRecord * (kRecord - 1));
    for (size_t begin = 0; begin < bytes.size(); begin += kRecord) {
      const auto* in = reinterpret_cast<const uint8_t*>(bytes.data()) + begin;
      if (in[0] >= kClasses) {
        return absl::InvalidArgumentError(
            absl::StrCat(path, ": label ", int{in[0]}, " of record ", begin / kRecord,
                         " (from 0) is not among the classes 0 to ", kClasses - 1));
      }
      labels.push_back(in[0]);
      for (size_t i = 0; i < kPlane; ++i) {
        for (size_t channel = 0; channel < kChannels; ++channel) {
          pixels.push_back(in[1 + channel * kPlane + i]);
        }
      }
    }
  }
  ImageOptions with_classes = options;
  if (with_classes.num_classes == 0) with_classes.num_classes = kClasses;
  return NewImageDataset(std::move(pixels), {kSide, kSide, kChannels}, std::move(labels), all,
                         with_classes);
}

}  // namespace parley::data
