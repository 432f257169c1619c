#ifndef PARLEY_WORKER_NORM_EXCHANGE_H_
#define PARLEY_WORKER_NORM_EXCHANGE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "net/job.h"
#include "net/norm_plan.h"
#include "proto/parameter_server.pb.h"
#include "worker/session.h"
#include "worker/timer.h"

namespace parley {

// A NormExchange carries norms between the shards of a job whose optimizers need them over whole
// parameters (net/norm_plan.h): round after round it asks the shards for their sums and gives them
// the totals. Every worker does so, in every round: whoever is first finishes it for all, and none
// of them matters. It has no result: a pull of a round that is not finished waits at the shards,
// and tells its own error.
//
// Thread safety: safe from any thread. Held by shared_ptr, which calls under way hold too; they end
// when the sessions are closed.
class NormExchange : public std::enable_shared_from_this<NormExchange> {
 public:
  // Rounds up to `finished` are. `who` begins what is logged: "worker:1".
  NormExchange(Job job, std::string who, std::vector<std::shared_ptr<Session>> sessions,
               std::shared_ptr<Timer> timer, int64_t finished);

  // Somebody waits, until `deadline`, for the values that round `round` makes, or will: sees to it
  // that all rounds up to it are finished as they are closed.
  void Need(int64_t round, Timer::Time deadline);

 private:
  using Lists = std::vector<std::vector<double>>;  // of sums, by shard
  struct Asked;
  struct Told;

  // Begins with the next round that is needed and has norms to exchange.
  void AskNext();
  void TakeSums(const std::shared_ptr<Asked>& asked);
  void EndRound(int64_t round);
  // The round failed; goes on if somebody waits for longer than this attempt could.
  void Fail(int64_t round, const absl::Status& status);

  const Job job_;
  const std::string who_;
  const NormPlan plan_;
  const std::vector<std::shared_ptr<Session>> sessions_;
  const std::shared_ptr<Timer> timer_;

  Mutex mutex_;
  int64_t finished_ ABSL_GUARDED_BY(mutex_);
  int64_t needed_ ABSL_GUARDED_BY(mutex_) = 0;
  Timer::Time deadline_ ABSL_GUARDED_BY(mutex_);
  bool running_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace parley

#endif  // PARLEY_WORKER_NORM_EXCHANGE_H_
