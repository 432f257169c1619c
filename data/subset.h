#ifndef PARLEY_DATA_SUBSET_H_
#define PARLEY_DATA_SUBSET_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "data/dataset.h"

namespace parley::data {

// The examples of `whole` at `indices`, each in [0, whole->size()), in this order.
std::shared_ptr<const Dataset> NewSubset(std::shared_ptr<const Dataset> whole,
                                         std::vector<int64_t> indices);

// The first `count` >= 0 examples, or all when there are no more.
std::shared_ptr<const Dataset> FirstExamples(std::shared_ptr<const Dataset> whole, int64_t count);

}  // namespace parley::data

#endif  // PARLEY_DATA_SUBSET_H_
