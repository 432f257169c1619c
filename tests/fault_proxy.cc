// A way to a ps task on which things go wrong: requests and answers are lost, come twice, late or
// in another order, as when a connection breaks and is made again. It understands the calls of
// proto/parameter_server.proto and goes wrong in whole ones.
//
//   fault_proxy --listen=localhost:0 --to=localhost:2222 --seed=1
//
// prints "listening on PORT" and, after SIGTERM, how often it did what. What it does to the n-th
// call follows from the seed and n.

#include <atomic>
#include <csignal>
#include <iostream>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/philox.h"
#include "gflags/gflags.h"
#include "glog/logging.h"
#include "net/forwarding_parameter_server.h"
#include "net/grpc_channel.h"
#include "net/grpc_server.h"
#include "worker/timer.h"

DEFINE_string(listen, "localhost:0", "Where it listens, host:port.");
DEFINE_string(to, "", "The ps task's address, host:port.");
DEFINE_uint64(seed, 1, "Of what goes wrong.");
DEFINE_double(lost_requests, 0.01, "Which part of the requests is lost, with their connection.");
DEFINE_double(lost_answers, 0.02, "Which part of the answers is.");
DEFINE_double(duplicates, 0.02, "Which part of the requests comes twice, the second time late.");
DEFINE_double(delayed, 0.2, "Which part of the requests, and of the answers, is late.");
DEFINE_int32(delay_ms, 30, "How late at most.");

namespace parley {
namespace {

volatile std::sig_atomic_t g_stopped = 0;

void OnSignal(int) { g_stopped = 1; }

// Gives calls to another ParameterServer, or not. Thread safety: safe from any thread. The timer
// must be stopped before the target is destroyed.
class FaultyParameterServer final : public ForwardingParameterServer {
 public:
  FaultyParameterServer(ParameterServer* target, Timer* timer)
      : ForwardingParameterServer(target), target_(target), timer_(timer) {}

  void Declare(v1::DeclareRequest request, Done<v1::DeclareResponse> done) override {
    Give(&ParameterServer::Declare, std::move(request), std::move(done));
  }
  void Join(v1::JoinRequest request, Done<v1::JoinResponse> done) override {
    Give(&ParameterServer::Join, std::move(request), std::move(done));
  }
  void Heartbeat(v1::HeartbeatRequest request, Done<v1::HeartbeatResponse> done) override {
    Give(&ParameterServer::Heartbeat, std::move(request), std::move(done));
  }
  void PushPull(v1::PushPullRequest request, Payload payload, Done<PushPullReply> done) override {
    Relay<PushPullReply>(
        [this, request = std::move(request), payload = std::move(payload)](auto on_answer) {
          target_->PushPull(request, payload, std::move(on_answer));
        },
        std::move(done));
  }
  void Leave(v1::LeaveRequest request, Done<v1::LeaveResponse> done) override {
    Give(&ParameterServer::Leave, std::move(request), std::move(done));
  }
  void Barrier(v1::BarrierRequest request, Done<v1::BarrierResponse> done) override {
    Give(&ParameterServer::Barrier, std::move(request), std::move(done));
  }
  void Checkpoint(v1::CheckpointRequest request, Done<v1::CheckpointResponse> done) override {
    Give(&ParameterServer::Checkpoint, std::move(request), std::move(done));
  }
  void GetNormSums(v1::GetNormSumsRequest request, Done<v1::GetNormSumsResponse> done) override {
    Give(&ParameterServer::GetNormSums, std::move(request), std::move(done));
  }
  void SetNormTotals(v1::SetNormTotalsRequest request,
                     Done<v1::SetNormTotalsResponse> done) override {
    Give(&ParameterServer::SetNormTotals, std::move(request), std::move(done));
  }
  void Replicate(v1::ReplicateRequest request, Payload payload,
                 Done<v1::ReplicateResponse> done) override {
    Relay<v1::ReplicateResponse>(
        [this, request = std::move(request), payload = std::move(payload)](auto on_answer) {
          target_->Replicate(request, payload, std::move(on_answer));
        },
        std::move(done));
  }

  std::string Counts() const {
    return absl::StrCat("calls ", calls_.load(), " lost_requests ", lost_requests_.load(),
                        " lost_answers ", lost_answers_.load(), " duplicates ", duplicates_.load(),
                        " late ", late_.load());
  }

 private:
  // What may go wrong with a call; each is drawn by itself.
  enum Draw : uint64_t {
    kLoseRequest,
    kLoseAnswer,
    kDuplicate,
    kDelayRequest,
    kDelayAnswer,
    kDelayDuplicate,
    kRequestDelay,
    kAnswerDelay,
    kDuplicateDelay
  };

  template <typename Request, typename Response>
  void Give(void (ParameterServer::*method)(Request, Done<Response>), Request request,
            Done<Response> done) {
    Relay<Response>([this, method, request = std::move(request)](
                        auto on_answer) { (target_->*method)(request, std::move(on_answer)); },
                    std::move(done));
  }

  // `send` may be called more than once.
  template <typename Response, typename Send>
  void Relay(Send send, Done<Response> done) {
    const uint64_t call = calls_.fetch_add(1);
    const auto sending = std::make_shared<Send>(std::move(send));
    if (Happens(kDuplicate, call, FLAGS_duplicates)) {
      ++duplicates_;
      const absl::Duration delay = DelayOf(kDelayDuplicate, kDuplicateDelay, call);
      After(delay, [sending] { (*sending)([](const absl::StatusOr<Response>&) {}); });
    }
    if (Happens(kLoseRequest, call, FLAGS_lost_requests)) {
      ++lost_requests_;
      return done(absl::UnavailableError("the fault proxy lost the request"));
    }
    After(DelayOf(kDelayRequest, kRequestDelay, call),
          [this, call, sending, done = std::move(done)]() mutable {
            (*sending)([this, call, done = std::move(done)](absl::StatusOr<Response> got) mutable {
              After(DelayOf(kDelayAnswer, kAnswerDelay, call),
                    [this, call, done = std::move(done), got = std::move(got)]() mutable {
                      if (Happens(kLoseAnswer, call, FLAGS_lost_answers)) {
                        ++lost_answers_;
                        return done(absl::UnavailableError("the fault proxy lost the answer"));
                      }
                      done(std::move(got));
                    });
            });
          });
  }

  static bool Happens(Draw what, uint64_t call, double part) {
    return PhiloxUniform(FLAGS_seed, what, call) < part;
  }
  absl::Duration DelayOf(Draw whether, Draw how_much, uint64_t call) {
    if (!Happens(whether, call, FLAGS_delayed)) return absl::ZeroDuration();
    ++late_;
    return absl::Milliseconds(FLAGS_delay_ms) * PhiloxUniform(FLAGS_seed, how_much, call);
  }
  void After(absl::Duration delay, absl::AnyInvocable<void()> task) {
    if (delay == absl::ZeroDuration()) return task();
    timer_->RunAt(Timer::After(delay), std::move(task));
  }

  ParameterServer* const target_;
  Timer* const timer_;
  std::atomic<uint64_t> calls_{0};
  std::atomic<int64_t> lost_requests_{0};
  std::atomic<int64_t> lost_answers_{0};
  std::atomic<int64_t> duplicates_{0};
  std::atomic<int64_t> late_{0};
};

int Main() {
  std::signal(SIGTERM, OnSignal);
  const std::unique_ptr<ParameterServer> channel = NewGrpcChannel("the ps task", FLAGS_to);
  Timer timer;
  FaultyParameterServer faulty(channel.get(), &timer);
  const auto server = GrpcServer::Start(FLAGS_listen, &faulty);
  if (!server.ok()) {
    std::cerr << "fault_proxy: " << server.status().message() << std::endl;
    return 1;
  }
  std::cout << "listening on " << (*server)->port() << std::endl;
  while (g_stopped == 0) absl::SleepFor(absl::Milliseconds(20));
  (*server)->Shutdown(absl::ZeroDuration());
  timer.Stop();
  std::cout << faulty.Counts() << std::endl;
  return 0;
}

}  // namespace
}  // namespace parley

int main(int argc, char** argv) {
  google::InitGoogleLogging(argv[0]);
  FLAGS_logtostderr = true;
  gflags::ParseCommandLineFlags(&argc, &argv, true);
  return parley::Main();
}
