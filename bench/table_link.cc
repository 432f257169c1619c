// Rows of a table from a worker to a shard and back: one worker, one shard, requests of 16384
// uniform keys, width 16. One JSON line a case.
//
//   pull, push    several requests under way
//   pull_alone    one after another: how long each takes
//
// --transport=inproc, grpc or shm; worker and shard are threads of this process, with a socket or
// shared memory between them.
//
// --transport=shm --rows=1000000 --seconds=3 --under_way=2 --threads=0 --log_folder=
#include <gflags/gflags.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <functional>
#include <future>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/keep_freed_memory.h"
#include "base/status.h"
#include "net/channel.h"
#include "net/shared_arena.h"
#include "net/table_placement.h"
#include "ps/server.h"
#include "ps/shard.h"
#include "worker/client.h"

DEFINE_string(transport, "shm", "inproc, grpc or shm");
DEFINE_int64(rows, 1'000'000, "that the table has");
DEFINE_double(seconds, 3, "of each case");
DEFINE_int32(under_way, 2, "requests");
DEFINE_int32(threads, 0, "of the shard; 0: one for each core");
DEFINE_string(log_folder, "", "where pushes are written down before they count; empty: nowhere");

namespace parley {
namespace {

constexpr size_t kWidth = 16;
constexpr size_t kBatch = 16384;
constexpr size_t kBatches = 64;  // different ones

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

v1::JobSpec Spec() {
  v1::JobSpec spec;
  spec.set_name("table_link");
  spec.set_num_workers(1);
  spec.set_num_shards(1);
  spec.mutable_optimizer()->mutable_sgd();
  spec.mutable_policy()->mutable_asynchronous();
  v1::TableSpec* const table = spec.add_tables();
  table->set_name("rows");
  table->set_width(kWidth);
  table->set_dtype(v1::FLOAT32);
  table->mutable_optimizer()->set_learning_rate(0.01f);
  table->mutable_optimizer()->mutable_adagrad();
  return spec;
}

class Link {
 public:
  absl::Status Start() {
    ClientOptions options;
    options.arena = SharedArena::Create();
    std::vector<std::shared_ptr<ParameterServer>> shards;
    if (FLAGS_transport == "inproc") {
      ShardOptions shard;
      shard.threads = FLAGS_threads;
      shard.log_folder = FLAGS_log_folder;
      shards.push_back(std::make_shared<Shard>(std::move(shard)));
    } else {
      ServerOptions server;
      server.shard.threads = FLAGS_threads;
      server.shard.log_folder = FLAGS_log_folder;
      server.address = "localhost:0";
      PARLEY_ASSIGN_OR_RETURN(server_, Server::Start(server));
      ChannelOptions channel;
      channel.transport = FLAGS_transport == "grpc" ? Transport::kGrpc : Transport::kSharedMemory;
      channel.arena = options.arena;
      shards.push_back(NewChannel("ps:0", absl::StrCat("localhost:", server_->port()), channel));
    }
    PARLEY_ASSIGN_OR_RETURN(client_, Client::Connect(Spec(), std::move(shards), options));
    gradients_.assign(kBatch * kWidth, 0.01f);
    PARLEY_RETURN_IF_ERROR(Fill());
    uint64_t random = 1;
    for (size_t i = 0; i < kBatches; ++i) {
      batches_.emplace_back();
      for (size_t j = 0; j < kBatch; ++j) {
        batches_.back().push_back(KeyOf(MixKey(random++) % static_cast<uint64_t>(FLAGS_rows)));
      }
    }
    return absl::OkStatus();
  }

  std::future<absl::Status> Pull(size_t i, float* rows) {
    return client_->PullRowsAsync(0, 0, batches_[i % kBatches], {rows, kBatch * kWidth});
  }
  std::future<absl::Status> Push(size_t i) {
    return client_->PushRowsAsync(0, 0, batches_[i % kBatches], gradients_);
  }

 private:
  static uint64_t KeyOf(uint64_t row) { return MixKey(row + 0x9e3779b97f4a7c15); }

  absl::Status Fill() {
    std::vector<uint64_t> keys;
    for (int64_t row = 0; row < FLAGS_rows;) {
      keys.clear();
      for (; row < FLAGS_rows && keys.size() < kBatch; ++row) {
        keys.push_back(KeyOf(static_cast<uint64_t>(row)));
      }
      PARLEY_RETURN_IF_ERROR(
          client_->PushRows(0, 0, keys, absl::MakeSpan(gradients_).first(keys.size() * kWidth)));
    }
    return absl::OkStatus();
  }

  std::unique_ptr<Server> server_;
  std::unique_ptr<Client> client_;
  std::vector<std::vector<uint64_t>> batches_;
  std::vector<float> gradients_;
};

absl::Status Measure(const std::string& name, size_t under_way,
                     const std::function<std::future<absl::Status>(size_t)>& begin) {
  struct Request {
    Clock::time_point began;
    std::future<absl::Status> future;
  };
  std::deque<Request> requests;
  std::vector<double> latencies;
  size_t next = 0;
  const Clock::time_point began = Clock::now();
  while (SecondsSince(began) < FLAGS_seconds) {
    while (requests.size() < under_way) {
      requests.push_back({Clock::now(), begin(next++)});
    }
    PARLEY_RETURN_IF_ERROR(requests.front().future.get());
    latencies.push_back(SecondsSince(requests.front().began));
    requests.pop_front();
  }
  const double seconds = SecondsSince(began);
  for (Request& request : requests) request.future.wait();
  const double count = static_cast<double>(latencies.size());
  std::sort(latencies.begin(), latencies.end());
  const auto quantile = [&](double q) {
    return latencies[static_cast<size_t>(q * (count - 1))] * 1e6;
  };
  std::cout << absl::StrFormat(
                   "{\"benchmark\": \"table_link\", \"case\": \"%s\", \"transport\": \"%s\", "
                   "\"rows_per_second\": %.3g, "
                   "\"p50_us\": %.0f, \"p99_us\": %.0f}\n",
                   name, FLAGS_transport, count * kBatch / seconds, quantile(0.5), quantile(0.99))
            << std::flush;
  return absl::OkStatus();
}

absl::Status Run() {
  Link link;
  PARLEY_RETURN_IF_ERROR(link.Start());
  const size_t under_way = static_cast<size_t>(std::max(1, FLAGS_under_way));
  std::vector<std::vector<float>> rows(under_way + 1, std::vector<float>(kBatch * kWidth));
  const auto pull = [&](size_t i) { return link.Pull(i, rows[i % rows.size()].data()); };
  PARLEY_RETURN_IF_ERROR(Measure("pull", under_way, pull));
  PARLEY_RETURN_IF_ERROR(Measure("pull_alone", 1, pull));
  return Measure("push", under_way, [&](size_t i) { return link.Push(i); });
}

}  // namespace
}  // namespace parley

int main(int argc, char** argv) {
  gflags::SetUsageMessage("measures a table's rows on their way");
  gflags::ParseCommandLineFlags(&argc, &argv, true);
  parley::KeepFreedMemory();
  const absl::Status status = parley::Run();
  if (!status.ok()) std::cerr << "table_link: " << status.message() << std::endl;
  return status.ok() ? 0 : 1;
}
