#ifndef PARLEY_PS_TESTING_REPLICATED_SHARD_H_
#define PARLEY_PS_TESTING_REPLICATED_SHARD_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "net/forwarding_parameter_server.h"
#include "ps/copy_place.h"
#include "ps/shard.h"
#include "ps/standby.h"
#include "ps/testing/restarted_shard.h"
#include "ps/testing/wire.h"

namespace parley {

// A shard of a job in this process with a copy at one of two tasks: it dies, and the task with the
// copy takes it over; and its copy moves from one to the other while workers speak to it.
// Thread safety: safe from any thread; Start, Die and Move by one.
class ReplicatedShard final : public ForwardingParameterServer {
 public:
  ReplicatedShard(ShardOptions options, size_t table_parts)
      : ForwardingParameterServer(&shard_), options_(std::move(options)), shard_(options_) {
    for (size_t i = 0; i < standbys_.size(); ++i) {
      Standby::Options standby;
      standby.start = i + 1;
      standby.table_parts = table_parts;
      standby.spill_folder = options_.spill_folder;
      standbys_[i] = NewStandby(std::move(standby));
      wires_[i] = std::make_shared<Wire>(/*seed=*/0);
      wires_[i]->ConnectTo(standbys_[i]);
    }
    options_.standby_patience = absl::Minutes(1);
  }
  ~ReplicatedShard() override { shard_.Die(); }

  void Start() { shard_.Become(NewShard()); }

  // The shard dies in the middle of whatever it does, and goes on with its copy, as soon as it has
  // one: what is lost together with its copy is lost.
  absl::Status Die() {
    while (place_->in_sync() == 0) std::this_thread::yield();
    shard_.Die();
    const uint64_t keeper = place_->in_sync();
    absl::optional<ShardCopy> copy =
        standbys_[keeper - 1]->Release(options_.shard_index, place_->term() + 1);
    if (!copy.has_value()) return absl::InternalError("the copy that is in sync is not whole");
    const std::shared_ptr<Shard> next = NewShard();
    const absl::Status taken = next->TakeOver(*std::move(copy));
    shard_.Become(next);
    return taken;
  }
  // Its copy is to be at the other task from now on. What is pushed need not wait for that.
  void Move() { place_->Move(); }

 private:
  using Wires = std::array<std::shared_ptr<Wire>, 2>;

  class Place final : public CopyPlace {
   public:
    Place(Wires wires, uint64_t term)
        : wires_(std::move(wires)), term_(term), at_(static_cast<size_t>(term % 2)) {}
    uint64_t term() const override { return term_; }
    bool TookOver() const override { return false; }
    absl::StatusOr<std::shared_ptr<ParameterServer>> Choose() override { return wires_[at_]; }
    bool IsGone() override { return false; }
    bool IsToMove() const override { return moves_; }
    absl::StatusOr<std::shared_ptr<ParameterServer>> BeginMove() override {
      return wires_[1 - at_];
    }
    void EndMove() override {
      at_ = 1 - at_;
      moves_ = false;
    }
    absl::Status SetInSync(uint64_t keeper) override {
      in_sync_ = keeper;
      return absl::OkStatus();
    }

    uint64_t in_sync() const { return in_sync_; }
    void Move() { moves_ = true; }

   private:
    const Wires wires_;
    const uint64_t term_;
    size_t at_;  // the sink's thread's
    std::atomic<bool> moves_{false};
    std::atomic<uint64_t> in_sync_{0};
  };

  std::shared_ptr<Shard> NewShard() {
    place_ = std::make_shared<Place>(wires_, place_ == nullptr ? 1 : place_->term() + 1);
    options_.copy_place = place_;
    return std::make_shared<Shard>(options_);
  }

  ShardOptions options_;
  std::array<std::shared_ptr<Standby>, 2> standbys_;
  Wires wires_;
  std::shared_ptr<Place> place_;
  RestartedShard shard_;
};

}  // namespace parley

#endif  // PARLEY_PS_TESTING_REPLICATED_SHARD_H_
