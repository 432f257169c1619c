#include "ps/shard_host.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/planted_bug.h"

namespace parley {
namespace {

// The shard that a request means, of a task of index `task`.
int ShardOf(const v1::DeclareRequest& request, int) { return request.shard_index(); }
template <typename Message>
auto ShardOf(const Message& request, int task) -> decltype(request.has_shard(), int()) {
  return request.has_shard() ? request.shard() : task;
}
template <typename Request>
auto ShardOf(const Request& request, int task) -> decltype(request.sender(), int()) {
  return ShardOf(request.sender(), task);
}

}  // namespace

ShardHost::ShardHost(int task, Standby* standby) : task_(task), standby_(standby) {}
ShardHost::~ShardHost() = default;

void ShardHost::Add(int shard, std::shared_ptr<Shard> served, std::function<bool()> may_speak) {
  Hosted hosted{std::move(served),
                std::make_shared<const std::function<bool()>>(std::move(may_speak))};
  MutexLock lock(&mutex_);
  hosted_[shard] = std::move(hosted);
}

void ShardHost::Remove(int shard) {
  Hosted removed;  // let go of without the lock
  MutexLock lock(&mutex_);
  const auto it = hosted_.find(shard);
  if (it == hosted_.end()) return;
  removed = std::move(it->second);
  hosted_.erase(it);
}

std::vector<std::shared_ptr<Shard>> ShardHost::shards() const {
  std::vector<std::shared_ptr<Shard>> shards;
  MutexLock lock(&mutex_);
  for (const auto& [index, hosted] : hosted_) shards.push_back(hosted.shard);
  return shards;
}

ShardHost::Hosted ShardHost::Find(int shard) const {
  Hosted hosted;
  {
    MutexLock lock(&mutex_);
    const auto it = hosted_.find(shard);
    if (it == hosted_.end()) return {};
    hosted = it->second;
  }
  return (*hosted.may_speak)() ? hosted : Hosted();
}

absl::Status ShardHost::NotHere(int shard) const {
  return absl::UnavailableError(
      absl::StrCat("ps:", shard, ": task ps:", task_, " does not speak for it now"));
}

template <typename Response>
ParameterServer::Done<Response> ShardHost::Guarded(const Hosted& hosted, int shard,
                                                   Done<Response> done) const {
  // Not the shard: it has the callback.
  return [this, shard, may_speak = hosted.may_speak,
          done = std::move(done)](absl::StatusOr<Response> answer) mutable {
    if (!(*may_speak)() && !PARLEY_PLANTED_BUG("leader_answers_after_its_lease"))
      return done(NotHere(shard));
    done(std::move(answer));
  };
}

template <typename Request, typename Response>
void ShardHost::Call(void (ParameterServer::*method)(Request, Done<Response>), Request request,
                     Done<Response> done) {
  const int shard = ShardOf(request, task_);
  const Hosted hosted = Find(shard);
  if (hosted.shard == nullptr) return done(NotHere(shard));
  (hosted.shard->for_transports()->*method)(std::move(request),
                                            Guarded(hosted, shard, std::move(done)));
}

void ShardHost::PushPull(v1::PushPullRequest request, Payload payload, Done<PushPullReply> done) {
  const int shard = ShardOf(request, task_);
  const Hosted hosted = Find(shard);
  if (hosted.shard == nullptr) return done(NotHere(shard));
  hosted.shard->for_transports()->PushPull(std::move(request), std::move(payload),
                                           Guarded(hosted, shard, std::move(done)));
}

void ShardHost::GetStatus(v1::GetStatusRequest request, Done<v1::GetStatusResponse> done) {
  const std::string task = absl::StrCat("ps:", task_);
  Call(&ParameterServer::GetStatus, std::move(request),
       Done<v1::GetStatusResponse>(
           [task, done = std::move(done)](absl::StatusOr<v1::GetStatusResponse> answer) mutable {
             if (answer.ok())
               answer->set_task(task);  // the shard's own name is that of its first task
             done(std::move(answer));
           }));
}

void ShardHost::Replicate(v1::ReplicateRequest request, Payload payload,
                          Done<v1::ReplicateResponse> done) {
  if (!keeps_copies_) {
    return done(absl::UnavailableError(
        absl::StrCat("ps:", task_, ": it keeps no copies before it is in etcd")));
  }
  standby_->Replicate(std::move(request), std::move(payload), std::move(done));
}

}  // namespace parley
