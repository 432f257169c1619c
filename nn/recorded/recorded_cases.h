#ifndef PARLEY_NN_RECORDED_RECORDED_CASES_H_
#define PARLEY_NN_RECORDED_RECORDED_CASES_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tensor/shape.h"

namespace parley::nn {

struct RecordedTensor {
  Shape shape;
  std::vector<double> values;
};

// What another framework computed for one small case; tools/record_torch_layers.py wrote it and
// says what the keys mean.
struct RecordedCase {
  std::string name;
  std::map<std::string, RecordedTensor> tensors;
};

// NOT_FOUND without the file, INVALID_ARGUMENT with the number of a line that is not of the format.
absl::StatusOr<std::vector<RecordedCase>> ReadRecordedCases(const std::string& path);

}  // namespace parley::nn

#endif  // PARLEY_NN_RECORDED_RECORDED_CASES_H_
