// One worker that pushes and pulls without end, against ps tasks that it finds in etcd, and says of
// each step that took longer than others how long it took; bench/takeover.py kills the tasks
// meanwhile.
//
//   outage --etcd=HOST:PORT --job=bench --ps=3
//
// prints "slow MILLISECONDS" for each such step and, after SIGTERM, "steps STEPS". The gradients
// are ones and the learning rate is one, so each element must be minus the number of steps,
// exactly: a push that was lost or taken twice ends the program with an error.

#include <chrono>
#include <csignal>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gflags/gflags.h"
#include "glog/logging.h"
#include "net/channel.h"
#include "net/discovery.h"
#include "net/etcd_client.h"
#include "worker/client.h"

DECLARE_string(etcd);  // in net/cluster_flags.cc
DECLARE_string(job);
DECLARE_int32(ps);
DEFINE_int32(tensors, 6, "How many tensors the model has.");
DEFINE_int64(bytes, 1 << 17, "The size of each in float32.");
DEFINE_int32(slow_ms, 20, "Steps from which on are slow.");

namespace parley::bench {
namespace {

volatile std::sig_atomic_t g_stopped = 0;

void OnSignal(int) { g_stopped = 1; }

int Fail(const absl::Status& status) {
  std::cerr << "outage: " << status.message() << std::endl;
  return 1;
}

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

int Main() {
  std::signal(SIGTERM, OnSignal);
  auto created = EtcdClient::Create(FLAGS_etcd);
  if (!created.ok()) return Fail(created.status());
  const std::shared_ptr<EtcdClient> etcd = *std::move(created);
  const auto addresses = FindShards(etcd.get(), FLAGS_job, FLAGS_ps, absl::Seconds(60));
  if (!addresses.ok()) return Fail(addresses.status());
  v1::JobSpec spec;
  spec.set_name(FLAGS_job);
  spec.set_num_workers(1);
  spec.set_num_shards(FLAGS_ps);
  std::vector<std::vector<float>> memory;
  const size_t size = static_cast<size_t>(FLAGS_bytes) / sizeof(float);
  const std::vector<float> ones(size, 1.0f);
  std::vector<Client::Gradient> gradients;
  std::vector<Client::Target> targets;
  for (int i = 0; i < FLAGS_tensors; ++i) memory.emplace_back(size);
  for (int i = 0; i < FLAGS_tensors; ++i) {
    v1::ParameterSpec* const parameter = spec.add_parameters();
    parameter->set_name(absl::StrCat("p", i));
    parameter->add_shape(static_cast<int64_t>(size));
    parameter->set_dtype(v1::FLOAT32);
    parameter->mutable_initializer()->mutable_constant()->set_value(0);
    gradients.push_back({i, ones});
    targets.push_back({i, absl::MakeSpan(memory[static_cast<size_t>(i)])});
  }
  spec.mutable_optimizer()->set_learning_rate(1);
  spec.mutable_optimizer()->mutable_sgd();
  spec.mutable_policy()->mutable_synchronous();
  std::vector<std::shared_ptr<ParameterServer>> shards;
  for (int i = 0; i < FLAGS_ps; ++i) {
    const std::string& address = (*addresses)[static_cast<size_t>(i)];
    ChannelOptions channel;
    channel.resolver = [etcd, i, last = address]() mutable {
      auto place = FindShard(etcd.get(), FLAGS_job, i, last, absl::Milliseconds(500));
      if (place.ok()) last = *place;
      return place;
    };
    shards.push_back(NewChannel(absl::StrCat("ps:", i), address, channel));
  }
  const auto client = Client::Connect(spec, std::move(shards), ClientOptions());
  if (!client.ok()) return Fail(client.status());
  int64_t step = 0;
  for (; g_stopped == 0; ++step) {
    const double begin = Now();
    const absl::Status pushed = (*client)->PushPull(step, gradients, targets);
    if (!pushed.ok()) return Fail(pushed);
    const double milliseconds = 1000 * (Now() - begin);
    if (milliseconds >= FLAGS_slow_ms) std::cout << "slow " << milliseconds << std::endl;
    for (const std::vector<float>& values : memory) {
      for (const float value : values) {
        if (value == static_cast<float>(-step - 1)) continue;
        return Fail(absl::DataLossError(absl::StrCat("after step ", step, " a value is ", value)));
      }
    }
  }
  std::cout << "steps " << step << std::endl;
  const absl::Status left = (*client)->Leave(absl::OkStatus());
  return left.ok() ? 0 : Fail(left);
}

}  // namespace
}  // namespace parley::bench

int main(int argc, char** argv) {
  google::InitGoogleLogging(argv[0]);
  FLAGS_logtostderr = true;
  gflags::ParseCommandLineFlags(&argc, &argv, true);
  return parley::bench::Main();
}
