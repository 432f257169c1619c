// What a shard answers to the two calls that carry norms; whole jobs with them are in
// tests/norms_test.cc.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <future>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "base/testing/temp_folder.h"
#include "ps/shard.h"

namespace parley {
namespace {

using ::testing::HasSubstr;

template <typename Response>
class Answer {
 public:
  ParameterServer::Done<Response> Done() {
    return [promise = promise_](absl::StatusOr<Response> response) {
      promise->set_value(std::move(response));
    };
  }
  bool IsThere() { return future_.wait_for(std::chrono::seconds(0)) == std::future_status::ready; }
  absl::StatusOr<Response> Wait() {
    if (future_.wait_for(std::chrono::seconds(60)) != std::future_status::ready) {
      return absl::InternalError("the shard never answered");
    }
    return future_.get();
  }

 private:
  const std::shared_ptr<std::promise<absl::StatusOr<Response>>> promise_ =
      std::make_shared<std::promise<absl::StatusOr<Response>>>();
  std::future<absl::StatusOr<Response>> future_ = promise_->get_future();
};

// Shard 0 of two, of a job with two blocks of 4 elements, all 1, on each, and clip_norm 5.
class ShardNormsTest : public testing::Test {
 protected:
  ShardNormsTest() {
    v1::JobSpec spec;
    spec.set_name("job");
    spec.set_num_workers(2);
    spec.set_num_shards(2);
    spec.set_block_elements(4);
    v1::ParameterSpec* const parameter = spec.add_parameters();
    parameter->set_name("w");
    parameter->add_shape(16);
    parameter->set_dtype(v1::FLOAT32);
    parameter->mutable_initializer()->mutable_constant()->set_value(1);
    spec.mutable_optimizer()->set_learning_rate(1);
    spec.mutable_optimizer()->mutable_sgd();
    spec.mutable_optimizer()->set_clip_norm(5);
    spec.mutable_policy()->mutable_synchronous();
    blocks_ = Job::Create(spec).value().BlocksOfShard(0);

    v1::DeclareRequest declare;
    *declare.mutable_spec() = spec;
    Answer<v1::DeclareResponse> declared;
    shard_.Declare(declare, declared.Done());
    EXPECT_TRUE(declared.Wait().ok());
    for (int worker = 0; worker < 2; ++worker) {
      v1::JoinRequest join;
      *join.mutable_spec() = spec;
      *join.mutable_sender() = Sender(worker);
      Answer<v1::JoinResponse> joined;
      shard_.Join(join, joined.Done());
      EXPECT_TRUE(joined.Wait().ok());
    }
  }

  static v1::Sender Sender(int worker) {
    v1::Sender sender;
    sender.set_job("job");
    sender.set_worker(worker);
    sender.set_incarnation(1);
    return sender;
  }
  // Pushes `gradient` for all elements, pulls the next step's.
  Answer<ParameterServer::PushPullReply> PushPull(int worker, int64_t step, float gradient) {
    v1::PushPullRequest request;
    *request.mutable_sender() = Sender(worker);
    request.set_step(step);
    request.set_pull_step(step + 1);
    request.set_sequence(static_cast<uint64_t>(step) + 1);
    request.set_wait_ms(50000);
    request.set_dtype(v1::FLOAT32);
    for (const uint32_t block : blocks_) {
      request.add_push(block);
      request.add_base_version(step);
      request.add_pull(block);
    }
    const auto values = std::make_shared<std::vector<float>>(4 * blocks_.size(), gradient);
    Payload payload;
    payload.Append(values->data(), values->size() * sizeof(float), values);
    Answer<ParameterServer::PushPullReply> answer;
    shard_.PushPull(request, payload, answer.Done());
    return answer;
  }
  Answer<v1::GetNormSumsResponse> GetSums(int worker, int64_t round, int64_t wait_ms = 50000) {
    v1::GetNormSumsRequest request;
    *request.mutable_sender() = Sender(worker);
    request.set_round(round);
    request.set_wait_ms(wait_ms);
    Answer<v1::GetNormSumsResponse> answer;
    shard_.GetNormSums(request, answer.Done());
    return answer;
  }
  absl::Status SetTotals(int64_t round, const std::vector<double>& totals) {
    v1::SetNormTotalsRequest request;
    *request.mutable_sender() = Sender(0);
    request.set_round(round);
    request.mutable_totals()->Add(totals.begin(), totals.end());
    Answer<v1::SetNormTotalsResponse> answer;
    shard_.SetNormTotals(request, answer.Done());
    return answer.Wait().status();
  }

  static ShardOptions WithFolder(const std::string& folder) {
    ShardOptions options;
    options.checkpoint_folder = folder;
    return options;
  }

  const TempFolder folder_;
  Shard shard_{WithFolder(folder_.path())};
  std::vector<uint32_t> blocks_;
};

TEST_F(ShardNormsTest, ARoundWaitsForItsTotalsOfWhichTheFirstCount) {
  Answer<v1::GetNormSumsResponse> early = GetSums(0, 1);
  auto first = PushPull(0, 0, 2);
  EXPECT_FALSE(early.IsThere());
  auto second = PushPull(1, 0, 4);
  const absl::StatusOr<v1::GetNormSumsResponse> sums = early.Wait();
  ASSERT_TRUE(sums.ok()) << sums.status();
  EXPECT_EQ(sums->sums_size(), 2);
  EXPECT_EQ(sums->sums(0), 4 * 9);
  EXPECT_FALSE(sums->finished());
  EXPECT_FALSE(first.IsThere());

  EXPECT_TRUE(SetTotals(1, {100}).ok());  // the norm is 10: gradients are halved
  EXPECT_TRUE(SetTotals(1, {1e20}).ok());
  for (auto* const answer : {&first, &second}) {
    const absl::StatusOr<ParameterServer::PushPullReply> reply = answer->Wait();
    ASSERT_TRUE(reply.ok()) << reply.status();
    EXPECT_EQ(reply->response.version(0), 1);
    float value;
    std::memcpy(&value, reply->payload.slices()[0].data, sizeof(value));
    EXPECT_NEAR(value, 1 - 1.5, 1e-6);
  }
  // The sums are still known, for one that goes on for a worker that has died.
  const absl::StatusOr<v1::GetNormSumsResponse> again = GetSums(1, 1).Wait();
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_TRUE(again->finished());
  EXPECT_EQ(again->sums(1), 4 * 9);
}

TEST_F(ShardNormsTest, WhatMakesNoSenseIsRefused) {
  EXPECT_EQ(SetTotals(1, {1}).code(), absl::StatusCode::kFailedPrecondition);
  auto first = PushPull(0, 0, 2);
  auto second = PushPull(1, 0, 4);
  ASSERT_TRUE(GetSums(0, 1).Wait().ok());
  for (const std::vector<double>& totals :
       {std::vector<double>{}, {1, 2}, {-1}, {std::numeric_limits<double>::quiet_NaN()}}) {
    EXPECT_EQ(SetTotals(1, totals).code(), absl::StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(SetTotals(2, {1}).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(GetSums(0, 0).Wait().status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(GetSums(0, -5).Wait().status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(GetSums(7, 1).Wait().status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(SetTotals(1, {1}).ok());
  EXPECT_TRUE(first.Wait().ok());
  EXPECT_TRUE(second.Wait().ok());
}

TEST_F(ShardNormsTest, AWaitForSumsEndsAtItsDeadlineAndNamesTheParameter) {
  auto first = PushPull(0, 0, 2);
  const absl::Status status = GetSums(0, 1, /*wait_ms=*/20).Wait().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("ps:0: worker:0 norms of round 1 waited for that round of parameter w"));
}

TEST_F(ShardNormsTest, WhatComesInTheMiddleOfARoundWaitsForItsEnd) {
  auto first = PushPull(0, 0, 2);
  auto second = PushPull(1, 0, 4);
  ASSERT_TRUE(GetSums(0, 1).Wait().ok());
  // A worker that does not wait for its pulls.
  auto next_first = PushPull(0, 1, 8);
  auto next_second = PushPull(1, 1, 8);
  Answer<v1::GetNormSumsResponse> next_sums = GetSums(0, 2);
  EXPECT_FALSE(next_sums.IsThere());
  ASSERT_TRUE(SetTotals(1, {1}).ok());
  const absl::StatusOr<v1::GetNormSumsResponse> sums = next_sums.Wait();
  ASSERT_TRUE(sums.ok()) << sums.status();
  EXPECT_EQ(sums->sums(0), 4 * 64);
  ASSERT_TRUE(SetTotals(2, {1}).ok());
  EXPECT_TRUE(next_first.Wait().ok());
  EXPECT_TRUE(next_second.Wait().ok());
}

TEST_F(ShardNormsTest, ACheckpointInTheMiddleOfARoundIsOfItsEnd) {
  auto first = PushPull(0, 0, 2);
  auto second = PushPull(1, 0, 4);
  ASSERT_TRUE(GetSums(0, 1).Wait().ok());
  v1::CheckpointRequest request;
  *request.mutable_sender() = Sender(0);
  request.set_step(1);
  Answer<v1::CheckpointResponse> answer;
  shard_.Checkpoint(request, answer.Done());
  shard_.Settle();
  EXPECT_FALSE(answer.IsThere());
  ASSERT_TRUE(SetTotals(1, {1}).ok());
  const absl::StatusOr<v1::CheckpointResponse> saved = answer.Wait();
  EXPECT_TRUE(saved.ok()) << saved.status();  // of version 1, or it would be refused
  EXPECT_TRUE(first.Wait().ok());
}

TEST(ShardNormsShutdownTest, AnswersWhatWaitsWhenItIsDestroyed) {
  Answer<v1::GetNormSumsResponse> waiting;
  {
    Shard shard{ShardOptions()};
    v1::DeclareRequest declare;
    v1::JobSpec& spec = *declare.mutable_spec();
    spec.set_name("job");
    spec.set_num_workers(1);
    spec.set_num_shards(1);
    spec.add_parameters()->set_name("w");
    spec.mutable_parameters(0)->set_dtype(v1::FLOAT32);
    spec.mutable_optimizer()->mutable_lamb();
    spec.mutable_policy()->mutable_synchronous();
    Answer<v1::DeclareResponse> declared;
    shard.Declare(declare, declared.Done());
    ASSERT_TRUE(declared.Wait().ok());
    v1::JoinRequest join;
    *join.mutable_spec() = spec;
    join.mutable_sender()->set_job("job");
    join.mutable_sender()->set_incarnation(1);
    Answer<v1::JoinResponse> joined;
    shard.Join(join, joined.Done());
    ASSERT_TRUE(joined.Wait().ok());
    v1::GetNormSumsRequest request;
    *request.mutable_sender() = join.sender();
    request.set_round(1);
    request.set_wait_ms(50000);
    shard.GetNormSums(request, waiting.Done());
  }
  EXPECT_EQ(waiting.Wait().status().code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace parley
