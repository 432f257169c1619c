#include "data/subset.h"

#include <numeric>
#include <utility>

namespace parley::data {
namespace {

class Subset final : public Dataset {
 public:
  Subset(std::shared_ptr<const Dataset> whole, std::vector<int64_t> indices)
      : whole_(std::move(whole)), indices_(std::move(indices)) {}

  int64_t size() const override { return static_cast<int64_t>(indices_.size()); }
  const std::vector<int>& feature_shape() const override { return whole_->feature_shape(); }
  absl::Span<const int> vocabularies() const override { return whole_->vocabularies(); }
  int num_classes() const override { return whole_->num_classes(); }
  int labels_each() const override { return whole_->labels_each(); }
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

}  // namespace

std::shared_ptr<const Dataset> NewSubset(std::shared_ptr<const Dataset> whole,
                                         std::vector<int64_t> indices) {
  return std::make_shared<Subset>(std::move(whole), std::move(indices));
}

std::shared_ptr<const Dataset> FirstExamples(std::shared_ptr<const Dataset> whole, int64_t count) {
  if (count >= whole->size()) return whole;
  std::vector<int64_t> indices(static_cast<size_t>(count));
  std::iota(indices.begin(), indices.end(), 0);
  return NewSubset(std::move(whole), std::move(indices));
}

}  // namespace parley::data
