#include "data/open_dataset.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "data/cifar.h"
#include "data/idx.h"
#include "data/subset.h"

namespace parley::data {
namespace {

constexpr int kCifarBatches = 5;
constexpr int64_t kHeldOut = 5;  // one in this many rows of a single CSV file

bool Exists(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0;
}

// The file `name` in `folder`, plain or gzip; "" when there is neither.
std::string Find(const std::string& folder, const std::string& name) {
  for (const char* suffix : {"", ".gz"}) {
    std::string path = absl::StrCat(folder, "/", name, suffix);
    if (Exists(path)) return path;
  }
  return "";
}

absl::Status CheckAlike(const std::string& path, const TrainAndTest& both) {
  if (both.train->feature_shape() == both.test->feature_shape()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(path, ": the test examples have another shape (",
                   absl::StrJoin(both.test->feature_shape(), "x"), ") than those to train on (",
                   absl::StrJoin(both.train->feature_shape(), "x"), ")"));
}

absl::StatusOr<TrainAndTest> SplitTable(const std::string& path, const CsvOptions& options) {
  PARLEY_ASSIGN_OR_RETURN(const std::shared_ptr<const Dataset> whole,
                          ReadCsvDataset(path, options));
  std::vector<int64_t> train, test;
  for (int64_t i = 0; i < whole->size(); ++i) {
    (i % kHeldOut == kHeldOut - 1 ? test : train).push_back(i);
  }
  if (test.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": ", whole->size(), " rows are too few to train and test"));
  }
  return TrainAndTest{NewSubset(whole, std::move(train)), NewSubset(whole, std::move(test))};
}

}  // namespace

absl::StatusOr<TrainAndTest> OpenDataset(const std::string& path, const CsvOptions& csv_options,
                                         const ImageOptions& image_options) {
  struct stat info;
  if (stat(path.c_str(), &info) != 0) return ErrnoToStatus(errno, path);
  if (!S_ISDIR(info.st_mode)) return SplitTable(path, csv_options);
  const auto all_there = [](const std::vector<std::string>& files) {
    return std::find(files.begin(), files.end(), "") == files.end();
  };
  const std::vector<std::string> idx = {
      Find(path, "train-images-idx3-ubyte"), Find(path, "train-labels-idx1-ubyte"),
      Find(path, "t10k-images-idx3-ubyte"), Find(path, "t10k-labels-idx1-ubyte")};
  std::vector<std::string> cifar;
  for (int i = 1; i <= kCifarBatches; ++i) {
    cifar.push_back(Find(path, absl::StrCat("data_batch_", i, ".bin")));
  }
  const std::string cifar_test = Find(path, "test_batch.bin");
  const std::vector<std::string> csv = {Find(path, "train.csv"), Find(path, "test.csv")};
  TrainAndTest both;
  if (all_there(idx)) {
    PARLEY_ASSIGN_OR_RETURN(both.train, ReadIdxDataset(idx[0], idx[1], image_options));
    ImageOptions same_classes = image_options;
    same_classes.num_classes = both.train->num_classes();
    PARLEY_ASSIGN_OR_RETURN(both.test, ReadIdxDataset(idx[2], idx[3], same_classes));
  } else if (all_there(cifar) && !cifar_test.empty()) {
    PARLEY_ASSIGN_OR_RETURN(both.train, ReadCifar10Dataset(cifar, image_options));
    PARLEY_ASSIGN_OR_RETURN(both.test, ReadCifar10Dataset({cifar_test}, image_options));
  } else if (all_there(csv)) {
    CsvOptions learned;
    PARLEY_ASSIGN_OR_RETURN(both.train, ReadCsvDataset(csv[0], csv_options, &learned));
    PARLEY_ASSIGN_OR_RETURN(both.test, ReadCsvDataset(csv[1], learned));
  } else {
    return absl::NotFoundError(absl::StrCat(
        path,
        ": neither train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and ",
        "t10k-labels-idx1-ubyte, nor data_batch_1.bin to data_batch_", kCifarBatches,
        ".bin and test_batch.bin, nor train.csv and test.csv are all there (plain or with .gz)"));
  }
  PARLEY_RETURN_IF_ERROR(CheckAlike(path, both));
  return both;
}

}  // namespace parley::data
