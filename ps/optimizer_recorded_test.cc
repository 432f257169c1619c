// The optimizers against what PyTorch's do: see tools/record_torch_optimizers.py.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "google/protobuf/text_format.h"
#include "net/check_optimizer.h"
#include "net/norm_sums.h"
#include "ps/optimizer.h"
#include "ps/square_sum.h"

namespace parley {
namespace {

constexpr size_t kElements = 12;
constexpr int kSteps = 200;

// The numbers of the script: a linear congruential generator, of which 24 bits are used.
class Numbers {
 public:
  // In [-1, 1), exact in float32.
  float Next() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return std::ldexp(static_cast<float>(state_ >> 40), -23) - 1;
  }

 private:
  uint64_t state_ = 1;
};

struct Recording {
  int step;
  std::vector<double> values;
};

// The relative error of a value may be 1e-5. Where a value comes near zero on its way, the error is
// relative to the largest one seen so far, for its roundings were relative to that.
void ExpectFollows(const v1::Optimizer& spec, const std::vector<Recording>& recordings) {
  const std::unique_ptr<Optimizer> made = NewOptimizer(spec).value();
  const Optimizer& optimizer = *made;
  Numbers numbers;
  std::vector<float> values(kElements), next(kElements), gradient(kElements);
  for (float& value : values) value = 2 * numbers.Next();
  std::vector<double> largest(values.begin(), values.end());
  for (double& value : largest) value = std::abs(value);
  std::vector<std::vector<float>> slots(optimizer.num_slots(), std::vector<float>(kElements, 0));
  std::vector<float*> slot_data;
  for (auto& slot : slots) slot_data.push_back(slot.data());
  optimizer.BeginSlots(values, slot_data);
  // The recordings of an optimizer that keeps the average are of the average.
  const std::vector<absl::string_view> names = optimizer.slot_names();
  const auto average = std::find(names.begin(), names.end(), kAverageSlot);
  const std::vector<float>& shown =
      average == names.end() ? values : slots[average - names.begin()];
  const int every = std::max(1, spec.accumulate_rounds());

  auto recording = recordings.begin();
  for (int step = 1; step <= kSteps; ++step) {
    for (size_t i = 0; i < kElements; ++i) {
      gradient[i] = std::ldexp(numbers.Next(), static_cast<int>(i) - 4);
    }
    UpdateContext context;
    context.round = step;
    std::vector<double> norms;
    if (NumNormSums(spec) > 0 && step % every == 0) {
      norms.resize(NumNormSums(spec), 0);
      std::vector<float> prepared(kElements);
      optimizer.Prepare(context, gradient, values, absl::MakeSpan(prepared), slot_data);
      norms.back() = SquareSum(prepared);
      if (norms.size() == 2) norms[0] = SquareSum(values);
      gradient = prepared;
      for (double& norm : norms) norm = std::sqrt(norm);
      context.norms = norms;
    }
    optimizer.Update(context, gradient, values, absl::MakeSpan(next), slot_data);
    // Not swapped: `shown` may be `values`.
    values = next;
    for (size_t i = 0; i < kElements; ++i) {
      largest[i] = std::max(largest[i], std::abs(static_cast<double>(shown[i])));
    }
    if (recording == recordings.end() || recording->step != step) continue;
    for (size_t i = 0; i < kElements; ++i) {
      EXPECT_NEAR(shown[i], recording->values[i], 1e-5 * largest[i])
          << "step " << step << ", element " << i;
    }
    ++recording;
  }
  EXPECT_TRUE(recording == recordings.end());
}

TEST(RecordedOptimizers, AreFollowedFor200Steps) {
  std::ifstream file("ps/recorded/optimizers.txt");
  std::string line;
  std::getline(file, line);  // says what it is
  int cases = 0;
  bool more = static_cast<bool>(std::getline(file, line));
  while (more) {
    ASSERT_EQ(line.substr(0, 5), "case ");
    SCOPED_TRACE(line);
    v1::Optimizer spec;
    ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(line.substr(5), &spec));
    ASSERT_TRUE(CheckOptimizer(spec).ok()) << CheckOptimizer(spec);
    std::vector<Recording> recordings;
    while ((more = static_cast<bool>(std::getline(file, line))) && line.substr(0, 5) != "case ") {
      std::istringstream numbers(line);
      Recording recording;
      ASSERT_TRUE(numbers >> recording.step);
      for (double value; numbers >> value;) recording.values.push_back(value);
      ASSERT_EQ(recording.values.size(), kElements);
      recordings.push_back(std::move(recording));
    }
    ASSERT_EQ(recordings.size(), 5u);
    ExpectFollows(spec, recordings);
    ++cases;
  }
  EXPECT_EQ(cases, 38);
}

}  // namespace
}  // namespace parley
