// The examples that have nothing but tables learn.

#include <string>
#include <vector>

#include "examples/factorization.h"
#include "examples/skip_gram.h"
#include "gtest/gtest.h"

namespace parley {
namespace {

TEST(FactorizationTest, ComesNearTheNoise) {
  FactorizationOptions options;
  options.users = 100;
  options.items = 80;
  options.steps = 250;
  const absl::StatusOr<double> error = LearnRatings(options);
  ASSERT_TRUE(error.ok()) << error.status();
  // With nothing learned it is 0.82.
  EXPECT_LT(*error, 0.55);
  EXPECT_GT(*error, 0.47);
  options.rank = 0;
  EXPECT_EQ(LearnRatings(options).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(SkipGramTest, WordsOfOneTopicAreNeighbours) {
  const Corpus corpus = CorpusOf(MadeUpText(8, 20, 4000, 1), 5);
  ASSERT_EQ(corpus.words.size(), 8u * 20 + 20);
  SkipGramOptions options;
  options.width = 16;
  options.steps = 250;
  const absl::StatusOr<SkipGramVectors> vectors = LearnSkipGram(corpus, options);
  ASSERT_TRUE(vectors.ok()) << vectors.status();
  int right = 0;
  int words = 0;
  for (uint32_t i = 0; i < corpus.words.size(); ++i) {
    if (corpus.words[i][0] != 't') continue;
    ++words;
    const std::string& nearest = corpus.words[vectors->Nearest(i, 1)[0]];
    if (nearest.substr(0, 2) == corpus.words[i].substr(0, 2)) ++right;
  }
  EXPECT_EQ(words, 8 * 20);
  EXPECT_GT(right, words * 9 / 10);  // by chance it would be an eighth
}

TEST(SkipGramTest, ATextIsCutIntoWords) {
  const Corpus corpus = CorpusOf("The cat, the DOG; the cat's tail", 2);
  EXPECT_EQ(corpus.words, (std::vector<std::string>{"the", "cat"}));
  EXPECT_EQ(corpus.counts, (std::vector<int64_t>{3, 2}));
  EXPECT_EQ(corpus.text, (std::vector<uint32_t>{0, 1, 0, 0, 1}));
  EXPECT_EQ(LearnSkipGram(CorpusOf("a a a", 2), {}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace parley
