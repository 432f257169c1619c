// What one thread of a shard does to a round's bytes, against what memcpy reaches in the same run.
// One JSON line a case.
//
//   finite/N    checks the N gradients of a round for NaN and infinity
//   sgd/N       reduces N gradients to their mean and applies it: reads them and the values, and
//               writes new values
//
//   momentum/N, adam/N and so on do the same with other optimizers, and also read and write their
//   one to three slots; NAME_options and the like have options around them
//
// Blocks of 1 MiB, enough of them that caches do not hold them; gradients come in slices of 64 KiB,
// as from gRPC. GB/s count every byte read and every byte written, for memcpy too.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "base/aligned_buffer.h"
#include "base/env.h"
#include "google/protobuf/text_format.h"
#include "net/payload.h"
#include "proto/job.pb.h"
#include "ps/finite.h"
#include "ps/optimizer.h"
#include "ps/reduce_update.h"

namespace parley {
namespace {

constexpr size_t kElements = 1 << 18;  // of a block
constexpr size_t kBlocks = 96;         // 96 MiB of each array
constexpr int kRepetitions = 7;

// An array of every block.
class Arrays {
 public:
  explicit Arrays(float value) : bytes_(NewAlignedBytes(kBlocks * kElements * sizeof(float))) {
    std::fill(block(0), block(0) + kBlocks * kElements, value);
  }
  float* block(size_t i) const { return reinterpret_cast<float*>(bytes_.get()) + i * kElements; }

 private:
  AlignedBytes bytes_;
};

Payload Sliced(const float* values) {
  constexpr size_t kSlice = 64 << 10;
  Payload payload;
  const char* bytes = reinterpret_cast<const char*>(values);
  for (size_t begin = 0; begin < kElements * sizeof(float); begin += kSlice) {
    payload.Append(bytes + begin, kSlice, nullptr);
  }
  return payload;
}

// GB/s of work(block) over all blocks, `arrays` of a block's bytes passing each time; the median of
// several rounds.
template <typename Work>
double Measure(int arrays, Work work) {
  for (size_t i = 0; i < kBlocks; ++i) work(i);  // touches every page
  std::vector<double> seconds;
  for (int repetition = 0; repetition < kRepetitions; ++repetition) {
    const absl::Time begin = Env::Posix()->Now();
    for (size_t i = 0; i < kBlocks; ++i) work(i);
    seconds.push_back(absl::ToDoubleSeconds(Env::Posix()->Now() - begin));
  }
  std::sort(seconds.begin(), seconds.end());
  return 1e-9 * arrays * static_cast<double>(kBlocks * kElements * sizeof(float)) /
         seconds[kRepetitions / 2];
}

void Print(const std::string& name, double figure, double limit) {
  std::cout << absl::StrFormat(
      "{\"benchmark\": \"shard\", \"case\": \"%s\", \"figure\": %.2f, \"unit\": \"GB/s\", "
      "\"limit_name\": \"memcpy\", \"limit\": %.2f, \"ratio\": %.3f}\n",
      name, figure, limit, figure / limit);
}

int Run() {
  const Arrays values(1), new_values(0);
  const std::vector<Arrays> slot_arrays = [] {
    std::vector<Arrays> result;
    for (int i = 0; i < 3; ++i) result.emplace_back(0.0f);
    return result;
  }();
  const std::vector<Arrays> gradients = [] {
    std::vector<Arrays> result;
    for (int i = 0; i < 4; ++i) result.emplace_back(0.001f);
    return result;
  }();
  const double limit = Measure(2, [&](size_t i) {
    std::memcpy(new_values.block(i), values.block(i), kElements * sizeof(float));
  });

  // The first three with every number of gradients, the others with one.
  const std::vector<std::pair<std::string, std::string>> optimizers = {
      {"sgd", "sgd {}"},
      {"momentum", "momentum { momentum: 0.9 }"},
      {"adam", "adam {}"},
      {"adagrad", "adagrad {}"},
      {"adadelta", "adadelta {}"},
      {"rmsprop", "rmsprop {}"},
      {"rmsprop_all", "rmsprop { momentum: 0.9 centered: true }"},
      {"amsgrad", "adam { amsgrad: true }"},
      {"adamax", "adamax {}"},
      {"nadam", "nadam {}"},
      {"ftrl", "ftrl { l1: 0.001 }"},
      {"lion", "lion {}"},
      {"sgd_options", "sgd {} clip_value: 1 l1: 1e-5 l2: 1e-4 weight_decay: 0.01"},
      {"adamw_cosine",
       "adam {} weight_decay: 0.01 schedule { warmup_updates: 2 cosine { updates: 1000 } }"}};
  for (const int count : {1, 2, 4}) {
    std::vector<std::vector<Gradient>> contributions(kBlocks);
    for (size_t i = 0; i < kBlocks; ++i) {
      for (int j = 0; j < count; ++j) contributions[i].push_back(Sliced(gradients[j].block(i)));
    }
    bool finite = true;
    const double finite_speed = Measure(count, [&](size_t i) {
      for (const Gradient& gradient : contributions[i]) finite = finite && AllFinite(gradient);
    });
    if (!finite) return 1;
    Print(absl::StrFormat("finite/%d", count), finite_speed, limit);
    for (size_t k = 0; k < (count == 1 ? optimizers.size() : 3); ++k) {
      const auto& [name, text] = optimizers[k];
      v1::Optimizer spec;
      if (!google::protobuf::TextFormat::ParseFromString(text, &spec)) return 1;
      spec.set_learning_rate(0.01f);
      const absl::StatusOr<std::unique_ptr<Optimizer>> optimizer = NewOptimizer(spec);
      if (!optimizer.ok()) {
        std::cerr << optimizer.status() << "\n";
        return 1;
      }
      const int slots = (*optimizer)->num_slots();
      const double speed = Measure(count + 2 + 2 * slots, [&](size_t i) {
        float* const slot_data[] = {slot_arrays[0].block(i), slot_arrays[1].block(i),
                                    slot_arrays[2].block(i)};
        ReduceAndUpdate(**optimizer, UpdateContext{10}, contributions[i], count,
                        {values.block(i), kElements}, {new_values.block(i), kElements},
                        {slot_data, static_cast<size_t>(slots)});
      });
      Print(absl::StrFormat("%s/%d", name, count), speed, limit);
    }
  }
  return 0;
}

}  // namespace
}  // namespace parley

int main() { return parley::Run(); }
