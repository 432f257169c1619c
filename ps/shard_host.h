#ifndef PARLEY_PS_SHARD_HOST_H_
#define PARLEY_PS_SHARD_HOST_H_

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "net/uniform_parameter_server.h"
#include "ps/shard.h"
#include "ps/standby.h"

namespace parley {

// A ShardHost is what a ps task offers that may speak for several shards, or for none: it gives
// each call to the shard that it means (Sender.shard), and those of other tasks' shards to the
// standby. UNAVAILABLE for a shard that is not here; and, whatever the shard answered, where the
// task may no longer speak for it when the answer comes: who asks looks for it elsewhere.
//
// Thread safety: safe from any thread.
class ShardHost final : public UniformParameterServer<ShardHost> {
 public:
  // `task` is the index of the ps task, which is that of the shard that calls without one mean.
  // `standby` must outlive it.
  ShardHost(int task, Standby* standby);
  ~ShardHost() override;

  // `may_speak` is asked before and after each call, on any thread.
  void Add(int shard, std::shared_ptr<Shard> served, std::function<bool()> may_speak);
  // From now on the standby keeps other tasks' copies; before, they are refused (UNAVAILABLE): a
  // task that is not in etcd for certain may end for that.
  void KeepCopies() { keeps_copies_ = true; }
  // Calls under way may hold it for a moment.
  void Remove(int shard);
  // Those that are here, by index.
  std::vector<std::shared_ptr<Shard>> shards() const;

  void PushPull(v1::PushPullRequest request, Payload payload, Done<PushPullReply> done) override;
  void GetStatus(v1::GetStatusRequest request, Done<v1::GetStatusResponse> done) override;
  void Replicate(v1::ReplicateRequest request, Payload payload,
                 Done<v1::ReplicateResponse> done) override;

 private:
  friend class UniformParameterServer<ShardHost>;

  struct Hosted {
    std::shared_ptr<Shard> shard;
    std::shared_ptr<const std::function<bool()>> may_speak;
  };

  // Nothing where this task does not speak for it.
  Hosted Find(int shard) const;
  absl::Status NotHere(int shard) const;
  template <typename Request, typename Response>
  void Call(void (ParameterServer::*method)(Request, Done<Response>), Request request,
            Done<Response> done);
  template <typename Response>
  Done<Response> Guarded(const Hosted& hosted, int shard, Done<Response> done) const;

  const int task_;
  Standby* const standby_;
  std::atomic<bool> keeps_copies_{false};
  mutable Mutex mutex_;
  std::map<int, Hosted> hosted_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace parley

#endif  // PARLEY_PS_SHARD_HOST_H_
