#include "net/job_link.h"

#include <algorithm>
#include <future>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/env.h"
#include "base/status.h"
#include "net/discovery.h"
#include "net/grpc_channel.h"
#include "net/shard_records.h"

namespace parley {
namespace {

// What etcd knows: how many shards there are, as who speaks for one says, else by the highest index
// of a shard's records, or where there are none of a task; and whether any task is there.
struct Known {
  int shards = 0;
  bool has_tasks = false;
};

absl::StatusOr<Known> FindKnown(EtcdClient* etcd, const std::string& job) {
  PARLEY_ASSIGN_OR_RETURN(const AllShardRecords records, ReadShardRecords(etcd, job, -1));
  Known known;
  known.has_tasks = !records.tasks.empty();
  known.shards = std::max(records.size().shards, static_cast<int>(records.shards.size()));
  if (known.shards == 0 && known.has_tasks) known.shards = records.tasks.rbegin()->first + 1;
  if (known.shards > 0) return known;
  return absl::NotFoundError(absl::StrCat("etcd knows no ps task of job ", job));
}

}  // namespace

JobLink::JobLink(JobLinkOptions options) : options_(std::move(options)) {}

JobLink::~JobLink() = default;

absl::Status JobLink::NotKnown(size_t shard) const {
  const std::string who = absl::StrCat("ps:", shard);
  if (!options_.ps.empty()) {
    return absl::UnknownError(absl::StrCat(who, ": its address is not known here"));
  }
  if (!has_tasks_)
    return absl::UnavailableError(absl::StrCat(who, ": no task is there, says etcd"));
  return absl::UnknownError(absl::StrCat(who, ": no task speaks for it now, says etcd"));
}

absl::Status JobLink::FindPlaces() {
  std::vector<std::string> addresses = options_.ps;
  if (addresses.empty()) {
    PARLEY_ASSIGN_OR_RETURN(const Known known, FindKnown(options_.etcd.get(), options_.job));
    has_tasks_ = known.has_tasks;
    for (int shard = 0; shard < known.shards; ++shard) {
      absl::StatusOr<std::string> address = FindShard(options_.etcd.get(), options_.job, shard);
      if (!address.ok() && !absl::IsNotFound(address.status())) return address.status();
      addresses.push_back(address.ok() ? *std::move(address) : std::string());
    }
  }
  places_.resize(addresses.size());
  GrpcChannelOptions channel;
  channel.data_connections = 1;
  channel.grace = options_.timeout;
  for (size_t i = 0; i < addresses.size(); ++i) {
    if (places_[i].address == addresses[i]) continue;
    places_[i].address = addresses[i];
    places_[i].channel = addresses[i].empty()
                             ? nullptr
                             : NewGrpcChannel(absl::StrCat("ps:", i), addresses[i], channel);
  }
  return absl::OkStatus();
}

absl::StatusOr<JobView> JobLink::Look(bool with_spec) {
  PARLEY_RETURN_IF_ERROR(FindPlaces());
  using Answer = absl::StatusOr<v1::GetStatusResponse>;
  std::vector<std::future<Answer>> answers;
  for (size_t i = 0; i < places_.size(); ++i) {
    auto promise = std::make_shared<std::promise<Answer>>();
    answers.push_back(promise->get_future());
    if (places_[i].channel == nullptr) {
      promise->set_value(NotKnown(i));
      continue;
    }
    v1::GetStatusRequest request;
    request.set_job(options_.job);
    request.set_shard(static_cast<int>(i));
    request.set_with_spec(with_spec);
    places_[i].channel->GetStatus(
        std::move(request), [promise](Answer answer) { promise->set_value(std::move(answer)); });
  }
  JobView view;
  for (size_t i = 0; i < answers.size(); ++i) {
    ShardView& shard = view.shards.emplace_back();
    shard.shard = static_cast<int>(i);
    shard.address = places_[i].address;
    Answer answer = answers[i].get();  // the channel answers in time
    shard.status = answer.status();
    if (answer.ok()) shard.answer = *std::move(answer);
  }
  view.at = Env::Posix()->Now();
  return view;
}

absl::StatusOr<v1::AskResponse> JobLink::Ask(int shard, v1::AskRequest::What what) {
  v1::AskRequest request;
  request.set_what(what);
  return Ask(shard, std::move(request));
}

absl::StatusOr<v1::AskResponse> JobLink::Ask(int shard, v1::AskRequest request) {
  const Place& place = places_[static_cast<size_t>(shard)];
  if (place.channel == nullptr) {
    return NotKnown(static_cast<size_t>(shard));
  }
  request.set_job(options_.job);
  request.set_shard(shard);
  std::promise<absl::StatusOr<v1::AskResponse>> promise;
  place.channel->Ask(std::move(request), [&](absl::StatusOr<v1::AskResponse> answer) {
    promise.set_value(std::move(answer));
  });
  return promise.get_future().get();
}

}  // namespace parley
