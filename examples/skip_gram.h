#ifndef PARLEY_EXAMPLES_SKIP_GRAM_H_
#define PARLEY_EXAMPLES_SKIP_GRAM_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace parley {

// A text as numbers of its words, which are numbered by how often they come, the commonest first.
struct Corpus {
  std::vector<std::string> words;
  std::vector<int64_t> counts;  // by word
  std::vector<uint32_t> text;
};

// The runs of letters of `text`, in lower case, that come at least `least` times.
Corpus CorpusOf(absl::string_view text, int64_t least);

// A text of `sentences` made up of words "t3w07": each sentence has a topic, and 9 of its 12 words
// are those of the topic, the others are of all, "common5". So words of one topic are found in the
// same company. A function of its arguments.
std::string MadeUpText(int topics, int words, int sentences, uint64_t seed);

struct SkipGramOptions {
  int width = 32;     // of a word's vector
  int window = 4;     // words before and after
  int negatives = 5;  // for each pair
  int workers = 2;
  int shards = 2;
  int64_t steps = 800;    // of each worker
  int batch_size = 1024;  // pairs
  float learning_rate = 0.2f;
  uint64_t seed = 1;
};

struct SkipGramVectors {
  int width;
  std::vector<float> values;  // row-major, by word
  double loss;                // of the chief's last tenth of the steps, for each pair

  // The words whose vectors are nearest, by the cosine, the nearest first, without `word` itself.
  std::vector<uint32_t> Nearest(uint32_t word, size_t count) const;
};

// Word vectors by skip-gram with negative sampling (Mikolov et al., 2013): in a window around each
// word, the product of its row of table "in" with the row of table "out" of a neighbour goes up,
// and with those of words drawn at random, in proportion to their counts to the power of 3/4, goes
// down; common words are left out at times. Asynchronously, so two runs differ a little.
// INVALID_ARGUMENT for a corpus of fewer than two words, and for options out of their range.
absl::StatusOr<SkipGramVectors> LearnSkipGram(const Corpus& corpus, const SkipGramOptions& options);

}  // namespace parley

#endif  // PARLEY_EXAMPLES_SKIP_GRAM_H_
