// Optimizers that need norms over whole parameters, whose blocks are on several shards: the
// exchange through the workers gives the same bits whatever the number of shards, and survives what
// goes wrong on the way. With them what else the optimizer's options ask of more than one task:
// moving averages, and the rate that the chief pushes.

#include <atomic>
#include <cmath>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/testing/temp_folder.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "net/channel.h"
#include "net/forwarding_parameter_server.h"
#include "net/job.h"
#include "ps/server.h"
#include "worker/client.h"

namespace parley {
namespace {

constexpr int kSizes[] = {1000, 7, 330};

v1::Optimizer Parse(const std::string& text) {
  v1::Optimizer optimizer;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &optimizer)) << text;
  return optimizer;
}

v1::JobSpec SpecOf(const std::string& optimizer, int workers, int shards) {
  v1::JobSpec spec;
  spec.set_name("norms");
  spec.set_seed(7);
  spec.set_num_workers(workers);
  spec.set_num_shards(shards);
  spec.set_block_elements(64);
  for (const int size : kSizes) {
    v1::ParameterSpec* const parameter = spec.add_parameters();
    parameter->set_name(absl::StrCat("p", size));
    parameter->add_shape(size);
    parameter->set_dtype(v1::FLOAT32);
    parameter->mutable_initializer()->mutable_normal()->set_stddev(1);
  }
  *spec.mutable_optimizer() = Parse(optimizer);
  spec.mutable_policy()->mutable_synchronous();
  return spec;
}

using Values = std::vector<std::vector<float>>;  // by parameter

Values Zeros() {
  Values values;
  for (const int size : kSizes) values.emplace_back(size, 0.0f);
  return values;
}

std::vector<Client::Target> TargetsOf(Values* values) {
  std::vector<Client::Target> targets;
  for (size_t i = 0; i < values->size(); ++i) {
    targets.push_back({static_cast<int>(i), absl::MakeSpan((*values)[i])});
  }
  return targets;
}

// A function of worker, step, element and the value there.
Values GradientsOf(int worker, int64_t step, const Values& values) {
  Values gradients = Zeros();
  for (size_t i = 0; i < values.size(); ++i) {
    for (size_t j = 0; j < values[i].size(); ++j) {
      const int noise = static_cast<int>((j * 31 + step * 17 + worker * 7 + i) % 101) - 50;
      gradients[i][j] = values[i][j] + static_cast<float>(noise) / 16;
    }
  }
  return gradients;
}

std::vector<Client::Gradient> ToPush(const Values& gradients) {
  std::vector<Client::Gradient> result;
  for (size_t i = 0; i < gradients.size(); ++i) {
    result.push_back({static_cast<int>(i), gradients[i]});
  }
  return result;
}

// The shards of a job in this process.
class Shards {
 public:
  explicit Shards(int count, std::string folder = "", bool listen = false) {
    for (int i = 0; i < count; ++i) {
      ServerOptions options;
      options.shard.shard_index = i;
      options.shard.checkpoint_folder = folder;
      options.shard.replace_after = absl::Milliseconds(200);
      if (listen) options.address = "localhost:0";
      servers_.push_back(Server::Start(options).value());
    }
  }

  std::vector<std::shared_ptr<ParameterServer>> servers() const {
    std::vector<std::shared_ptr<ParameterServer>> result;
    for (const auto& server : servers_) result.push_back(server->parameter_server());
    return result;
  }
  // The same through gRPC and shared memory.
  std::vector<std::shared_ptr<ParameterServer>> Channels() const {
    ChannelOptions options;
    options.arena = SharedArena::Create();
    std::vector<std::shared_ptr<ParameterServer>> result;
    for (size_t i = 0; i < servers_.size(); ++i) {
      result.push_back(NewChannel(absl::StrCat("ps:", i),
                                  absl::StrCat("localhost:", servers_[i]->port()), options));
    }
    return result;
  }

 private:
  std::vector<std::unique_ptr<Server>> servers_;
};

std::unique_ptr<Client> Connect(const v1::JobSpec& spec,
                                std::vector<std::shared_ptr<ParameterServer>> shards, int worker,
                                const std::string& checkpoint = "", uint64_t incarnation = 1) {
  ClientOptions options;
  options.worker = worker;
  options.incarnation = incarnation;
  options.checkpoint = checkpoint;
  absl::StatusOr<std::unique_ptr<Client>> client =
      Client::Connect(spec, std::move(shards), options);
  EXPECT_TRUE(client.ok()) << client.status();
  return client.ok() ? *std::move(client) : nullptr;
}

// Runs steps [first_step, end) of a worker; leaves the values of `end` in `values`.
absl::Status RunSteps(Client* client, int64_t end, Values* values,
                      const std::function<void(int64_t)>& before_step = {}) {
  int64_t step = client->first_step();
  absl::Status status = client->Pull(step, TargetsOf(values));
  for (; status.ok() && step < end; ++step) {
    if (before_step) before_step(step);
    const Values gradients = GradientsOf(client->worker(), step, *values);
    status = client->PushPull(step, ToPush(gradients), TargetsOf(values));
  }
  return status;
}

// All workers, on their threads; the chief's values at the end.
Values RunJob(const v1::JobSpec& spec, int64_t steps, bool channels = false) {
  const Shards shards(spec.num_shards(), "", channels);
  Values result = Zeros();
  std::vector<std::thread> threads;
  for (int worker = 0; worker < spec.num_workers(); ++worker) {
    threads.emplace_back([&, worker] {
      const std::unique_ptr<Client> client =
          Connect(spec, channels ? shards.Channels() : shards.servers(), worker);
      ASSERT_NE(client, nullptr);
      Values values = Zeros();
      const absl::Status status = RunSteps(client.get(), steps, &values);
      EXPECT_TRUE(status.ok()) << status;
      if (worker == 0) result = values;
      EXPECT_TRUE(client->Leave(absl::OkStatus()).ok());
    });
  }
  for (std::thread& thread : threads) thread.join();
  return result;
}

double NormOf(const Values& values) {
  double sum = 0;
  for (const auto& parameter : values) {
    for (const float value : parameter) sum += static_cast<double>(value) * value;
  }
  return std::sqrt(sum);
}

class NormsTest : public testing::TestWithParam<const char*> {};

TEST_P(NormsTest, GiveTheSameBitsWhateverTheNumberOfShardsAndTheTransport) {
  const Values one = RunJob(SpecOf(GetParam(), 3, 1), 9);
  for (const int shards : {2, 5}) {
    EXPECT_EQ(RunJob(SpecOf(GetParam(), 3, shards), 9), one) << shards << " shards";
  }
  EXPECT_EQ(RunJob(SpecOf(GetParam(), 3, 2), 9, /*channels=*/true), one);
  EXPECT_NE(RunJob(SpecOf(GetParam(), 3, 1), 7), one);
}

INSTANTIATE_TEST_SUITE_P(
    All, NormsTest,
    testing::Values("learning_rate: 0.1 sgd {} clip_norm: 3",
                    "learning_rate: 0.1 adam {} clip_norm: 3 accumulate_rounds: 2 ema_decay: 0.5",
                    "learning_rate: 0.1 lamb { weight_decay: 0.1 }",
                    "learning_rate: 10 lars { momentum: 0.9 weight_decay: 0.1 } l1: 0.1"));

// The formula over all parameters, plainly: one step from known values.
TEST(ClipNormTest, ShortensTheGradientOfAllParametersTogether) {
  const v1::JobSpec spec = SpecOf("learning_rate: 1 sgd {} clip_norm: 3", 2, 5);
  const Shards shards(5);
  const auto chief = Connect(spec, shards.servers(), 0);
  const auto other = Connect(spec, shards.servers(), 1);
  Values before = Zeros(), after = Zeros();
  ASSERT_TRUE(chief->Pull(0, TargetsOf(&before)).ok());
  const Values first = GradientsOf(0, 0, before), second = GradientsOf(1, 0, before);
  Values mean = first;
  for (size_t i = 0; i < mean.size(); ++i) {
    for (size_t j = 0; j < mean[i].size(); ++j) mean[i][j] = (first[i][j] + second[i][j]) * 0.5f;
  }
  ASSERT_TRUE(other->Push(0, ToPush(second)).ok());
  ASSERT_TRUE(chief->PushPull(0, ToPush(first), TargetsOf(&after)).ok());
  const double factor = 3 / NormOf(mean);
  ASSERT_LT(factor, 0.5);
  for (size_t i = 0; i < mean.size(); ++i) {
    for (size_t j = 0; j < mean[i].size(); ++j) {
      ASSERT_NEAR(after[i][j], before[i][j] - factor * mean[i][j], 1e-5);
    }
  }
}

// Pushes alone have to make rounds, too, of which many may wait for each other.
TEST(NormRoundsTest, StepsThatAreOnlyPushedEndWhenTheyArePulled) {
  const std::string optimizer = "learning_rate: 0.1 lamb {}";
  Values pushed = Zeros(), pulled = Zeros();
  for (const bool only_pushes : {true, false}) {
    const v1::JobSpec spec = SpecOf(optimizer, 1, 2);
    const Shards shards(2);
    const auto client = Connect(spec, shards.servers(), 0);
    Values& values = only_pushes ? pushed : pulled;
    ASSERT_TRUE(client->Pull(0, TargetsOf(&values)).ok());
    Values ignored = Zeros();
    for (int64_t step = 0; step < 20; ++step) {
      const Values gradients = GradientsOf(0, step, Zeros());
      const absl::Status status =
          only_pushes ? client->Push(step, ToPush(gradients))
                      : client->PushPull(step, ToPush(gradients), TargetsOf(&ignored));
      ASSERT_TRUE(status.ok()) << status;
    }
    ASSERT_TRUE(client->Pull(20, TargetsOf(&values)).ok());
  }
  EXPECT_EQ(pushed, pulled);
}

// With a log nothing is answered before it is applied, and nothing applied before all is here.
TEST(NormRoundsTest, GradientsInManyRequestsDoNotWaitForEachOthersAnswers) {
  const TempFolder folder;
  ServerOptions server;
  server.shard.log_folder = folder.File("log");
  const std::unique_ptr<Server> shard = Server::Start(server).value();
  ClientOptions options;
  options.incarnation = 1;
  options.timeout = absl::Seconds(20);
  options.request_bytes = 64 * sizeof(float);  // a block
  const std::unique_ptr<Client> client = Client::Connect(SpecOf("learning_rate: 0.1 lamb {}", 1, 1),
                                                         {shard->parameter_server()}, options)
                                             .value();
  Values values = Zeros();
  ASSERT_TRUE(client->PullAsync(0, TargetsOf(&values)).get().ok());
  for (int64_t step = 0; step < 3; ++step) {
    const Values gradients = GradientsOf(0, step, values);
    const absl::Status status =
        client->PushPullAsync(step, ToPush(gradients), TargetsOf(&values)).get();
    ASSERT_TRUE(status.ok()) << status;
  }
  EXPECT_TRUE(client->Leave(absl::OkStatus()).ok());
}

TEST(NormRoundsTest, ASkippedStepChangesNothing) {
  const v1::JobSpec spec = SpecOf("learning_rate: 0.1 adam {} clip_norm: 1", 2, 2);
  const Shards shards(2);
  const auto chief = Connect(spec, shards.servers(), 0);
  const auto other = Connect(spec, shards.servers(), 1);
  Values before = Zeros(), after = Zeros();
  ASSERT_TRUE(chief->Pull(0, TargetsOf(&before)).ok());
  ASSERT_TRUE(other->Push(0, ToPush(GradientsOf(1, 0, before))).ok());
  ASSERT_TRUE(chief->SkipAsync(0, TargetsOf(&after)).get().ok());
  EXPECT_EQ(after, before);
  ASSERT_TRUE(other->Push(1, ToPush(GradientsOf(1, 1, before))).ok());
  ASSERT_TRUE(chief->PushPull(1, ToPush(GradientsOf(0, 1, before)), TargetsOf(&after)).ok());
  EXPECT_NE(after, before);
}

// A shard as a worker sees it that dies when it has given the totals to one shard of two: nothing
// arrives from then on.
class DyingWorkersShard final : public ForwardingParameterServer {
 public:
  DyingWorkersShard(std::shared_ptr<ParameterServer> shard, std::atomic<int>* totals)
      : ForwardingParameterServer(shard.get()), shard_(std::move(shard)), totals_(totals) {}

  void SetNormTotals(v1::SetNormTotalsRequest request,
                     Done<v1::SetNormTotalsResponse> done) override {
    if (totals_->fetch_add(1) == 0) {
      return ForwardingParameterServer::SetNormTotals(std::move(request), std::move(done));
    }
    done(absl::CancelledError("dead"));
  }
  void Heartbeat(v1::HeartbeatRequest request, Done<v1::HeartbeatResponse> done) override {
    if (totals_->load() < 2) {
      return ForwardingParameterServer::Heartbeat(std::move(request), std::move(done));
    }
    done(absl::CancelledError("dead"));
  }
  void Leave(v1::LeaveRequest request, Done<v1::LeaveResponse> done) override {
    if (totals_->load() < 2) {
      return ForwardingParameterServer::Leave(std::move(request), std::move(done));
    }
    done(absl::CancelledError("dead"));
  }

 private:
  const std::shared_ptr<ParameterServer> shard_;
  std::atomic<int>* const totals_;
};

TEST(NormRoundsTest, AnotherWorkerEndsTheRoundOfOneThatDiedInItsMiddle) {
  const std::string optimizer = "learning_rate: 0.1 lamb {}";
  const v1::JobSpec spec = SpecOf(optimizer, 2, 2);
  const Shards shards(2);
  std::atomic<int> totals{0};
  std::vector<std::shared_ptr<ParameterServer>> dying;
  for (const auto& shard : shards.servers()) {
    dying.push_back(std::make_shared<DyingWorkersShard>(shard, &totals));
  }
  const auto chief = Connect(spec, shards.servers(), 0);
  auto other = Connect(spec, dying, 1);
  Values values = Zeros();
  ASSERT_TRUE(chief->Pull(0, TargetsOf(&values)).ok());
  // The chief's push waits at the shards when the other one's exchange begins and dies; it is the
  // chief's own exchange, or that of its pull, that ends the round.
  const Values chiefs = GradientsOf(0, 0, values), others = GradientsOf(1, 0, values);
  Values next = Zeros();
  std::future<absl::Status> others_push = other->PushAsync(0, ToPush(others));
  ASSERT_TRUE(others_push.get().ok());
  ASSERT_TRUE(chief->PushPull(0, ToPush(chiefs), TargetsOf(&next)).ok());
  EXPECT_EQ(next, RunJob(SpecOf(optimizer, 2, 1), 1));
}

// The dead one is alone: started again, it finds a round in its middle at one shard and finished at
// the other.
TEST(NormRoundsTest, AWorkerThatIsStartedAgainEndsItsOwnRound) {
  const std::string optimizer = "learning_rate: 0.1 adam {} clip_norm: 2";
  const v1::JobSpec spec = SpecOf(optimizer, 1, 2);
  const Shards shards(2);
  std::atomic<int> totals{0};
  std::vector<std::shared_ptr<ParameterServer>> dying;
  for (const auto& shard : shards.servers()) {
    dying.push_back(std::make_shared<DyingWorkersShard>(shard, &totals));
  }
  Values values = Zeros();
  auto first = Connect(spec, dying, 0);
  ASSERT_TRUE(first->Pull(0, TargetsOf(&values)).ok());
  ASSERT_TRUE(first->Push(0, ToPush(GradientsOf(0, 0, values))).ok());
  for (int i = 0; i < 10000 && totals.load() < 2; ++i) absl::SleepFor(absl::Milliseconds(1));
  ASSERT_EQ(totals.load(), 2);

  // It takes its own place as soon as the earlier start of it was silent for long enough.
  const auto second = Connect(spec, shards.servers(), 0, "", /*incarnation=*/2);
  ASSERT_NE(second, nullptr);
  EXPECT_EQ(second->first_step(), 1);
  const absl::Status status = RunSteps(second.get(), 3, &values);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(values, RunJob(SpecOf(optimizer, 1, 1), 3));
}

// All of it through a checkpoint, into another number of shards.
TEST(NormRoundsTest, AResumedJobGoesOnWithTheSameBits) {
  const std::string optimizer =
      "learning_rate: 0.1 lamb {} ema_decay: 0.5 accumulate_rounds: 3 schedule { pushed {} }";
  TempFolder folder;
  const auto set_rate = [](Client* client) {
    return [client](int64_t step) {
      if (step != 2 && step != 8) return;
      const absl::Status status = client->SetRateFactor(step == 2 ? 0.5f : 2);
      EXPECT_TRUE(status.ok()) << status;
    };
  };
  Values whole = Zeros(), averages = Zeros();
  {
    const v1::JobSpec spec = SpecOf(optimizer, 1, 1);
    const Shards shards(1);
    const auto client = Connect(spec, shards.servers(), 0);
    ASSERT_TRUE(RunSteps(client.get(), 12, &whole, set_rate(client.get())).ok());
    ASSERT_TRUE(client->PullAveragesAsync(12, TargetsOf(&averages)).get().ok());
  }
  EXPECT_NE(whole, averages);

  std::string manifest;
  Values values = Zeros();
  {
    const v1::JobSpec spec = SpecOf(optimizer, 1, 5);
    const Shards shards(5, folder.path());
    const auto client = Connect(spec, shards.servers(), 0);
    ASSERT_TRUE(RunSteps(client.get(), 7, &values, set_rate(client.get())).ok());
    const absl::StatusOr<std::string> saved = client->SaveCheckpoint(7, folder.path(), 2);
    ASSERT_TRUE(saved.ok()) << saved.status();
    manifest = *saved;
  }
  const v1::JobSpec spec = SpecOf(optimizer, 1, 2);
  const Shards shards(2, folder.path());
  const auto client = Connect(spec, shards.servers(), 0, manifest);
  ASSERT_NE(client, nullptr);
  // The rate of step 2 still holds; nobody has said it again.
  const absl::Status status = RunSteps(client.get(), 12, &values, set_rate(client.get()));
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(values, whole);
  Values resumed_averages = Zeros();
  ASSERT_TRUE(client->PullAveragesAsync(12, TargetsOf(&resumed_averages)).get().ok());
  EXPECT_EQ(resumed_averages, averages);
}

TEST(AveragesTest, ArePulledWhereTheyAreKeptAndValuesElsewhere) {
  v1::JobSpec spec = SpecOf("learning_rate: 1 sgd {} ema_decay: 0.75", 1, 2);
  *spec.mutable_parameters(1)->mutable_optimizer() = Parse("learning_rate: 1 sgd {}");
  const Shards shards(2, "", /*listen=*/true);
  const auto client = Connect(spec, shards.Channels(), 0);
  Values before = Zeros(), after = Zeros(), averages = Zeros();
  ASSERT_TRUE(client->Pull(0, TargetsOf(&before)).ok());
  const Values gradients = GradientsOf(0, 0, before);
  ASSERT_TRUE(client->PushPull(0, ToPush(gradients), TargetsOf(&after)).ok());
  ASSERT_TRUE(client->PullAveragesAsync(1, TargetsOf(&averages)).get().ok());
  for (size_t i = 0; i < before.size(); ++i) {
    for (size_t j = 0; j < before[i].size(); ++j) {
      const float expected =
          i == 1 ? after[i][j] : before[i][j] + 0.25f * (after[i][j] - before[i][j]);
      ASSERT_EQ(averages[i][j], expected) << i << " " << j;
    }
  }
  // The next gradient is of the values, not of the averages.
  ASSERT_TRUE(client->PushPull(1, ToPush(gradients), TargetsOf(&after)).ok());
}

TEST(RateFactorTest, IsTheChiefsAndOnlyWhereItIsPushed) {
  const v1::JobSpec spec = SpecOf("learning_rate: 1 sgd {} schedule { pushed {} }", 2, 2);
  const Shards shards(2);
  const auto chief = Connect(spec, shards.servers(), 0);
  const auto other = Connect(spec, shards.servers(), 1);
  EXPECT_TRUE(chief->SetRateFactor(0.5f).ok());
  EXPECT_EQ(other->SetRateFactor(0.5f).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(chief->SetRateFactor(-1).code(), absl::StatusCode::kInvalidArgument);
  Values before = Zeros(), after = Zeros();
  ASSERT_TRUE(chief->Pull(0, TargetsOf(&before)).ok());
  const Values gradients = GradientsOf(0, 0, before);
  ASSERT_TRUE(other->Push(0, ToPush(gradients)).ok());
  ASSERT_TRUE(chief->PushPull(0, ToPush(gradients), TargetsOf(&after)).ok());
  EXPECT_EQ(after[0][0], before[0][0] - 0.5f * gradients[0][0]);

  const v1::JobSpec plain = SpecOf("learning_rate: 1 sgd {}", 1, 2);
  const Shards others(2);
  EXPECT_EQ(Connect(plain, others.servers(), 0)->SetRateFactor(1).code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(NormPolicyTest, NormsAreRefusedWithAnotherPolicy) {
  for (const char* const optimizer : {"learning_rate: 1 lamb {}", "learning_rate: 1 lars {}",
                                      "learning_rate: 1 sgd {} clip_norm: 1"}) {
    v1::JobSpec spec = SpecOf(optimizer, 1, 1);
    spec.mutable_policy()->mutable_asynchronous();
    const absl::Status status = Job::Create(spec).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_NE(std::string(status.message()).find("the allowed policy is synchronous"),
              std::string::npos)
        << status;
  }
}

}  // namespace
}  // namespace parley
