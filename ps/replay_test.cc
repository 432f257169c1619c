#include "ps/replay.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "ps/optimizer.h"

namespace parley {
namespace {

using testing::HasSubstr;

class ReplayTest : public testing::Test {
 protected:
  static constexpr size_t kElements = 3;

  ReplayTest() {
    v1::Optimizer spec;
    spec.set_learning_rate(1);
    spec.mutable_momentum()->set_momentum(0.5f);
    optimizer_ = NewOptimizer(spec).value();
  }
  static Block NewBlock() {
    const std::vector<float> zeros(kElements, 0);
    FloatBuffer values(kElements), slot(kElements);
    std::copy(zeros.begin(), zeros.end(), values.data());
    std::copy(zeros.begin(), zeros.end(), slot.data());
    std::vector<FloatBuffer> slots;
    slots.push_back(std::move(slot));
    return Block(std::move(values), std::move(slots), 0);
  }
  static Payload Gradient(float value) {
    const auto elements = std::make_shared<const std::vector<float>>(kElements, value);
    Payload payload;
    payload.Append(elements->data(), kElements * sizeof(float), elements);
    return payload;
  }
  static v1::LogRecord::Round Round(int64_t version) {
    v1::LogRecord::Round round;
    round.set_block(7);
    round.set_version(version);
    round.set_rate_scale(1);
    return round;
  }

  std::unique_ptr<Optimizer> optimizer_;
};

TEST_F(ReplayTest, ARoundThatMakesWhatTheShardHadIsTaken) {
  Block shards = NewBlock();
  Block copy = NewBlock();
  for (int64_t version = 1; version <= 3; ++version) {
    v1::LogRecord::Round round = Round(version);
    ASSERT_TRUE(ReplayRound(*optimizer_, round, Gradient(0.5f), &shards).ok());
    round.set_state_crc32c(shards.StateCrc32c());
    EXPECT_EQ(ReplayRound(*optimizer_, round, Gradient(0.5f), &copy), absl::OkStatus());
  }
}

TEST_F(ReplayTest, ARoundThatMakesSomethingElseIsFound) {
  Block shards = NewBlock();
  Block copy = NewBlock();
  ASSERT_TRUE(ReplayRound(*optimizer_, Round(1), Gradient(0.5f), &shards).ok());
  ASSERT_TRUE(ReplayRound(*optimizer_, Round(1), Gradient(0.25f), &copy).ok());
  v1::LogRecord::Round round = Round(2);
  ASSERT_TRUE(ReplayRound(*optimizer_, round, Gradient(0.5f), &shards).ok());
  round.set_state_crc32c(shards.StateCrc32c());
  const absl::Status found = ReplayRound(*optimizer_, round, Gradient(0.5f), &copy);
  EXPECT_TRUE(absl::IsDataLoss(found)) << found;
  EXPECT_THAT(std::string(found.message()), HasSubstr("block 7 has diverged: after round 2"));
}

TEST_F(ReplayTest, ARoundWithoutTheNormsOfItsSumsIsRefused) {
  v1::Optimizer spec;
  spec.set_learning_rate(1);
  spec.mutable_lars()->set_momentum(0.5f);
  optimizer_ = NewOptimizer(spec).value();
  Block block = NewBlock();
  v1::LogRecord::Round round = Round(1);
  round.add_sums(0);
  round.add_sums(0.75);
  for (const double norm : {0.0, 0.5}) {
    EXPECT_TRUE(absl::IsDataLoss(ReplayRound(*optimizer_, round, Gradient(0.5f), &block)));
    EXPECT_EQ(block.Snapshot().version, 0);
    round.add_norms(norm);
  }
  EXPECT_EQ(ReplayRound(*optimizer_, round, Gradient(0.5f), &block), absl::OkStatus());
}

// Each block of a step that was skipped brought sums of zero, and no norms came of them.
TEST_F(ReplayTest, ASkippedRoundNeedsNoNorms) {
  Block block = NewBlock();
  v1::LogRecord::Round round = Round(1);
  round.set_skipped(true);
  round.add_sums(0);
  EXPECT_EQ(ReplayRound(*optimizer_, round, Payload(), &block), absl::OkStatus());
  EXPECT_EQ(block.Snapshot().version, 1);
}

// Two gradients may lead to the same values and not to the same slots.
TEST_F(ReplayTest, SlotsCountToo) {
  Block shards = NewBlock();
  Block copy = NewBlock();
  const uint32_t before = shards.StateCrc32c();
  ASSERT_TRUE(ReplayRound(*optimizer_, Round(1), Gradient(0.5f), &shards).ok());
  ASSERT_TRUE(ReplayRound(*optimizer_, Round(1), Gradient(0.5f), &copy).ok());
  EXPECT_NE(shards.StateCrc32c(), before);
  EXPECT_EQ(shards.StateCrc32c(), copy.StateCrc32c());
  // Momentum 0.5: values -0.5, slot 0.5; a gradient of -0.25 leaves the values at -0.5.
  ASSERT_TRUE(ReplayRound(*optimizer_, Round(2), Gradient(-0.25f), &shards).ok());
  EXPECT_EQ(shards.Snapshot().span(), copy.Snapshot().span());
  EXPECT_NE(shards.StateCrc32c(), copy.StateCrc32c());
}

}  // namespace
}  // namespace parley
