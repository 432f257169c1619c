// What an incremental checkpoint of a table takes beside a whole one: a job of one shard in this
// process, a table of width 16 with Adagrad, of which some rows are updated between two
// checkpoints. One JSON line: bytes and seconds of both, medians.
//
// --rows=2000000 --changed=0.01 --dir=/tmp
#include <gflags/gflags.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/env.h"
#include "base/status.h"
#include "net/checkpoint_folder.h"
#include "net/table_placement.h"
#include "ps/shard.h"
#include "worker/client.h"

DEFINE_int64(rows, 2'000'000, "of the table");
DEFINE_double(changed, 0.01, "the part of the rows that is updated between two checkpoints");
DEFINE_string(dir, "/tmp", "where a folder for checkpoints is made");
DEFINE_int32(repetitions, 5, "of each kind");

namespace parley {
namespace {

constexpr size_t kWidth = 16;
constexpr int64_t kTogether = 1 << 17;  // rows of a push

double Median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

struct Taken {
  std::vector<double> seconds;
  std::vector<double> bytes;
};

absl::Status Run(const std::string& folder) {
  v1::JobSpec spec;
  spec.set_name("checkpoint_bench");
  spec.set_num_workers(1);
  spec.set_num_shards(1);
  spec.mutable_optimizer()->set_learning_rate(0.1f);
  spec.mutable_optimizer()->mutable_sgd();
  spec.mutable_policy()->mutable_asynchronous();
  v1::TableSpec* const table = spec.add_tables();
  table->set_name("rows");
  table->set_width(kWidth);
  table->set_dtype(v1::FLOAT32);
  table->mutable_optimizer()->set_learning_rate(0.1f);
  table->mutable_optimizer()->mutable_adagrad();
  ShardOptions shard_options;
  shard_options.checkpoint_folder = folder;
  const auto shard = std::make_shared<Shard>(std::move(shard_options));
  ClientOptions options;
  options.checkpoint_full_every = 2;  // whole and incremental in turn
  options.timeout = absl::Minutes(10);
  PARLEY_ASSIGN_OR_RETURN(const std::unique_ptr<Client> client,
                          Client::Connect(spec, {shard}, options));
  int64_t step = 0;
  const std::vector<float> gradients(kTogether * kWidth, 0.5f);
  const auto push = [&](int64_t first, int64_t count, int64_t stride) -> absl::Status {
    std::vector<uint64_t> keys;
    for (int64_t i = 0; i < count; ++i) {
      keys.push_back(MixKey(static_cast<uint64_t>((first + i * stride) % FLAGS_rows)));
      if (static_cast<int64_t>(keys.size()) < kTogether && i + 1 < count) continue;
      PARLEY_RETURN_IF_ERROR(client->PushRows(
          0, step, keys, absl::MakeConstSpan(gradients).first(keys.size() * kWidth)));
      keys.clear();
    }
    return absl::OkStatus();
  };
  PARLEY_RETURN_IF_ERROR(push(0, FLAGS_rows, 1));
  Taken whole, incremental;
  const int64_t changed =
      std::max<int64_t>(1, static_cast<int64_t>(static_cast<double>(FLAGS_rows) * FLAGS_changed));
  for (int i = 0; i < 2 * FLAGS_repetitions; ++i) {
    PARLEY_RETURN_IF_ERROR(push(i, changed, FLAGS_rows / changed));
    ++step;
    const absl::Time began = Env::Posix()->Now();
    PARLEY_ASSIGN_OR_RETURN(const std::string manifest, client->SaveCheckpoint(step, folder, 2));
    const double seconds = absl::ToDoubleSeconds(Env::Posix()->Now() - began);
    PARLEY_ASSIGN_OR_RETURN(const v1::Manifest read, ReadManifest(Env::Posix(), folder, manifest));
    Taken& taken = read.shards(0).bases().empty() ? whole : incremental;
    taken.seconds.push_back(seconds);
    taken.bytes.push_back(static_cast<double>(read.shards(0).bytes()));
  }
  std::cout << absl::StrFormat(
                   "{\"benchmark\": \"checkpoint_bench\", \"rows\": %d, \"changed\": %.4f, "
                   "\"whole_bytes\": %.0f, \"incremental_bytes\": %.0f, \"bytes_ratio\": %.4f, "
                   "\"whole_seconds\": %.3f, \"incremental_seconds\": %.3f, "
                   "\"seconds_ratio\": %.4f}\n",
                   FLAGS_rows, FLAGS_changed, Median(whole.bytes), Median(incremental.bytes),
                   Median(incremental.bytes) / Median(whole.bytes), Median(whole.seconds),
                   Median(incremental.seconds), Median(incremental.seconds) / Median(whole.seconds))
            << std::flush;
  return client->Leave(absl::OkStatus());
}

}  // namespace
}  // namespace parley

int main(int argc, char** argv) {
  gflags::SetUsageMessage("measures checkpoints of a table");
  gflags::ParseCommandLineFlags(&argc, &argv, true);
  const std::string folder = absl::StrCat(FLAGS_dir, "/checkpoint_bench-", getpid());
  const absl::Status status = parley::Run(folder);
  std::filesystem::remove_all(folder);
  if (status.ok()) return 0;
  std::cerr << "checkpoint_bench: " << status.message() << std::endl;
  return 1;
}
