#include "net/resolving_channel.h"

#include <algorithm>
#include <atomic>
#include <list>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/env.h"
#include "base/mutex.h"
#include "base/planted_bug.h"
#include "glog/logging.h"
#include "net/uniform_parameter_server.h"

namespace parley {
namespace {

constexpr absl::Duration kFirstPause = absl::Milliseconds(50);
constexpr absl::Duration kLongestPause = absl::Milliseconds(200);

class ResolvingChannel final : public UniformParameterServer<ResolvingChannel> {
 public:
  ResolvingChannel(const std::string& task, const std::string& address, AddressResolver resolver,
                   ChannelFactory factory)
      : task_(task),
        resolver_(std::move(resolver)),
        factory_(std::move(factory)),
        current_(std::make_shared<Place>(address, factory_(address))),
        thread_([this] { Follow(); }) {}

  ~ResolvingChannel() override {
    {
      MutexLock lock(&mutex_);
      closing_ = true;
      changed_.NotifyAll();
    }
    thread_.join();
    std::shared_ptr<Place> last;
    {
      MutexLock lock(&mutex_);
      last.swap(current_);
    }
    last->server.reset();  // every `done` runs, while this object lives
    for (const std::shared_ptr<Place>& place : left_) place->server.reset();
  }

  void PushPull(v1::PushPullRequest request, Payload payload, Done<PushPullReply> done) override {
    const std::shared_ptr<Place> place = Enter();
    place->server->PushPull(std::move(request), std::move(payload),
                            Listening(place.get(), std::move(done)));
    Exit(place.get());
  }
  std::unique_ptr<Attendance> Attend() override {
    const std::shared_ptr<Place> place = Enter();
    std::unique_ptr<Attendance> attendance = place->server->Attend();
    Exit(place.get());
    return attendance;
  }
  void Replicate(v1::ReplicateRequest request, Payload payload,
                 Done<v1::ReplicateResponse> done) override {
    const std::shared_ptr<Place> place = Enter();
    place->server->Replicate(std::move(request), std::move(payload),
                             Listening(place.get(), std::move(done)));
    Exit(place.get());
  }
  void FetchReplica(v1::FetchReplicaRequest request, Done<FetchReplicaReply> done) override {
    Call(&ParameterServer::FetchReplica, std::move(request), std::move(done));
  }

 private:
  friend class UniformParameterServer<ResolvingChannel>;

  // An address and the channel there, which only the thread that follows, and the destructor, end:
  // never a `done`. Owned by shared_ptr for those who are sending; `server` lives while there are
  // any.
  struct Place {
    Place(const std::string& where, std::unique_ptr<ParameterServer> there)
        : address(where), server(std::move(there)) {}
    const std::string address;
    std::unique_ptr<ParameterServer> server;
    int sending = 0;                // guarded by the channel's mutex_
    std::atomic<bool> lost{false};  // a call ended UNAVAILABLE, and none succeeded since
    std::atomic<bool> left{false};  // the task is elsewhere
  };

  template <typename Request, typename Response>
  void Call(void (ParameterServer::*method)(Request, Done<Response>), Request request,
            Done<Response> done) {
    const std::shared_ptr<Place> place = Enter();
    (place->server.get()->*method)(std::move(request), Listening(place.get(), std::move(done)));
    Exit(place.get());
  }

  std::shared_ptr<Place> Enter() {
    MutexLock lock(&mutex_);
    ++current_->sending;
    return current_;
  }
  void Exit(Place* place) {
    MutexLock lock(&mutex_);
    if (--place->sending == 0 && place != current_.get()) changed_.NotifyAll();
  }

  // The place outlives its calls: its server's destructor ends them.
  template <typename Response>
  Done<Response> Listening(Place* place, Done<Response> done) {
    return [this, place, done = std::move(done)](absl::StatusOr<Response> answer) mutable {
      if (absl::IsCancelled(answer.status()) && place->left) {
        answer = absl::UnavailableError(absl::StrCat(
            task_, " at ", place->address, " is elsewhere now: ", answer.status().message()));
      }
      if (answer.ok()) {
        if (place->lost) place->lost = false;
      } else if (absl::IsUnavailable(answer.status()) &&
                 !PARLEY_PLANTED_BUG("moved_task_not_looked_for") && !place->lost.exchange(true)) {
        MutexLock lock(&mutex_);
        changed_.NotifyAll();
      }
      done(std::move(answer));
    };
  }

  // The thread's: asks where the task is while its place is lost, and ends the channels to places
  // that it has left.
  void Follow() {
    absl::Duration pause = kFirstPause;
    for (;;) {
      std::shared_ptr<Place> place;
      std::list<std::shared_ptr<Place>> over;
      {
        MutexLock lock(&mutex_);
        while (!closing_ && !current_->lost && !TakeOver(&over)) changed_.Wait(&mutex_);
        if (closing_) {
          left_.splice(left_.end(), over);
          return;
        }
        place = current_;
      }
      for (const std::shared_ptr<Place>& each : over) {
        each->server->Abandon();
        each->server.reset();
      }
      if (!place->lost) {
        pause = kFirstPause;
        continue;
      }
      const absl::StatusOr<std::string> address = resolver_();
      if (!address.ok()) {
        LOG_EVERY_N(WARNING, 20) << task_
                                 << ": lost, and not found: " << address.status().message();
      } else if (*address != place->address) {
        LOG(INFO) << task_ << " has moved from " << place->address << " to " << *address;
        Move(std::make_shared<Place>(*address, factory_(*address)));
        pause = kFirstPause;
        continue;
      }
      Pause(pause);
      pause = std::min(2 * pause, kLongestPause);
    }
  }

  bool TakeOver(std::list<std::shared_ptr<Place>>* over) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    for (auto it = left_.begin(); it != left_.end();) {
      const auto next = std::next(it);
      if ((*it)->sending == 0) over->splice(over->end(), left_, it);
      it = next;
    }
    return !over->empty();
  }

  void Move(std::shared_ptr<Place> place) {
    MutexLock lock(&mutex_);
    current_->left = true;
    left_.push_back(std::move(current_));
    current_ = std::move(place);
  }

  void Pause(absl::Duration pause) {
    const absl::Time end = Env::Posix()->Now() + pause;
    MutexLock lock(&mutex_);
    while (!closing_ && Env::Posix()->Now() < end) {
      changed_.WaitFor(&mutex_, end - Env::Posix()->Now());
    }
  }

  const std::string task_;
  const AddressResolver resolver_;
  const ChannelFactory factory_;

  Mutex mutex_;
  CondVar changed_;
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
  std::shared_ptr<Place> current_ ABSL_GUARDED_BY(mutex_);
  std::list<std::shared_ptr<Place>> left_;  // guarded by mutex_ while the thread runs
  std::thread thread_;
};

}  // namespace

std::unique_ptr<ParameterServer> NewResolvingChannel(const std::string& task,
                                                     const std::string& address,
                                                     AddressResolver resolver,
                                                     ChannelFactory factory) {
  return std::make_unique<ResolvingChannel>(task, address, std::move(resolver), std::move(factory));
}

}  // namespace parley
