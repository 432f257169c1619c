// Learns vectors of words, by skip-gram with negative sampling over two tables: of a text that is
// made up, whose words have topics, or of yours. Workers are threads of this process, and so are
// the shards.

#include <algorithm>
#include <iostream>
#include <string>

#include "base/env.h"
#include "base/file.h"
#include "base/flags.h"
#include "base/status.h"
#include "examples/skip_gram.h"
#include "gflags/gflags.h"

DEFINE_string(text, "", "A file to read, like /usr/share/common-licenses/GPL-3; empty: made up.");
DEFINE_int64(min_count, 5, "Words that come less often are left out.");
DEFINE_int32(width, 32, "Of a vector.");
DEFINE_int32(window, 4, "Words before and after a word that are its neighbours.");
DEFINE_int32(negatives, 5, "Other words for each neighbour.");
DEFINE_int32(workers, 2, "Each on a thread.");
DEFINE_int32(shards, 2, "That hold the tables.");
DEFINE_int64(steps, 800, "Of each worker.");
DEFINE_int32(batch_size, 1024, "Pairs of words in a step of one worker.");
DEFINE_double(learning_rate, 0.2, "Of Adagrad.");
DEFINE_int32(shown, 12, "Words, of which the nearest ones are printed.");
DEFINE_uint64(seed, 1, "Of the text and of what is drawn.");

namespace parley {
namespace {

absl::Status Run() {
  std::string text;
  if (FLAGS_text.empty()) {
    text = MadeUpText(10, 30, 20000, FLAGS_seed);
  } else {
    PARLEY_ASSIGN_OR_RETURN(text, ReadWholeFile(Env::Posix(), FLAGS_text, int64_t{4} << 30));
  }
  const Corpus corpus = CorpusOf(text, FLAGS_min_count);
  std::cout << corpus.text.size() << " words, of which " << corpus.words.size() << " are different"
            << std::endl;
  SkipGramOptions options;
  options.width = FLAGS_width;
  options.window = FLAGS_window;
  options.negatives = FLAGS_negatives;
  options.workers = FLAGS_workers;
  options.shards = FLAGS_shards;
  options.steps = FLAGS_steps;
  options.batch_size = FLAGS_batch_size;
  options.learning_rate = static_cast<float>(FLAGS_learning_rate);
  options.seed = FLAGS_seed;
  PARLEY_ASSIGN_OR_RETURN(const SkipGramVectors vectors, LearnSkipGram(corpus, options));
  std::cout << "loss " << vectors.loss << std::endl;
  const uint32_t words = static_cast<uint32_t>(corpus.words.size());
  const uint32_t shown = static_cast<uint32_t>(std::max(0, FLAGS_shown));
  for (uint32_t i = 0; i < std::min(words, shown); ++i) {
    const uint32_t word = static_cast<uint32_t>(uint64_t{i} * words / shown);
    std::cout << corpus.words[word] << ":";
    for (const uint32_t near : vectors.Nearest(word, 6)) std::cout << " " << corpus.words[near];
    std::cout << std::endl;
  }
  return absl::OkStatus();
}

}  // namespace
}  // namespace parley

int main(int argc, char** argv) {
  parley::ParseFlags(
      {"word2vec",
       "usage: word2vec [flags]\n\nLearns vectors of a text's words, in tables, in one process.",
       {{"Flags",
         {"text", "min_count", "width", "window", "negatives", "workers", "shards", "steps",
          "batch_size", "learning_rate", "shown", "seed"}}}},
      argc, argv);
  const absl::Status status = parley::Run();
  if (!status.ok()) std::cerr << "word2vec: " << status.message() << std::endl;
  return status.ok() ? 0 : 1;
}
