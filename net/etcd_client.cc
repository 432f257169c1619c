#include "net/etcd_client.h"

#include <grpc/support/time.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/env.h"
#include "base/mutex.h"
#include "base/status.h"
#include "net/etcd.grpc.pb.h"
#include "net/etcd.pb.h"
#include "net/grpc_status.h"

namespace parley {
namespace {

namespace pb = etcdserverpb;

constexpr absl::Duration kLongestWait = absl::Hours(24);

gpr_timespec DeadlineAfter(absl::Duration timeout) {
  timeout = std::clamp(timeout, absl::ZeroDuration(), kLongestWait);
  return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                      gpr_time_from_micros(absl::ToInt64Microseconds(timeout), GPR_TIMESPAN));
}

// The end of the range of all keys that begin with `prefix`: the prefix with its last byte one up.
std::string RangeEnd(std::string prefix) {
  while (!prefix.empty() && static_cast<unsigned char>(prefix.back()) == 0xff) prefix.pop_back();
  if (prefix.empty()) return std::string(1, '\0');  // to the end of all keys
  prefix.back() = static_cast<char>(prefix.back() + 1);
  return prefix;
}

EtcdEntry ToEntry(const pb::KeyValue& kv) {
  return {kv.key(), kv.value(), kv.create_revision(), kv.mod_revision(), kv.lease()};
}

struct Endpoint {
  explicit Endpoint(const std::string& where)
      : address(where), channel(Connect(where)), kv(channel), lease(channel), watch(channel) {}

  static std::shared_ptr<grpc::Channel> Connect(const std::string& address) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
    arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    arguments.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
    arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
    arguments.SetInt(GRPC_ARG_DNS_MIN_TIME_BETWEEN_RESOLUTIONS_MS, 1000);
    return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
  }

  const std::string address;
  const std::shared_ptr<grpc::Channel> channel;
  pb::KV::Stub kv;
  pb::Lease::Stub lease;
  pb::Watch::Stub watch;
};

// Waits until the endpoint is connected, or its connection failed.
bool IsConnected(Endpoint* endpoint, absl::Duration timeout) {
  const gpr_timespec deadline = DeadlineAfter(timeout);
  grpc_connectivity_state state = endpoint->channel->GetState(/*try_to_connect=*/true);
  while (state == GRPC_CHANNEL_IDLE || state == GRPC_CHANNEL_CONNECTING) {
    if (!endpoint->channel->WaitForStateChange(state, deadline)) return false;
    state = endpoint->channel->GetState(/*try_to_connect=*/true);
  }
  return state == GRPC_CHANNEL_READY;
}

// Whether another endpoint may do better.
bool IsOfTheWay(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status);
}

// Calls to the endpoints.
class Calls {
 public:
  Calls(const std::vector<std::string>& addresses, EtcdClientOptions options) : options_(options) {
    for (const std::string& address : addresses) {
      endpoints_.push_back(std::make_unique<Endpoint>(address));
    }
  }

  absl::Duration timeout() const { return options_.timeout; }

  // Runs call(endpoint, context) at one endpoint after another until one has answered; at the first
  // that is connected where `once`. `what` is for errors: "Put /parley/job/ps/0".
  template <typename Function>
  absl::Status Do(const std::string& what, absl::Duration timeout, bool once, Function call) {
    const absl::Time deadline = Env::Posix()->Now() + std::min(timeout, kLongestWait);
    const size_t first = Preferred();
    absl::Status status;
    for (size_t i = 0; i < endpoints_.size(); ++i) {
      const size_t index = (first + i) % endpoints_.size();
      Endpoint* const endpoint = endpoints_[index].get();
      // Those that are left have equal parts of the time.
      const absl::Duration share = (deadline - Env::Posix()->Now()) / (endpoints_.size() - i);
      const bool last = i + 1 == endpoints_.size();
      if (once && !last && !IsConnected(endpoint, share)) continue;
      status = Attempt(endpoint, what, once ? deadline - Env::Posix()->Now() : share, call);
      if (!IsOfTheWay(status)) {
        MutexLock lock(&mutex_);
        preferred_ = index;
        return status;
      }
      if (once) break;
    }
    return status;
  }

  void Cancel() {
    MutexLock lock(&mutex_);
    cancelled_ = true;
    for (grpc::ClientContext* context : calls_) context->TryCancel();
  }

 private:
  template <typename Function>
  absl::Status Attempt(Endpoint* endpoint, const std::string& what, absl::Duration timeout,
                       Function call) {
    const std::string where = absl::StrCat("etcd at ", endpoint->address, ": ", what);
    grpc::ClientContext context;
    context.set_deadline(DeadlineAfter(timeout));
    {
      MutexLock lock(&mutex_);
      if (cancelled_)
        return absl::CancelledError(absl::StrCat(where, ": the client was cancelled"));
      calls_.insert(&context);
    }
    const absl::Status status = FromGrpcStatus(call(endpoint, &context));
    {
      MutexLock lock(&mutex_);
      calls_.erase(&context);
      if (cancelled_ && !status.ok()) {
        return absl::CancelledError(absl::StrCat(where, ": the client was cancelled"));
      }
    }
    // etcd knows the deadline too, and ends some calls in these words.
    if (absl::IsDeadlineExceeded(status) || status.message() == "context deadline exceeded") {
      return absl::DeadlineExceededError(
          absl::StrCat(where, ": no answer within ",
                       absl::FormatDuration(absl::Ceil(timeout, absl::Milliseconds(1)))));
    }
    if (absl::IsUnavailable(status)) {
      return absl::UnavailableError(
          absl::StrCat(where, ": not reached, or lost: ", status.message()));
    }
    return Annotate(status, where);
  }

  size_t Preferred() {
    MutexLock lock(&mutex_);
    return preferred_;
  }

  const EtcdClientOptions options_;
  std::vector<std::unique_ptr<Endpoint>> endpoints_;
  Mutex mutex_;
  size_t preferred_ ABSL_GUARDED_BY(mutex_) = 0;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  absl::flat_hash_set<grpc::ClientContext*> calls_ ABSL_GUARDED_BY(mutex_);  // under way
};

class GrpcEtcdClient final : public EtcdClient {
 public:
  GrpcEtcdClient(const std::vector<std::string>& addresses, EtcdClientOptions options)
      : calls_(addresses, options) {}

  absl::StatusOr<EtcdRange> List(const std::string& prefix) override;
  absl::StatusOr<EtcdRange> Get(const std::string& key) override;
  absl::Status Put(const EtcdWrite& write) override;
  absl::StatusOr<int64_t> Delete(const std::string& key) override;
  absl::StatusOr<int64_t> DeletePrefix(const std::string& prefix) override;
  absl::StatusOr<EtcdTransactionResult> Transact(const EtcdTransaction& transaction) override;
  absl::StatusOr<bool> AwaitChange(const std::string& prefix, int64_t revision,
                                   absl::Duration timeout) override;
  absl::StatusOr<EtcdGrant> GrantLease(absl::Duration ttl) override;
  absl::StatusOr<absl::Duration> KeepLeaseAlive(int64_t id, absl::Duration timeout) override;
  absl::Status RevokeLease(int64_t id) override;
  void Cancel() override { calls_.Cancel(); }

 private:
  Calls calls_;
};

absl::StatusOr<EtcdRange> ReadRange(const absl::Status& status, const pb::RangeResponse& response) {
  PARLEY_RETURN_IF_ERROR(status);
  EtcdRange range;
  range.revision = response.header().revision();
  for (const pb::KeyValue& kv : response.kvs()) range.entries.push_back(ToEntry(kv));
  return range;
}

absl::StatusOr<EtcdRange> GrpcEtcdClient::List(const std::string& prefix) {
  if (prefix.empty()) return absl::InvalidArgumentError("etcd: List without a prefix");
  pb::RangeRequest request;
  request.set_key(prefix);
  request.set_range_end(RangeEnd(prefix));
  pb::RangeResponse response;
  const absl::Status status =
      calls_.Do(absl::StrCat("List ", prefix), calls_.timeout(), /*once=*/false,
                [&](Endpoint* endpoint, grpc::ClientContext* context) {
                  return endpoint->kv.Range(context, request, &response);
                });
  return ReadRange(status, response);
}

absl::StatusOr<EtcdRange> GrpcEtcdClient::Get(const std::string& key) {
  pb::RangeRequest request;
  request.set_key(key);
  pb::RangeResponse response;
  const absl::Status status = calls_.Do(absl::StrCat("Get ", key), calls_.timeout(), /*once=*/false,
                                        [&](Endpoint* endpoint, grpc::ClientContext* context) {
                                          return endpoint->kv.Range(context, request, &response);
                                        });
  return ReadRange(status, response);
}

absl::Status GrpcEtcdClient::Put(const EtcdWrite& write) {
  pb::PutRequest request;
  request.set_key(write.key);
  request.set_value(write.value);
  request.set_lease(write.lease);
  pb::PutResponse response;
  return calls_.Do(absl::StrCat("Put ", write.key), calls_.timeout(), /*once=*/false,
                   [&](Endpoint* endpoint, grpc::ClientContext* context) {
                     return endpoint->kv.Put(context, request, &response);
                   });
}

absl::StatusOr<int64_t> GrpcEtcdClient::Delete(const std::string& key) {
  pb::DeleteRangeRequest request;
  request.set_key(key);
  pb::DeleteRangeResponse response;
  PARLEY_RETURN_IF_ERROR(calls_.Do(absl::StrCat("Delete ", key), calls_.timeout(), /*once=*/false,
                                   [&](Endpoint* endpoint, grpc::ClientContext* context) {
                                     return endpoint->kv.DeleteRange(context, request, &response);
                                   }));
  return response.deleted();
}

absl::StatusOr<int64_t> GrpcEtcdClient::DeletePrefix(const std::string& prefix) {
  if (prefix.empty()) return absl::InvalidArgumentError("etcd: DeletePrefix without a prefix");
  pb::DeleteRangeRequest request;
  request.set_key(prefix);
  request.set_range_end(RangeEnd(prefix));
  pb::DeleteRangeResponse response;
  PARLEY_RETURN_IF_ERROR(calls_.Do(absl::StrCat("DeletePrefix ", prefix), calls_.timeout(),
                                   /*once=*/false,
                                   [&](Endpoint* endpoint, grpc::ClientContext* context) {
                                     return endpoint->kv.DeleteRange(context, request, &response);
                                   }));
  return response.deleted();
}

absl::StatusOr<EtcdTransactionResult> GrpcEtcdClient::Transact(const EtcdTransaction& transaction) {
  pb::TxnRequest request;
  for (const EtcdCondition& condition : transaction.conditions) {
    pb::Compare* const compare = request.add_compare();
    compare->set_key(condition.key);
    if (condition.of == EtcdCondition::Of::kCreateRevision) {
      compare->set_target(pb::Compare::CREATE);
      compare->set_create_revision(condition.revision);
    } else {
      compare->set_target(pb::Compare::MOD);
      compare->set_mod_revision(condition.revision);
    }
  }
  for (const EtcdWrite& write : transaction.puts) {
    pb::PutRequest* const put = request.add_success()->mutable_request_put();
    put->set_key(write.key);
    put->set_value(write.value);
    put->set_lease(write.lease);
  }
  for (const std::string& key : transaction.deletes) {
    request.add_success()->mutable_request_delete_range()->set_key(key);
  }
  std::string what = "Transact";
  for (const EtcdWrite& write : transaction.puts) absl::StrAppend(&what, " ", write.key);
  for (const std::string& key : transaction.deletes) absl::StrAppend(&what, " -", key);
  pb::TxnResponse response;
  PARLEY_RETURN_IF_ERROR(calls_.Do(what, calls_.timeout(), /*once=*/true,
                                   [&](Endpoint* endpoint, grpc::ClientContext* context) {
                                     return endpoint->kv.Txn(context, request, &response);
                                   }));
  return EtcdTransactionResult{response.succeeded(), response.header().revision()};
}

absl::StatusOr<bool> GrpcEtcdClient::AwaitChange(const std::string& prefix, int64_t revision,
                                                 absl::Duration timeout) {
  if (prefix.empty()) return absl::InvalidArgumentError("etcd: AwaitChange without a prefix");
  pb::WatchRequest request;
  request.mutable_create_request()->set_key(prefix);
  request.mutable_create_request()->set_range_end(RangeEnd(prefix));
  request.mutable_create_request()->set_start_revision(revision + 1);
  bool watching = false;
  bool changed = false;
  const absl::Status status = calls_.Do(
      absl::StrCat("AwaitChange ", prefix), timeout, /*once=*/true,
      [&](Endpoint* endpoint, grpc::ClientContext* context) {
        const auto stream = endpoint->watch.Watch(context);
        stream->Write(request);
        pb::WatchResponse response;
        grpc::Status ended;
        while (!changed && ended.ok() && stream->Read(&response)) {
          watching = true;
          changed = response.events_size() > 0;
          if (response.canceled()) {
            ended = grpc::Status(grpc::OUT_OF_RANGE, response.compact_revision() > 0
                                                         ? "what happened then is forgotten"
                                                         : "refused: " + response.cancel_reason());
          }
        }
        if (changed || !ended.ok()) {
          context->TryCancel();
          stream->Finish();
          return ended;
        }
        return stream->Finish();
      });
  if (watching && absl::IsDeadlineExceeded(status)) return false;
  PARLEY_RETURN_IF_ERROR(status);
  return changed;
}

absl::StatusOr<EtcdGrant> GrpcEtcdClient::GrantLease(absl::Duration ttl) {
  pb::LeaseGrantRequest request;
  const int64_t seconds =
      absl::ToInt64Seconds(absl::Ceil(std::min(ttl, kLongestWait), absl::Seconds(1)));
  request.set_ttl(std::max<int64_t>(1, seconds));
  pb::LeaseGrantResponse response;
  PARLEY_RETURN_IF_ERROR(calls_.Do("GrantLease", calls_.timeout(), /*once=*/false,
                                   [&](Endpoint* endpoint, grpc::ClientContext* context) {
                                     return endpoint->lease.LeaseGrant(context, request, &response);
                                   }));
  return EtcdGrant{response.id(), absl::Seconds(response.ttl())};
}

absl::StatusOr<absl::Duration> GrpcEtcdClient::KeepLeaseAlive(int64_t id, absl::Duration timeout) {
  pb::LeaseKeepAliveRequest request;
  request.set_id(id);
  pb::LeaseKeepAliveResponse response;
  const std::string what = absl::StrCat("KeepLeaseAlive ", absl::Hex(id));
  PARLEY_RETURN_IF_ERROR(calls_.Do(what, timeout, /*once=*/false,
                                   [&](Endpoint* endpoint, grpc::ClientContext* context) {
                                     const auto stream = endpoint->lease.LeaseKeepAlive(context);
                                     stream->Write(request);
                                     const bool answered = stream->Read(&response);
                                     if (answered) context->TryCancel();
                                     const grpc::Status ended = stream->Finish();
                                     return answered ? grpc::Status::OK : ended;
                                   }));
  if (response.ttl() <= 0) {
    return absl::NotFoundError(absl::StrCat("etcd: ", what, ": the lease has ended"));
  }
  return absl::Seconds(response.ttl());
}

absl::Status GrpcEtcdClient::RevokeLease(int64_t id) {
  pb::LeaseRevokeRequest request;
  request.set_id(id);
  pb::LeaseRevokeResponse response;
  return calls_.Do(absl::StrCat("RevokeLease ", absl::Hex(id)), calls_.timeout(), /*once=*/false,
                   [&](Endpoint* endpoint, grpc::ClientContext* context) {
                     return endpoint->lease.LeaseRevoke(context, request, &response);
                   });
}

}  // namespace

absl::StatusOr<std::unique_ptr<EtcdClient>> EtcdClient::Create(const std::string& endpoints,
                                                               EtcdClientOptions options) {
  const std::vector<std::string> addresses = absl::StrSplit(endpoints, ',');
  for (const std::string& address : addresses) {
    const size_t colon = address.rfind(':');
    int port = 0;
    if (colon == std::string::npos || colon == 0 || address.find('/') != std::string::npos ||
        !absl::SimpleAtoi(address.substr(colon + 1), &port) || port < 1 || port > 65535) {
      return absl::InvalidArgumentError(
          absl::StrCat("etcd's endpoint \"", address, "\" is not host:port"));
    }
  }
  return std::unique_ptr<EtcdClient>(new GrpcEtcdClient(addresses, options));
}

}  // namespace parley
