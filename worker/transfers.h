#ifndef PARLEY_WORKER_TRANSFERS_H_
#define PARLEY_WORKER_TRANSFERS_H_

#include <cstddef>
#include <cstdint>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "net/job.h"
#include "net/payload.h"
#include "net/shared_arena.h"
#include "worker/norm_exchange.h"
#include "worker/parameter_values.h"
#include "worker/request_plan.h"
#include "worker/session.h"
#include "worker/timer.h"

namespace parley {

struct TransfersOptions {
  std::string task;  // "worker:1", for the messages of errors
  absl::Duration timeout;
  size_t request_bytes;                // as in ClientOptions, as are the others
  std::shared_ptr<SharedArena> arena;  // null: ordinary memory
  v1::DType push_dtype;
  v1::DType pull_dtype;
};

// The pushes and pulls of a client: cuts each call into requests, hands them to the sessions, and
// ends the call when all have ended (Operation). Remembers which versions the values pulled last
// have, as the gradients computed from them say.
//
// Thread safety: safe from any thread, but for UseNorms. The caller outlives its calls, and with
// the destructor waits until they have ended: the sessions are closed before, and the timer is
// stopped after it.
class Transfers {
 public:
  // What a call is to all its requests.
  struct Call {
    std::string what;  // "step 5"
    int64_t step;
    int64_t pull_step;
    bool skip = false;     // pushes all parameters without gradients
    bool average = false;  // pulls averages
  };
  using Views = absl::StatusOr<std::vector<ParameterView>>;

  // `job` must live as long as this. `sessions` by shard.
  Transfers(const Job* job, TransfersOptions options,
            std::vector<std::shared_ptr<Session>> sessions, std::shared_ptr<Timer> timer);
  ~Transfers();
  Transfers(const Transfers&) = delete;
  Transfers& operator=(const Transfers&) = delete;

  // Before the first call: who finds the norms that the rounds need.
  void UseNorms(std::shared_ptr<NormExchange> norms) { norms_ = std::move(norms); }

  // Pushes `gradients` and fills `targets`. With an error in `usable` nothing is begun, and that is
  // the answer. INVALID_ARGUMENT for parameters that the job does not have, or not like this.
  std::future<absl::Status> Copy(const absl::Status& usable, const Call& call,
                                 const std::vector<ParameterGradient>& gradients,
                                 const std::vector<ParameterTarget>& targets);
  // Copy, and waits for it. This thread takes the answers meanwhile, where it can.
  absl::Status CopyAndWait(const absl::Status& usable, const Call& call,
                           const std::vector<ParameterGradient>& gradients,
                           const std::vector<ParameterTarget>& targets);
  // The same with views of `parameters`, in this order.
  std::future<Views> View(const absl::Status& usable, const Call& call,
                          const std::vector<ParameterGradient>& gradients,
                          std::vector<int> parameters);

  // See Client.
  int64_t NextStep(int64_t step) const;
  bool WasSkipped(int parameter) const;
  void SetRateFactor(float factor);  // checked by the caller
  std::shared_ptr<float> NewBuffer(size_t elements);

 private:
  struct State;
  struct Uncopied;
  struct Sending;

  void Copy(const absl::Status& usable, const Call& call,
            const std::vector<ParameterGradient>& gradients,
            const std::vector<ParameterTarget>& targets,
            absl::AnyInvocable<void(absl::Status)> done);
  // INVALID_ARGUMENT names what is wrong with the parameter of a call, of `size` elements where it
  // is not negative, `given` before.
  absl::Status CheckPart(int parameter, int64_t size, bool given) const;
  // The parameter's blocks out of `values`.
  ParameterView MakeView(int parameter, const std::map<uint32_t, Payload>& values);
  // Sends what is pushed and asks for what is pulled, by parameter; `done` runs once, when all has
  // ended. What has no target is left in `uncopied`.
  void Transfer(const absl::Status& usable, const Call& call, const absl::Status& legal_pulls,
                const std::vector<ParameterGradient>& gradients, const std::vector<PullPart>& pulls,
                std::shared_ptr<Uncopied> uncopied, absl::AnyInvocable<void(absl::Status)> done);
  void SendRequest(PlannedRequest planned, const Sending& sending);
  // The gradients of `planned`, in order; pointers into the caller's memory are owned by `loan`.
  Payload MakePayload(const PlannedRequest& planned, const std::shared_ptr<const void>& loan);

  const Job& job_;
  const TransfersOptions options_;
  const std::vector<std::shared_ptr<Session>> sessions_;
  const std::shared_ptr<Timer> timer_;
  const std::shared_ptr<State> state_;
  std::shared_ptr<NormExchange> norms_;  // null: no optimizer needs any
};

}  // namespace parley

#endif  // PARLEY_WORKER_TRANSFERS_H_
