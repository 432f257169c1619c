#include "examples/table_workers.h"

#include <memory>
#include <thread>
#include <vector>

#include "base/status.h"
#include "ps/shard.h"

namespace parley {
namespace {

absl::Status RunWorker(const v1::JobSpec& spec, int worker,
                       std::vector<std::shared_ptr<ParameterServer>> shards,
                       const std::function<absl::Status(Client*)>& work) {
  ClientOptions options;
  options.worker = worker;
  PARLEY_ASSIGN_OR_RETURN(const std::unique_ptr<Client> client,
                          Client::Connect(spec, std::move(shards), options));
  const absl::Status worked = work(client.get());
  const absl::Status left = client->Leave(worked);
  return worked.ok() ? left : worked;
}

}  // namespace

absl::Status RunTableWorkers(const v1::JobSpec& spec,
                             const std::function<absl::Status(Client*)>& work) {
  if (spec.num_workers() < 1 || spec.num_shards() < 1) {
    return absl::InvalidArgumentError("a job needs at least one worker and one shard");
  }
  std::vector<std::shared_ptr<ParameterServer>> shards;
  for (int i = 0; i < spec.num_shards(); ++i) {
    ShardOptions options;
    options.shard_index = i;
    shards.push_back(std::make_shared<Shard>(options));
  }
  std::vector<absl::Status> results(static_cast<size_t>(spec.num_workers()));
  std::vector<std::thread> threads;
  for (int i = 0; i < spec.num_workers(); ++i) {
    threads.emplace_back([&, i] { results[i] = RunWorker(spec, i, shards, work); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const absl::Status& result : results) PARLEY_RETURN_IF_ERROR(result);
  return absl::OkStatus();
}

}  // namespace parley
