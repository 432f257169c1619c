#include "nn/recorded/recorded_cases.h"

#include <fstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace parley::nn {
namespace {

// "KEY DIMENSIONS VALUES...", which goes into `tensors`.
bool ReadTensor(const std::string& line, std::map<std::string, RecordedTensor>* tensors) {
  const std::vector<std::string> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
  if (words.size() < 2) return false;
  std::vector<int64_t> dimensions;
  if (words[1] != "-") {
    for (const std::string& each : std::vector<std::string>(absl::StrSplit(words[1], 'x'))) {
      if (!absl::SimpleAtoi(each, &dimensions.emplace_back())) return false;
    }
  }
  RecordedTensor tensor;
  tensor.shape = Shape(dimensions);
  for (size_t i = 2; i < words.size(); ++i) {
    if (!absl::SimpleAtod(words[i], &tensor.values.emplace_back())) return false;
  }
  return static_cast<int64_t>(tensor.values.size()) == tensor.shape.num_elements() &&
         tensors->emplace(words[0], std::move(tensor)).second;
}

}  // namespace

absl::StatusOr<std::vector<RecordedCase>> ReadRecordedCases(const std::string& path) {
  std::ifstream file(path);
  if (!file) return absl::NotFoundError(absl::StrCat("cannot read ", path));
  std::vector<RecordedCase> cases;
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    if (line.rfind("#", 0) == 0) continue;
    if (line.rfind("case ", 0) == 0) {
      cases.push_back({line.substr(5), {}});
    } else if (cases.empty() || !ReadTensor(line, &cases.back().tensors)) {
      return absl::InvalidArgumentError(absl::StrCat(path, ":", number, ": not a recorded tensor"));
    }
  }
  return cases;
}

}  // namespace parley::nn
