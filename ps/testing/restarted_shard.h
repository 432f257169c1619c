#ifndef PARLEY_PS_TESTING_RESTARTED_SHARD_H_
#define PARLEY_PS_TESTING_RESTARTED_SHARD_H_

#include <memory>
#include <thread>
#include <utility>

#include "absl/status/statusor.h"
#include "base/mutex.h"
#include "net/parameter_server.h"
#include "ps/shard.h"

namespace parley {

// A ps task of a job in this process, whose shard dies and is started again while workers speak to
// it: they hear UNAVAILABLE meanwhile. Thread safety: safe from any thread; Start and Die by one.
class RestartedShard final : public ParameterServer {
 public:
  explicit RestartedShard(ShardOptions options) : options_(std::move(options)) {}

  // Returns whether it goes on from its log.
  absl::StatusOr<bool> Start() {
    auto shard = std::make_shared<Shard>(options_);
    absl::StatusOr<bool> recovered = shard->Recover();
    Become(std::move(shard));
    return recovered;
  }
  // From now on it is this one, which was started already.
  void Become(std::shared_ptr<Shard> shard) {
    MutexLock lock(&mutex_);
    shard_ = std::move(shard);
  }
  // Returns when nothing of it is left but its files.
  void Die() {
    std::shared_ptr<Shard> dying;
    {
      MutexLock lock(&mutex_);
      dying = std::move(shard_);
      shard_ = nullptr;
    }
    // Others are in a call of it, which returns at once.
    while (dying.use_count() > 1) std::this_thread::yield();
  }

  void Declare(v1::DeclareRequest request, Done<v1::DeclareResponse> done) override {
    Call(&Shard::Declare, std::move(request), std::move(done));
  }
  void Join(v1::JoinRequest request, Done<v1::JoinResponse> done) override {
    Call(&Shard::Join, std::move(request), std::move(done));
  }
  void Heartbeat(v1::HeartbeatRequest request, Done<v1::HeartbeatResponse> done) override {
    Call(&Shard::Heartbeat, std::move(request), std::move(done));
  }
  void PushPull(v1::PushPullRequest request, Payload payload, Done<PushPullReply> done) override {
    const std::shared_ptr<Shard> shard = Alive();
    if (shard == nullptr) return done(Dead());
    shard->PushPull(std::move(request), std::move(payload), std::move(done));
  }
  void Leave(v1::LeaveRequest request, Done<v1::LeaveResponse> done) override {
    Call(&Shard::Leave, std::move(request), std::move(done));
  }
  void Barrier(v1::BarrierRequest request, Done<v1::BarrierResponse> done) override {
    Call(&Shard::Barrier, std::move(request), std::move(done));
  }
  void Checkpoint(v1::CheckpointRequest request, Done<v1::CheckpointResponse> done) override {
    Call(&Shard::Checkpoint, std::move(request), std::move(done));
  }
  void DescribeBlocks(v1::DescribeBlocksRequest request,
                      Done<v1::DescribeBlocksResponse> done) override {
    Call(&Shard::DescribeBlocks, std::move(request), std::move(done));
  }
  void GetNormSums(v1::GetNormSumsRequest request, Done<v1::GetNormSumsResponse> done) override {
    Call(&Shard::GetNormSums, std::move(request), std::move(done));
  }
  void SetNormTotals(v1::SetNormTotalsRequest request,
                     Done<v1::SetNormTotalsResponse> done) override {
    Call(&Shard::SetNormTotals, std::move(request), std::move(done));
  }
  void GetStatus(v1::GetStatusRequest request, Done<v1::GetStatusResponse> done) override {
    Call(&Shard::GetStatus, std::move(request), std::move(done));
  }
  void Ask(v1::AskRequest request, Done<v1::AskResponse> done) override {
    Call(&Shard::Ask, std::move(request), std::move(done));
  }

 private:
  static absl::Status Dead() { return absl::UnavailableError("the shard is dead"); }
  std::shared_ptr<Shard> Alive() {
    MutexLock lock(&mutex_);
    return shard_;
  }
  template <typename Request, typename Response>
  void Call(void (Shard::*method)(Request, Done<Response>), Request request, Done<Response> done) {
    const std::shared_ptr<Shard> shard = Alive();
    if (shard == nullptr) return done(Dead());
    (shard.get()->*method)(std::move(request), std::move(done));
  }

  const ShardOptions options_;
  Mutex mutex_;
  std::shared_ptr<Shard> shard_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace parley

#endif  // PARLEY_PS_TESTING_RESTARTED_SHARD_H_
