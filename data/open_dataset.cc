#include "data/open_dataset.h"

#include <sys/stat.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"

namespace parley::data {
namespace {

constexpr int64_t kHeldOut = 5;  // one in this many rows of a single CSV file

// Some examples of another dataset.
class Subset final : public Dataset {
 public:
  Subset(std::shared_ptr<const Dataset> whole, std::vector<int64_t> indices)
      : whole_(std::move(whole)), indices_(std::move(indices)) {}

  int64_t size() const override { return static_cast<int64_t>(indices_.size()); }
  const std::vector<int>& feature_shape() const override { return whole_->feature_shape(); }
  int num_classes() const override { return whole_->num_classes(); }
  void Fill(absl::Span<const int64_t> indices, Batch* batch) const override {
    std::vector<int64_t> of_whole;
    of_whole.reserve(indices.size());
    for (const int64_t index : indices) of_whole.push_back(indices_[index]);
    whole_->Fill(of_whole, batch);
  }

 private:
  const std::shared_ptr<const Dataset> whole_;
  const std::vector<int64_t> indices_;
};

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

}  // namespace

absl::StatusOr<TrainAndTest> OpenDataset(const std::string& path, const CsvOptions& csv_options,
                                         const IdxOptions& idx_options) {
  struct stat info;
  if (stat(path.c_str(), &info) != 0) return ErrnoToStatus(errno, path);
  TrainAndTest both;
  if (!S_ISDIR(info.st_mode)) {
    PARLEY_ASSIGN_OR_RETURN(std::shared_ptr<const Dataset> whole,
                            ReadCsvDataset(path, csv_options));
    std::vector<int64_t> train, test;
    for (int64_t i = 0; i < whole->size(); ++i) {
      (i % kHeldOut == kHeldOut - 1 ? test : train).push_back(i);
    }
    if (test.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": ", whole->size(), " rows are too few to train and test"));
    }
    both.train = std::make_shared<Subset>(whole, std::move(train));
    both.test = std::make_shared<Subset>(whole, std::move(test));
    return both;
  }
  const std::string train_images = Find(path, "train-images-idx3-ubyte");
  const std::string train_labels = Find(path, "train-labels-idx1-ubyte");
  const std::string test_images = Find(path, "t10k-images-idx3-ubyte");
  const std::string test_labels = Find(path, "t10k-labels-idx1-ubyte");
  const std::string train_csv = Find(path, "train.csv");
  const std::string test_csv = Find(path, "test.csv");
  if (!train_images.empty() && !train_labels.empty() && !test_images.empty() &&
      !test_labels.empty()) {
    PARLEY_ASSIGN_OR_RETURN(both.train, ReadIdxDataset(train_images, train_labels, idx_options));
    IdxOptions same_classes = idx_options;
    same_classes.num_classes = both.train->num_classes();
    PARLEY_ASSIGN_OR_RETURN(both.test, ReadIdxDataset(test_images, test_labels, same_classes));
  } else if (!train_csv.empty() && !test_csv.empty()) {
    PARLEY_ASSIGN_OR_RETURN(both.train, ReadCsvDataset(train_csv, csv_options));
    CsvOptions same_classes = csv_options;
    same_classes.num_classes = both.train->num_classes();
    PARLEY_ASSIGN_OR_RETURN(both.test, ReadCsvDataset(test_csv, same_classes));
  } else {
    return absl::NotFoundError(absl::StrCat(
        path,
        ": neither train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and ",
        "t10k-labels-idx1-ubyte nor train.csv and test.csv are all there (plain or with .gz)"));
  }
  PARLEY_RETURN_IF_ERROR(CheckAlike(path, both));
  return both;
}

}  // namespace parley::data
