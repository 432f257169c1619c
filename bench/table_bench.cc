// What one thread of a shard does with the rows of a table, of width 16 and with Adagrad, by
// uniform keys. One JSON line a case.
//
//   random_reads  64 bytes each, at random in as much memory as the rows take: the limit
//   gather, update  requests of 16384 keys
//   find_missing  a gather of keys without a row, which reads what the initializer says
//   std_gather, absl_gather  the same from a std::unordered_map and an absl::flat_hash_map of
//   vectors
//   memory        what a table of width 8 takes for each byte of data, Adagrad's state included
//   spill         gathers and updates of distinct keys that follow Zipf's law, of a table that has
//   four times as many rows as there is memory for, and of one with all in memory
//
// The cases take turns, round by round, so that all see the same machine; rates are medians, and so
// are the ratios.
//
// --rows=10000000 --memory_rows=50000000 --maps --spill_rows=4000000 --spill_dir=/tmp
#include <gflags/gflags.h>
#include <immintrin.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <iostream>
#include <memory>
#include <numeric>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status.h"
#include "net/table_placement.h"
#include "proto/job.pb.h"
#include "ps/table/page_memory.h"
#include "ps/table/spill_file.h"
#include "ps/table/spilled_rows.h"
#include "ps/table/table_layout.h"
#include "ps/table/table_part.h"

DEFINE_int64(rows, 10'000'000, "rows of the table that is read; 0: none is");
DEFINE_int64(memory_rows, 50'000'000, "rows of the table that is weighed; 0: none is");
DEFINE_bool(maps, true, "compares with other maps");
DEFINE_int64(spill_rows, 4'000'000, "rows of the table that is spilled; 0: none is");
DEFINE_string(spill_dir, "/tmp", "where to");
DEFINE_double(zipf, 1.1, "the exponent of Zipf's law there");
DEFINE_int32(repetitions, 9, "of each case");

namespace parley {
namespace {

constexpr int kWidth = 16;
constexpr size_t kBatch = 16384;  // keys of a request
constexpr size_t kBatches = 16;   // of a repetition

double ThreadSeconds() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

double Median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

// Bytes of memory that this process has.
int64_t Resident() {
  std::ifstream statm("/proc/self/statm");
  int64_t all = 0;
  int64_t resident = 0;
  statm >> all >> resident;
  return resident * sysconf(_SC_PAGE_SIZE);
}

uint64_t KeyOf(uint64_t row) { return MixKey(row + 0x9e3779b97f4a7c15); }

TableLayout LayoutOf(int width) {
  v1::TableSpec spec;
  spec.set_name("rows");
  spec.set_width(width);
  spec.set_dtype(v1::FLOAT32);
  spec.set_virtual_shards(1024);
  spec.mutable_initializer()->mutable_uniform()->set_low(-0.1f);
  spec.mutable_initializer()->mutable_uniform()->set_high(0.1f);
  spec.mutable_optimizer()->set_learning_rate(0.01f);
  spec.mutable_optimizer()->mutable_adagrad();
  return *TableLayout::Create(spec, /*seed=*/1);
}

TablePart WholeTable(const TableLayout* layout) {
  std::vector<uint32_t> all(layout->virtual_shards);
  std::iota(all.begin(), all.end(), 0);
  return TablePart(layout, all);
}

// Gives each of the first `rows` keys a row.
void Fill(int64_t rows, int width, TablePart* table) {
  const std::vector<float> gradient(static_cast<size_t>(width), 0.01f);
  const std::vector<const float*> gradients(kBatch, gradient.data());
  std::vector<uint64_t> keys;
  for (int64_t row = 0; row < rows; row += kBatch) {
    keys.clear();
    for (int64_t i = row; i < std::min<int64_t>(rows, row + kBatch); ++i) {
      keys.push_back(KeyOf(static_cast<uint64_t>(i)));
    }
    table->Update(1, keys, absl::MakeSpan(gradients).first(keys.size()));
  }
}

class Reads {
 public:
  explicit Reads(size_t bytes) : memory_(bytes) { std::memset(memory_.data(), 1, memory_.size()); }
  // Of 64 bytes each, at these lines; the next ones are asked for meanwhile.
  uint64_t Read(const std::vector<uint64_t>& lines) const {
    constexpr size_t kAhead = 24;
    const std::byte* const memory = memory_.data();
    __m256i sum = _mm256_setzero_si256();
    for (size_t i = 0; i < kBatch; ++i) {
      __builtin_prefetch(memory + lines[std::min(i + kAhead, kBatch - 1)] * 64);
      const __m256i* line = reinterpret_cast<const __m256i*>(memory + lines[i] * 64);
      sum = _mm256_add_epi64(sum, _mm256_add_epi64(line[0], line[1]));
    }
    return static_cast<uint64_t>(_mm256_extract_epi64(sum, 0));
  }
  size_t lines() const { return memory_.size() / 64; }

 private:
  PageMemory memory_;
};

struct Case {
  std::string name;
  std::function<void(size_t batch)> run;  // kBatch operations
  std::vector<double> rates = {};         // in a second
};

void Weigh() {
  const int64_t before = Resident();
  const TableLayout layout = LayoutOf(8);
  TablePart table = WholeTable(&layout);
  const double begin = ThreadSeconds();
  Fill(FLAGS_memory_rows, 8, &table);
  const double seconds = ThreadSeconds() - begin;
  const double data = static_cast<double>(FLAGS_memory_rows) * 8 * 2 * sizeof(float);
  const double resident = static_cast<double>(Resident() - before);
  std::cout << absl::StrFormat(
                   "{\"benchmark\": \"table_bench\", \"case\": \"memory\", \"rows\": %d, "
                   "\"width\": 8, \"resident_to_data\": %.3f, "
                   "\"bytes_beyond_data_a_row\": %.1f, \"inserted_per_second\": %.3g}\n",
                   FLAGS_memory_rows, resident / data,
                   (resident - data) / static_cast<double>(FLAGS_memory_rows),
                   static_cast<double>(FLAGS_memory_rows) / seconds)
            << std::flush;
}

// Keys by Zipf's law: a rank k comes with a probability proportional to 1 / (k + 1)^exponent. By
// the inverse of the continuous distribution.
uint64_t ZipfRow(uint64_t random, uint64_t rows) {
  const double u = static_cast<double>(MixKey(random) >> 11) * 0x1p-53;
  const double n = static_cast<double>(rows) + 1;
  const double power = 1 - FLAGS_zipf;
  const double rank = std::abs(power) < 1e-9
                          ? std::pow(n, u)
                          : std::pow(1 + u * (std::pow(n, power) - 1), 1 / power);
  return std::min(rows - 1, static_cast<uint64_t>(rank) - 1);
}

absl::Status Spill() {
  using Clock = std::chrono::steady_clock;
  constexpr size_t kTogether = 2048;
  const TableLayout layout = LayoutOf(kWidth);
  TablePart whole = WholeTable(&layout);
  Fill(FLAGS_spill_rows, kWidth, &whole);
  const size_t memory = whole.memory() / 4;
  PARLEY_ASSIGN_OR_RETURN(const std::unique_ptr<RowSpill> spill,
                          NewSpillFile(FLAGS_spill_dir, layout.row_bytes, layout.virtual_shards));
  TablePart part = WholeTable(&layout);
  SpilledRows spilled(&layout, &part, spill.get(), memory);
  const std::vector<float> gradient(kWidth, 0.01f);
  const std::vector<const float*> gradients(kBatch, gradient.data());
  std::vector<float> out(kBatch * kWidth), spilled_out(kBatch * kWidth);
  const auto update = [&](int64_t round, absl::Span<const uint64_t> keys) -> absl::Status {
    for (size_t i = 0; i < keys.size(); i += kTogether) {
      const absl::Span<const uint64_t> some = keys.subspan(i, kTogether);
      PARLEY_RETURN_IF_ERROR(spilled.BringBack(some));
      part.UpdateRows(round, some, absl::MakeSpan(gradients).first(some.size()), spilled.slots());
      spilled.Changed(some);
      PARLEY_RETURN_IF_ERROR(spilled.LetGo());
    }
    return absl::OkStatus();
  };
  const auto gather = [&](absl::Span<const uint64_t> keys) -> absl::Status {
    for (size_t i = 0; i < keys.size(); i += kTogether) {
      const absl::Span<const uint64_t> some = keys.subspan(i, kTogether);
      PARLEY_RETURN_IF_ERROR(spilled.BringBack(some));
      part.Gather(1, some, {}, v1::FLOAT32,
                  reinterpret_cast<std::byte*>(spilled_out.data() + i * kWidth), spilled.slots());
      PARLEY_RETURN_IF_ERROR(spilled.LetGo());
    }
    return absl::OkStatus();
  };
  std::vector<uint64_t> keys;
  for (int64_t row = FLAGS_spill_rows; row > 0;) {  // the common ones last
    keys.clear();
    while (row > 0 && keys.size() < kBatch) keys.push_back(KeyOf(static_cast<uint64_t>(--row)));
    PARLEY_RETURN_IF_ERROR(update(1, keys));
  }
  uint64_t random = 1;
  const auto draw = [&] {
    keys.clear();
    absl::flat_hash_set<uint64_t> seen;
    for (size_t i = 0; i < kBatch; ++i) {
      const uint64_t row = ZipfRow(random++, static_cast<uint64_t>(FLAGS_spill_rows));
      if (seen.insert(row).second) keys.push_back(KeyOf(row));
    }
  };
  const auto since = [](Clock::time_point begin) {
    return std::chrono::duration<double>(Clock::now() - begin).count();
  };
  std::vector<double> ratios;
  double all_whole = 0, all_spilled = 0, rows = 0, rows_back = 0;
  for (int repetition = 0; repetition <= FLAGS_repetitions; ++repetition) {
    double whole_seconds = 0, spilled_seconds = 0;
    for (size_t batch = 0; batch < kBatches; ++batch) {
      draw();
      const absl::Span<const float* const> some = absl::MakeSpan(gradients).first(keys.size());
      const Clock::time_point begin = Clock::now();
      whole.Gather(1, keys, {}, v1::FLOAT32, reinterpret_cast<std::byte*>(out.data()));
      whole.Update(2, keys, some);
      whole_seconds += since(begin);
      const int64_t fetched = spilled.fetched();
      const Clock::time_point then = Clock::now();
      PARLEY_RETURN_IF_ERROR(gather(keys));
      PARLEY_RETURN_IF_ERROR(update(2, keys));
      spilled_seconds += since(then);
      if (std::memcmp(out.data(), spilled_out.data(), keys.size() * kWidth * sizeof(float)) != 0) {
        return absl::InternalError("rows that were spilled are not the same");
      }
      rows += static_cast<double>(keys.size());
      rows_back += static_cast<double>(spilled.fetched() - fetched);
    }
    if (repetition == 0) {
      rows = rows_back = 0;
      continue;
    }
    ratios.push_back(whole_seconds / spilled_seconds);
    all_whole += whole_seconds;
    all_spilled += spilled_seconds;
  }
  std::cout << absl::StrFormat(
                   "{\"benchmark\": \"table_bench\", \"case\": \"spill\", \"rows\": %d, "
                   "\"zipf\": %.2f, \"memory_to_rows\": 0.25, \"rows_in_memory\": %.3f, "
                   "\"misses\": %.4f, "
                   "\"in_memory_per_second\": %.3g, \"per_second\": %.3g, "
                   "\"to_in_memory\": %.3f}\n",
                   FLAGS_spill_rows, FLAGS_zipf,
                   static_cast<double>(part.num_rows()) / static_cast<double>(FLAGS_spill_rows),
                   rows_back / rows, 2 * rows / all_whole, 2 * rows / all_spilled, Median(ratios))
            << std::flush;
  return absl::OkStatus();
}

void Run() {
  const TableLayout layout = LayoutOf(kWidth);
  TablePart table = WholeTable(&layout);
  Fill(FLAGS_rows, kWidth, &table);
  const Reads reads(static_cast<size_t>(FLAGS_rows) * layout.row_bytes);
  std::unordered_map<uint64_t, std::vector<float>> std_map;
  absl::flat_hash_map<uint64_t, std::vector<float>> absl_map;
  // As a program would have them: rows made one after another.
  const int64_t map_rows = FLAGS_maps ? FLAGS_rows : 0;
  for (int64_t i = 0; i < map_rows; ++i) {
    std_map.emplace(KeyOf(static_cast<uint64_t>(i)), std::vector<float>(kWidth, 0.5f));
  }
  for (int64_t i = 0; i < map_rows; ++i) {
    absl_map.emplace(KeyOf(static_cast<uint64_t>(i)), std::vector<float>(kWidth, 0.5f));
  }

  uint64_t random = 1;
  const auto next = [&random] { return MixKey(random++); };
  std::vector<std::vector<uint64_t>> keys(kBatches), missing(kBatches), lines(kBatches);
  const auto draw = [&] {
    for (size_t i = 0; i < kBatches; ++i) {
      keys[i].clear(), missing[i].clear(), lines[i].clear();
      for (size_t j = 0; j < kBatch; ++j) {
        keys[i].push_back(KeyOf(next() % static_cast<uint64_t>(FLAGS_rows)));
        missing[i].push_back(KeyOf(next() | (uint64_t{1} << 63)));
        lines[i].push_back(next() % reads.lines());
      }
    }
  };
  std::vector<float> out(kBatch * kWidth);
  std::byte* const bytes = reinterpret_cast<std::byte*>(out.data());
  const std::vector<float> gradient(kBatch * kWidth, 0.01f);
  std::vector<const float*> gradients;
  for (size_t i = 0; i < kBatch; ++i) gradients.push_back(gradient.data() + i * kWidth);
  uint64_t sum = 0;
  const auto gather_from = [&](const auto& map, size_t batch) {
    for (size_t i = 0; i < kBatch; ++i) {
      const std::vector<float>& row = map.find(keys[batch][i])->second;
      std::memcpy(out.data() + i * kWidth, row.data(), kWidth * sizeof(float));
    }
  };
  std::vector<Case> cases = {
      {"random_reads", [&](size_t i) { sum += reads.Read(lines[i]); }},
      {"gather", [&](size_t i) { table.Gather(2, keys[i], {}, v1::FLOAT32, bytes); }},
      {"update", [&](size_t i) { table.Update(2, keys[i], gradients); }},
      {"find_missing", [&](size_t i) { table.Gather(2, missing[i], {}, v1::FLOAT32, bytes); }},
  };
  if (FLAGS_maps) {
    cases.push_back({"std_gather", [&](size_t i) { gather_from(std_map, i); }});
    cases.push_back({"absl_gather", [&](size_t i) { gather_from(absl_map, i); }});
  }
  for (int repetition = 0; repetition <= FLAGS_repetitions; ++repetition) {
    std::vector<double> seconds(cases.size(), 0);
    draw();
    for (size_t c = 0; c < cases.size(); ++c) {
      for (size_t i = 0; i < kBatches; ++i) {
        const double begin = ThreadSeconds();
        cases[c].run(i);
        seconds[c] += ThreadSeconds() - begin;
      }
    }
    if (repetition == 0) continue;  // touches every buffer
    for (size_t c = 0; c < cases.size(); ++c) {
      cases[c].rates.push_back(static_cast<double>(kBatch * kBatches) / seconds[c]);
    }
  }
  if (sum == 0) std::abort();  // it was read
  const auto ratio = [&](const Case& of, const Case& to) {
    std::vector<double> ratios;
    for (size_t i = 0; i < of.rates.size(); ++i) ratios.push_back(of.rates[i] / to.rates[i]);
    return Median(ratios);
  };
  for (const Case& each : cases) {
    std::cout << absl::StrFormat(
        "{\"benchmark\": \"table_bench\", \"case\": \"%s\", \"rows\": %d, \"per_second\": %.3g, "
        "\"best\": %.3g, "
        "\"to_random_reads\": %.3f, "
        "\"gather_to_this\": %.3f}\n",
        each.name, FLAGS_rows, Median(each.rates),
        *std::max_element(each.rates.begin(), each.rates.end()), ratio(each, cases[0]),
        ratio(cases[1], each));
  }
  std::cout << absl::StrFormat(
      "{\"benchmark\": \"table_bench\", \"case\": \"index\", \"rows\": %d, "
      "\"bytes_beyond_data_a_row\": %.1f}\n",
      FLAGS_rows,
      static_cast<double>(table.memory()) / static_cast<double>(table.num_rows()) -
          static_cast<double>(layout.row_bytes));
}

}  // namespace
}  // namespace parley

int main(int argc, char** argv) {
  gflags::SetUsageMessage("measures a table's rows");
  gflags::ParseCommandLineFlags(&argc, &argv, true);
  if (FLAGS_memory_rows > 0) parley::Weigh();
  if (FLAGS_spill_rows > 0) {
    const absl::Status status = parley::Spill();
    if (!status.ok()) {
      std::cerr << "table_bench: " << status.message() << std::endl;
      return 1;
    }
  }
  if (FLAGS_rows > 0) parley::Run();
  return 0;
}
