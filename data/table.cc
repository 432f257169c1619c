#include "data/table.h"

#include <algorithm>
#include <utility>

namespace parley::data {

Table::Table(std::vector<float> features, int columns, std::vector<float> predicted,
             int num_classes, std::vector<int32_t> ids, std::vector<int> vocabularies)
    : features_(std::move(features)),
      feature_shape_({columns}),
      predicted_(std::move(predicted)),
      num_classes_(num_classes),
      ids_(std::move(ids)),
      vocabularies_(std::move(vocabularies)) {}

void Table::Fill(absl::Span<const int64_t> indices, Batch* batch) const {
  const size_t columns = static_cast<size_t>(feature_shape_[0]);
  batch->Resize(indices.size(), columns);
  batch->ids.clear();
  batch->labels.clear();
  batch->targets.clear();
  float* out = batch->feature_data();
  for (const int64_t index : indices) {
    const float* row = features_.data() + static_cast<size_t>(index) * columns;
    out = std::copy(row, row + columns, out);
    const auto ids = ids_.begin() + index * static_cast<int64_t>(vocabularies_.size());
    batch->ids.insert(batch->ids.end(), ids, ids + static_cast<int64_t>(vocabularies_.size()));
    if (num_classes_ > 0) {
      batch->labels.push_back(static_cast<int32_t>(predicted_[index]));
    } else {
      batch->targets.push_back(predicted_[index]);
    }
  }
}

}  // namespace parley::data
