#include "worker/loss_scale.h"

#include "gtest/gtest.h"

namespace parley {
namespace {

TEST(LossScaleTest, HalvesWhenAStepIsSkippedAndDoublesAfterManyThatAreNot) {
  LossScale scale;
  EXPECT_EQ(scale.value(), LossScale::kFirst);
  scale.StepEnded(true);
  EXPECT_EQ(scale.value(), LossScale::kFirst / 2);
  for (int i = 0; i + 1 < LossScale::kGrowthInterval; ++i) scale.StepEnded(false);
  EXPECT_EQ(scale.value(), LossScale::kFirst / 2);
  scale.StepEnded(false);
  EXPECT_EQ(scale.value(), LossScale::kFirst);
}

TEST(LossScaleTest, ASkippedStepBeginsTheCountAnew) {
  LossScale scale;
  for (int i = 0; i + 1 < LossScale::kGrowthInterval; ++i) scale.StepEnded(false);
  scale.StepEnded(true);
  scale.StepEnded(false);
  EXPECT_EQ(scale.value(), LossScale::kFirst / 2);
}

TEST(LossScaleTest, StaysWithinItsBounds) {
  LossScale scale;
  for (int i = 0; i < 100; ++i) scale.StepEnded(true);
  EXPECT_EQ(scale.value(), LossScale::kSmallest);
  for (int i = 0; i < 40 * LossScale::kGrowthInterval; ++i) scale.StepEnded(false);
  EXPECT_EQ(scale.value(), LossScale::kLargest);
}

}  // namespace
}  // namespace parley
