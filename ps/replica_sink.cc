#include "ps/replica_sink.h"

#include <algorithm>
#include <future>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/planted_bug.h"
#include "base/status.h"
#include "glog/logging.h"

namespace parley {
namespace {

constexpr absl::Duration kTryAgainAfter = absl::Milliseconds(100);
constexpr absl::Duration kPauseLook = absl::Milliseconds(5);
// A move whose task is not reached, and one that failed.
constexpr absl::Duration kBeginAgainAfter = absl::Seconds(1);
constexpr absl::Duration kMoveAgainAfter = absl::Seconds(5);

size_t BytesOf(const std::vector<ShardRecord>& records) {
  size_t bytes = 0;
  for (const ShardRecord& record : records) bytes += record.payload.size();
  return bytes;
}

}  // namespace

ReplicaSink::ReplicaSink(Options options, v1::Books identity, ShardBooks books)
    : options_(std::move(options)),
      identity_(std::move(identity)),
      books_(std::move(books)),
      term_(options_.place->term()),
      last_good_(options_.env->Now()) {
  if (options_.place->TookOver()) HurryOn();
  may_be_known_ = options_.place->IsKnown();
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
  options_.place->SetOwn(nullptr);
  move_ = nullptr;  // whose thread calls back, as that of the next
  own_ = nullptr;
  ending_.clear();
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
    if (!taken.empty() && bytes > CopyStream::kMessageBytes) break;
    taken.push_back(std::move(items_.front()));
    items_.pop_front();
  }
  taken_ = static_cast<int64_t>(taken.size());
  if (!taken.empty()) taken_came_ = taken.front().came;
  return taken;
}

bool ReplicaSink::Pauses() {
  const uint64_t pause = options_.place->pause();
  paused_ = in_sync_ ? pause : 0;
  if (paused_ == 0) return false;
  MutexLock lock(&mutex_);
  if (!stopping_) changed_.WaitFor(&mutex_, kPauseLook);
  return true;
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
    if (items.empty() && Pauses()) {
      if (stopping()) return;
      continue;
    }
    absl::Status status;
    if (stream_ == nullptr) status = Begin();
    if (status.ok()) {
      // Nothing may come that a shard in a hurry waits with.
      const bool hurries = waits_ && !whole_ && hurries_from_ != absl::InfiniteFuture();
      const bool looks = hurries || move_ != nullptr;
      const bool adopted = whole_ && !in_sync_;
      if (items.empty() && !adopted) items = TakeItems(looks ? kTryAgainAfter : absl::Seconds(1));
      if (items.empty() && stopping()) return;
      if (!items.empty()) {
        for (const Item& item : items) {
          for (const ShardRecord& record : item.records) {
            if (IsState(record.record)) last_grown_ = options_.env->Now();
          }
        }
        status = Send(items);
      }
    }
    if (status.ok()) {
      last_good_ = options_.env->Now();
      Take(&items);
      items.clear();
      if (whole_) {
        Move();
        status = BecomeInSync();
        if (status.ok()) FollowOwn();
      } else if (waits_ && hurries_from_ != absl::InfiniteFuture() && IsOverdue()) {
        status = StopWaiting(absl::UnavailableError("its next copy takes a while"));
      } else if (waits_ && options_.env->Now() >= last_grown_ + options_.patience) {
        // A block in the middle of a round with norms may wait for a worker, and that for this.
        status = StopWaiting(absl::UnavailableError("its copy does not become whole"));
      }
      if (status.ok()) {
        if (in_sync_ || !waits_ ||
            PARLEY_PLANTED_BUG("acknowledged_while_the_copy_is_being_filled"))
          RunHeld();
        if (in_sync_ && left_ != nullptr) std::exchange(left_, nullptr)->End();
        continue;
      }
    }
    if (absl::IsAborted(status)) return BeSuperseded(status);
    if (stopping()) return;
    const bool away = absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status);
    const bool gone = stream_ != nullptr && away && options_.place->IsGone();
    const bool lost = stream_ != nullptr && (!away || gone);
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
        absl::IsNotFound(status) && hurries_from_ != absl::InfiniteFuture() && stream_ == nullptr;
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
  EndMove();
  left_ = nullptr;
  stream_ = nullptr;
  whole_ = false;
  in_sync_ = false;
}

absl::Status ReplicaSink::BecomeInSync() {
  if (in_sync_) return absl::OkStatus();
  waits_ = true;
  may_be_known_ = true;
  PARLEY_RETURN_IF_ERROR(options_.place->SetInSync(stream_->keeper()));
  in_sync_ = true;
  hurries_from_ = absl::InfiniteFuture();
  LOG(INFO) << options_.task << ": its copy is whole";
  return absl::OkStatus();
}

std::unique_ptr<CopyMove> ReplicaSink::BeginCopy(std::shared_ptr<ParameterServer> standby) {
  CopyMove::Options options;
  options.stream = StreamAt(std::move(standby));
  options.env = options_.env;
  options.changed = [this] { changed_.NotifyAll(); };
  auto copy = std::make_unique<CopyMove>(std::move(options), Books());
  options_.fill();
  return copy;
}

void ReplicaSink::Move() {
  Reap();
  if (!in_sync_) return;
  const absl::Time now = options_.env->Now();
  if (move_ == nullptr) {
    if (now < next_move_ || !options_.place->IsToMove()) return;
    next_move_ = now + kBeginAgainAfter;
    absl::StatusOr<std::shared_ptr<ParameterServer>> standby = options_.place->BeginMove();
    if (standby.ok()) move_ = BeginCopy(*std::move(standby));
    return;
  }
  if (const absl::Status status = move_->status(); !status.ok()) {
    LOG(WARNING) << options_.task << ": its copy stays where it is: " << status.message();
    EndMove();
    next_move_ = now + kMoveAgainAfter;
  } else if (!options_.place->IsToMove()) {
    EndMove();
  } else if (move_->IsReady()) {
    left_ = std::move(stream_);
    stream_ = move_->Finish();
    move_ = nullptr;
    options_.place->EndMove();
    in_sync_ = false;  // until the job knows
  }
}

void ReplicaSink::FollowOwn() {
  const std::shared_ptr<ParameterServer> place = options_.place->OwnPlace();
  if (own_ != nullptr) {
    const absl::Status status = own_->status();
    if (status.ok() && place != nullptr) return;
    LOG_IF(WARNING, !status.ok()) << options_.task << ": no copy of its own: " << status.message();
    EndOwn();
    next_own_ = options_.env->Now() + kMoveAgainAfter;
  } else if (place != nullptr && !options_.place->IsToMove() && options_.env->Now() >= next_own_) {
    own_ = BeginCopy(place);
    options_.place->SetOwn([this, own = own_] {
      const uint64_t pause = options_.place->pause();
      if (pause != paused_ && !PARLEY_PLANTED_BUG("copies_differ_at_a_hand_over")) {
        changed_.NotifyAll();  // it may wait for what comes
        return false;
      }
      return own->IsReady();
    });
  }
}

void ReplicaSink::EndMove() {
  if (move_ == nullptr) return;
  move_->Stop();
  ending_.push_back(std::move(move_));
}

void ReplicaSink::EndOwn() {
  options_.place->SetOwn(nullptr);
  own_->Stop();
  ending_.push_back(std::move(own_));
}

void ReplicaSink::Reap() {
  for (auto move = ending_.begin(); move != ending_.end();) {
    if (!(*move)->has_ended()) {
      ++move;
      continue;
    }
    const std::unique_ptr<CopyStream> stream = (*move)->Finish();
    if (stream != nullptr) stream->End();
    move = ending_.erase(move);
  }
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
  PARLEY_ASSIGN_OR_RETURN(std::shared_ptr<ParameterServer> standby, options_.place->Choose());
  if (term_ == 0) {
    v1::FetchReplicaRequest request;
    request.set_shard(options_.shard);
    using Fetched = absl::StatusOr<ParameterServer::FetchReplicaReply>;
    std::promise<Fetched> promise;
    standby->FetchReplica(std::move(request),
                          [&promise](Fetched answer) { promise.set_value(std::move(answer)); });
    const Fetched fetched = promise.get_future().get();
    if (!fetched.ok()) return fetched.status();
    if (options_.begins_anew && fetched->response.has_books()) {
      return absl::AbortedError(
          "there is a copy of this shard, which did not begin with it: start it again");
    }
    term_ = fetched->response.term();
  }
  CopyStream::Options stream = StreamAt(std::move(standby));
  stream.adopts = options_.place->MayAdopt();
  PARLEY_ASSIGN_OR_RETURN(stream_, CopyStream::Begin(std::move(stream), Books()));
  alone_ = false;
  last_grown_ = options_.env->Now();
  whole_ = stream_->whole();
  if (!whole_) options_.fill();
  return absl::OkStatus();
}

v1::Books ReplicaSink::Books() const {
  v1::Books books = books_.ToProto();
  books.MergeFrom(identity_);
  return books;
}

CopyStream::Options ReplicaSink::StreamAt(std::shared_ptr<ParameterServer> standby) const {
  CopyStream::Options stream{std::move(standby), options_.shard, term_, options_.trace};
  if (options_.table_memory) stream.table_bytes = options_.table_memory();
  return stream;
}

absl::Status ReplicaSink::Send(const std::vector<Item>& items) {
  std::vector<const ShardRecord*> records;
  for (const Item& item : items) {
    for (const ShardRecord& record : item.records) {
      // A copy that is in sync has them; they are for the next one.
      if (!in_sync_ || !IsState(record.record)) records.push_back(&record);
    }
  }
  PARLEY_RETURN_IF_ERROR(stream_->Send(records));
  if (stream_->whole()) whole_ = true;
  return absl::OkStatus();
}

void ReplicaSink::Take(std::vector<Item>* items) {
  for (Item& item : *items) {
    if (move_ != nullptr) move_->Append(item.records);
    if (own_ != nullptr) own_->Append(item.records);
    for (const ShardRecord& record : item.records) {
      if (IsState(record.record)) continue;
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
