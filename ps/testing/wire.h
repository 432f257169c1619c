#ifndef PARLEY_PS_TESTING_WIRE_H_
#define PARLEY_PS_TESTING_WIRE_H_

#include <cstdint>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "net/forwarding_parameter_server.h"
#include "ps/standby.h"

namespace parley {

// The way to a standby.
class Wire final : public ForwardingParameterServer {
 public:
  explicit Wire(uint32_t seed) : ForwardingParameterServer(nullptr), random_(seed) {}

  // Null: nobody is there.
  void ConnectTo(std::shared_ptr<Standby> standby) {
    MutexLock lock(&mutex_);
    standby_ = std::move(standby);
    if (standby_ != nullptr) all_.push_back(standby_);
  }
  // Of all answers this part is lost on the way.
  void LoseAnswers(double part) {
    MutexLock lock(&mutex_);
    lost_ = part;
  }
  // The next round's gradient arrives as another, as if the standby's memory had changed.
  void ChangeNextRound() {
    MutexLock lock(&mutex_);
    changes_round_ = true;
  }
  void Replicate(v1::ReplicateRequest request, Payload payload,
                 Done<v1::ReplicateResponse> done) override {
    const std::shared_ptr<Standby> standby = Reach();
    if (standby == nullptr) return done(absl::UnavailableError("nobody is there"));
    if (TakeChange(request)) payload = Zeros(payload.size());
    standby->Replicate(std::move(request), std::move(payload),
                       [lose = Lose(), done = std::move(done)](
                           absl::StatusOr<v1::ReplicateResponse> answer) mutable {
                         if (lose) return done(absl::UnavailableError("lost"));
                         done(std::move(answer));
                       });
  }
  void FetchReplica(v1::FetchReplicaRequest request, Done<FetchReplicaReply> done) override {
    const std::shared_ptr<Standby> standby = Reach();
    if (standby == nullptr) return done(absl::UnavailableError("nobody is there"));
    standby->FetchReplica(
        std::move(request),
        [lose = Lose(), done = std::move(done)](absl::StatusOr<FetchReplicaReply> answer) mutable {
          if (lose) return done(absl::UnavailableError("lost"));
          done(std::move(answer));
        });
  }

 private:
  bool TakeChange(const v1::ReplicateRequest& request) {
    MutexLock lock(&mutex_);
    if (!changes_round_ || request.records_size() == 0 || !request.records(0).has_round()) {
      return false;
    }
    changes_round_ = false;
    return true;
  }
  static Payload Zeros(size_t bytes) {
    const auto zeros = std::make_shared<const std::vector<char>>(bytes, 0);
    Payload payload;
    payload.Append(zeros->data(), bytes, zeros);
    return payload;
  }
  std::shared_ptr<Standby> Reach() {
    MutexLock lock(&mutex_);
    return standby_;
  }
  bool Lose() {
    MutexLock lock(&mutex_);
    return std::uniform_real_distribution<double>(0, 1)(random_) < lost_;
  }

  mutable Mutex mutex_;
  std::shared_ptr<Standby> standby_ ABSL_GUARDED_BY(mutex_);
  // Who answers must outlive the answer, and not end with it, on a thread of its own.
  std::vector<std::shared_ptr<Standby>> all_ ABSL_GUARDED_BY(mutex_);
  double lost_ ABSL_GUARDED_BY(mutex_) = 0;
  bool changes_round_ ABSL_GUARDED_BY(mutex_) = false;
  std::mt19937 random_ ABSL_GUARDED_BY(mutex_);
};

inline std::shared_ptr<Standby> NewStandby(Standby::Options options = Standby::Options()) {
  options.task = "ps:1";
  return std::make_shared<Standby>(std::move(options));
}

}  // namespace parley

#endif  // PARLEY_PS_TESTING_WIRE_H_
