#include "worker/operation.h"

#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <string>

namespace parley {
namespace {

class OperationTest : public testing::Test {
 protected:
  ~OperationTest() override { timer_->Stop(); }

  std::shared_ptr<Operation> Begin(int requests, absl::Duration timeout = absl::Minutes(1)) {
    return std::make_shared<Operation>(
        requests, "worker:1 step 5", Timer::After(timeout), timer_, [this] { ++cancelled_; },
        [this](absl::Status status) { ready_.set_value(std::move(status)); });
  }
  bool IsReady() { return future_.wait_for(std::chrono::seconds(0)) == std::future_status::ready; }

  const std::shared_ptr<Timer> timer_ = std::make_shared<Timer>();
  int cancelled_ = 0;
  std::promise<absl::Status> ready_;
  std::future<absl::Status> future_ = ready_.get_future();
};

TEST_F(OperationTest, EndsWithItsLastRequest) {
  const auto operation = Begin(2);
  operation->Ended(absl::OkStatus());
  EXPECT_FALSE(IsReady());
  operation->Ended(absl::OkStatus());
  ASSERT_TRUE(IsReady());
  EXPECT_TRUE(future_.get().ok());
  EXPECT_EQ(cancelled_, 0);
}

TEST_F(OperationTest, TheFirstErrorWinsAndCancelsTheRest) {
  const auto operation = Begin(3);
  operation->Ended(absl::NotFoundError("first"));
  EXPECT_TRUE(operation->failed());
  operation->Ended(absl::CancelledError("second"));
  EXPECT_FALSE(IsReady());
  operation->Ended(absl::OkStatus());
  EXPECT_EQ(future_.get(), absl::NotFoundError("first"));
  EXPECT_EQ(cancelled_, 1);
}

TEST_F(OperationTest, IsNotReadyWhileTheMemoryIsLent) {
  const auto operation = Begin(1);
  std::shared_ptr<const void> loan = operation->Lend();
  std::shared_ptr<const void> copy = loan;
  loan.reset();
  operation->Ended(absl::OkStatus());
  EXPECT_FALSE(IsReady());
  copy.reset();
  ASSERT_TRUE(IsReady());
  EXPECT_TRUE(future_.get().ok());
}

TEST_F(OperationTest, MemoryReturnedEarlyIsNotWaitedFor) {
  const auto operation = Begin(1);
  operation->Lend().reset();
  EXPECT_FALSE(IsReady());
  operation->Ended(absl::OkStatus());
  EXPECT_TRUE(IsReady());
}

TEST_F(OperationTest, MemoryKeptPastTheDeadlineIsAnErrorThatSaysSo) {
  const auto operation = Begin(1, absl::ZeroDuration());
  const std::shared_ptr<const void> loan = operation->Lend();
  operation->Ended(absl::OkStatus());
  const absl::Status status = future_.get();
  EXPECT_TRUE(absl::IsDeadlineExceeded(status));
  EXPECT_EQ(status.message(),
            "worker:1 step 5: the gradients may still be read by a shard or its transport");
}

TEST_F(OperationTest, AnErrorStaysWhatItIsWhenMemoryIsKept) {
  const auto operation = Begin(1, absl::ZeroDuration());
  const std::shared_ptr<const void> loan = operation->Lend();
  operation->Ended(absl::AbortedError("the job failed"));
  const absl::Status status = future_.get();
  EXPECT_TRUE(absl::IsAborted(status));
  EXPECT_EQ(status.message(),
            "the job failed; the gradients may still be read by a shard or its transport");
}

}  // namespace
}  // namespace parley
