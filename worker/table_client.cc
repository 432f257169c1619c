#include "worker/table_client.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/aligned_buffer.h"
#include "base/mutex.h"
#include "base/status.h"
#include "net/distinct_keys.h"
#include "net/row_wire.h"
#include "net/table_placement.h"
#include "net/wire_dtype.h"
#include "worker/operation.h"

namespace parley {
namespace {

constexpr size_t kMaxKeys = size_t{1} << 20;  // of a request, and distinct ones
constexpr size_t kMaxCallKeys = size_t{1} << 28;
constexpr size_t kLeastBuffer = 4096;

// Apart from those of the client's parameters, which share the sessions.
constexpr uint64_t kFirstOperation = uint64_t{1} << 62;

std::string ShardNames(const std::vector<int>& shards) {
  return absl::StrJoin(shards, ", ",
                       [](std::string* out, int shard) { absl::StrAppend(out, "ps:", shard); });
}

// Ends the other requests of a call. Holds the sessions: it may still run when the call has ended.
void Cancel(const std::vector<std::shared_ptr<Session>>& sessions, uint64_t id,
            const std::string& name) {
  const absl::Status status =
      absl::CancelledError(absl::StrCat(name, ": another request of this call failed"));
  for (const std::shared_ptr<Session>& session : sessions) session->CancelOperation(id, status);
}

std::future<absl::Status> Answered(absl::Status status) {
  std::promise<absl::Status> promise;
  promise.set_value(std::move(status));
  return promise.get_future();
}

}  // namespace

// What callbacks share with the client: they may run while it is being destroyed.
struct TableClient::State {
  Mutex mutex;
  CondVar ended;                              // an operation
  int operations ABSL_GUARDED_BY(mutex) = 0;  // not ended
  uint64_t next_operation ABSL_GUARDED_BY(mutex) = kFirstOperation;
  // By table and shard: of the rows pulled last.
  std::vector<std::vector<int64_t>> versions ABSL_GUARDED_BY(mutex);
};

// A pull while its answers come.
struct TableClient::PullPlan {
  struct Request {
    int shard;
    std::vector<uint64_t> keys;
    Payload answer;
  };
  // Where the row of a distinct key is: in an answer, or, of request kCached, in `cached`.
  static constexpr uint32_t kCached = 0xffffffff;
  struct Place {
    uint32_t request;
    uint32_t row;
  };

  // Copies the answers to `rows`.
  void Write() const {
    const size_t row_bytes = RowWireBytes(dtype, width);
    // An answer may come in slices that cut rows.
    std::vector<AlignedBytes> copies;
    std::vector<const std::byte*> begins;
    for (const Request& request : requests) {
      if (request.answer.slices().size() == 1) {
        begins.push_back(request.answer.slices()[0].data);
        continue;
      }
      copies.push_back(NewAlignedBytes(request.answer.size()));
      request.answer.CopyTo(copies.back().get());
      begins.push_back(copies.back().get());
    }
    for (size_t i = 0; i < numbers.size(); ++i) {
      const Place place = places[numbers[i]];
      if (place.request == kCached) {
        std::memcpy(rows.data() + i * width, cached.data() + place.row * width,
                    width * sizeof(float));
        continue;
      }
      const std::byte* const row = begins[place.request] + place.row * row_bytes;
      if (dtype == v1::FLOAT32) {
        std::memcpy(rows.data() + i * width, row, row_bytes);
      } else {
        RowFromWire(dtype, row, width, rows.data() + i * width);
      }
    }
  }

  // Gives the cache what came, after Write; or nothing.
  void EndPull(bool ok) const {
    std::vector<uint64_t> keys;
    std::vector<const float*> came;
    for (size_t i = 0, first = 0; ok && i < numbers.size(); ++i) {
      if (numbers[i] < first) continue;  // a key that came before
      ++first;
      const Place place = places[numbers[i]];
      if (place.request == kCached) continue;
      keys.push_back(requests[place.request].keys[place.row]);
      came.push_back(rows.data() + i * width);
    }
    cache->EndPull(ticket, keys, came);
  }

  size_t width;
  v1::DType dtype;
  absl::Span<float> rows;
  std::shared_ptr<RowCache> cache;  // null: none
  RowCache::Ticket ticket = 0;      // of the cache
  std::vector<float> cached;        // rows by distinct key, those that the cache had
  std::vector<uint32_t> numbers;    // by key of the call: which of the distinct ones
  std::vector<Place> places;        // by distinct key
  std::vector<Request> requests;
};

TableClient::TableClient(const Job* job, TableClientOptions options,
                         std::vector<std::shared_ptr<Session>> sessions,
                         std::shared_ptr<Timer> timer)
    : job_(*job),
      options_(std::move(options)),
      sessions_(std::move(sessions)),
      timer_(std::move(timer)),
      state_(std::make_shared<State>()) {
  for (const v1::TableSpec& spec : job_.spec().tables()) {
    Table table;
    table.width = static_cast<size_t>(spec.width());
    table.virtual_shards = static_cast<uint32_t>(spec.virtual_shards());
    for (uint32_t i = 0; i < table.virtual_shards; ++i) {
      table.shard_of.push_back(
          static_cast<uint16_t>(ShardOfVirtual(i, table.virtual_shards, job_.spec().num_shards())));
    }
    if (options_.row_cache.bytes > 0) {
      table.cache = std::make_shared<RowCache>(table.width, options_.row_cache);
    }
    tables_.push_back(std::move(table));
  }
  MutexLock lock(&state_->mutex);
  state_->versions.assign(tables_.size(), std::vector<int64_t>(sessions_.size(), 0));
}

TableClient::~TableClient() {
  MutexLock lock(&state_->mutex);
  while (state_->operations > 0) state_->ended.Wait(&state_->mutex);  // each in its time
}

absl::Status TableClient::CheckCall(int table, int64_t step, size_t keys, size_t floats) const {
  if (table < 0 || table >= static_cast<int>(tables_.size())) {
    return absl::InvalidArgumentError(
        absl::StrCat("no table ", table, "; job ", job_.name(), " has ", tables_.size()));
  }
  const std::string who = absl::StrCat("table ", job_.spec().tables(table).name(), ": ");
  if (step < 0 || step == std::numeric_limits<int64_t>::max()) {
    return absl::InvalidArgumentError(absl::StrCat(who, "no such step"));
  }
  if (keys > kMaxCallKeys) {
    return absl::InvalidArgumentError(absl::StrCat(who, keys, " keys, allowed are ", kMaxCallKeys));
  }
  const size_t width = tables_[static_cast<size_t>(table)].width;
  if (floats == keys * width) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(who, keys, " rows of width ", width, " have ",
                                                 keys * width, " elements, not ", floats));
}

int TableClient::ShardOf(const Table& table, uint64_t key) const {
  return table.shard_of[VirtualShardOf(MixKey(key), table.virtual_shards)];
}

v1::PushPullRequest TableClient::NewRequest(int64_t step) const {
  v1::PushPullRequest request;
  request.set_step(step);
  request.set_pull_step(step);
  if (options_.push_dtype != v1::INT8) request.set_dtype(options_.push_dtype);
  request.set_rows_dtype(options_.push_dtype);
  request.set_pull_rows_dtype(options_.pull_dtype);
  return request;
}

std::shared_ptr<std::byte> TableClient::NewBytes(size_t bytes) const {
  size_t rounded = kLeastBuffer;
  while (rounded < bytes) rounded *= 2;
  if (options_.arena != nullptr) {
    absl::StatusOr<std::shared_ptr<std::byte>> shared = options_.arena->Allocate(rounded);
    if (shared.ok()) return *std::move(shared);
  }
  return {NewAlignedBytes(rounded).release(), FreeDeleter()};
}

TableClient::Call TableClient::Begin(int requests, const std::string& name,
                                     const std::vector<int>& shards,
                                     absl::AnyInvocable<void(absl::Status)> ready) {
  Call call;
  call.deadline = Timer::After(options_.timeout);
  {
    MutexLock lock(&state_->mutex);
    ++state_->operations;
    call.id = state_->next_operation++;
  }
  call.operation = std::make_shared<Operation>(
      requests, absl::StrCat(name, ": ", ShardNames(shards)), call.deadline, timer_,
      [sessions = sessions_, id = call.id, name] { Cancel(sessions, id, name); },
      [ready = std::move(ready), state = state_](absl::Status status) mutable {
        ready(std::move(status));
        MutexLock lock(&state->mutex);
        if (--state->operations == 0) state->ended.NotifyAll();
      });
  return call;
}

std::future<absl::Status> TableClient::Pull(const absl::Status& usable, int table, int64_t step,
                                            absl::Span<const uint64_t> keys,
                                            absl::Span<float> rows) {
  const std::string name = absl::StrCat(options_.task, " pull of rows of step ", step);
  absl::Status legal = usable;
  if (legal.ok()) legal = CheckCall(table, step, keys.size(), rows.size());
  if (!legal.ok() || keys.empty()) return Answered(Annotate(legal, name));

  const Table& asked = tables_[static_cast<size_t>(table)];
  auto plan = std::make_shared<PullPlan>();
  plan->width = asked.width;
  plan->dtype = options_.pull_dtype;
  plan->rows = rows;
  const size_t row_bytes = RowWireBytes(plan->dtype, plan->width);
  const size_t most = std::clamp<size_t>(options_.request_bytes / row_bytes, 1, kMaxKeys);
  DistinctKeys distinct(keys.size());
  std::vector<int> open(sessions_.size(), -1);  // by shard: the request that is being filled
  plan->numbers.reserve(keys.size());
  for (const uint64_t key : keys) plan->numbers.push_back(static_cast<uint32_t>(distinct.Add(key)));
  std::vector<bool> found;
  if (asked.cache != nullptr) {
    plan->cache = asked.cache;
    plan->cached.resize(distinct.keys().size() * plan->width);
    plan->ticket =
        asked.cache->BeginPull(step, distinct.keys(), &found, absl::MakeSpan(plan->cached));
  }
  plan->places.reserve(distinct.keys().size());
  for (size_t number = 0; number < distinct.keys().size(); ++number) {
    if (!found.empty() && found[number]) {
      plan->places.push_back({PullPlan::kCached, static_cast<uint32_t>(number)});
      continue;
    }
    const uint64_t key = distinct.keys()[number];
    const int shard = ShardOf(asked, key);
    int& request = open[static_cast<size_t>(shard)];
    if (request < 0 || plan->requests[static_cast<size_t>(request)].keys.size() == most) {
      request = static_cast<int>(plan->requests.size());
      plan->requests.push_back({shard, {}, {}});
    }
    std::vector<uint64_t>& to = plan->requests[static_cast<size_t>(request)].keys;
    plan->places.push_back({static_cast<uint32_t>(request), static_cast<uint32_t>(to.size())});
    to.push_back(key);
  }
  if (plan->requests.empty()) {  // the cache had all
    plan->Write();
    plan->EndPull(true);
    return Answered(absl::OkStatus());
  }

  auto promise = std::make_shared<std::promise<absl::Status>>();
  std::future<absl::Status> future = promise->get_future();
  std::vector<int> shards;
  for (size_t shard = 0; shard < open.size(); ++shard) {
    if (open[shard] >= 0) shards.push_back(static_cast<int>(shard));
  }
  const Call call = Begin(static_cast<int>(plan->requests.size()), name, shards,
                          [plan, promise](absl::Status status) {
                            if (status.ok()) plan->Write();
                            if (plan->cache != nullptr) plan->EndPull(status.ok());
                            promise->set_value(std::move(status));
                          });
  // Answers write to requests that are all there.
  for (size_t i = 0; i < plan->requests.size(); ++i) {
    if (call.operation->failed()) {
      call.operation->Ended(absl::CancelledError(name));
      continue;
    }
    const int shard = plan->requests[i].shard;
    const std::vector<uint64_t>& wanted = plan->requests[i].keys;
    v1::PushPullRequest request = NewRequest(step);
    const v1::DType counted = plan->dtype == v1::INT8 ? v1::FLOAT32 : plan->dtype;
    request.set_pull_dtype(counted);
    v1::TableRows* const pulled = request.add_pull_rows();
    pulled->set_table(static_cast<uint32_t>(table));
    pulled->mutable_keys()->Add(wanted.begin(), wanted.end());
    // Which dtypes the rows travel in is nothing to a session, which counts bytes by pull_dtype.
    const size_t elements = wanted.size() * row_bytes / WireBytes(counted);
    sessions_[static_cast<size_t>(shard)]->PushPull(
        call.id, std::move(request), nullptr, {{nullptr, elements}}, call.deadline,
        [state = state_, plan, operation = call.operation, i, table,
         shard](absl::StatusOr<ParameterServer::PushPullReply> reply) {
          if (reply.ok()) {
            plan->requests[i].answer = std::move(reply->payload);
            MutexLock lock(&state->mutex);
            int64_t& version =
                state->versions[static_cast<size_t>(table)][static_cast<size_t>(shard)];
            version = std::max(version, reply->response.version(0));
          }
          operation->Ended(reply.status());
        });
  }
  // A request that failed meanwhile could not cancel those that were not there yet.
  if (call.operation->failed()) Cancel(sessions_, call.id, name);
  return future;
}

std::future<absl::Status> TableClient::Push(const absl::Status& usable, int table, int64_t step,
                                            absl::Span<const uint64_t> keys,
                                            absl::Span<const float> gradients) {
  const std::string name = absl::StrCat(options_.task, " push of rows of step ", step);
  absl::Status legal = usable;
  if (legal.ok()) legal = CheckCall(table, step, keys.size(), gradients.size());
  if (!legal.ok()) return Answered(Annotate(legal, name));

  struct ShardPush {
    v1::PushPullRequest request;
    std::shared_ptr<std::byte> rows;
    size_t bytes = 0;
    uint32_t count = 0;
  };
  struct Place {
    uint32_t shard;
    uint32_t row;
  };
  const Table& pushed = tables_[static_cast<size_t>(table)];
  const size_t width = pushed.width;
  std::vector<ShardPush> pushes(sessions_.size());
  DistinctKeys distinct(keys.size());
  std::vector<uint32_t> numbers;  // by key of the call: which of the distinct ones
  std::vector<Place> places;      // by distinct key
  numbers.reserve(keys.size());
  for (const uint64_t key : keys) {
    const size_t number = distinct.Add(key);
    numbers.push_back(static_cast<uint32_t>(number));
    if (number < places.size()) continue;
    const uint32_t shard = static_cast<uint32_t>(ShardOf(pushed, key));
    places.push_back({shard, pushes[shard].count++});
  }
  std::vector<int> shards;
  for (size_t shard = 0; shard < pushes.size(); ++shard) {
    ShardPush& push = pushes[shard];
    shards.push_back(static_cast<int>(shard));
    if (push.count > kMaxKeys) {
      return Answered(absl::InvalidArgumentError(
          absl::StrCat(name, ": table ", job_.spec().tables(table).name(), ": ", push.count,
                       " distinct keys for ps:", shard, ", allowed are ", kMaxKeys)));
    }
    push.request = NewRequest(step);
    v1::TableRows* const rows = push.request.add_push_rows();
    rows->set_table(static_cast<uint32_t>(table));
    rows->mutable_keys()->Resize(static_cast<int>(push.count), 0);
    push.bytes = push.count * width * sizeof(float);
    if (push.count > 0) push.rows = NewBytes(push.bytes);
    MutexLock lock(&state_->mutex);
    rows->set_base_version(state_->versions[static_cast<size_t>(table)][shard]);
  }
  size_t first = 0;  // the distinct keys so far
  for (size_t i = 0; i < keys.size(); ++i) {
    const Place place = places[numbers[i]];
    ShardPush& push = pushes[place.shard];
    float* const row = reinterpret_cast<float*>(push.rows.get()) + place.row * width;
    const float* const gradient = gradients.data() + i * width;
    if (numbers[i] < first) {
      for (size_t j = 0; j < width; ++j) row[j] += gradient[j];
      continue;
    }
    ++first;
    std::memcpy(row, gradient, width * sizeof(float));
    push.request.mutable_push_rows(0)->set_keys(static_cast<int>(place.row), keys[i]);
  }
  if (options_.push_dtype != v1::FLOAT32) {
    for (ShardPush& push : pushes) {
      if (push.count == 0) continue;
      const size_t row_bytes = RowWireBytes(options_.push_dtype, width);
      push.bytes = push.count * row_bytes;
      const std::shared_ptr<std::byte> narrow = NewBytes(push.bytes);
      for (size_t i = 0; i < push.count; ++i) {
        RowToWire(options_.push_dtype, reinterpret_cast<const float*>(push.rows.get()) + i * width,
                  width, narrow.get() + i * row_bytes);
      }
      push.rows = narrow;
    }
  }

  auto promise = std::make_shared<std::promise<absl::Status>>();
  std::future<absl::Status> future = promise->get_future();
  const std::shared_ptr<RowCache> cache = pushed.cache;
  const RowCache::Ticket ticket = cache == nullptr ? 0 : cache->BeginPush(distinct.keys());
  const Call call = Begin(static_cast<int>(pushes.size()), name, shards,
                          [promise, cache, ticket](absl::Status status) {
                            if (cache != nullptr) cache->EndPush(ticket);
                            promise->set_value(std::move(status));
                          });
  for (size_t shard = 0; shard < pushes.size(); ++shard) {
    if (call.operation->failed()) {
      call.operation->Ended(absl::CancelledError(name));
      continue;
    }
    ShardPush& push = pushes[shard];
    sessions_[shard]->PushPull(
        call.id, std::move(push.request),
        [rows = std::move(push.rows), bytes = push.bytes] {
          Payload payload;
          payload.Append(rows.get(), bytes, rows);
          return payload;
        },
        {}, call.deadline,
        [operation = call.operation](absl::StatusOr<ParameterServer::PushPullReply> reply) {
          operation->Ended(reply.status());
        });
  }
  if (call.operation->failed()) Cancel(sessions_, call.id, name);
  return future;
}

RowCache::Counts TableClient::row_cache() const {
  RowCache::Counts all;
  for (const Table& table : tables_) {
    if (table.cache == nullptr) continue;
    const RowCache::Counts counts = table.cache->counts();
    all.hits += counts.hits;
    all.misses += counts.misses;
    all.bytes += counts.bytes;
  }
  return all;
}

}  // namespace parley
