#ifndef PARLEY_DATA_DATASET_H_
#define PARLEY_DATA_DATASET_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/types/span.h"
#include "base/aligned_buffer.h"

namespace parley::data {

// Some examples, ready for a model. Buffers are reused from batch to batch.
class Batch {
 public:
  int64_t step = 0;
  int64_t epoch = 0;            // passes over the dataset finished before this step
  int size = 0;                 // examples
  AlignedBytes features;        // float32 [size, features of an example], row-major, aligned
  std::vector<int32_t> ids;     // [size, ids of an example], row-major
  std::vector<int32_t> labels;  // [size, labels of an example], when the dataset has classes
  std::vector<float> targets;   // [size], otherwise

  float* feature_data() { return reinterpret_cast<float*>(features.get()); }
  const float* feature_data() const { return reinterpret_cast<const float*>(features.get()); }
  // Makes room for `examples` of `features_each` floats; what was there is lost.
  void Resize(size_t examples, size_t features_each) {
    size = static_cast<int>(examples);
    if (examples * features_each > capacity_) {
      capacity_ = examples * features_each;
      features = NewAlignedBytes(capacity_ * sizeof(float));
    }
  }

 private:
  size_t capacity_ = 0;  // floats that `features` has room for
};

// A Dataset holds examples in memory: features of one shape, ids (of words, of categories), and for
// each example classes or a number to predict. Thread safety: immutable; safe from any thread.
class Dataset {
 public:
  virtual ~Dataset() = default;

  virtual int64_t size() const = 0;
  // Of one example: {height, width, channels} for images, {columns} for tables, {0} when it has
  // only ids.
  virtual const std::vector<int>& feature_shape() const = 0;
  // For each id of an example, how many values it can have: it is in [0, that). Empty when examples
  // have no ids.
  virtual absl::Span<const int> vocabularies() const { return {}; }
  // 0 when there are numbers to predict instead of classes.
  virtual int num_classes() const = 0;
  // How many labels an example has, when there are classes: 1, or one for each token of a text.
  virtual int labels_each() const { return 1; }
  // Makes `batch` hold the examples at `indices`, each in [0, size()). Leaves its step and epoch.
  virtual void Fill(absl::Span<const int64_t> indices, Batch* batch) const = 0;
};

struct TrainAndTest {
  std::shared_ptr<const Dataset> train;
  std::shared_ptr<const Dataset> test;
};

}  // namespace parley::data

#endif  // PARLEY_DATA_DATASET_H_
