#include "ps/shard.h"

#include <atomic>
#include <cmath>
#include <future>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "net/wire_dtype.h"

namespace parley {
namespace {

using ::testing::HasSubstr;

// The answer to one call, waited for with a deadline.
template <typename Response, typename Call>
absl::StatusOr<Response> Get(Call call) {
  auto promise = std::make_shared<std::promise<absl::StatusOr<Response>>>();
  std::future<absl::StatusOr<Response>> future = promise->get_future();
  call([promise](absl::StatusOr<Response> response) { promise->set_value(std::move(response)); });
  if (future.wait_for(std::chrono::seconds(60)) != std::future_status::ready) {
    return absl::DeadlineExceededError("the shard never answered");
  }
  return future.get();
}

v1::JobSpec Spec(int workers) {
  v1::JobSpec spec;
  spec.set_name("job");
  spec.set_num_workers(workers);
  spec.set_num_shards(1);
  spec.set_block_elements(4);
  const std::vector<std::pair<std::string, int>> parameters = {{"w", 10}, {"b", 1}};
  for (const auto& [name, size] : parameters) {
    v1::ParameterSpec* parameter = spec.add_parameters();
    parameter->set_name(name);
    parameter->add_shape(size);
    parameter->set_dtype(v1::FLOAT32);
    parameter->mutable_initializer()->mutable_constant()->set_value(1);
  }
  spec.mutable_optimizer()->set_learning_rate(0.5);
  spec.mutable_optimizer()->mutable_sgd();
  spec.mutable_policy()->mutable_synchronous();
  return spec;
}
constexpr uint32_t kBlocks = 4;  // w: 4 + 4 + 2, b: 1
constexpr size_t kElements = 11;

class ShardTest : public testing::Test {
 protected:
  absl::StatusOr<v1::DeclareResponse> Declare(const v1::JobSpec& spec, int shard_index = 0) {
    v1::DeclareRequest request;
    *request.mutable_spec() = spec;
    request.set_shard_index(shard_index);
    return Get<v1::DeclareResponse>(
        [&](auto done) { shard_.Declare(std::move(request), std::move(done)); });
  }
  absl::StatusOr<v1::JoinResponse> Join(int worker, const v1::JobSpec& spec, int64_t wait_ms) {
    v1::JoinRequest request;
    *request.mutable_sender() = Sender(worker);
    *request.mutable_spec() = spec;
    request.set_wait_ms(wait_ms);
    return Get<v1::JoinResponse>(
        [&](auto done) { shard_.Join(std::move(request), std::move(done)); });
  }
  static v1::Sender Sender(int worker) {
    v1::Sender sender;
    sender.set_job("job");
    sender.set_worker(worker);
    sender.set_incarnation(1);
    return sender;
  }
  static v1::PushPullRequest Request(int worker, int64_t step) {
    v1::PushPullRequest request;
    *request.mutable_sender() = Sender(worker);
    request.set_step(step);
    request.set_pull_step(step + 1);
    request.set_sequence(step + 1);
    request.set_wait_ms(50000);
    request.set_dtype(v1::FLOAT32);
    return request;
  }
  static Payload PayloadOf(std::vector<float> values) {
    auto owner = std::make_shared<std::vector<float>>(std::move(values));
    Payload payload;
    payload.Append(owner->data(), owner->size() * sizeof(float), owner);
    return payload;
  }
  absl::StatusOr<ParameterServer::PushPullReply> Send(v1::PushPullRequest request,
                                                      Payload payload = {}) {
    return Get<ParameterServer::PushPullReply>([&](auto done) {
      shard_.PushPull(std::move(request), std::move(payload), std::move(done));
    });
  }
  // Every block up, with one gradient for all elements, and down.
  absl::StatusOr<ParameterServer::PushPullReply> PushPullAll(int worker, int64_t step,
                                                             float gradient) {
    v1::PushPullRequest request = Request(worker, step);
    for (uint32_t block = 0; block < kBlocks; ++block) {
      request.add_push(block);
      request.add_base_version(step);
      request.add_pull(block);
    }
    return Send(std::move(request), PayloadOf(std::vector<float>(kElements, gradient)));
  }
  // As worker 0 sees them at `step`.
  std::vector<float> Values(int64_t step = 0) {
    v1::PushPullRequest request = Request(0, 0);
    request.set_pull_step(step);
    for (uint32_t block = 0; block < kBlocks; ++block) request.add_pull(block);
    const auto reply = Send(std::move(request));
    EXPECT_TRUE(reply.ok()) << reply.status();
    std::vector<float> values(reply.ok() ? reply->payload.size() / sizeof(float) : 0);
    if (reply.ok()) reply->payload.CopyTo(values.data());
    return values;
  }

  Shard shard_{ShardOptions{}};
};

TEST_F(ShardTest, AWorkerStartedAgainInTheMiddleOfAStepSeesAllBlocksAsTheyWereBeforeIt) {
  ASSERT_TRUE(Declare(Spec(2)).ok());
  ASSERT_TRUE(Join(0, Spec(2), 10000).ok());
  ASSERT_TRUE(Join(1, Spec(2), 10000).ok());
  // Worker 1 gives the gradient of its first block only, worker 0 all.
  v1::PushPullRequest part = Request(1, 0);
  part.add_push(0);
  ASSERT_TRUE(Send(part, PayloadOf(std::vector<float>(4, 1.0f))).ok());
  v1::PushPullRequest all = Request(0, 0);
  for (uint32_t block = 0; block < kBlocks; ++block) all.add_push(block);
  all.add_pull(0);  // waits until block 0 has its first round
  ASSERT_TRUE(Send(all, PayloadOf(std::vector<float>(kElements, 1.0f))).ok());
  v1::PushPullRequest again = Request(1, 0);
  again.set_pull_step(0);
  for (uint32_t block = 0; block < kBlocks; ++block) again.add_pull(block);
  const auto reply = Send(again);
  ASSERT_TRUE(reply.ok()) << reply.status();
  std::vector<float> values(kElements);
  reply->payload.CopyTo(values.data());
  EXPECT_EQ(values, std::vector<float>(kElements, 1.0f));
  for (const int64_t version : reply->response.version()) EXPECT_EQ(version, 0);
}

TEST_F(ShardTest, GradientsAndValuesMayTravelIn16Bits) {
  ASSERT_TRUE(Declare(Spec(1)).ok());
  ASSERT_TRUE(Join(0, Spec(1), 10000).ok());
  const std::vector<float> gradient(kElements, 1.00390625f);  // exact in float32, not in bfloat16
  std::vector<uint16_t> bits(kElements);
  ToWire(v1::BFLOAT16, gradient.data(), kElements, bits.data());
  v1::PushPullRequest request = Request(0, 0);
  request.set_dtype(v1::BFLOAT16);
  request.set_pull_dtype(v1::FLOAT16);
  for (uint32_t block = 0; block < kBlocks; ++block) {
    request.add_push(block);
    request.add_pull(block);
  }
  Payload payload;
  payload.Append(bits.data(), 2 * kElements, nullptr);
  for (int attempt = 0; attempt < 2; ++attempt) {  // the second is a retry
    const auto reply = Send(request, payload);
    ASSERT_TRUE(reply.ok()) << reply.status();
    ASSERT_EQ(reply->payload.size(), 2 * kElements);
    std::vector<uint16_t> answer(kElements);
    reply->payload.CopyTo(answer.data());
    std::vector<float> values(kElements);
    FromWire(v1::FLOAT16, answer.data(), kElements, values.data());
    EXPECT_EQ(values, std::vector<float>(kElements, 0.5f));  // 1 - 0.5 * 1
  }
  EXPECT_EQ(Values(1), std::vector<float>(kElements, 0.5f));
}

TEST_F(ShardTest, A16BitGradientThatIsNotFiniteOrOfAnotherSizeIsRefusedWhole) {
  ASSERT_TRUE(Declare(Spec(1)).ok());
  ASSERT_TRUE(Join(0, Spec(1), 10000).ok());
  std::vector<uint16_t> bits(kElements, 0x3c00);
  bits.back() = 0x7c00;  // infinity as a float16, a number as a bfloat16
  v1::PushPullRequest request = Request(0, 0);
  for (uint32_t block = 0; block < kBlocks; ++block) request.add_push(block);
  Payload payload;
  payload.Append(bits.data(), 2 * kElements, nullptr);
  request.set_dtype(v1::FLOAT16);
  EXPECT_EQ(Send(request, payload).status().code(), absl::StatusCode::kInvalidArgument);
  request.set_dtype(v1::FLOAT32);
  EXPECT_EQ(Send(request, payload).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Values(), std::vector<float>(kElements, 1.0f));
}

TEST_F(ShardTest, AParameterMayHaveAnOptimizerOfItsOwn) {
  v1::JobSpec spec = Spec(1);
  spec.mutable_parameters(1)->mutable_optimizer()->mutable_momentum()->set_momentum(0.5f);
  spec.mutable_parameters(1)->mutable_optimizer()->set_learning_rate(0.25f);
  ASSERT_TRUE(Declare(spec).ok());
  ASSERT_TRUE(Join(0, spec, 10000).ok());
  ASSERT_TRUE(PushPullAll(0, 0, 1.0f).ok());
  ASSERT_TRUE(PushPullAll(0, 1, 1.0f).ok());
  std::vector<float> expected(kElements, 0.0f);  // two steps of 0.5
  expected.back() = 1.0f - 0.25f - 0.25f * 1.5f;
  EXPECT_EQ(Values(2), expected);
}

TEST_F(ShardTest, AStaleGradientIsCompensatedWithWhatItsWorkerHadPulledAndItsRateDivided) {
  v1::JobSpec spec = Spec(2);
  spec.mutable_policy()->mutable_asynchronous();
  spec.mutable_policy()->set_rate_by_staleness(true);
  spec.mutable_policy()->mutable_delay_compensation()->set_lambda(0.5f);
  ASSERT_TRUE(Declare(spec).ok());
  ASSERT_TRUE(Join(0, spec, 10000).ok());
  ASSERT_TRUE(Join(1, spec, 10000).ok());
  v1::PushPullRequest pull = Request(1, 0);
  for (uint32_t block = 0; block < kBlocks; ++block) pull.add_pull(block);
  ASSERT_TRUE(Send(pull).ok());  // of version 0, all ones
  for (int step = 0; step < 2; ++step) ASSERT_TRUE(PushPullAll(0, step, 1.0f).ok());
  EXPECT_EQ(Values(), std::vector<float>(kElements, 0.0f));  // 1 - 2 * 0.5
  const auto stale = PushPullAll(1, 0, 2.0f);
  ASSERT_TRUE(stale.ok()) << stale.status();
  for (const int64_t staleness : stale->response.staleness()) EXPECT_EQ(staleness, 2);
  // g = 2 + 0.5 * 2 * 2 * (0 - 1) = 0, at half the rate; then 2 again, of the newest values.
  EXPECT_EQ(Values(), std::vector<float>(kElements, 0.0f));
  v1::PushPullRequest fresh = Request(1, 1);
  for (uint32_t block = 0; block < kBlocks; ++block) {
    fresh.add_push(block);
    fresh.add_base_version(2);  // not what it pulled last: not compensated, staleness 1
    fresh.add_pull(block);
  }
  ASSERT_TRUE(Send(fresh, PayloadOf(std::vector<float>(kElements, 2.0f))).ok());
  EXPECT_EQ(Values(), std::vector<float>(kElements, -1.0f));
}

TEST_F(ShardTest, WhatWorkersHavePulledCountsAsMemoryWhereItIsKept) {
  ShardOptions options;
  options.memory_limit = 4 * 11 * 2;  // two copies of the values
  const auto declare = [&](const v1::JobSpec& spec) {
    Shard shard(options);
    v1::DeclareRequest request;
    *request.mutable_spec() = spec;
    return Get<v1::DeclareResponse>(
               [&](auto done) { shard.Declare(std::move(request), std::move(done)); })
        .status();
  };
  v1::JobSpec spec = Spec(3);
  spec.mutable_policy()->mutable_asynchronous();
  EXPECT_TRUE(declare(spec).ok());
  spec.mutable_policy()->mutable_delay_compensation()->set_lambda(1);
  EXPECT_EQ(declare(spec).code(), absl::StatusCode::kResourceExhausted);
  options.memory_limit = 4 * 11 * 5;
  EXPECT_TRUE(declare(spec).ok());
}

TEST_F(ShardTest, AJobThatNeedsMoreMemoryThanTheLimitIsRefused) {
  ShardOptions options;
  const auto declare = [&](int64_t copies) {
    options.memory_limit = 4 * 11 * copies;
    Shard shard(options);
    v1::DeclareRequest request;
    *request.mutable_spec() = Spec(3);  // two copies of the values, and three workers' gradients
    return Get<v1::DeclareResponse>(
               [&](auto done) { shard.Declare(std::move(request), std::move(done)); })
        .status();
  };
  EXPECT_TRUE(declare(5).ok());
  const absl::Status refused = declare(4);
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("needs 220 bytes"));
}

TEST_F(ShardTest, ALateGradientIsTakenButDroppedAndItsWorkerToldWhereTheOthersAre) {
  v1::JobSpec spec = Spec(2);
  spec.mutable_policy()->mutable_synchronous()->set_replicas_to_aggregate(1);
  ASSERT_TRUE(Declare(spec).ok());
  ASSERT_TRUE(Join(0, spec, 10000).ok());
  ASSERT_TRUE(Join(1, spec, 10000).ok());
  for (int step = 0; step < 3; ++step) {
    const auto reply = PushPullAll(0, step, 0.5f);
    ASSERT_TRUE(reply.ok()) << reply.status();
    EXPECT_EQ(reply->response.dropped_size(), 0);
    EXPECT_EQ(reply->response.next_step(), step + 1);
  }
  const std::vector<float> before = Values(3);
  const auto late = PushPullAll(1, 0, 9.0f);
  ASSERT_TRUE(late.ok()) << late.status();
  ASSERT_EQ(late->response.dropped_size(), static_cast<int>(kBlocks));
  for (const bool dropped : late->response.dropped()) EXPECT_TRUE(dropped);
  EXPECT_EQ(late->response.next_step(), 3);
  EXPECT_EQ(Values(3), before);
  const auto again = PushPullAll(1, 0, 9.0f);  // a retry
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->response.dropped_size(), static_cast<int>(kBlocks));
  ASSERT_TRUE(PushPullAll(1, 3, 0.5f).ok());
  EXPECT_NE(Values(4), before);
}

TEST_F(ShardTest, ASkippedStepOfOneWorkerChangesNothingAndAllHearOfIt) {
  ASSERT_TRUE(Declare(Spec(2)).ok());
  ASSERT_TRUE(Join(0, Spec(2), 10000).ok());
  ASSERT_TRUE(Join(1, Spec(2), 10000).ok());
  const auto step = [&](int64_t number, bool skip) {
    std::vector<std::thread> threads;
    std::vector<absl::StatusOr<ParameterServer::PushPullReply>> replies(2);
    for (int worker = 0; worker < 2; ++worker) {
      threads.emplace_back([&, worker] {
        v1::PushPullRequest request = Request(worker, number);
        for (uint32_t block = 0; block < kBlocks; ++block) {
          request.add_push(block);
          request.add_pull(block);
        }
        const bool skips = skip && worker == 1;
        request.set_skip(skips);
        replies[worker] = Send(std::move(request),
                               skips ? Payload() : PayloadOf(std::vector<float>(kElements, 1.0f)));
      });
    }
    for (std::thread& thread : threads) thread.join();
    for (const auto& reply : replies) {
      ASSERT_TRUE(reply.ok()) << reply.status();
      for (const int64_t version : reply->response.version()) EXPECT_EQ(version, number + 1);
      EXPECT_EQ(reply->response.skipped_size() > 0, skip);
      for (const bool skipped : reply->response.skipped()) EXPECT_TRUE(skipped);
    }
  };
  step(0, false);
  EXPECT_EQ(Values(1), std::vector<float>(kElements, 0.5f));
  step(1, true);
  EXPECT_EQ(Values(2), std::vector<float>(kElements, 0.5f));
  step(2, false);
  EXPECT_EQ(Values(3), std::vector<float>(kElements, 0.0f));
}

TEST_F(ShardTest, AStepOfAParameterThatAccumulatesCannotBeSkipped) {
  v1::JobSpec spec = Spec(1);
  spec.mutable_optimizer()->set_accumulate_rounds(3);
  ASSERT_TRUE(Declare(spec).ok());
  ASSERT_TRUE(Join(0, spec, 10000).ok());
  v1::PushPullRequest request = Request(0, 0);
  request.add_push(1);
  request.set_skip(true);
  const absl::Status refused = Send(std::move(request), Payload()).status();
  EXPECT_TRUE(absl::IsInvalidArgument(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()),
              testing::HasSubstr("parameter w: it accumulates over 3 rounds"));
}

TEST_F(ShardTest, TrainsWithTwoWorkersOnTheirThreads) {
  ASSERT_TRUE(Declare(Spec(2)).ok());
  constexpr int kSteps = 50;
  std::vector<std::thread> threads;
  for (int worker = 0; worker < 2; ++worker) {
    threads.emplace_back([&, worker] {
      ASSERT_TRUE(Join(worker, Spec(2), 10000).ok());
      for (int step = 0; step < kSteps; ++step) {
        // The mean is 1.5, so a step takes 0.75 away.
        const auto reply = PushPullAll(worker, step, 1.0f + static_cast<float>(worker));
        ASSERT_TRUE(reply.ok()) << reply.status();
        std::vector<float> values(kElements);
        ASSERT_EQ(reply->payload.size(), kElements * sizeof(float));
        reply->payload.CopyTo(values.data());
        for (const float value : values) {
          EXPECT_EQ(value, 1.0f - 0.75f * static_cast<float>(step + 1));
        }
        for (const int64_t version : reply->response.version()) EXPECT_EQ(version, step + 1);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(ShardTest, IsSettledWhenAllIsAnsweredThatWaitsForNobody) {
  ASSERT_TRUE(Declare(Spec(2)).ok());
  for (const int worker : {0, 1}) ASSERT_TRUE(Join(worker, Spec(2), 10000).ok());
  std::atomic<int> answered{0};
  for (int64_t step = 0; step < 50; ++step) {
    for (const int worker : {0, 1}) {
      v1::PushPullRequest request = Request(worker, step);
      for (uint32_t block = 0; block < kBlocks; ++block) {
        request.add_push(block);
        request.add_base_version(step);
        request.add_pull(block);
      }
      shard_.PushPull(request, PayloadOf(std::vector<float>(kElements, 1.0f)),
                      [&](absl::StatusOr<ParameterServer::PushPullReply> reply) {
                        EXPECT_TRUE(reply.ok()) << reply.status();
                        ++answered;
                      });
      shard_.Settle();
      EXPECT_EQ(answered, 2 * step + 2 * worker);  // worker 0 waits for worker 1
    }
  }
}

TEST_F(ShardTest, ATaskThatJoinsBeforeTheDeclarationWaitsForIt) {
  auto joined = std::async(std::launch::async, [&] { return Join(0, Spec(1), 50000); });
  ASSERT_TRUE(Declare(Spec(1)).ok());
  EXPECT_TRUE(joined.get().ok());
}

TEST_F(ShardTest, AJoinWithoutADeclarationEndsAndNamesTheChief) {
  const auto joined = Join(0, Spec(1), 20);
  EXPECT_EQ(joined.status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(joined.status().message(), HasSubstr("the chief"));
}

TEST_F(ShardTest, DeclaringAgainChangesNothingAndAnotherSpecIsRefused) {
  ASSERT_TRUE(Declare(Spec(1)).ok());
  const auto again = Declare(Spec(1));
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->num_blocks(), kBlocks);
  EXPECT_EQ(again->bytes(), static_cast<int64_t>(kElements * sizeof(float)));
  v1::JobSpec other = Spec(1);
  other.mutable_optimizer()->set_learning_rate(0.25);
  EXPECT_EQ(Declare(other).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Declare(other).status().message(), HasSubstr("learning_rate"));
  EXPECT_EQ(Join(0, other, 0).status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(ShardTest, RefusesWhatItCannotHold) {
  EXPECT_EQ(Declare(Spec(1), 1).status().code(), absl::StatusCode::kFailedPrecondition);
  v1::JobSpec huge = Spec(1);
  huge.set_block_elements(0);
  huge.mutable_parameters(0)->add_shape(int64_t{1} << 36);
  EXPECT_EQ(Declare(huge).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(Declare(Spec(1)).ok());  // and a shard that refused is still free
}

TEST_F(ShardTest, BadPushesAreRefusedWholeAndChangeNothing) {
  ASSERT_TRUE(Declare(Spec(1)).ok());
  ASSERT_TRUE(Join(0, Spec(1), 0).ok());
  const std::vector<float> before = Values();
  ASSERT_EQ(before, std::vector<float>(kElements, 1.0f));

  v1::PushPullRequest good = Request(0, 0);
  for (uint32_t block = 0; block < 2; ++block) good.add_push(block);
  std::vector<float> gradient(8, 1.0f);

  const auto expect = [&](absl::StatusCode code, const char* word, v1::PushPullRequest request,
                          std::vector<float> values) {
    static uint64_t sequence = 100;
    request.set_sequence(++sequence);
    const absl::Status status = Send(std::move(request), PayloadOf(std::move(values))).status();
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_THAT(status.message(), HasSubstr(word));
    EXPECT_EQ(Values(), before);
  };
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
        -std::numeric_limits<float>::infinity()}) {
    for (const size_t at : {size_t{0}, size_t{5}, size_t{7}}) {
      std::vector<float> values = gradient;
      values[at] = bad;
      expect(absl::StatusCode::kInvalidArgument, "parameter w", good, values);
    }
  }
  expect(absl::StatusCode::kInvalidArgument, "payload", good, std::vector<float>(7, 1.0f));
  expect(absl::StatusCode::kInvalidArgument, "payload", good, std::vector<float>(9, 1.0f));
  v1::PushPullRequest bad = good;
  bad.set_push(1, kBlocks);
  expect(absl::StatusCode::kNotFound, "block 4", bad, gradient);
  bad = good;
  bad.set_push(1, 0);
  expect(absl::StatusCode::kInvalidArgument, "twice", bad, gradient);
  bad = good;
  bad.set_dtype(v1::DTYPE_UNSPECIFIED);
  expect(absl::StatusCode::kInvalidArgument, "dtype", bad, gradient);
  bad = good;
  bad.set_step(-1);
  expect(absl::StatusCode::kInvalidArgument, "negative", bad, gradient);
  bad = good;
  bad.set_pull_step(std::numeric_limits<int64_t>::max());
  expect(absl::StatusCode::kInvalidArgument, "over 2^62", bad, gradient);
  bad = good;
  bad.mutable_sender()->set_worker(7);
  expect(absl::StatusCode::kInvalidArgument, "worker:7", bad, gradient);
  bad = good;
  bad.mutable_sender()->set_job("other");
  expect(absl::StatusCode::kNotFound, "other", bad, gradient);

  good.set_sequence(1000);
  EXPECT_TRUE(Send(good, PayloadOf(gradient)).ok());
}

TEST_F(ShardTest, AWaitEndsAtItsDeadline) {
  ASSERT_TRUE(Declare(Spec(2)).ok());
  ASSERT_TRUE(Join(0, Spec(2), 0).ok());
  v1::PushPullRequest request = Request(0, 0);
  request.add_pull(0);
  request.set_wait_ms(20);
  const absl::Status status = Send(std::move(request)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(status.message(), HasSubstr("worker:1 (has not joined)"));
}

TEST_F(ShardTest, HeartbeatsSayWhenItWasAskedToStop) {
  ASSERT_TRUE(Declare(Spec(1)).ok());
  ASSERT_TRUE(Join(0, Spec(1), 0).ok());
  v1::HeartbeatRequest request;
  *request.mutable_sender() = Sender(0);
  const auto heartbeat = [&] {
    return Get<v1::HeartbeatResponse>(
        [&](auto done) { shard_.Heartbeat(request, std::move(done)); });
  };
  EXPECT_FALSE(heartbeat()->draining());
  shard_.SetDraining();
  EXPECT_TRUE(heartbeat()->draining());
}

TEST_F(ShardTest, IsDoneWhenAllHaveLeft) {
  EXPECT_FALSE(shard_.HasWorkers());
  ASSERT_TRUE(Declare(Spec(1)).ok());
  EXPECT_FALSE(shard_.HasWorkers());
  ASSERT_TRUE(Join(0, Spec(1), 0).ok());
  EXPECT_TRUE(shard_.HasWorkers());
  EXPECT_FALSE(shard_.WaitUntilDone(absl::ZeroDuration()));
  v1::LeaveRequest request;
  *request.mutable_sender() = Sender(0);
  EXPECT_TRUE(
      Get<v1::LeaveResponse>([&](auto done) { shard_.Leave(request, std::move(done)); }).ok());
  EXPECT_TRUE(shard_.WaitUntilDone(absl::Seconds(10)));
  EXPECT_FALSE(shard_.HasWorkers());
}

TEST(ShardShutdownTest, AnswersWhatWaitsWhenItIsDestroyed) {
  auto shard = std::make_unique<Shard>(ShardOptions{});
  v1::JoinRequest request;
  *request.mutable_spec() = Spec(1);
  request.set_wait_ms(100000);
  auto promise = std::make_shared<std::promise<absl::Status>>();
  std::future<absl::Status> status = promise->get_future();
  shard->Join(request, [promise](absl::StatusOr<v1::JoinResponse> response) {
    promise->set_value(response.status());
  });
  shard.reset();
  ASSERT_EQ(status.wait_for(std::chrono::seconds(60)), std::future_status::ready);
  EXPECT_EQ(status.get().code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace parley
