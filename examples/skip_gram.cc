#include "examples/skip_gram.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <random>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/philox.h"
#include "base/status.h"
#include "examples/table_workers.h"
#include "proto/job.pb.h"
#include "worker/client.h"

namespace parley {
namespace {

constexpr double kSubsample = 1e-3;  // a word of a higher share is left out at times
constexpr size_t kIn = 0, kOut = 1;  // tables

// Draws pairs of words for one worker.
class Pairs {
 public:
  Pairs(const Corpus& corpus, const SkipGramOptions& options, int worker)
      : corpus_(corpus),
        window_(options.window),
        random_(options.seed * 1000 + static_cast<uint64_t>(worker)) {
    double sum = 0;
    for (const int64_t count : corpus.counts) {
      sum += std::pow(static_cast<double>(count), 0.75);
      cumulative_.push_back(sum);
    }
  }

  uint32_t Negative() {
    const double at = Uniform() * cumulative_.back();
    const auto found = std::upper_bound(cumulative_.begin(), cumulative_.end() - 1, at);
    return static_cast<uint32_t>(found - cumulative_.begin());
  }
  // A word and one of its neighbours; near ones more often.
  std::pair<uint32_t, uint32_t> Next() {
    for (;;) {
      const int64_t size = static_cast<int64_t>(corpus_.text.size());
      const int64_t at = static_cast<int64_t>(random_() % corpus_.text.size());
      const int64_t reach = 1 + static_cast<int64_t>(random_() % static_cast<uint64_t>(window_));
      const int64_t offset = 1 + static_cast<int64_t>(random_() % static_cast<uint64_t>(reach));
      const int64_t other = random_() % 2 == 0 ? at - offset : at + offset;
      if (other < 0 || other >= size) continue;
      const uint32_t word = corpus_.text[static_cast<size_t>(at)];
      const uint32_t neighbour = corpus_.text[static_cast<size_t>(other)];
      if (LeftOut(word) || LeftOut(neighbour)) continue;
      return {word, neighbour};
    }
  }

 private:
  double Uniform() { return static_cast<double>(random_() >> 11) * 0x1p-53; }
  bool LeftOut(uint32_t word) {
    const double share =
        static_cast<double>(corpus_.counts[word]) / static_cast<double>(corpus_.text.size());
    return Uniform() > std::sqrt(kSubsample / share);
  }

  const Corpus& corpus_;
  const int window_;
  std::mt19937_64 random_;
  std::vector<double> cumulative_;
};

// Gradients of the pairs' losses, in place of the rows: the rows of `in` are those of words, each
// with `outs` rows of `out`, the first of which is its neighbour's. Returns the sum of the losses.
double Backward(size_t pairs, size_t outs, size_t width, float* in, float* out) {
  double loss = 0;
  std::vector<float> sum(width);
  for (size_t i = 0; i < pairs; ++i) {
    float* const word = in + i * width;
    std::fill(sum.begin(), sum.end(), 0.0f);
    for (size_t k = 0; k < outs; ++k) {
      float* const other = out + (i * outs + k) * width;
      float product = 0;
      for (size_t j = 0; j < width; ++j) product += word[j] * other[j];
      const float sign = k == 0 ? 1.0f : -1.0f;
      const float wrong = 1 / (1 + std::exp(sign * product));  // of the probability
      loss -= std::log(std::max(1e-9, 1 - static_cast<double>(wrong)));
      for (size_t j = 0; j < width; ++j) {
        sum[j] -= sign * wrong * other[j];
        other[j] = -sign * wrong * word[j];
      }
    }
    std::copy(sum.begin(), sum.end(), word);
  }
  return loss;
}

absl::Status Train(const Corpus& corpus, const SkipGramOptions& options, Client* client,
                   SkipGramVectors* result) {
  const size_t width = static_cast<size_t>(options.width);
  const size_t size = static_cast<size_t>(options.batch_size);
  const size_t outs = 1 + static_cast<size_t>(options.negatives);
  Pairs pairs(corpus, options, client->worker());
  std::vector<uint64_t> words, others;
  std::vector<float> in(size * width), out(size * outs * width);
  double loss = 0;
  int64_t counted = 0;
  for (int64_t step = 0; step < options.steps; ++step) {
    words.clear();
    others.clear();
    for (size_t i = 0; i < size; ++i) {
      const auto [word, neighbour] = pairs.Next();
      words.push_back(word);
      others.push_back(neighbour);
      for (size_t k = 1; k < outs; ++k) others.push_back(pairs.Negative());
    }
    auto pulled = client->PullRowsAsync(kIn, step, words, absl::MakeSpan(in));
    const absl::Status other_pulled = client->PullRows(kOut, step, others, absl::MakeSpan(out));
    PARLEY_RETURN_IF_ERROR(pulled.get());
    PARLEY_RETURN_IF_ERROR(other_pulled);
    const double sum = Backward(size, outs, width, in.data(), out.data());
    if (step >= options.steps - options.steps / 10 - 1) {
      loss += sum / static_cast<double>(size);
      ++counted;
    }
    auto pushed = client->PushRowsAsync(kIn, step, words, in);
    const absl::Status other_pushed = client->PushRows(kOut, step, others, out);
    PARLEY_RETURN_IF_ERROR(pushed.get());
    PARLEY_RETURN_IF_ERROR(other_pushed);
  }
  PARLEY_RETURN_IF_ERROR(client->Barrier("trained", absl::Minutes(10)));
  if (client->worker() != 0) return absl::OkStatus();
  std::vector<uint64_t> all(corpus.words.size());
  std::iota(all.begin(), all.end(), 0);
  result->width = options.width;
  result->values.resize(all.size() * width);
  result->loss = loss / static_cast<double>(counted);
  return client->PullRows(kIn, options.steps, all, absl::MakeSpan(result->values));
}

}  // namespace

Corpus CorpusOf(absl::string_view text, int64_t least) {
  std::vector<std::string> all;
  std::string word;
  for (const char each : text) {
    if (absl::ascii_isalnum(static_cast<unsigned char>(each))) {
      word += absl::ascii_tolower(static_cast<unsigned char>(each));
    } else if (!word.empty()) {
      all.push_back(std::exchange(word, ""));
    }
  }
  if (!word.empty()) all.push_back(word);
  std::map<std::string, int64_t> counts;
  for (const std::string& each : all) ++counts[each];
  std::vector<std::pair<int64_t, std::string>> order;
  for (const auto& [each, count] : counts) {
    if (count >= least) order.emplace_back(-count, each);
  }
  std::sort(order.begin(), order.end());
  Corpus corpus;
  std::map<std::string, uint32_t> numbers;
  for (const auto& [count, each] : order) {
    numbers[each] = static_cast<uint32_t>(corpus.words.size());
    corpus.words.push_back(each);
    corpus.counts.push_back(-count);
  }
  for (const std::string& each : all) {
    const auto number = numbers.find(each);
    if (number != numbers.end()) corpus.text.push_back(number->second);
  }
  return corpus;
}

std::string MadeUpText(int topics, int words, int sentences, uint64_t seed) {
  constexpr uint64_t kWords = 12;  // of a sentence
  std::string text;
  for (uint64_t i = 0; i < static_cast<uint64_t>(sentences); ++i) {
    const uint64_t topic = PhiloxBelow(seed, 1, i, static_cast<uint64_t>(topics));
    for (uint64_t j = i * kWords; j < (i + 1) * kWords; ++j) {
      const uint64_t word = PhiloxBelow(seed, 2, j, static_cast<uint64_t>(words));
      if (PhiloxBelow(seed, 3, j, 12) < 9) {
        absl::StrAppend(&text, "t", topic, "w", word / 10, word % 10, " ");
      } else {
        absl::StrAppend(&text, "common", word, " ");
      }
    }
  }
  return text;
}

std::vector<uint32_t> SkipGramVectors::Nearest(uint32_t word, size_t count) const {
  const size_t size = static_cast<size_t>(width);
  const auto cosine = [&](uint32_t other) {
    const float* const a = values.data() + word * size;
    const float* const b = values.data() + other * size;
    const float product = std::inner_product(a, a + size, b, 0.0f);
    return product / std::sqrt(std::inner_product(a, a + size, a, 1e-12f) *
                               std::inner_product(b, b + size, b, 1e-12f));
  };
  std::vector<std::pair<float, uint32_t>> others;
  for (uint32_t i = 0; i < values.size() / size; ++i) {
    if (i != word) others.emplace_back(-cosine(i), i);
  }
  count = std::min(count, others.size());
  std::partial_sort(others.begin(), others.begin() + static_cast<int64_t>(count), others.end());
  std::vector<uint32_t> nearest;
  for (size_t i = 0; i < count; ++i) nearest.push_back(others[i].second);
  return nearest;
}

absl::StatusOr<SkipGramVectors> LearnSkipGram(const Corpus& corpus,
                                              const SkipGramOptions& options) {
  if (corpus.words.size() < 2) {
    return absl::InvalidArgumentError("the text has fewer than two words that come often enough");
  }
  if (options.width < 1 || options.width > 1024 || options.window < 1 || options.negatives < 1 ||
      options.negatives > 100 || options.steps < 1 || options.batch_size < 1 ||
      options.batch_size > 10000) {
    return absl::InvalidArgumentError(
        "the width (to 1024), window, negatives (to 100), steps and the batch size (to 10000) are "
        "at least 1");
  }
  v1::JobSpec spec;
  spec.set_name("word2vec");
  spec.set_seed(options.seed);
  spec.set_num_workers(options.workers);
  spec.set_num_shards(options.shards);
  spec.mutable_optimizer()->mutable_sgd();
  spec.mutable_policy()->mutable_asynchronous();
  for (const char* name : {"in", "out"}) {
    v1::TableSpec* const table = spec.add_tables();
    table->set_name(name);
    table->set_width(options.width);
    table->set_dtype(v1::FLOAT32);
    table->mutable_optimizer()->set_learning_rate(options.learning_rate);
    table->mutable_optimizer()->mutable_adagrad()->set_initial_accumulator(1);
  }
  const float reach = 0.5f / static_cast<float>(options.width);
  spec.mutable_tables(0)->mutable_initializer()->mutable_uniform()->set_low(-reach);
  spec.mutable_tables(0)->mutable_initializer()->mutable_uniform()->set_high(reach);
  SkipGramVectors result;
  PARLEY_RETURN_IF_ERROR(RunTableWorkers(
      spec, [&](Client* client) { return Train(corpus, options, client, &result); }));
  return result;
}

}  // namespace parley
