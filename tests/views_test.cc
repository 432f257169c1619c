// Parameters that are viewed where the shards keep them, over each transport.

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "net/channel.h"
#include "net/shared_arena.h"
#include "ps/server.h"
#include "worker/client.h"

namespace parley {
namespace {

using testing::Each;

constexpr int kShards = 2;
constexpr int64_t kElements = 10'000;

std::vector<float> ValuesOf(const Client::View& view) {
  std::vector<float> values;
  for (const absl::Span<const float> block : view.blocks) {
    values.insert(values.end(), block.begin(), block.end());
  }
  return values;
}

// With SGD of rate 1 and gradients of -1, every element is the number of rounds.
class ViewsTest : public testing::TestWithParam<Transport> {
 protected:
  ViewsTest() {
    v1::JobSpec spec;
    spec.set_name("views");
    spec.set_num_workers(1);
    spec.set_num_shards(kShards);
    spec.set_block_elements(3000);
    for (const char* name : {"a", "b"}) {
      v1::ParameterSpec* parameter = spec.add_parameters();
      parameter->set_name(name);
      parameter->add_shape(kElements);
      parameter->set_dtype(v1::FLOAT32);
    }
    spec.mutable_optimizer()->set_learning_rate(1);
    spec.mutable_optimizer()->mutable_sgd();
    spec.mutable_policy()->mutable_synchronous();

    ClientOptions options;
    options.arena = SharedArena::Create();
    std::vector<std::shared_ptr<ParameterServer>> shards;
    for (int i = 0; i < kShards; ++i) {
      ServerOptions server;
      server.shard.shard_index = i;
      server.address = "localhost:0";
      servers_.push_back(Server::Start(server).value());
      ChannelOptions channel;
      channel.transport = GetParam();
      channel.arena = options.arena;
      shards.push_back(NewChannel(absl::StrCat("ps:", i),
                                  absl::StrCat("localhost:", servers_.back()->port()), channel));
    }
    client_ = Client::Connect(spec, std::move(shards), options).value();
    for (int i = 0; i < 2; ++i) {
      memory_.push_back(client_->NewBuffer(kElements));
      std::fill_n(memory_.back().get(), kElements, -1.0f);
      gradients_.push_back({i, absl::MakeConstSpan(memory_.back().get(), kElements)});
    }
  }

  std::vector<std::unique_ptr<Server>> servers_;
  std::unique_ptr<Client> client_;
  std::vector<std::shared_ptr<float>> memory_;
  std::vector<Client::Gradient> gradients_;
};

TEST_P(ViewsTest, EachStepsValuesStayWhatTheyAre) {
  std::vector<std::vector<Client::View>> steps;
  steps.push_back(client_->PullViewsAsync(0, {0, 1}).get().value());
  for (int step = 0; step < 6; ++step) {
    steps.push_back(client_->PushPullViewsAsync(step, gradients_, {0, 1}).get().value());
  }
  ASSERT_TRUE(client_->Leave(absl::OkStatus()).ok());
  client_.reset();
  servers_.clear();  // the memory stays all the same
  for (size_t step = 0; step < steps.size(); ++step) {
    ASSERT_EQ(steps[step].size(), 2u);
    for (const Client::View& view : steps[step]) {
      const std::vector<float> values = ValuesOf(view);
      EXPECT_EQ(values.size(), static_cast<size_t>(kElements));
      EXPECT_THAT(values, Each(static_cast<float>(step)));
    }
  }
}

TEST_P(ViewsTest, AViewAndACopyAreTheSame) {
  ASSERT_TRUE(client_->Push(0, {gradients_[0]}).ok());
  std::vector<float> copy(kElements);
  ASSERT_TRUE(client_->Pull(1, {{0, absl::MakeSpan(copy)}}).ok());
  const std::vector<Client::View> views = client_->PullViewsAsync(1, {0}).get().value();
  EXPECT_EQ(ValuesOf(views[0]), copy);
  EXPECT_THAT(copy, Each(1.0f));
}

INSTANTIATE_TEST_SUITE_P(Transports, ViewsTest,
                         testing::Values(Transport::kGrpc, Transport::kSharedMemory),
                         [](const testing::TestParamInfo<Transport>& info) {
                           return info.param == Transport::kGrpc ? "Grpc" : "SharedMemory";
                         });

}  // namespace
}  // namespace parley
