// The workers of a job with a table beside a dense parameter, whose shards are other processes'
// (tests/killed_tables_test.py kills these meanwhile).
//
//   table_worker --ps_hosts=HOST:PORT,... | --etcd=HOST:PORT --job=NAME --ps=N
//
// prints "step N" now and then and, at the end, "crc32c 0x..." of all rows and the parameter. An
// asynchronous job has one worker and adds whole numbers, which no order of rounding can hide: a
// row that is not the sum of what was pushed ends the program with an error.

#include <cstdint>
#include <iostream>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "base/crc32c.h"
#include "base/status.h"
#include "gflags/gflags.h"
#include "glog/logging.h"
#include "google/protobuf/text_format.h"
#include "net/channel.h"
#include "net/discovery.h"
#include "net/etcd_client.h"
#include "worker/client.h"

DECLARE_string(ps_hosts);  // in net/cluster_flags.cc
DECLARE_string(etcd);
DECLARE_string(job);
DECLARE_int32(ps);
DECLARE_int32(workers);
DEFINE_bool(synchronous, true, "Whether rounds have a push of every worker.");
DEFINE_int32(steps, 400, "Of each worker.");
DEFINE_string(table, "", "More of the table's spec, in protobuf's text format.");

namespace parley {
namespace {

constexpr size_t kKeys = 6000;
constexpr size_t kWidth = 32;
constexpr size_t kDense = 5000;
constexpr absl::Duration kTimeout = absl::Minutes(2);

using Shards = std::vector<std::shared_ptr<ParameterServer>>;

absl::StatusOr<Shards> FindAll() {
  Shards shards;
  if (FLAGS_etcd.empty()) {
    const std::vector<std::string> addresses = absl::StrSplit(FLAGS_ps_hosts, ',');
    for (const std::string& address : addresses) {
      shards.push_back(NewChannel(absl::StrCat("ps:", shards.size()), address));
    }
    return shards;
  }
  PARLEY_ASSIGN_OR_RETURN(std::shared_ptr<EtcdClient> etcd, EtcdClient::Create(FLAGS_etcd));
  PARLEY_ASSIGN_OR_RETURN(const std::vector<std::string> addresses,
                          FindShards(etcd.get(), FLAGS_job, FLAGS_ps, kTimeout));
  for (int i = 0; i < FLAGS_ps; ++i) {
    const std::string& address = addresses[static_cast<size_t>(i)];
    ChannelOptions channel;
    channel.resolver = [etcd, i, last = address]() mutable {
      auto place = FindShard(etcd.get(), FLAGS_job, i, last, absl::Milliseconds(500));
      if (place.ok()) last = *place;
      return place;
    };
    shards.push_back(NewChannel(absl::StrCat("ps:", i), address, channel));
  }
  return shards;
}

absl::StatusOr<v1::JobSpec> Spec(size_t shards) {
  v1::JobSpec spec;
  const bool parsed = google::protobuf::TextFormat::ParseFromString(
      absl::StrCat("seed: 5 parameters { name: 'w' dtype: FLOAT32 shape: ", kDense,
                   " initializer { constant { value: 0 } } } optimizer { learning_rate: 1 sgd {} } "
                   "policy { ",
                   FLAGS_synchronous ? "synchronous { await_silent: true }" : "asynchronous {}",
                   " } tables { name: 'rows' dtype: FLOAT32 width: ", kWidth,
                   FLAGS_synchronous
                       ? " initializer { normal { stddev: 1 } } optimizer { learning_rate: "
                         "0.01 adam {} } "
                       : " optimizer { learning_rate: 1 sgd {} } ",
                   FLAGS_table, " }"),
      &spec);
  if (!parsed) return absl::InvalidArgumentError("--table is no part of a TableSpec");
  spec.set_name(FLAGS_job);
  spec.set_num_workers(FLAGS_workers);
  spec.set_num_shards(static_cast<int>(shards));
  return spec;
}

// All rows, after `step` steps.
absl::StatusOr<std::vector<float>> PullAll(Client* client, int64_t step) {
  std::vector<uint64_t> keys(kKeys);
  std::iota(keys.begin(), keys.end(), uint64_t{0});
  std::vector<float> rows(kKeys * kWidth);
  PARLEY_RETURN_IF_ERROR(client->PullRows(0, step, keys, absl::MakeSpan(rows)));
  return rows;
}

absl::Status Work(int worker, const Shards& shards) {
  ClientOptions options;
  options.worker = worker;
  options.timeout = kTimeout;
  PARLEY_ASSIGN_OR_RETURN(v1::JobSpec spec, Spec(shards.size()));
  PARLEY_ASSIGN_OR_RETURN(const std::unique_ptr<Client> client,
                          Client::Connect(std::move(spec), shards, options));
  std::vector<float> dense(kDense), gradient(kDense, 1.0f);
  std::vector<float> sums(kKeys * kWidth);  // what an asynchronous job's rows are
  for (int64_t step = 0; step < FLAGS_steps; ++step) {
    std::mt19937_64 random(static_cast<uint64_t>(step * 100 + worker));
    std::vector<uint64_t> keys(random() % 300);
    for (uint64_t& key : keys) key = random() % kKeys;
    std::vector<float> rows(keys.size() * kWidth);
    PARLEY_RETURN_IF_ERROR(client->PullRows(0, step, keys, absl::MakeSpan(rows)));
    for (size_t i = 0; i < rows.size(); ++i) {
      const size_t at = keys[i / kWidth] * kWidth + i % kWidth;
      if (!FLAGS_synchronous && rows[i] != sums[at]) {
        return absl::DataLossError(absl::StrCat("at step ", step, " row ", keys[i / kWidth],
                                                " has ", rows[i], ", not ", sums[at]));
      }
      // What follows depends on every bit of what was before.
      rows[i] = FLAGS_synchronous ? rows[i] * 0.5f + 0.25f : static_cast<float>(random() % 9) - 4;
    }
    for (size_t i = 0; i < rows.size(); ++i)
      sums[keys[i / kWidth] * kWidth + i % kWidth] -= rows[i];
    PARLEY_RETURN_IF_ERROR(client->PushRows(0, step, keys, rows));
    PARLEY_RETURN_IF_ERROR(client->PushPull(step, {{0, gradient}}, {{0, absl::MakeSpan(dense)}}));
    if (worker == 0 && step % 20 == 0) std::cout << "step " << step << std::endl;
  }
  PARLEY_RETURN_IF_ERROR(client->Barrier("done", kTimeout));
  if (worker == 0) {
    PARLEY_ASSIGN_OR_RETURN(const std::vector<float> rows, PullAll(client.get(), FLAGS_steps));
    if (!FLAGS_synchronous && rows != sums) return absl::DataLossError("at the end rows are wrong");
    for (const float value : dense) {
      if (value == -static_cast<float>(FLAGS_steps)) continue;
      return absl::DataLossError(absl::StrCat("at the end a value is ", value));
    }
    const uint32_t crc = ExtendCrc32c(Crc32c(rows.data(), rows.size() * sizeof(float)),
                                      dense.data(), dense.size() * sizeof(float));
    std::cout << absl::StrFormat("crc32c 0x%08x", crc) << std::endl;
  }
  PARLEY_RETURN_IF_ERROR(client->Barrier("read", kTimeout));
  return client->Leave(absl::OkStatus());
}

int Main() {
  const absl::StatusOr<Shards> shards = FindAll();
  if (!shards.ok()) {
    std::cerr << shards.status().message() << std::endl;
    return 1;
  }
  std::vector<absl::Status> results(static_cast<size_t>(FLAGS_workers));
  std::vector<std::thread> threads;
  for (int worker = 0; worker < FLAGS_workers; ++worker) {
    threads.emplace_back([&, worker] {
      absl::Status& result = results[static_cast<size_t>(worker)];
      result = Work(worker, *shards);
      if (!result.ok()) std::cerr << "worker " << worker << ": " << result.message() << std::endl;
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const absl::Status& result : results) {
    if (!result.ok()) return 1;
  }
  return 0;
}

}  // namespace
}  // namespace parley

int main(int argc, char** argv) {
  google::InitGoogleLogging(argv[0]);
  FLAGS_logtostderr = true;
  gflags::ParseCommandLineFlags(&argc, &argv, true);
  return parley::Main();
}
