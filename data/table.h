#ifndef PARLEY_DATA_TABLE_H_
#define PARLEY_DATA_TABLE_H_

#include <cstdint>
#include <vector>

#include "data/dataset.h"

namespace parley::data {

// A Dataset of rows of float32 numbers and of categories' ids, with a class or a number to predict
// for each.
class Table final : public Dataset {
 public:
  // `features` is [rows, columns]; `predicted` has one number a row: a class below num_classes, or,
  // when num_classes is 0, any number. `ids` is [rows, vocabularies.size()], each in [0, its
  // column's vocabulary).
  Table(std::vector<float> features, int columns, std::vector<float> predicted, int num_classes,
        std::vector<int32_t> ids = {}, std::vector<int> vocabularies = {});

  int64_t size() const override { return static_cast<int64_t>(predicted_.size()); }
  const std::vector<int>& feature_shape() const override { return feature_shape_; }
  absl::Span<const int> vocabularies() const override { return vocabularies_; }
  int num_classes() const override { return num_classes_; }
  void Fill(absl::Span<const int64_t> indices, Batch* batch) const override;

 private:
  const std::vector<float> features_;
  const std::vector<int> feature_shape_;
  const std::vector<float> predicted_;
  const int num_classes_;
  const std::vector<int32_t> ids_;
  const std::vector<int> vocabularies_;
};

}  // namespace parley::data

#endif  // PARLEY_DATA_TABLE_H_
