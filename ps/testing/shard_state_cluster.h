#ifndef PARLEY_PS_TESTING_SHARD_STATE_CLUSTER_H_
#define PARLEY_PS_TESTING_SHARD_STATE_CLUSTER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "net/job.h"
#include "ps/policy.h"
#include "ps/shard_state.h"

namespace parley {

v1::Policy SynchronousPolicy();
v1::Policy BackupPolicy(int replicas);
v1::Policy AsynchronousPolicy();
v1::Policy BoundedPolicy(int limit);
// `first` for `rounds` rounds, then `second`.
v1::Policy SwitchPolicy(const v1::Policy& first, int64_t rounds, const v1::Policy& second);

// By block's rounds: which gradients are in each, as 100 * worker + step.
using Rounds = std::vector<std::vector<int>>;

// A ShardState of two blocks with its workers, in words, for tests. A gradient is one number that
// names its worker and step, so that a test sees which gradients a round holds. A worker's push is
// computed from what it pulled last, where base_version does not say otherwise. The lease is 10 s,
// a PushPull waits 30 s. Thread safety: none.
class ShardStateCluster {
 public:
  // Both blocks are under `policy`, or the second under another one.
  ShardStateCluster(int workers, const v1::Policy& policy,
                    std::vector<ShardState::BlockClocks> clocks = {},
                    const v1::Policy* second = nullptr, bool acknowledges_applied = false);

  uint64_t Join(int worker, uint64_t incarnation = 1, absl::Duration wait = absl::Seconds(60));
  void JoinAll();
  // Pushes `step` to both blocks and, with `pull`, pulls both for step + 1. Returns the token.
  uint64_t PushPull(int worker, int64_t step, bool pull = true, uint64_t sequence = 0);
  uint64_t Push(int worker, int64_t step) { return PushPull(worker, step, /*pull=*/false); }
  uint64_t Pull(int worker, int64_t step);
  absl::Status Leave(int worker, const std::string& error = "");
  uint64_t Barrier(int worker);
  void Heartbeat(int worker);
  // An operator asks for so many workers.
  void AskWorkers(int workers);
  void RefusePushes(const absl::Status& reason);
  void Advance(absl::Duration duration);
  // Reports every round that was scheduled as applied, oldest first.
  void ApplyAll();

  bool Answered(uint64_t token) const { return answers.count(token) != 0; }
  absl::Status StatusOf(uint64_t token) const;
  // Gradients whose memory is still held.
  int64_t LiveGradients() const;
  ShardState& state() { return *state_; }
  ShardNumbers Numbers() const {
    ShardNumbers numbers;
    state_->FillNumbers(now, &numbers);
    return numbers;
  }

  absl::Time now = absl::UnixEpoch() + absl::Hours(1);
  std::optional<int64_t> base_version;
  int chief_says = 0;  // PushPull::workers of worker 0's pushes
  std::map<uint64_t, ShardState::Answer> answers;
  std::vector<size_t> unapplied;  // blocks of rounds scheduled
  std::vector<Rounds> rounds{{}, {}};
  std::vector<std::vector<Correction>> corrections{{}, {}};  // by block, then round
  std::vector<ShardState::LeaseNews> leases;                 // all so far
  bool apply_at_once = true;

 private:
  Payload GradientOf(int worker, int64_t step);
  ShardState::PushPull Request(int worker, int64_t step);
  uint64_t Send(ShardState::PushPull request);
  void Take(ShardState::Actions actions);

  const Job job_;
  std::vector<std::unique_ptr<Policy>> policies_;  // by block
  std::vector<uint64_t> incarnations_;
  std::vector<uint64_t> sequences_;
  std::vector<std::vector<int64_t>> versions_;  // by worker, block: pulled last
  std::map<uint64_t, int> pulling_;             // token -> worker
  std::vector<int64_t> applied_{0, 0};
  uint64_t last_token_ = 0;
  std::vector<std::weak_ptr<int>> sent_;
  std::optional<ShardState> state_;
};

}  // namespace parley

#endif  // PARLEY_PS_TESTING_SHARD_STATE_CLUSTER_H_
