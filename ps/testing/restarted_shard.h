#ifndef PARLEY_PS_TESTING_RESTARTED_SHARD_H_
#define PARLEY_PS_TESTING_RESTARTED_SHARD_H_

#include <memory>
#include <thread>
#include <utility>

#include "absl/status/statusor.h"
#include "base/mutex.h"
#include "net/uniform_parameter_server.h"
#include "ps/shard.h"

namespace parley {

// A ps task of a job in this process, whose shard dies and is started again while workers speak to
// it: they hear UNAVAILABLE meanwhile. Thread safety: safe from any thread; Start and Die by one.
class RestartedShard final : public UniformParameterServer<RestartedShard> {
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

  void PushPull(v1::PushPullRequest request, Payload payload, Done<PushPullReply> done) override {
    const std::shared_ptr<Shard> shard = Alive();
    if (shard == nullptr) return done(Dead());
    shard->PushPull(std::move(request), std::move(payload), std::move(done));
  }

 private:
  friend class UniformParameterServer<RestartedShard>;

  static absl::Status Dead() { return absl::UnavailableError("the shard is dead"); }
  std::shared_ptr<Shard> Alive() {
    MutexLock lock(&mutex_);
    return shard_;
  }
  template <typename Request, typename Response>
  void Call(void (ParameterServer::*method)(Request, Done<Response>), Request request,
            Done<Response> done) {
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
