#include "ps/replica_sink.h"

#include <algorithm>
#include <future>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/planted_bug.h"
#include "base/random_id.h"
#include "base/status.h"
#include "glog/logging.h"

namespace parley {
namespace {

constexpr size_t kMessageBytes = 8 << 20;  // more than one record only up to this
constexpr absl::Duration kTryAgainAfter = absl::Milliseconds(100);

size_t BytesOf(const std::vector<ShardRecord>& records) {
  size_t bytes = 0;
  for (const ShardRecord& record : records) bytes += record.payload.size();
  return bytes;
}

// Waits for a call, which ends by its own deadline.
template <typename Response, typename Call>
absl::StatusOr<Response> Wait(Call call) {
  std::promise<absl::StatusOr<Response>> promise;
  call([&promise](absl::StatusOr<Response> answer) { promise.set_value(std::move(answer)); });
  return promise.get_future().get();
}

}  // namespace

ReplicaSink::ReplicaSink(Options options, v1::Books identity, ShardBooks books)
    : options_(std::move(options)),
      identity_(std::move(identity)),
      books_(std::move(books)),
      term_(options_.place->term()),
      last_good_(options_.env->Now()) {
  if (options_.place->TookOver()) HurryOn();
}

void ReplicaSink::Start() {
  thread_ = std::thread([this] { Run(); });
}

ReplicaSink::~ReplicaSink() { Close(); }

void ReplicaSink::Close() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
  }
  changed_.NotifyAll();
  if (thread_.joinable()) thread_.join();
}

void ReplicaSink::Append(std::vector<ShardRecord> records, absl::AnyInvocable<void()> kept) {
  {
    MutexLock lock(&mutex_);
    if (superseded_) return;
    items_.push_back({std::move(records), std::move(kept), options_.env->Now()});
  }
  changed_.NotifyAll();
}

ShardNumbers::Replica ReplicaSink::lag() const {
  ShardNumbers::Replica lag;
  lag.whole = whole_;
  MutexLock lock(&mutex_);
  lag.waiting = taken_ + static_cast<int64_t>(items_.size());
  if (lag.waiting > 0) {
    lag.lag = options_.env->Now() - (taken_ > 0 ? taken_came_ : items_.front().came);
  }
  return lag;
}

bool ReplicaSink::stopping() {
  MutexLock lock(&mutex_);
  return stopping_;
}

std::vector<ReplicaSink::Item> ReplicaSink::TakeItems(absl::Duration wait) {
  std::vector<Item> taken;
  MutexLock lock(&mutex_);
  if (items_.empty() && !stopping_) changed_.WaitFor(&mutex_, wait);
  size_t bytes = 0;
  while (!items_.empty()) {
    bytes += BytesOf(items_.front().records);
    if (!taken.empty() && bytes > kMessageBytes) break;
    taken.push_back(std::move(items_.front()));
    items_.pop_front();
  }
  taken_ = static_cast<int64_t>(taken.size());
  if (!taken.empty()) taken_came_ = taken.front().came;
  return taken;
}

void ReplicaSink::Run() {
  std::vector<Item> items;  // not sent yet
  absl::Time next_attempt = absl::InfinitePast();
  for (;;) {
    if (alone_ && options_.env->Now() < next_attempt) {
      items = TakeItems(kTryAgainAfter);
      Take(&items);
      RunHeld();
      if (stopping() && items.empty()) return;
      items.clear();
      continue;
    }
    absl::Status status;
    if (stream_ == 0) status = Begin();
    if (status.ok()) {
      // Nothing may come that a shard in a hurry waits with.
      const bool hurries = waits_ && !whole_ && hurries_from_ != absl::InfiniteFuture();
      if (items.empty()) items = TakeItems(hurries ? kTryAgainAfter : absl::Seconds(1));
      if (items.empty() && stopping()) return;
      if (!items.empty()) status = Send(items);
    }
    if (status.ok()) {
      last_good_ = options_.env->Now();
      Take(&items);
      items.clear();
      if (whole_) {
        status = BecomeInSync();
      } else if (waits_ && hurries_from_ != absl::InfiniteFuture() && IsOverdue()) {
        status = StopWaiting(absl::UnavailableError("its next copy takes a while"));
      }
      if (status.ok()) {
        if (in_sync_ || !waits_ ||
            PARLEY_PLANTED_BUG("acknowledged_while_the_copy_is_being_filled"))
          RunHeld();
        continue;
      }
    }
    if (absl::IsAborted(status)) return BeSuperseded(status);
    if (stopping()) return;
    const bool away = absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status);
    const bool gone = stream_ != 0 && away && options_.place->IsGone();
    const bool lost = stream_ != 0 && (!away || gone);
    if (lost) {
      LOG(WARNING) << options_.task << ": its copy is to be filled anew: " << status.message();
      if (gone) HurryOn();
      EndStream();
      Take(&items);  // the books of the next stream have them
      items.clear();
    }
    next_attempt = options_.env->Now() + kTryAgainAfter;
    // Where nobody is there to have the next copy, there is nothing to wait for.
    const bool hopeless =
        absl::IsNotFound(status) && hurries_from_ != absl::InfiniteFuture() && stream_ == 0;
    if (!alone_ && (hopeless || IsOverdue())) {
      const absl::Status stopped = StopWaiting(status);
      if (absl::IsAborted(stopped)) return BeSuperseded(stopped);
      if (stopped.ok()) {
        alone_ = true;
        EndStream();
      }
    }
    if (alone_) {
      Take(&items);
      items.clear();
      RunHeld();
    } else {
      MutexLock lock(&mutex_);
      if (!stopping_ && !lost) changed_.WaitFor(&mutex_, kTryAgainAfter);
    }
  }
}

void ReplicaSink::EndStream() {
  stream_ = 0;
  whole_ = false;
  in_sync_ = false;
}

absl::Status ReplicaSink::BecomeInSync() {
  if (in_sync_) return absl::OkStatus();
  waits_ = true;
  may_be_known_ = true;
  PARLEY_RETURN_IF_ERROR(options_.place->SetInSync(keeper_));
  in_sync_ = true;
  hurries_from_ = absl::InfiniteFuture();
  LOG(INFO) << options_.task << ": its copy is whole";
  return absl::OkStatus();
}

absl::Status ReplicaSink::StopWaiting(const absl::Status& because) {
  if (!waits_) return absl::OkStatus();
  if (may_be_known_ && !PARLEY_PLANTED_BUG("goes_on_alone_without_saying_so")) {
    PARLEY_RETURN_IF_ERROR(options_.place->SetInSync(0));
  }
  LOG(ERROR) << options_.task << ": it goes on without a copy: " << because.message();
  may_be_known_ = false;
  in_sync_ = false;
  waits_ = false;
  return absl::OkStatus();
}

bool ReplicaSink::IsOverdue() const {
  const absl::Time now = options_.env->Now();
  return now >= last_good_ + options_.patience || now >= hurries_from_ + kHurry;
}

void ReplicaSink::HurryOn() {
  if (hurries_from_ == absl::InfiniteFuture()) hurries_from_ = options_.env->Now();
}

void ReplicaSink::BeSuperseded(const absl::Status& by) {
  options_.superseded(by);  // before those who wait, or come now, hear that nothing is kept
  std::deque<Item> dropped;
  {
    MutexLock lock(&mutex_);
    superseded_ = true;
    dropped.swap(items_);
  }
  held_.clear();
}

absl::Status ReplicaSink::Begin() {
  PARLEY_ASSIGN_OR_RETURN(standby_, options_.place->Choose());
  if (term_ == 0) {
    v1::FetchReplicaRequest request;
    request.set_shard(options_.shard);
    const auto fetched = Wait<ParameterServer::FetchReplicaReply>(
        [&](auto done) { standby_->FetchReplica(std::move(request), std::move(done)); });
    if (!fetched.ok()) return fetched.status();
    if (options_.begins_anew && fetched->response.has_books()) {
      return absl::AbortedError(
          "there is a copy of this shard, which did not begin with it: start it again");
    }
    term_ = fetched->response.term();
  }
  ShardRecord begin;
  *begin.record.mutable_begin()->mutable_books() = books_.ToProto();
  begin.record.mutable_begin()->mutable_books()->MergeFrom(identity_);
  stream_ = RandomId();
  const absl::Status begun = SendRecords({&begin}, 0);
  if (!begun.ok()) {
    stream_ = 0;
    return begun;
  }
  next_ = 1;
  alone_ = false;
  options_.fill();
  return absl::OkStatus();
}

absl::Status ReplicaSink::Send(const std::vector<Item>& items) {
  std::vector<const ShardRecord*> records;
  for (const Item& item : items) {
    for (const ShardRecord& record : item.records) records.push_back(&record);
  }
  if (records.empty()) return absl::OkStatus();
  const size_t count = records.size();
  PARLEY_RETURN_IF_ERROR(SendRecords(std::move(records), next_));
  next_ += count;
  return absl::OkStatus();
}

absl::Status ReplicaSink::SendRecords(std::vector<const ShardRecord*> records, uint64_t first) {
  const TraceScope scope(options_.trace.get(), "replicate");
  v1::ReplicateRequest request;
  Payload payload;
  request.set_shard(options_.shard);
  request.set_term(term_);
  request.set_stream(stream_);
  request.set_first(first);
  for (const ShardRecord* const record : records) {
    *request.add_records() = record->record;
    request.add_payload_bytes(record->payload.size());
    payload.Append(record->payload);
  }
  const auto answer = Wait<v1::ReplicateResponse>([&](auto done) {
    standby_->Replicate(std::move(request), std::move(payload), std::move(done));
  });
  if (!answer.ok()) return answer.status();
  keeper_ = answer->keeper();
  if (answer->complete()) whole_ = true;
  return absl::OkStatus();
}

void ReplicaSink::Take(std::vector<Item>* items) {
  for (Item& item : *items) {
    for (const ShardRecord& record : item.records) {
      if (record.record.has_block_state()) continue;
      const absl::Status taken = books_.Take(record.record);
      LOG_IF(DFATAL, !taken.ok()) << options_.task << ": " << taken;
    }
    if (item.kept) held_.push_back(std::move(item.kept));
  }
  MutexLock lock(&mutex_);
  taken_ = 0;
}

void ReplicaSink::RunHeld() {
  std::vector<Kept> held = std::move(held_);
  held_.clear();
  for (Kept& kept : held) kept();
}

}  // namespace parley
