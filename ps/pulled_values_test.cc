#include "ps/pulled_values.h"

#include "gtest/gtest.h"

namespace parley {
namespace {

BlockSnapshot Snapshot(int64_t version) {
  BlockSnapshot snapshot;
  snapshot.values = std::make_shared<const float>(static_cast<float>(version));
  snapshot.size = 1;
  snapshot.version = version;
  return snapshot;
}

TEST(PulledValuesTest, HasWhatAWorkerWasSentLast) {
  PulledValues values(3);
  values.Keep(1, 2, Snapshot(5));
  values.Keep(1, 2, Snapshot(7));
  ASSERT_NE(values.Find(1, 2, 7), nullptr);
  EXPECT_EQ(*values.Find(1, 2, 7), 7);
  EXPECT_EQ(values.Find(1, 2, 5), nullptr);
  EXPECT_EQ(values.Find(0, 2, 7), nullptr);
  EXPECT_EQ(values.Find(1, 1, 0), nullptr);  // never pulled
  EXPECT_EQ(values.Find(-1, 2, 7), nullptr);
  EXPECT_EQ(values.Find(2, 2, 7), nullptr);
}

TEST(PulledValuesTest, HoldsOneVersionAndNoneOfAWorkerThatIsForgotten) {
  PulledValues values(1);
  BlockSnapshot first = Snapshot(1);
  const std::weak_ptr<const float> held = first.values;
  values.Keep(0, 0, std::move(first));
  EXPECT_FALSE(held.expired());
  values.Keep(0, 0, Snapshot(2));
  EXPECT_TRUE(held.expired());
  values.Forget(0);
  EXPECT_EQ(values.Find(0, 0, 2), nullptr);
  values.Forget(9);
}

}  // namespace
}  // namespace parley
