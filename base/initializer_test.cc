#include "base/initializer.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "gtest/gtest.h"

namespace parley {
namespace {

std::vector<float> Make(const Initializer& initializer, uint64_t seed, const char* name,
                        int64_t offset, size_t size) {
  std::vector<float> values(size);
  Initialize(initializer, seed, name, offset, absl::MakeSpan(values));
  return values;
}

TEST(InitializerTest, APieceHasTheValuesOfTheWhole) {
  for (const Initializer& initializer :
       {Initializer::Constant(3), Initializer::Uniform(-1, 1), Initializer::Normal(0, 2)}) {
    const std::vector<float> whole = Make(initializer, 7, "w", 0, 100);
    const std::vector<float> piece = Make(initializer, 7, "w", 40, 25);
    EXPECT_TRUE(std::equal(piece.begin(), piece.end(), whole.begin() + 40));
  }
}

TEST(InitializerTest, SeedsAndNamesGiveOtherValues) {
  const Initializer uniform = Initializer::Uniform(0, 1);
  const std::vector<float> values = Make(uniform, 7, "w", 0, 10);
  EXPECT_NE(values, Make(uniform, 8, "w", 0, 10));
  EXPECT_NE(values, Make(uniform, 7, "v", 0, 10));
  EXPECT_EQ(values, Make(uniform, 7, "w", 0, 10));
}

TEST(InitializerTest, GlorotAndHeHaveTheirBounds) {
  const Initializer glorot = Initializer::GlorotUniform(100, 50);
  EXPECT_FLOAT_EQ(glorot.b, std::sqrt(6.0f / 150.0f));
  EXPECT_FLOAT_EQ(glorot.a, -glorot.b);
  EXPECT_FLOAT_EQ(Initializer::HeNormal(50).b, 0.2f);
}

}  // namespace
}  // namespace parley
