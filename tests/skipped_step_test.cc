// A worker that skips a step makes it change nothing, for all workers and on all shards.

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "net/grpc_channel.h"
#include "ps/server.h"
#include "worker/client.h"

namespace parley {
namespace {

constexpr int kWorkers = 2;
constexpr int kShards = 2;
constexpr size_t kSize = 100;

v1::JobSpec Spec() {
  v1::JobSpec spec;
  spec.set_name("skipped");
  spec.set_num_workers(kWorkers);
  spec.set_num_shards(kShards);
  spec.set_block_elements(30);
  for (const char* name : {"a", "b"}) {
    v1::ParameterSpec* parameter = spec.add_parameters();
    parameter->set_name(name);
    parameter->add_shape(kSize);
    parameter->set_dtype(v1::FLOAT32);
  }
  spec.mutable_optimizer()->set_learning_rate(1);
  spec.mutable_optimizer()->mutable_sgd();
  spec.mutable_policy()->mutable_synchronous();
  return spec;
}

TEST(SkippedStepTest, ChangesNothingAndEveryWorkerHearsOfIt) {
  std::vector<std::unique_ptr<Server>> servers;
  for (int i = 0; i < kShards; ++i) {
    ServerOptions options;
    options.shard.shard_index = i;
    options.address = "localhost:0";
    servers.push_back(Server::Start(options).value());
  }
  std::vector<std::thread> workers;
  for (int worker = 0; worker < kWorkers; ++worker) {
    workers.emplace_back([&, worker] {
      std::vector<std::shared_ptr<ParameterServer>> shards;
      for (int i = 0; i < kShards; ++i) {
        shards.push_back(
            NewGrpcChannel(absl::StrCat("ps:", i), absl::StrCat("localhost:", servers[i]->port())));
      }
      ClientOptions options;
      options.worker = worker;
      const auto client = Client::Connect(Spec(), shards, options);
      ASSERT_TRUE(client.ok()) << client.status();
      const std::vector<float> gradient(kSize, -1.0f);  // each step adds 1
      std::vector<float> a(kSize), b(kSize);
      const std::vector<Client::Target> targets = {{0, absl::MakeSpan(a)}, {1, absl::MakeSpan(b)}};
      float expected = 0;
      for (int step = 0; step < 12; ++step) {
        const bool somebody_skips = step % 3 == 1;
        const absl::Status status =
            somebody_skips && worker == step % kWorkers
                ? (*client)->SkipAsync(step, targets).get()
                : (*client)->PushPull(step, {{0, gradient}, {1, gradient}}, targets);
        ASSERT_TRUE(status.ok()) << status;
        if (!somebody_skips) ++expected;
        EXPECT_EQ(a, std::vector<float>(kSize, expected)) << "step " << step;
        EXPECT_EQ(b, a) << "step " << step;
        EXPECT_EQ((*client)->WasSkipped(0), somebody_skips) << "step " << step;
        EXPECT_EQ((*client)->WasSkipped(1), somebody_skips) << "step " << step;
      }
      ASSERT_TRUE((*client)->Leave(absl::OkStatus()).ok());
    });
  }
  for (std::thread& worker : workers) worker.join();
}

}  // namespace
}  // namespace parley
