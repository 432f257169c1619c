#include "net/shard_leadership.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/planted_bug.h"
#include "base/status.h"

namespace parley {
namespace {

// How often a shard's records are tried to be removed.
constexpr int kRemovals = 3;

EtcdCondition IsAt(const std::string& key, int64_t mod_revision) {
  return {key, EtcdCondition::Of::kModRevision, mod_revision};
}

}  // namespace

absl::StatusOr<std::shared_ptr<ShardLeadership>> ShardLeadership::Take(
    Options options, const ShardRecords& seen, std::shared_ptr<EtcdLease> lease) {
  ShardCopies copies;
  copies.term = seen.copies.has_value() ? seen.copies->term + 1 : 1;
  if (PARLEY_PLANTED_BUG("term_stays_after_a_takeover"))
    copies.term = std::max<uint64_t>(copies.term - 1, 1);
  copies.leader = options.self;
  if (seen.copies.has_value() && seen.copies->leader_keeps &&
      !PARLEY_PLANTED_BUG("who_handed_over_is_forgotten")) {
    copies.copy = seen.copies->leader;
  }
  const std::string leader_key = LeaderKey(options.job, options.shard);
  const std::string copies_key = CopiesKey(options.job, options.shard);
  std::shared_ptr<ShardLeadership> taken(new ShardLeadership(std::move(options), copies));
  EtcdTransaction take;
  take.conditions = {IsAt(leader_key, seen.leader.has_value() ? seen.leader->mod_revision : 0),
                     IsAt(copies_key, seen.copies.has_value() ? seen.copies->mod_revision : 0)};
  if (PARLEY_PLANTED_BUG("takes_over_with_an_old_copy")) take.conditions.pop_back();
  take.puts = {{leader_key, FormatLeader(taken->Leader()), lease->id()},
               {copies_key, FormatCopies(copies), 0}};
  const absl::StatusOr<EtcdTransactionResult> result = taken->options_.etcd->Transact(take);
  if (!result.ok()) return result.status();
  if (!result->done) {
    return absl::FailedPreconditionError(
        absl::StrCat("ps:", taken->options_.shard, " is not as it was seen in etcd"));
  }
  MutexLock lock(&taken->mutex_);
  taken->copies_.mod_revision = result->revision;
  taken->lease_ = std::move(lease);
  return taken;
}

absl::StatusOr<std::shared_ptr<ShardLeadership>> ShardLeadership::Found(
    Options options, const ShardRecords& seen, std::shared_ptr<EtcdLease> lease) {
  std::shared_ptr<ShardLeadership> found(new ShardLeadership(std::move(options), *seen.copies));
  PARLEY_RETURN_IF_ERROR(found->Hold(std::move(lease)));
  return found;
}

ShardLeadership::ShardLeadership(Options options, ShardCopies copies)
    : options_(std::move(options)), term_(copies.term), copies_(std::move(copies)) {}

ShardLeader ShardLeadership::Leader() const {
  ShardLeader leader;
  leader.address = options_.address;
  leader.term = term_;
  leader.who = options_.self;
  leader.size = options_.size;
  return leader;
}

bool ShardLeadership::MaySpeak() const {
  MutexLock lock(&mutex_);
  if (PARLEY_PLANTED_BUG("leadership_never_ends")) return true;
  return !ended_ && !silent_ && lease_ != nullptr && lease_->IsHeld();
}

absl::optional<TaskStart> ShardLeadership::copy() const {
  MutexLock lock(&mutex_);
  return copies_.copy;
}

int64_t ShardLeadership::revision() const {
  MutexLock lock(&mutex_);
  return copies_.mod_revision;
}

void ShardLeadership::End() {
  MutexLock lock(&mutex_);
  ended_ = true;
}

absl::Status ShardLeadership::Superseded(const ShardCopies& by) const {
  return absl::AbortedError(absl::StrCat("ps:", by.leader.task, " speaks for ps:", options_.shard,
                                         " now, of term ", by.term));
}

absl::Status ShardLeadership::Refresh() {
  PARLEY_ASSIGN_OR_RETURN(const ShardRecords now,
                          ReadShardRecordsOf(options_.etcd.get(), options_.job, options_.shard));
  if (!now.copies.has_value()) {
    return absl::AbortedError(
        absl::StrCat("etcd has no ", CopiesKey(options_.job, options_.shard)));
  }
  if (now.copies->leader != options_.self || now.copies->term != term_) {
    return Superseded(*now.copies);
  }
  known_ = true;
  MutexLock lock(&mutex_);
  copies_ = *now.copies;
  return absl::OkStatus();
}

absl::Status ShardLeadership::Hold(std::shared_ptr<EtcdLease> lease) {
  MutexLock etcd_lock(&etcd_mutex_);
  const std::string copies_key = CopiesKey(options_.job, options_.shard);
  for (int attempt = 0;; ++attempt) {
    if (!known_ || attempt > 0) PARLEY_RETURN_IF_ERROR(Refresh());
    ShardCopies next;
    {
      MutexLock lock(&mutex_);
      next = copies_;
    }
    EtcdTransaction hold;
    hold.conditions = {IsAt(copies_key, next.mod_revision)};
    if (PARLEY_PLANTED_BUG("leader_key_taken_whoever_leads")) hold.conditions.clear();
    hold.puts = {{LeaderKey(options_.job, options_.shard), FormatLeader(Leader()), lease->id()}};
    if (next.leader_keeps) {
      // What it acknowledges from now on it need not keep itself.
      next.leader_keeps = false;
      hold.puts.push_back({copies_key, FormatCopies(next), 0});
      const absl::Status held = Write(hold, std::move(next));
      if (held.ok()) break;
      if (absl::IsAborted(held) || !known_) return held;
    } else {
      PARLEY_ASSIGN_OR_RETURN(const EtcdTransactionResult result, options_.etcd->Transact(hold));
      if (result.done) break;
    }
    if (attempt == 2) return absl::UnavailableError("etcd's records change all the time");
  }
  MutexLock lock(&mutex_);
  lease_ = std::move(lease);
  silent_ = false;
  return absl::OkStatus();
}

void ShardLeadership::FallSilent() {
  MutexLock lock(&mutex_);
  silent_ = true;
}

absl::Status ShardLeadership::HandOver(int to) {
  MutexLock etcd_lock(&etcd_mutex_);
  const std::string copies_key = CopiesKey(options_.job, options_.shard);
  if (!known_) PARLEY_RETURN_IF_ERROR(Refresh());
  ShardCopies next;
  {
    MutexLock lock(&mutex_);
    next = copies_;
  }
  if (!next.copy.has_value() || next.copy->task != to) {
    return absl::FailedPreconditionError(
        absl::StrCat("ps:", to, " has no copy of ps:", options_.shard, " that is in sync"));
  }
  next.leader_keeps = true;
  EtcdTransaction leave;
  leave.conditions = {IsAt(copies_key, next.mod_revision)};
  leave.puts = {{copies_key, FormatCopies(next), 0}};
  leave.deletes = {LeaderKey(options_.job, options_.shard)};
  return Write(leave, std::move(next));
}

// Does `write`, which makes the copies `next`.
absl::Status ShardLeadership::Write(const EtcdTransaction& write, ShardCopies next) {
  known_ = PARLEY_PLANTED_BUG("lost_answer_taken_for_a_refusal");
  const absl::StatusOr<EtcdTransactionResult> result = options_.etcd->Transact(write);
  if (!result.ok()) return result.status();
  if (!result->done) {
    PARLEY_RETURN_IF_ERROR(Refresh());
    return absl::UnavailableError("etcd's records have changed");
  }
  known_ = true;
  MutexLock lock(&mutex_);
  next.mod_revision = result->revision;
  copies_ = std::move(next);
  return absl::OkStatus();
}

absl::Status ShardLeadership::SetCopy(const absl::optional<TaskStart>& copy) {
  MutexLock etcd_lock(&etcd_mutex_);
  const std::string copies_key = CopiesKey(options_.job, options_.shard);
  // After a transaction whose answer was lost, one that changes nothing is done too: when it is,
  // the lost one cannot be done any more.
  const bool was_known = known_;
  if (!known_) PARLEY_RETURN_IF_ERROR(Refresh());
  ShardCopies next;
  {
    MutexLock lock(&mutex_);
    next = copies_;
  }
  if (was_known && next.copy == copy) return absl::OkStatus();
  next.copy = copy;
  next.leader_keeps = false;
  EtcdTransaction set;
  set.conditions = {IsAt(copies_key, next.mod_revision)};
  if (PARLEY_PLANTED_BUG("earlier_leader_writes_on")) set.conditions.clear();
  set.puts = {{copies_key, FormatCopies(next), 0}};
  return Write(set, std::move(next));
}

absl::Status ShardLeadership::Remove() {
  MutexLock etcd_lock(&etcd_mutex_);
  EtcdTransaction remove;
  remove.deletes = {LeaderKey(options_.job, options_.shard),
                    CopiesKey(options_.job, options_.shard)};
  absl::Status status;
  for (int attempt = 0; attempt < kRemovals; ++attempt) {
    // A write of before whose answer was lost may be done between two attempts.
    if (!known_ || attempt > 0) {
      status = Refresh();
      if (absl::IsAborted(status)) return absl::OkStatus();  // there is nothing of this term
      if (!status.ok()) continue;
    }
    {
      MutexLock lock(&mutex_);
      remove.conditions = {IsAt(remove.deletes[1], copies_.mod_revision)};
    }
    known_ = false;
    const absl::StatusOr<EtcdTransactionResult> result = options_.etcd->Transact(remove);
    if (result.ok() && result->done) return absl::OkStatus();
    status = result.ok() ? absl::UnavailableError("etcd's records change all the time")
                         : result.status();
  }
  return status;
}

}  // namespace parley
