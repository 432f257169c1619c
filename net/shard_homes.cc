#include "net/shard_homes.h"

#include <cstddef>
#include <numeric>
#include <set>
#include <utility>

namespace parley {

std::vector<int> ShardHomes(int num_shards, int num_tasks) {
  std::vector<int> homes(static_cast<size_t>(num_shards));
  std::iota(homes.begin(), homes.end(), 0);
  std::vector<std::vector<int>> shards_of;
  std::set<std::pair<size_t, int>> by_load;  // how many shards a task has, and the task
  for (int task = 0; task < num_shards; ++task) {
    shards_of.push_back({task});
    by_load.insert({1, task});
  }
  for (int last = num_shards - 1; last >= num_tasks; --last) {
    by_load.erase({shards_of.back().size(), last});
    const std::vector<int> left = std::move(shards_of.back());
    shards_of.pop_back();
    for (const int shard : left) {
      const auto [load, task] = *by_load.begin();
      by_load.erase(by_load.begin());
      by_load.insert({load + 1, task});
      shards_of[static_cast<size_t>(task)].push_back(shard);
      homes[static_cast<size_t>(shard)] = task;
    }
  }
  return homes;
}

}  // namespace parley
