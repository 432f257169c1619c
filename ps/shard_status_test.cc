#include "ps/shard_status.h"

#include "gtest/gtest.h"

namespace parley {
namespace {

TEST(ForgetSilentTest, LossAndSpeedAreThoseOfWorkersThatAreHeardOf) {
  v1::GetStatusResponse response;
  for (const int64_t silence_ms : {9999, 10000}) {
    v1::GetStatusResponse::Worker* const worker = response.add_workers();
    worker->set_silence_ms(silence_ms);
    worker->mutable_report()->set_step(7);
    worker->mutable_report()->set_loss(0.5);
    worker->mutable_report()->set_samples_per_second(100);
  }
  response.add_workers()->set_silence_ms(20000);  // which never said anything
  ForgetSilent(absl::Seconds(10), &response);
  EXPECT_TRUE(response.workers(0).report().has_loss());
  EXPECT_TRUE(response.workers(0).report().has_samples_per_second());
  EXPECT_EQ(response.workers(1).report().step(), 7);
  EXPECT_FALSE(response.workers(1).report().has_loss());
  EXPECT_FALSE(response.workers(1).report().has_samples_per_second());
  EXPECT_FALSE(response.workers(2).has_report());
}

}  // namespace
}  // namespace parley
