// What one thread of a shard, or of a client, does to a round's bytes. One JSON line a case.
//
// Against a plain loop that reads and writes as many arrays (bench/stream_mix.h):
//   sgd/N        reduces N gradients to their mean and applies it: reads them and the values, and
//                writes new values
//   momentum/N, adam/N and so on do the same with other optimizers, and also read and write their
//                one to three slots; NAME_options and the like have options around them
//   .../N/bf16   the gradients come as bfloat16
//   .../N/copy   the new values are also written as bfloat16
//
// Against memcpy, which counts both what it reads and what it writes:
//   finite/N         checks the N gradients of a round for NaN and infinity
//   copy_finite, to_bfloat16, to_float16, from_bfloat16, from_float16   what a client does to a
//                    gradient or to parameters on their way
//
// 64 MiB of parameters in blocks of 1 MiB; gradients come in slices of 64 KiB, as from gRPC. The
// case and its limit take turns block by block, so that both see the same machine; seconds are the
// thread's own, so that those of others who share the core are left out.
#include <time.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "base/aligned_buffer.h"
#include "base/finite.h"
#include "bench/stream_mix.h"
#include "google/protobuf/text_format.h"
#include "net/payload.h"
#include "net/wire_dtype.h"
#include "proto/job.pb.h"
#include "ps/finite.h"
#include "ps/optimizer.h"
#include "ps/reduce_update.h"

namespace parley {
namespace {

constexpr size_t kElements = 1 << 18;  // of a block
constexpr size_t kBlocks = 64;
constexpr size_t kBlockBytes = kElements * sizeof(float);
constexpr int kRepetitions = 9;
constexpr size_t kMostGradients = 8;
constexpr size_t kMostSlots = 3;

// An array of every block.
class Arrays {
 public:
  explicit Arrays(float value) : bytes_(NewAlignedBytes(kBlocks * kBlockBytes)) {
    std::fill(block(0), block(0) + kBlocks * kElements, value);
  }
  float* block(size_t i) const { return reinterpret_cast<float*>(bytes_.get()) + i * kElements; }

 private:
  AlignedBytes bytes_;
};

struct Memory {
  Memory() {
    for (size_t i = 0; i < kMostGradients; ++i) gradients.emplace_back(0.001f);
    for (size_t i = 0; i < kMostSlots; ++i) slots.emplace_back(0.0f);
  }
  Arrays values{1}, new_values{0}, copy{0};
  std::vector<Arrays> gradients, slots;
};

Payload Sliced(const float* values, size_t bytes) {
  constexpr size_t kSlice = 64 << 10;
  Payload payload;
  const char* begin = reinterpret_cast<const char*>(values);
  for (size_t at = 0; at < bytes; at += kSlice) payload.Append(begin + at, kSlice, nullptr);
  return payload;
}

double ThreadSeconds() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

double Median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

// Prints the speed of work(block) and of limit(block), of which a call passes `work_bytes` and
// `limit_bytes`; each the median of several rounds over all blocks, and so is their ratio.
template <typename Work, typename Limit>
void Compare(const std::string& name, double work_bytes, Work work, const std::string& limit_name,
             double limit_bytes, Limit limit) {
  std::vector<double> figures, limits, ratios;
  for (int repetition = 0; repetition <= kRepetitions; ++repetition) {
    double work_seconds = 0;
    double limit_seconds = 0;
    for (size_t i = 0; i < kBlocks; ++i) {
      const double begin = ThreadSeconds();
      work(i);
      const double middle = ThreadSeconds();
      limit((i + kBlocks / 2) % kBlocks);  // far away, so that no cache holds it
      work_seconds += middle - begin;
      limit_seconds += ThreadSeconds() - middle;
    }
    if (repetition == 0) continue;  // touches every page
    figures.push_back(1e-9 * work_bytes * kBlocks / work_seconds);
    limits.push_back(1e-9 * limit_bytes * kBlocks / limit_seconds);
    ratios.push_back(figures.back() / limits.back());
  }
  std::cout << absl::StrFormat(
                   "{\"benchmark\": \"shard\", \"case\": \"%s\", \"figure\": %.2f, \"unit\": "
                   "\"GB/s\", \"limit_name\": \"%s\", \"limit\": %.2f, \"ratio\": %.3f}\n",
                   name, Median(figures), limit_name, Median(limits), Median(ratios))
            << std::flush;
}

struct Round {
  std::string optimizer_name;
  std::string optimizer;  // v1::Optimizer as text
  int gradients = 1;
  bool half = false;  // gradients of 16 bits
  bool copy = false;
};

bool RunRound(const Memory& memory, const std::string& name, const Round& round) {
  v1::Optimizer spec;
  if (!google::protobuf::TextFormat::ParseFromString(round.optimizer, &spec)) return false;
  spec.set_learning_rate(0.01f);
  const absl::StatusOr<std::unique_ptr<Optimizer>> optimizer = NewOptimizer(spec);
  if (!optimizer.ok()) {
    std::cerr << optimizer.status() << "\n";
    return false;
  }
  const size_t count = static_cast<size_t>(round.gradients);
  const size_t num_slots = static_cast<size_t>((*optimizer)->num_slots());
  const size_t gradient_bytes = round.half ? kBlockBytes / 2 : kBlockBytes;
  std::vector<std::vector<Gradient>> contributions(kBlocks);
  for (size_t i = 0; i < kBlocks; ++i) {
    for (size_t j = 0; j < count; ++j) {
      contributions[i].emplace_back(Sliced(memory.gradients[j].block(i), gradient_bytes),
                                    round.half ? v1::BFLOAT16 : v1::FLOAT32);
    }
  }
  const auto slots_of = [&](size_t i) {
    std::vector<float*> slots;
    for (size_t j = 0; j < num_slots; ++j) slots.push_back(memory.slots[j].block(i));
    return slots;
  };
  const double bytes =
      static_cast<double>(count * gradient_bytes + (2 + 2 * num_slots) * kBlockBytes +
                          (round.copy ? kBlockBytes / 2 : 0));
  Compare(
      name, bytes,
      [&](size_t i) {
        NarrowCopy copy;
        if (round.copy) copy = {v1::BFLOAT16, memory.copy.block(i)};
        ReduceAndUpdate(**optimizer, UpdateContext{10}, contributions[i], round.gradients,
                        {memory.values.block(i), kElements},
                        {memory.new_values.block(i), kElements}, slots_of(i), copy);
      },
      "stream_mix", bytes,
      [&](size_t i) {
        std::vector<const void*> gradients;
        for (size_t j = 0; j < count; ++j) gradients.push_back(memory.gradients[j].block(i));
        const std::vector<float*> slots = slots_of(i);
        bench::StreamMix mix;
        mix.gradients = gradients;
        mix.half_gradients = round.half;
        mix.values = memory.values.block(i);
        mix.new_values = memory.new_values.block(i);
        mix.slots = slots;
        if (round.copy) mix.copy = reinterpret_cast<uint16_t*>(memory.copy.block(i));
        mix.size = kElements;
        bench::RunStreamMix(mix);
      });
  return true;
}

// Those that are no round: `work` passes `bytes` of a block.
template <typename Work>
void AgainstMemcpy(const Memory& memory, const std::string& name, size_t bytes, Work work) {
  Compare(name, static_cast<double>(bytes), work, "memcpy", 2.0 * kBlockBytes, [&](size_t i) {
    std::memcpy(memory.new_values.block(i), memory.values.block(i), kBlockBytes);
  });
}

bool RunFinite(const Memory& memory) {
  bool finite = true;
  for (const size_t count : {1, 8}) {
    std::vector<std::vector<Gradient>> contributions(kBlocks);
    for (size_t i = 0; i < kBlocks; ++i) {
      for (size_t j = 0; j < count; ++j) {
        contributions[i].emplace_back(Sliced(memory.gradients[j].block(i), kBlockBytes));
      }
    }
    AgainstMemcpy(memory, absl::StrFormat("finite/%d", count), count * kBlockBytes, [&](size_t i) {
      for (const Gradient& gradient : contributions[i]) finite = finite && AllFinite(gradient);
    });
  }
  AgainstMemcpy(memory, "copy_finite", 2 * kBlockBytes, [&](size_t i) {
    finite =
        finite && CopyFinite(memory.gradients[0].block(i), kElements, memory.gradients[1].block(i));
  });
  for (const auto& [name, dtype] :
       {std::make_pair("bfloat16", v1::BFLOAT16), std::make_pair("float16", v1::FLOAT16)}) {
    AgainstMemcpy(memory, absl::StrFormat("to_%s", name), kBlockBytes * 3 / 2, [&](size_t i) {
      finite =
          finite && ToWire(dtype, memory.gradients[0].block(i), kElements, memory.copy.block(i));
    });
    AgainstMemcpy(memory, absl::StrFormat("from_%s", name), kBlockBytes * 3 / 2, [&](size_t i) {
      FromWire(dtype, memory.copy.block(i), kElements, memory.gradients[1].block(i));
    });
  }
  return finite;
}

int Run(const std::string& prefix) {
  const Memory memory;
  if (prefix.empty() && !RunFinite(memory)) return 1;
  std::vector<Round> rounds;
  for (const auto& [name, text] :
       {std::make_pair("sgd", "sgd {}"), std::make_pair("momentum", "momentum { momentum: 0.9 }"),
        std::make_pair("adam", "adam {}")}) {
    for (const int count : {1, 2, 4, 8}) {
      rounds.push_back({name, text, count});
      rounds.push_back({name, text, count, /*half=*/true});
      rounds.push_back({name, text, count, /*half=*/true, /*copy=*/true});
    }
    rounds.push_back({name, text, 1, /*half=*/false, /*copy=*/true});
  }
  for (const auto& [name, text] : std::vector<std::pair<std::string, std::string>>{
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
            "adam {} weight_decay: 0.01 schedule { warmup_updates: 2 cosine { updates: 1000 } "
            "}"}}) {
    rounds.push_back({name, text});
  }
  for (const Round& round : rounds) {
    const std::string name = absl::StrFormat("%s/%d%s%s", round.optimizer_name, round.gradients,
                                             round.half ? "/bf16" : "", round.copy ? "/copy" : "");
    if (name.compare(0, prefix.size(), prefix) != 0) continue;
    if (!RunRound(memory, name, round)) return 1;
  }
  return 0;
}

}  // namespace
}  // namespace parley

int main(int argc, char** argv) { return parley::Run(argc > 1 ? argv[1] : ""); }
