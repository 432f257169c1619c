#include "worker/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <future>
#include <limits>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "base/env.h"
#include "base/file.h"
#include "base/philox.h"
#include "base/testing/temp_folder.h"
#include "net/checkpoint_folder.h"
#include "net/forwarding_parameter_server.h"
#include "net/job.h"
#include "net/shared_arena.h"
#include "worker/testing/fake_parameter_server.h"

namespace parley {
namespace {

using Fate = FakeParameterServer::Fate;
using testing::HasSubstr;

v1::JobSpec MakeSpec(const std::vector<int64_t>& sizes, int shards) {
  v1::JobSpec spec;
  spec.set_name("train");
  spec.set_num_workers(2);
  spec.set_num_shards(shards);
  spec.set_block_elements(1000);
  spec.mutable_optimizer()->set_learning_rate(1);
  spec.mutable_optimizer()->mutable_sgd();
  spec.mutable_policy()->mutable_asynchronous();
  for (size_t i = 0; i < sizes.size(); ++i) {
    v1::ParameterSpec* parameter = spec.add_parameters();
    parameter->set_name("p" + std::to_string(i));
    parameter->add_shape(sizes[i]);
    parameter->set_dtype(v1::FLOAT32);
  }
  return spec;
}

// Shards, one client, and buffers for all parameters.
class ClientTest : public testing::Test {
 protected:
  ClientTest() {
    options_.worker = 1;
    options_.timeout = absl::Seconds(30);
  }

  void Prepare(const std::vector<int64_t>& sizes, int shards) {
    spec_ = MakeSpec(sizes, shards);
    absl::StatusOr<Job> job = Job::Create(spec_);
    ASSERT_TRUE(job.ok()) << job.status();
    job_ = std::make_unique<Job>(*std::move(job));
    for (int i = 0; i < shards; ++i) {
      shards_.push_back(std::make_shared<FakeParameterServer>(job_.get(), i));
    }
    for (const int64_t size : sizes) {
      gradients_.emplace_back(size, 1.0f);
      targets_.emplace_back(size, -1.0f);
    }
  }
  absl::Status TryConnect() {
    absl::StatusOr<std::unique_ptr<Client>> client =
        Client::Connect(spec_, {shards_.begin(), shards_.end()}, options_);
    if (client.ok()) client_ = *std::move(client);
    return client.status();
  }
  void Connect(const std::vector<int64_t>& sizes, int shards) {
    Prepare(sizes, shards);
    ASSERT_EQ(TryConnect(), absl::OkStatus());
  }

  std::vector<Client::Gradient> AllGradients() {
    std::vector<Client::Gradient> all;
    for (size_t i = 0; i < gradients_.size(); ++i) all.push_back({int(i), gradients_[i]});
    return all;
  }
  std::vector<Client::Target> AllTargets() {
    std::vector<Client::Target> all;
    for (size_t i = 0; i < targets_.size(); ++i) {
      all.push_back({int(i), absl::MakeSpan(targets_[i])});
    }
    return all;
  }
  size_t PushPullsInAll() {
    size_t count = 0;
    for (const auto& shard : shards_) count += shard->push_pulls().size();
    return count;
  }

  v1::JobSpec spec_;
  ClientOptions options_;
  std::unique_ptr<Job> job_;
  std::vector<std::shared_ptr<FakeParameterServer>> shards_;
  std::vector<std::vector<float>> gradients_, targets_;
  std::unique_ptr<Client> client_;
};

TEST_F(ClientTest, ManySmallAndSomeBigParametersRoundTripOverThreeShards) {
  std::vector<int64_t> sizes;
  for (int i = 0; i < 40; ++i) sizes.push_back(1 + i);
  sizes.push_back(150001);
  sizes.push_back(20000);
  for (const size_t request_bytes : {size_t{10000}, size_t{4} << 20}) {
    SCOPED_TRACE(request_bytes);
    client_.reset();
    shards_.clear(), gradients_.clear(), targets_.clear();
    options_.request_bytes = request_bytes;
    Connect(sizes, 3);
    uint64_t place = 0;
    for (auto& gradient : gradients_) {
      for (float& value : gradient) value = PhiloxNormal(1, request_bytes, place++);
    }
    ASSERT_EQ(client_->Push(0, AllGradients()), absl::OkStatus());
    ASSERT_EQ(client_->Pull(1, AllTargets()), absl::OkStatus());
    EXPECT_EQ(targets_, gradients_);
    EXPECT_EQ(client_->bytes_pushed(), static_cast<int64_t>(place * sizeof(float)));
    EXPECT_EQ(client_->bytes_pulled(), client_->bytes_pushed());

    for (auto& gradient : gradients_) {
      for (float& value : gradient) value *= 3;
    }
    ASSERT_EQ(client_->PushPull(1, AllGradients(), AllTargets()), absl::OkStatus());
    if (request_bytes > 1000000) {
      EXPECT_EQ(targets_, gradients_);  // one trip for each block
    }
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(shards_[i]->taken(), 2 * static_cast<int64_t>(job_->BlocksOfShard(i).size()));
    }
  }
}

TEST_F(ClientTest, SmallTensorsTravelTogether) {
  Connect(std::vector<int64_t>(50, 10), 2);
  ASSERT_EQ(client_->PushPull(0, AllGradients(), AllTargets()), absl::OkStatus());
  EXPECT_EQ(PushPullsInAll(), 2u);
  EXPECT_EQ(shards_[0]->push_pulls()[0].push_size(), 25);
  EXPECT_EQ(shards_[0]->push_pulls()[0].step(), 0);
  EXPECT_EQ(shards_[0]->push_pulls()[0].pull_step(), 1);
}

TEST_F(ClientTest, BaseVersionIsThatOfTheValuesPulledLast) {
  Connect({10}, 1);
  for (int step = 0; step < 3; ++step) {
    ASSERT_EQ(client_->PushPull(step, AllGradients(), AllTargets()), absl::OkStatus());
  }
  ASSERT_EQ(client_->Push(3, AllGradients()), absl::OkStatus());
  ASSERT_EQ(client_->Push(4, AllGradients()), absl::OkStatus());
  const auto requests = shards_[0]->push_pulls();
  const std::vector<int64_t> expected{0, 1, 2, 3, 3};
  for (size_t i = 0; i < 5; ++i) EXPECT_EQ(requests[i].base_version(0), expected[i]);
}

TEST_F(ClientTest, LossesOnTheWayDoNotShow) {
  Prepare({5000, 3, 700}, 3);
  options_.request_bytes = 4000;
  const uint64_t seed = absl::ToUnixMicros(absl::Now());
  SCOPED_TRACE(seed);
  for (size_t i = 0; i < shards_.size(); ++i) {
    shards_[i]->FailNext("Join", 2, absl::UnavailableError("not yet"));
    shards_[i]->SetScript([seed, i, place = uint64_t{0}](const v1::PushPullRequest&) mutable {
      const Fate fates[] = {Fate::kAnswer, Fate::kAnswer, Fate::kLoseRequest, Fate::kLoseAnswer};
      return fates[PhiloxBelow(seed, i, place++, 4)];
    });
  }
  ASSERT_EQ(TryConnect(), absl::OkStatus());
  for (int step = 0; step < 4; ++step) {
    for (auto& gradient : gradients_) {
      for (float& value : gradient) value += static_cast<float>(step);
    }
    ASSERT_EQ(client_->PushPull(step, AllGradients(), AllTargets()), absl::OkStatus());
    EXPECT_EQ(targets_, gradients_);
  }
  int64_t taken = 0;
  for (const auto& shard : shards_) taken += shard->taken();
  EXPECT_EQ(taken, 4 * static_cast<int64_t>(job_->blocks().size()));
}

TEST_F(ClientTest, ViewsAreTheParametersWhateverTheSlices) {
  Connect({5000, 3, 700}, 2);
  ASSERT_EQ(client_->PushPull(0, AllGradients(), AllTargets()), absl::OkStatus());
  const Client::Views views = client_->PullViewsAsync(1, {2, 0}).get();
  ASSERT_TRUE(views.ok()) << views.status();
  ASSERT_EQ(views->size(), 2u);
  for (const Client::View& view : *views) {
    std::vector<float> values;
    for (const absl::Span<const float> block : view.blocks) {
      values.insert(values.end(), block.begin(), block.end());
    }
    EXPECT_EQ(values, gradients_[view.parameter]);  // what the fake shards make of a push
  }
  EXPECT_EQ((*views)[0].parameter, 2);
  const Client::Views next = client_->PushPullViewsAsync(1, AllGradients(), {1}).get();
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_EQ((*next)[0].blocks[0], absl::MakeConstSpan(gradients_[1]));
}

TEST_F(ClientTest, ViewsThatCannotBeAreRefused) {
  Connect({5000, 3}, 2);
  for (const std::vector<int>& parameters : {std::vector<int>{2}, {-1}, {0, 0}}) {
    EXPECT_TRUE(absl::IsInvalidArgument(client_->PullViewsAsync(0, parameters).get().status()));
  }
  EXPECT_EQ(PushPullsInAll(), 0u);
}

TEST_F(ClientTest, WrongSizesAndParametersAreRefused) {
  Connect({10, 3}, 1);
  const std::vector<float> values(11, 0.0f);
  std::vector<float> target(2);
  const auto refused = [](const absl::Status& status, const std::string& message) {
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(message));
  };
  refused(client_->Push(0, {{0, values}}), "step 0: parameter p0 has 10 elements, not 11");
  refused(client_->Pull(0, {{1, absl::MakeSpan(target)}}), "parameter p1 has 3 elements, not 2");
  refused(client_->Push(0, {{2, values}}), "no parameter 2; job train has 2");
  refused(client_->Push(0, {{-1, values}}), "no parameter -1");
  refused(client_->Push(0, {{0, gradients_[0]}, {0, gradients_[0]}}), "p0 is given twice");
  refused(client_->Pull(-1, AllTargets()), "no such step");
  EXPECT_EQ(PushPullsInAll(), 0u);
  EXPECT_EQ(client_->Push(0, {}), absl::OkStatus());
}

TEST_F(ClientTest, FuturesRunSideBySide) {
  Connect({10, 3}, 1);
  shards_[0]->SetScript([](const v1::PushPullRequest& request) {
    return request.push_size() == 0 ? Fate::kHold : Fate::kAnswer;
  });
  std::future<absl::Status> pull = client_->PullAsync(1, {{0, absl::MakeSpan(targets_[0])}});
  std::future<absl::Status> push = client_->PushAsync(0, AllGradients());
  EXPECT_EQ(push.get(), absl::OkStatus());
  EXPECT_NE(pull.wait_for(std::chrono::seconds(0)), std::future_status::ready);
  shards_[0]->Release();
  EXPECT_EQ(pull.get(), absl::OkStatus());
}

TEST_F(ClientTest, RequestsUnderWayAreBoundedForEachShard) {
  options_.request_bytes = 1;
  Connect({200000}, 2);  // 100 blocks a shard
  for (const auto& shard : shards_) {
    shard->SetScript([](const v1::PushPullRequest&) { return Fate::kHold; });
  }
  std::future<absl::Status> push = client_->PushAsync(0, AllGradients());
  for (const auto& shard : shards_) {
    ASSERT_TRUE(shard->AwaitPushPulls(4));
    EXPECT_EQ(shard->push_pulls().size(), 4u);
  }
  while (push.wait_for(std::chrono::milliseconds(0)) != std::future_status::ready) {
    for (const auto& shard : shards_) shard->Release();
  }
  EXPECT_EQ(push.get(), absl::OkStatus());
  for (const auto& shard : shards_) {
    EXPECT_EQ(shard->max_unanswered(), 4);
    EXPECT_EQ(shard->push_pulls().size(), 100u);
  }
}

// Bytes of memory that this process has.
int64_t ResidentBytes() {
  std::ifstream file("/proc/self/statm");
  int64_t size = 0, resident = 0;
  file >> size >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

TEST_F(ClientTest, AThousandPushesToAShardThatIsSlowTakeNoMemory) {
  Prepare({1 << 18}, 1);
  spec_.mutable_policy()->mutable_synchronous();  // whose gradients are copied
  options_.arena = SharedArena::Create();
  options_.timeout = absl::Minutes(5);
  ASSERT_EQ(TryConnect(), absl::OkStatus());
  shards_[0]->SetScript([](const v1::PushPullRequest&) { return Fate::kHold; });
  const int64_t before = ResidentBytes();
  std::vector<std::future<absl::Status>> pushes;
  for (int step = 0; step < 1000; ++step) {
    pushes.push_back(client_->PushAsync(step, AllGradients()));  // 1 MiB
  }
  ASSERT_TRUE(shards_[0]->AwaitPushPulls(4));
  EXPECT_LT(ResidentBytes() - before, int64_t{200} << 20);
  while (pushes.back().wait_for(std::chrono::milliseconds(0)) != std::future_status::ready) {
    shards_[0]->Release();
  }
  for (auto& push : pushes) EXPECT_EQ(push.get(), absl::OkStatus());
  EXPECT_LT(ResidentBytes() - before, int64_t{200} << 20);
}

TEST_F(ClientTest, AShardThatStaysSilentIsNamedByTheDeadline) {
  Prepare({3000}, 3);
  options_.timeout = absl::Milliseconds(50);
  shards_[1]->SetScript([](const v1::PushPullRequest&) { return Fate::kNever; });
  ASSERT_EQ(TryConnect(), absl::OkStatus());
  const absl::Status status = client_->PushPull(4, AllGradients(), AllTargets());
  EXPECT_EQ(status,
            absl::DeadlineExceededError("worker:1 step 4: ps:1: no answer by the deadline"));
}

TEST_F(ClientTest, AShardThatIsGoneIsNamedByTheDeadline) {
  Prepare({3000}, 3);
  options_.timeout = absl::Milliseconds(100);
  shards_[2]->SetScript([](const v1::PushPullRequest&) { return Fate::kLoseRequest; });
  ASSERT_EQ(TryConnect(), absl::OkStatus());
  const absl::Status status = client_->Pull(4, AllTargets());
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("worker:1 pull of step 4: ps:2"));
}

TEST_F(ClientTest, TheFirstErrorEndsTheCallAtOnce) {
  options_.timeout = absl::Minutes(10);
  options_.request_bytes = 1;
  Connect({50000}, 2);
  shards_[0]->SetScript([](const v1::PushPullRequest& request) {
    return request.push_size() > 0 ? Fate::kHold : Fate::kNever;
  });
  shards_[1]->SetScript([n = 0](const v1::PushPullRequest&) mutable {
    return ++n == 3 ? Fate::kRefuse : Fate::kAnswer;
  });
  std::future<absl::Status> future = client_->PushPullAsync(2, AllGradients(), AllTargets());
  // The gradients that ps:0 holds are returned when it answers, too late to matter.
  while (future.wait_for(std::chrono::milliseconds(1)) != std::future_status::ready) {
    shards_[0]->Release();
  }
  EXPECT_EQ(future.get(),
            absl::InvalidArgumentError("worker:1 step 2: ps:1: refused by the script"));
}

TEST_F(ClientTest, AClientThatEndsDoesNotWaitLongForGradientsThatAShardKeeps) {
  options_.timeout = absl::Milliseconds(100);
  Connect({100, 50}, 2);
  shards_[0]->SetScript([](const v1::PushPullRequest&) { return Fate::kNeverKeep; });
  std::future<absl::Status> future = client_->PushPullAsync(0, AllGradients(), AllTargets());
  ASSERT_TRUE(shards_[0]->AwaitPushPulls(1));
  client_.reset();  // ends the calls, and waits a while for the memory
  ASSERT_EQ(future.wait_for(std::chrono::seconds(0)), std::future_status::ready);
  EXPECT_THAT(std::string(future.get().message()), HasSubstr("may still be read"));
}

TEST_F(ClientTest, TheFutureWaitsForTheMemoryThatAShardStillReads) {
  Prepare({100}, 1);
  // A shard like one in this process: it answers, and keeps the gradients for a while.
  class Keeper final : public ForwardingParameterServer {
   public:
    explicit Keeper(ParameterServer* shard) : ForwardingParameterServer(shard) {}
    void PushPull(v1::PushPullRequest request, Payload payload, Done<PushPullReply> done) override {
      kept = payload;
      ForwardingParameterServer::PushPull(
          std::move(request), std::move(payload),
          [done = std::move(done), this](absl::StatusOr<PushPullReply> reply) mutable {
            done(std::move(reply));
            answered.set_value();
          });
    }

    Payload kept;
    std::promise<void> answered;
  };
  for (const bool synchronous : {false, true}) {
    SCOPED_TRACE(synchronous);
    if (synchronous) spec_.mutable_policy()->mutable_synchronous();
    const auto keeper = std::make_shared<Keeper>(shards_[0].get());
    absl::StatusOr<std::unique_ptr<Client>> client = Client::Connect(spec_, {keeper}, options_);
    ASSERT_TRUE(client.ok()) << client.status();
    std::future<absl::Status> future = (*client)->PushAsync(0, AllGradients());
    keeper->answered.get_future().wait();
    if (synchronous) {
      // A push alone is copied: the shard keeps it until the others have pushed too.
      EXPECT_EQ(future.get(), absl::OkStatus());
      EXPECT_NE(static_cast<const void*>(keeper->kept.slices()[0].data), gradients_[0].data());
      keeper->kept = Payload();
      keeper->answered = std::promise<void>();
      future = (*client)->PushPullAsync(1, AllGradients(), AllTargets());
      keeper->answered.get_future().wait();
    }
    EXPECT_EQ(static_cast<const void*>(keeper->kept.slices()[0].data), gradients_[0].data());
    EXPECT_NE(future.wait_for(std::chrono::milliseconds(0)), std::future_status::ready);
    keeper->kept = Payload();
    EXPECT_EQ(future.get(), absl::OkStatus());
    EXPECT_EQ((*client)->Leave(absl::OkStatus()), absl::OkStatus());
  }
}

TEST_F(ClientTest, TheChiefDeclaresAndTheLowestStepCounts) {
  Prepare({3000}, 3);
  options_.worker = 0;
  for (int i = 0; i < 3; ++i) shards_[i]->set_first_step(10 - i);
  ASSERT_EQ(TryConnect(), absl::OkStatus());
  EXPECT_EQ(client_->first_step(), 8);
  EXPECT_EQ(client_->worker(), 0);
  for (const auto& shard : shards_) EXPECT_EQ(shard->CallsOf("Declare"), 1);
  client_.reset();
  options_.worker = 1;
  ASSERT_EQ(TryConnect(), absl::OkStatus());
  for (const auto& shard : shards_) EXPECT_EQ(shard->CallsOf("Declare"), 1);
}

TEST_F(ClientTest, AShardWithoutBlocksDoesNotSetTheFirstStep) {
  Prepare({3}, 2);
  for (const auto& shard : shards_) {
    shard->set_first_step(job_->BlocksOfShard(&shard == &shards_[1]).empty() ? 0 : 9);
  }
  ASSERT_EQ(TryConnect(), absl::OkStatus());
  EXPECT_EQ(client_->first_step(), 9);
}

TEST_F(ClientTest, ShardsInAnotherOrderAreNoticedByEveryWorker) {
  Prepare({3000}, 3);
  std::swap(shards_[1], shards_[2]);
  const absl::Status worker = TryConnect();
  EXPECT_TRUE(absl::IsFailedPrecondition(worker)) << worker;
  EXPECT_THAT(std::string(worker.message()), HasSubstr("worker:1: ps:1 holds other blocks"));
  options_.worker = 0;
  const absl::Status chief = TryConnect();
  EXPECT_EQ(chief, absl::FailedPreconditionError(
                       "worker:0 Declare: ps:1: ps:2: not shard 1; also failed: ps:2"));
}

TEST_F(ClientTest, WhoDoesNotGetInEverywhereLeavesWhereItGotIn) {
  Prepare({3000}, 2);
  shards_[1]->FailNext("Join", 1, absl::AlreadyExistsError("ps:1: worker:1 is alive"));
  EXPECT_EQ(TryConnect(), absl::AlreadyExistsError("worker:1 Join: ps:1: worker:1 is alive"));
  ASSERT_EQ(shards_[0]->leaves().size(), 1u);
  EXPECT_EQ(shards_[0]->leaves()[0].error(), "ended without leaving");
  EXPECT_TRUE(shards_[1]->leaves().empty());
}

TEST_F(ClientTest, StartingWithoutShardsEndsByTheDeadlineAndNamesThem) {
  Prepare({3000}, 3);
  options_.startup_timeout = absl::Milliseconds(100);
  for (const int missing : {0, 2}) {
    shards_[missing]->FailNext("Join", 1000, absl::UnavailableError("connection refused"));
  }
  const absl::Status status = TryConnect();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("worker:1 Join: ps:0"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("also failed: ps:2"));
}

TEST_F(ClientTest, ImpossibleOptionsAreRefused) {
  Prepare({3}, 2);
  options_.worker = 2;
  EXPECT_TRUE(absl::IsInvalidArgument(TryConnect()));
  options_.worker = -1;
  EXPECT_TRUE(absl::IsInvalidArgument(TryConnect()));
  options_.worker = 1;
  shards_[1] = nullptr;
  EXPECT_TRUE(absl::IsInvalidArgument(TryConnect()));
  shards_.pop_back();
  EXPECT_TRUE(absl::IsInvalidArgument(TryConnect()));
}

TEST_F(ClientTest, ASuccessorEndsAllLaterCalls) {
  Prepare({3}, 1);
  shards_[0]->set_heartbeat(absl::Milliseconds(10));
  ASSERT_EQ(TryConnect(), absl::OkStatus());
  shards_[0]->FailNext("Heartbeat", 1000, absl::AbortedError("ps:0: a newer task took over"));
  // Its answer comes some time after the call that brings it.
  absl::Status status;
  const absl::Time end = absl::Now() + absl::Minutes(1);
  for (int step = 0; status.ok() && absl::Now() < end; ++step) {
    status = client_->Push(step, AllGradients());
  }
  EXPECT_TRUE(absl::IsAborted(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("a newer task took over"));
  EXPECT_TRUE(absl::IsAborted(client_->Barrier("b", absl::Seconds(1))));
  EXPECT_TRUE(absl::IsAborted(client_->Status().status()));
}

TEST_F(ClientTest, StatusSumsOverTheShards) {
  Connect({3000}, 3);
  ASSERT_EQ(client_->Push(0, AllGradients()), absl::OkStatus());
  const absl::StatusOr<Client::JobStatus> status = client_->Status();
  ASSERT_TRUE(status.ok()) << status.status();
  EXPECT_EQ(status->total.pushes(), 3);
  EXPECT_EQ(status->total.staleness_max(), 2);
  EXPECT_EQ(status->staleness_mean(), 3.0);
  EXPECT_EQ(status->total.workers_size(), 2);
  EXPECT_EQ(status->total.workers(1).state(), v1::GetStatusResponse::Worker::LIVE);
}

// A shard ends when all have left; the one whose answer is lost finds nobody to ask again.
TEST_F(ClientTest, LeavingAShardThatHasEndedIsNoError) {
  options_.timeout = absl::Milliseconds(100);
  Connect({3000}, 2);
  shards_[1]->FailNext("Leave", 1000, absl::UnavailableError("connection refused"));
  EXPECT_EQ(client_->Leave(absl::OkStatus()), absl::OkStatus());
  EXPECT_EQ(shards_[0]->leaves().size(), 1u);
}

TEST_F(ClientTest, LeavingIsAnErrorWhereAShardRefusesIt) {
  Connect({3000}, 2);
  shards_[1]->FailNext("Leave", 1, absl::AbortedError("ps:1: a newer task took over"));
  EXPECT_TRUE(absl::IsAborted(client_->Leave(absl::OkStatus())));
}

TEST_F(ClientTest, LeavingTellsEveryShardWhyAndEndsTheClient) {
  Connect({3000}, 2);
  EXPECT_EQ(client_->Leave(absl::DataLossError("bad file")), absl::OkStatus());
  for (const auto& shard : shards_) {
    ASSERT_EQ(shard->leaves().size(), 1u);
    EXPECT_EQ(shard->leaves()[0].error(), "DATA_LOSS: bad file");
  }
  EXPECT_TRUE(absl::IsFailedPrecondition(client_->Push(0, AllGradients())));
  EXPECT_TRUE(absl::IsFailedPrecondition(client_->Leave(absl::OkStatus())));
  client_.reset();
  EXPECT_EQ(shards_[0]->leaves().size(), 1u);
}

TEST_F(ClientTest, OneWhoEndsWithoutLeavingIsReportedAsFailed) {
  Connect({3000}, 2);
  client_.reset();
  for (const auto& shard : shards_) {
    ASSERT_EQ(shard->leaves().size(), 1u);
    EXPECT_EQ(shard->leaves()[0].error(), "ended without leaving");
  }
}

TEST_F(ClientTest, FuturesOutliveTheClient) {
  Connect({3000}, 2);
  shards_[1]->SetScript([](const v1::PushPullRequest&) { return Fate::kNever; });
  std::future<absl::Status> future = client_->PullAsync(0, AllTargets());
  client_.reset();
  ASSERT_EQ(future.wait_for(std::chrono::seconds(0)), std::future_status::ready);
  EXPECT_TRUE(absl::IsCancelled(future.get()));
}

TEST_F(ClientTest, OnlyTheChiefMakesCheckpointsAndKeepsTwo) {
  Connect({3}, 1);
  EXPECT_TRUE(absl::IsInvalidArgument(client_->SaveCheckpoint(1, "f", 2).status()));
  client_.reset();
  options_.worker = 0;
  ASSERT_EQ(TryConnect(), absl::OkStatus());
  EXPECT_TRUE(absl::IsInvalidArgument(client_->SaveCheckpoint(1, "f", 1).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(client_->SaveCheckpoint(-1, "f", 2).status()));
  EXPECT_EQ(shards_[0]->CallsOf("Checkpoint"), 0);
  shards_[0]->FailNext("Checkpoint", 1, absl::ResourceExhaustedError("ps:0: disk full"));
  EXPECT_EQ(client_->SaveCheckpoint(4, "f", 2).status(),
            absl::ResourceExhaustedError("worker:0 step 4 Checkpoint: ps:0: disk full"));
}

TEST_F(ClientTest, ACheckpointIsWhatTheShardsWroteAndAManifest) {
  Prepare({3, 2}, 2);
  options_.worker = 0;
  ASSERT_EQ(TryConnect(), absl::OkStatus());
  const TempFolder folder;
  for (int64_t step = 1; step <= 3; ++step) {
    for (int shard = 0; shard < 2; ++shard) {
      v1::CheckpointResponse written;
      written.set_file(ShardFileName(step, shard, 2));
      auto file = AtomicFile::Create(Env::Posix(), folder.File(written.file()));
      ASSERT_TRUE(file.ok()) << file.status();
      ASSERT_EQ((*file)->Append("some bytes", 6 + shard), absl::OkStatus());
      ASSERT_EQ((*file)->Commit(), absl::OkStatus());
      written.set_bytes((*file)->size());
      written.set_crc32c((*file)->crc32c());
      shards_[shard]->set_checkpoint(written);
    }
    const absl::StatusOr<std::string> name = client_->SaveCheckpoint(step, folder.path(), 2);
    ASSERT_TRUE(name.ok()) << name.status();
    EXPECT_EQ(*name, ManifestFileName(step));
  }
  const auto newest = FindNewestValid(Env::Posix(), folder.path());
  ASSERT_TRUE(newest.ok()) << newest.status();
  EXPECT_EQ(newest->manifest.step(), 3);
  EXPECT_EQ(newest->manifest.shards(1).bytes(), 7);
  EXPECT_EQ(newest->manifest.spec().name(), "train");
  const auto kept = ListCheckpoints(Env::Posix(), folder.path());
  ASSERT_TRUE(kept.ok()) << kept.status();
  EXPECT_EQ(*kept, (std::vector<std::string>{ManifestFileName(3), ManifestFileName(2)}));

  // The shards' answer is of another step's files.
  const absl::Status missing = client_->SaveCheckpoint(9, folder.path(), 2).status();
  EXPECT_FALSE(missing.ok());
  EXPECT_THAT(std::string(missing.message()), HasSubstr("worker:0 step 9 checkpoint"));
}

}  // namespace
}  // namespace parley
