// A synchronous run gives the same bits whatever the number of shards and the transport, and again
// on a second run; on real data.

#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/crc32c.h"
#include "base/initializer.h"
#include "data/open_dataset.h"
#include "gtest/gtest.h"
#include "net/channel.h"
#include "net/job.h"
#include "ps/server.h"
#include "worker/client.h"
#include "worker/supervised_task.h"
#include "worker/trainer.h"

namespace parley {
namespace {

constexpr float kLearningRate = 0.05f;
constexpr float kMomentum = 0.9f;
constexpr uint64_t kSeed = 11;

enum class Way { kInProcess, kGrpc, kSharedMemory, kMixed };

struct Setting {
  std::string model = "cnn";
  int shards = 1;
  int workers = 2;
  Way way = Way::kInProcess;
  int64_t steps = 12;
  int64_t block_elements = 4096;  // small, so that every shard has some of each large parameter
};

const data::TrainAndTest& FashionMnist() {
  static const auto* const data =
      new data::TrainAndTest(data::OpenDataset("/usr/share/datasets/fashion-mnist", {}).value());
  return *data;
}

std::unique_ptr<SupervisedTask> NewTask(const Setting& setting, int worker) {
  SupervisedTaskOptions options;
  options.model = setting.model;
  options.batch_size = 16;
  options.worker = worker;
  options.num_workers = setting.workers;
  options.seed = kSeed;
  return SupervisedTask::Create(options, FashionMnist()).value();
}

v1::JobSpec SpecOf(const Setting& setting) {
  v1::JobSpec spec;
  spec.set_name("same_bits");
  spec.set_seed(kSeed);
  spec.set_num_workers(setting.workers);
  spec.set_num_shards(setting.shards);
  spec.set_block_elements(setting.block_elements);
  for (const v1::ParameterSpec& parameter : NewTask(setting, 0)->Parameters())
    *spec.add_parameters() = parameter;
  spec.mutable_optimizer()->set_learning_rate(kLearningRate);
  spec.mutable_optimizer()->mutable_momentum()->set_momentum(kMomentum);
  spec.mutable_policy()->mutable_synchronous();
  return spec;
}

uint32_t Checksum(absl::Span<const absl::Span<float>> parameters) {
  uint32_t crc = 0;
  for (const absl::Span<float> values : parameters) {
    crc = ExtendCrc32c(crc, values.data(), values.size() * sizeof(float));
  }
  return crc;
}

// Trains in threads of this process; returns the checksum of the final parameters, which every
// worker must end with that pulls them.
uint32_t RunJob(const Setting& setting) {
  std::vector<std::unique_ptr<Server>> servers;
  for (int i = 0; i < setting.shards; ++i) {
    ServerOptions options;
    options.shard.shard_index = i;
    if (setting.way != Way::kInProcess) options.address = "localhost:0";
    servers.push_back(Server::Start(options).value());
  }
  const v1::JobSpec spec = SpecOf(setting);
  uint32_t checksum = 0;
  std::vector<std::thread> workers;
  for (int worker = 0; worker < setting.workers; ++worker) {
    workers.emplace_back([&, worker] {
      ChannelOptions channel;
      const bool shares =
          setting.way == Way::kSharedMemory || (setting.way == Way::kMixed && worker % 2 == 0);
      channel.transport = shares ? Transport::kSharedMemory : Transport::kGrpc;
      if (shares) channel.arena = SharedArena::Create();
      std::vector<std::shared_ptr<ParameterServer>> shards;
      for (int i = 0; i < setting.shards; ++i) {
        shards.push_back(setting.way == Way::kInProcess
                             ? servers[i]->parameter_server()
                             : NewChannel(absl::StrCat("ps:", i),
                                          absl::StrCat("localhost:", servers[i]->port()), channel));
      }
      ClientOptions client_options;
      client_options.worker = worker;
      client_options.arena = channel.arena;
      const auto client = Client::Connect(spec, shards, client_options);
      ASSERT_TRUE(client.ok()) << client.status();
      const std::unique_ptr<SupervisedTask> task = NewTask(setting, worker);
      TrainerOptions options;
      options.steps = setting.steps;
      options.steps_per_epoch = task->steps_per_epoch();
      Trainer trainer(client->get(), task.get(), options);
      const auto summary = trainer.Run();
      ASSERT_TRUE(summary.ok()) << summary.status();
      if (worker == 0) checksum = Checksum(trainer.parameters());
    });
  }
  for (std::thread& worker : workers) worker.join();
  return checksum;
}

// The same training in one thread, without clients and shards: the workers' gradients are added in
// their order.
uint32_t RunPlainly(const Setting& setting) {
  const Job job = Job::Create(SpecOf(setting)).value();
  std::vector<AlignedBytes> memory;
  const auto make = [&] {
    std::vector<absl::Span<float>> spans;
    for (const Job::Parameter& parameter : job.parameters()) {
      memory.push_back(NewAlignedBytes(parameter.size * sizeof(float)));
      spans.emplace_back(reinterpret_cast<float*>(memory.back().get()), parameter.size);
      std::memset(spans.back().data(), 0, parameter.size * sizeof(float));
    }
    return spans;
  };
  const auto parameters = make(), velocity = make();
  for (size_t i = 0; i < parameters.size(); ++i) {
    Initialize(job.parameters()[i].initializer, kSeed, job.parameters()[i].name, 0, parameters[i]);
  }
  std::vector<std::unique_ptr<SupervisedTask>> tasks;
  std::vector<std::vector<absl::Span<float>>> gradients;
  for (int worker = 0; worker < setting.workers; ++worker) {
    tasks.push_back(NewTask(setting, worker));
    gradients.push_back(make());
    EXPECT_TRUE(tasks.back()->Start(parameters, gradients.back(), 0).ok());
  }
  for (int64_t step = 0; step < setting.steps; ++step) {
    for (const auto& task : tasks) EXPECT_TRUE(task->ComputeGradients(step, [](int) {}).ok());
    for (size_t i = 0; i < parameters.size(); ++i) {
      for (size_t j = 0; j < parameters[i].size(); ++j) {
        float sum = gradients[0][i][j];
        for (size_t worker = 1; worker < tasks.size(); ++worker)
          sum = sum + gradients[worker][i][j];
        const float mean = sum * (1.0f / static_cast<float>(tasks.size()));
        velocity[i][j] = kMomentum * velocity[i][j] + mean;
        parameters[i][j] = parameters[i][j] - kLearningRate * velocity[i][j];
      }
    }
  }
  return Checksum(parameters);
}

TEST(SameBitsTest, WhateverTheNumberOfShardsAndTheTransport) {
  Setting setting;
  const uint32_t expected = RunJob(setting);
  const std::map<Way, const char*> ways = {{Way::kInProcess, "in process"},
                                           {Way::kGrpc, "gRPC"},
                                           {Way::kSharedMemory, "shared memory"},
                                           {Way::kMixed, "each worker another way"}};
  for (const auto& [way, name] : ways) {
    for (const int shards : {1, 2, 3}) {
      setting.shards = shards;
      setting.way = way;
      EXPECT_EQ(RunJob(setting), expected) << shards << " shards, " << name;
    }
  }
}

TEST(SameBitsTest, WhateverTheSizeOfBlocks) {
  Setting setting;
  setting.shards = 2;
  const uint32_t expected = RunJob(setting);
  for (const int64_t block_elements : {100, 1000000}) {
    setting.block_elements = block_elements;
    EXPECT_EQ(RunJob(setting), expected) << block_elements;
  }
}

TEST(SameBitsTest, AsOneProcessThatAddsTheHalfBatches) {
  for (const char* model : {"linear", "mlp", "cnn"}) {
    for (const int workers : {1, 2, 3}) {
      Setting setting;
      setting.model = model;
      setting.workers = workers;
      setting.shards = 2;
      setting.steps = 6;
      EXPECT_EQ(RunJob(setting), RunPlainly(setting)) << model << " with " << workers << " workers";
    }
  }
}

// The checksum can tell runs apart.
TEST(SameBitsTest, AnotherNumberOfStepsGivesOtherBits) {
  Setting setting;
  const uint32_t checksum = RunJob(setting);
  setting.steps += 1;
  EXPECT_NE(RunJob(setting), checksum);
}

}  // namespace
}  // namespace parley
