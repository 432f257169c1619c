#ifndef PARLEY_NET_JOB_H_
#define PARLEY_NET_JOB_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/initializer.h"
#include "proto/job.pb.h"

namespace parley {

// One contiguous piece of a parameter. Its place in Job::blocks() is its number on the wire.
struct BlockInfo {
  int parameter;   // index in the job's parameters
  int64_t offset;  // of its first element in the parameter, in elements
  int64_t size;    // elements
  int shard;       // that owns it
};

// A Job is a JobSpec found legal, cut into blocks and placed on shards. Every task makes the same
// Job from the same spec. Thread safety: immutable after construction. Owns copies of all it holds.
class Job {
 public:
  struct Parameter {
    std::string name;
    int64_t size;     // elements
    int first_block;  // its blocks are [first_block, first_block + num_blocks)
    int num_blocks;
    Initializer initializer;
  };

  // INVALID_ARGUMENT, naming the field, when the spec is illegal: no or doubled names, dimensions
  // that are not positive or whose product is too large, a dtype other than float32, no optimizer
  // or policy, numbers out of their range, more than 2^22 blocks.
  static absl::StatusOr<Job> Create(v1::JobSpec spec);

  const v1::JobSpec& spec() const { return spec_; }
  const std::string& name() const { return spec_.name(); }
  const std::vector<Parameter>& parameters() const { return parameters_; }
  const std::vector<BlockInfo>& blocks() const { return blocks_; }
  // How `parameter`, an index in parameters(), is updated: its own optimizer, or the job's.
  const v1::Optimizer& OptimizerOf(int parameter) const;
  // When its updates become visible: its own policy, or the job's.
  const v1::Policy& PolicyOf(int parameter) const;
  // For how many rounds, from the first, each round of `parameter` is one step of every worker, so
  // that a block's version is a step: all (the largest int64) with a plain synchronous policy,
  // those of the first phase where that is one, none otherwise.
  int64_t LockstepRounds(int parameter) const;
  // Whether a round of `parameter` may wait, with the gradients it has, for others.
  bool GathersGradients(int parameter) const;
  // Whether a stale gradient of `parameter` is compensated for its delay, which takes the values
  // that it was computed from.
  bool CompensatesDelay(int parameter) const;
  // Each shard has a part of each table, which is pushed to and pulled from like a block: its
  // number is that of no block. When updates of `table`, an index in spec().tables(), become
  // visible.
  uint32_t BlockOfTable(int table) const {
    return static_cast<uint32_t>(blocks_.size()) + static_cast<uint32_t>(table);
  }
  const v1::Policy& PolicyOfTable(int table) const;
  // Index in spec().tables(); NOT_FOUND names the table and the job.
  absl::StatusOr<int> FindTable(absl::string_view name) const;
  // The blocks of `shard`, ascending.
  std::vector<uint32_t> BlocksOfShard(int shard) const;
  // Whether `shard` has anything that is pushed to: blocks, or parts of tables.
  bool HasState(int shard) const {
    return !spec_.tables().empty() || !BlocksOfShard(shard).empty();
  }
  // Index in parameters(); NOT_FOUND names the parameter and the job.
  absl::StatusOr<int> FindParameter(absl::string_view name) const;

 private:
  Job() = default;

  v1::JobSpec spec_;
  std::vector<Parameter> parameters_;
  std::vector<BlockInfo> blocks_;
  absl::flat_hash_map<std::string, int> parameter_index_;
};

// The first difference between two specs in words, for the message to a task that brought another
// one; empty when equal.
std::string DescribeDifference(const v1::JobSpec& declared, const v1::JobSpec& other);

v1::Initializer ToProto(const Initializer& initializer);
Initializer FromProto(const v1::Initializer& proto);

}  // namespace parley

#endif  // PARLEY_NET_JOB_H_
