#ifndef PARLEY_NET_SHARD_HOMES_H_
#define PARLEY_NET_SHARD_HOMES_H_

#include <vector>

namespace parley {

// Which ps task is to speak for which shard: result[i] is the task of shard i, of `num_shards` >=
// 1, when there are `num_tasks` >= 1. Pure, so that every task computes the same.
//
// With as many tasks as shards, or more, shard i is at task i. With one task fewer, the shards of
// the last one go to those who have the fewest, lower tasks first; and so on. So no task has more
// than one shard more than another, and when tasks are added or removed no shard moves that need
// not.
std::vector<int> ShardHomes(int num_shards, int num_tasks);

}  // namespace parley

#endif  // PARLEY_NET_SHARD_HOMES_H_
