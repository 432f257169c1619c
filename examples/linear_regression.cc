// The smallest Parley program: y = w x + b is learned from 100 noisy points of y = 2x + 10, one a
// step, by one worker and two shards, all in this process. Nothing here needs a network.

#include <cstdio>
#include <memory>
#include <vector>

#include "base/philox.h"
#include "base/status.h"
#include "data/sampler.h"
#include "ps/shard.h"
#include "worker/client.h"

using parley::Client;

struct Point {
  float x, y;
};

static std::vector<Point> MakePoints() {
  std::vector<Point> points;
  for (int i = 0; i < 100; ++i) {
    const float x = -1 + 2 * static_cast<float>(i) / 99;
    points.push_back({x, 2 * x + 10 + 0.33f * parley::PhiloxNormal(/*key=*/1, /*stream=*/0, i)});
  }
  return points;
}

// What all tasks agree on: two scalars, plain SGD, one worker, two shards.
static parley::v1::JobSpec MakeJob() {
  parley::v1::JobSpec job;
  job.set_name("linear_regression");
  job.set_num_workers(1);
  job.set_num_shards(2);
  for (const char* name : {"w", "b"}) {
    parley::v1::ParameterSpec* parameter = job.add_parameters();
    parameter->set_name(name);
    parameter->set_dtype(parley::v1::FLOAT32);
  }
  job.mutable_optimizer()->set_learning_rate(0.01f);
  job.mutable_optimizer()->mutable_sgd();
  job.mutable_policy()->mutable_synchronous();
  return job;
}

static absl::Status Train() {
  std::vector<std::shared_ptr<parley::ParameterServer>> shards;
  for (int i = 0; i < 2; ++i) {
    parley::ShardOptions options;
    options.shard_index = i;
    shards.push_back(std::make_shared<parley::Shard>(options));
  }
  PARLEY_ASSIGN_OR_RETURN(const std::unique_ptr<Client> client,
                          Client::Connect(MakeJob(), shards, parley::ClientOptions()));

  const std::vector<Point> points = MakePoints();
  PARLEY_ASSIGN_OR_RETURN(auto sampler, parley::data::Sampler::Create(100, 1, 1, /*seed=*/1));
  float w, b, dw, db;
  const std::vector<Client::Target> targets = {{0, {&w, 1}}, {1, {&b, 1}}};
  PARLEY_RETURN_IF_ERROR(client->Pull(0, targets));
  for (int step = 0; step < 1000; ++step) {
    const Point& point = points[sampler.Indices(step, /*worker=*/0)[0]];
    const float error = w * point.x + b - point.y;  // the loss is error^2 / 2
    dw = error * point.x;
    db = error;
    PARLEY_RETURN_IF_ERROR(client->PushPull(step, {{0, {&dw, 1}}, {1, {&db, 1}}}, targets));
    if (step % 100 == 99) std::printf("epoch %2d: w = %.2f, b = %.2f\n", step / 100 + 1, w, b);
  }
  return client->Leave(absl::OkStatus());
}

int main() {
  const absl::Status status = Train();
  if (!status.ok()) std::fprintf(stderr, "linear_regression: %s\n", status.ToString().c_str());
  return status.ok() ? 0 : 1;
}
