#include "ps/succession.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/env.h"
#include "base/planted_bug.h"
#include "glog/logging.h"

namespace parley {
namespace {

// How often it looks whether a leader whose copy is here is there, and whether a shard is dropped
// by all.
constexpr absl::Duration kTick = absl::Milliseconds(100);
// Likewise while it has handed a shard over, whose calls wait until the other has taken it.
constexpr absl::Duration kShortTick = absl::Milliseconds(5);
// How long a shard that was handed over may be without a leader, before its last one goes on.
constexpr absl::Duration kHandOver = absl::Seconds(1);
// How long its own copy may take to have all, while nobody speaks for the shard.
constexpr absl::Duration kOwnCopy = absl::Milliseconds(200);
constexpr absl::Duration kHandOverAgain = absl::Seconds(10);
// How often what etcd has of a job that is done is tried to be removed.
constexpr int kRemovals = 3;

absl::Time Now() { return Env::Posix()->Now(); }

}  // namespace

Succession::Succession(Options options, Standby* standby, ShardHost* host)
    : options_(std::move(options)),
      task_(absl::StrCat("ps:", options_.self.task)),
      standby_(standby),
      host_(host),
      plan_(options_.self.task, options_.num_shards, options_.num_tasks, options_.settling),
      known_(static_cast<size_t>(options_.num_shards)),
      thread_([this] { Run(); }) {
  host_->KeepCopies();
}

Succession::~Succession() {
  Close();
  for (auto& [shard, led] : led_) {
    host_->Remove(shard);
    led.leadership->End();
  }
  lease_.reset();
}

void Succession::Close() {
  {
    MutexLock lock(&mutex_);
    closing_ = true;
  }
  changed_.NotifyAll();
  if (!thread_.joinable()) return;
  thread_.join();
  for (const auto& [shard, led] : led_) {
    if (!done_ && !led.shard->WaitUntilDone(absl::ZeroDuration())) continue;
    const absl::Status removed = led.leadership->Remove();
    LOG_IF(WARNING, !removed.ok()) << task_ << ": ps:" << shard << ": " << removed.message();
  }
  ForgetOperator();
}

// Who removes the last shard removes what was said of the job's tasks, too.
void Succession::ForgetOperator() {
  absl::Status status;
  for (int attempt = 0; attempt < kRemovals; ++attempt) {
    const absl::StatusOr<AllShardRecords> records =
        ReadShardRecords(options_.etcd.get(), options_.job, -1);
    status = records.status();
    if (!status.ok()) continue;
    if (!records->shards.empty() || !records->ps_tasks.has_value()) return;
    status = options_.etcd->Delete(PsTasksKey(options_.job)).status();
    if (status.ok()) return;
  }
  LOG(WARNING) << task_ << ": " << status.message();
}

bool Succession::IsSurplus() const {
  MutexLock lock(&mutex_);
  return surplus_;
}

void Succession::Leave() {
  MutexLock lock(&mutex_);
  leaving_ = true;
}

bool Succession::IsAlone() const {
  MutexLock lock(&mutex_);
  return alone_;
}

bool Succession::IsOver() const {
  MutexLock lock(&mutex_);
  return over_;
}

void Succession::Run() {
  for (;;) {
    bool leaving;
    {
      MutexLock lock(&mutex_);
      if (closing_) return;
      leaving = leaving_;
    }
    absl::StatusOr<AllShardRecords> records =
        ReadShardRecords(options_.etcd.get(), options_.job, options_.num_shards);
    if (records.ok()) TakeRecords(*std::move(records));
    if (records.ok() && !IsReplaced() && HasLease()) {
      SayWhetherLeaving(leaving);
      for (int i = 0; i < options_.num_shards; ++i) {
        Review(i, plan_.of(i));
      }
      MutexLock lock(&mutex_);
      over_ =
          std::all_of(known_.begin(), known_.end(), [](const Known& known) { return known.over; });
      surplus_ = !NeedsThisTask(leaving);
      alone_ = leaving && !plan_.HasSuccessor();
      if (surplus_) return;  // it takes over no more: it is about to end
    }
    dropped_.remove_if([](const std::shared_ptr<Shard>& shard) { return shard.use_count() == 1; });
    if (records.ok()) {
      const bool hands_over = std::any_of(led_.begin(), led_.end(), [](const auto& led) {
        return led.second.handed_over != absl::InfiniteFuture();
      });
      const absl::Duration tick = hands_over ? kShortTick : kTick;
      // Read anew all the same: of what happened before it began to watch, etcd tells later.
      const absl::Status watched =
          options_.etcd->AwaitChange(JobFolder(options_.job), plan_.records().revision, tick)
              .status();
      if (watched.ok() || absl::IsDeadlineExceeded(watched)) continue;
    }
    LOG_IF_EVERY_N(WARNING, !records.ok(), 20) << task_ << ": " << records.status().message();
    MutexLock lock(&mutex_);
    if (!closing_) changed_.WaitFor(&mutex_, kTick);
  }
}

bool Succession::IsReplaced() const {
  const auto& tasks = plan_.records().tasks;
  const auto self = tasks.find(options_.self.task);
  return self != tasks.end() && self->second.address != options_.address;
}

bool Succession::HasLease() {
  if (lease_ != nullptr && lease_->IsHeld()) return true;
  LOG_IF(WARNING, lease_ != nullptr) << task_ << ": " << lease_->status().message();
  absl::StatusOr<std::unique_ptr<EtcdLease>> lease =
      EtcdLease::Grant(options_.etcd, options_.lease);
  if (!lease.ok()) {
    LOG_EVERY_N(WARNING, 20) << task_ << ": " << lease.status().message();
    return false;
  }
  lease_ = *std::move(lease);
  return true;
}

void Succession::TakeRecords(AllShardRecords records) {
  const absl::Time now = Now();
  plan_.Take(std::move(records), now);
  if (now > looked_ + options_.lease) {
    // Others may have led meanwhile, and have what a shard had.
    for (Known& known : known_) known.leaderless_since = absl::InfiniteFuture();
  }
  looked_ = now;
}

void Succession::SayWhetherLeaving(bool leaving) {
  const auto& tasks = plan_.records().tasks;
  const auto self = tasks.find(options_.self.task);
  if (self == tasks.end()) return;                            // not yet, or not now
  const uint64_t wanted = leaving ? options_.self.start : 0;  // 0 where an earlier start left
  if (self->second.leaving == wanted) return;
  const std::string key = LeavingKey(options_.job, options_.self.task);
  const absl::Status said =
      leaving ? options_.etcd->Put({key, absl::StrCat(absl::Hex(wanted)), lease_->id()})
              : options_.etcd->Delete(key).status();
  if (said.ok()) {
    plan_.SetLeaving(wanted);
  } else {
    LOG_EVERY_N(WARNING, 20) << task_ << ": " << said.message();  // the next look is the next try
  }
}

bool Succession::NeedsThisTask(bool leaving) const {
  std::map<int, bool> led;
  for (const auto& [shard, here] : led_) led[shard] = here.recovers || here.shard->HasJob();
  return plan_.NeedsThisTask(leaving, led);
}

void Succession::Review(int shard, const ShardRecords& now) {
  Known& known = known_[static_cast<size_t>(shard)];
  // It stays over, also when a task that was started too late begins anew, which it may have done
  // before this one looked: terms rise, and each has one leader.
  const bool anew = known.term > 0 && now.copies.has_value() &&
                    (now.copies->term < known.term ||
                     (now.copies->term == known.term && now.copies->leader != known.leader));
  known.over = known.over || anew || (known.was_led && !now.copies.has_value());
  if (now.copies.has_value()) {
    known.term = now.copies->term;
    known.leader = now.copies->leader;
  }
  known.was_led = known.was_led || now.copies.has_value();
  if (now.leader.has_value()) {
    known.leaderless_since = absl::InfiniteFuture();
  } else {
    known.leaderless_since = std::min(known.leaderless_since, Now());
  }
  if (led_.count(shard) > 0) return ReviewLed(shard, now);
  if (now.copies.has_value() && now.copies->leader == options_.self) {
    // It was taken, and the answer was lost.
    auto leadership = ShardLeadership::Found(LeadershipOptions(shard), now, lease_);
    if (leadership.ok()) return Serve(shard, *std::move(leadership));
    LOG(WARNING) << task_ << ": " << leadership.status().message();
    return;
  }
  if (known.kept_term > 0 && now.copies.has_value() && now.copies->term > known.kept_term &&
      (now.copies->copy != options_.self ||
       PARLEY_PLANTED_BUG("own_copy_dropped_when_another_leads"))) {
    standby_->Discard(shard, known.kept_term);  // who took over has another
    known.kept_term = 0;
  }
  if (ShouldTakeOver(now)) {
    if (!standby_->Freeze(shard, now.copies->term)) return;
    known.frozen = true;
    known.takes_copy = true;
    known.takes_log = false;
    return Lead(shard, now);
  }
  if (known.frozen) {
    standby_->Thaw(shard);
    known.frozen = false;
  }
  if (ShouldGoOnFromLog(shard, now)) {
    known.takes_copy = false;
    known.takes_log = true;
    return Lead(shard, now);
  }
  if (ShouldBeginAnew(shard, now)) {
    known.takes_copy = false;
    known.takes_log = false;
    // Where nobody leads anything, what was said was said of an earlier run.
    const bool none =
        std::none_of(plan_.records().shards.begin(), plan_.records().shards.end(),
                     [](const ShardRecords& each) { return each.leader.has_value(); });
    if (none && plan_.records().ps_tasks.has_value()) {
      const auto deleted = options_.etcd->Delete(PsTasksKey(options_.job));
      if (!deleted.ok()) return;
    }
    return Lead(shard, now);
  }
  RemoveEarlierStart(shard, now);
}

bool Succession::ShouldHandOver(int shard, const ShardRecords& now) const {
  const Led& led = led_.at(shard);
  const int home = plan_.HomeOf(shard);
  return home != options_.self.task && Now() >= led.may_hand_over && plan_.IsSettled(home) &&
         now.copies->copy.has_value() && now.copies->copy->task == home && led.place->OwnHasAll() &&
         led.leadership->MaySpeak() && !led.shard->IsDraining() &&
         !options_.is_refused(plan_.records().tasks.at(home).address);
}

bool Succession::HandsOver(int shard, const ShardRecords& now) {
  Led& led = led_.at(shard);
  const int home = plan_.HomeOf(shard);
  if (led.handed_over != absl::InfiniteFuture()) {
    const bool can_be_taken = now.copies->copy.has_value() && !now.leader.has_value() &&
                              now.copies->copy->task == home && plan_.IsThere(home);
    if (can_be_taken && Now() < led.handed_over + kHandOver) return true;
    LOG(WARNING) << task_ << ": ps:" << home << " does not take ps:" << shard << " over";
    led.handed_over = absl::InfiniteFuture();
    led.may_hand_over = Now() + kHandOverAgain;
    led.place->EndPause();
    return false;
  }
  if (!ShouldHandOver(shard, now)) return false;
  led.leadership->FallSilent();
  // What the other has, which it will answer from, is to be in this task's own copy.
  led.place->BeginPause();
  const absl::Time deadline = Now() + kOwnCopy;
  bool has_all = led.place->OwnHasAll();
  for (; !has_all && Now() < deadline; has_all = led.place->OwnHasAll()) {
    absl::SleepFor(absl::Milliseconds(1));
  }
  if (!has_all) {
    led.may_hand_over = Now() + kHandOverAgain;
    led.place->EndPause();
    return false;
  }
  led.handed_over = Now();
  known_[static_cast<size_t>(shard)].kept_term = led.leadership->term();
  const absl::Status status = led.leadership->HandOver(home);
  if (status.ok()) {
    LOG(INFO) << task_ << ": it hands ps:" << shard << " over to ps:" << home;
  } else {
    LOG(WARNING) << task_ << ": " << status.message();
  }
  return true;
}

void Succession::ReviewLed(int shard, const ShardRecords& now) {
  const Led& led = led_.at(shard);
  if (plan_.records().revision < led.leadership->revision())
    return;  // it has written since that was read
  if (!now.copies.has_value()) return Drop(shard, "etcd has nothing of it any more");
  if (now.copies->leader != options_.self || now.copies->term != led.leadership->term()) {
    return Drop(shard, absl::StrCat("ps:", now.copies->leader.task, " speaks for it now"));
  }
  if (led.recovers) Recover(shard);
  if (const absl::Status status = led.shard->durability_status(); !status.ok()) {
    return Drop(shard, std::string(status.message()));
  }
  if (HandsOver(shard, now)) return;
  led.place->SetPlan(plan_.CopiesOf(shard));
  // Etcd may have what a Hold wrote whose answer was lost; then this start does not know of it.
  const bool is_there = now.leader.has_value() && now.leader->who == options_.self &&
                        now.leader->lease == lease_->id();
  if (is_there && (led.leadership->MaySpeak() || PARLEY_PLANTED_BUG("leader_by_etcd_alone")))
    return;
  const absl::Status held = led.leadership->Hold(lease_);
  if (absl::IsAborted(held)) return Drop(shard, std::string(held.message()));
  if (held.ok()) {
    LOG(INFO) << task_ << ": it speaks for ps:" << shard << " again";
  } else {
    LOG(WARNING) << task_ << ": " << held.message();
  }
}

bool Succession::ShouldTakeOver(const ShardRecords& now) const {
  if (!now.copies.has_value() || now.copies->copy != options_.self) return false;
  return !now.leader.has_value() || options_.is_refused(now.leader->address);
}

// Of what was acknowledged since it led, its log and its copy each have all. A task that has the
// copy and lives is quicker.
bool Succession::ShouldGoOnFromLog(int shard, const ShardRecords& now) {
  if (options_.log_term == nullptr || now.leader.has_value() || !now.copies.has_value() ||
      now.copies->leader.task != options_.self.task) {
    return false;
  }
  const Known& known = known_[static_cast<size_t>(shard)];
  const bool has_copy = now.copies->copy.has_value();
  if (has_copy && Now() < known.leaderless_since + options_.lease) return false;
  return options_.log_term(shard) == now.copies->term;
}

bool Succession::ShouldBeginAnew(int shard, const ShardRecords& now) {
  const Known& known = known_[static_cast<size_t>(shard)];
  if (plan_.FirstHomeOf(shard) != options_.self.task || now.leader.has_value()) return false;
  if (!now.copies.has_value()) return !known.was_led;
  // An earlier start of this task, which had it in its memory alone.
  if (now.copies->leader.task == options_.self.task && !now.copies->copy.has_value()) return true;
  if (PARLEY_PLANTED_BUG("begins_anew_beside_a_copy")) return true;
  return Now() >= known.leaderless_since + options_.patience;
}

// This task was started again, so who led as it before is dead, and who has the copy may know.
void Succession::RemoveEarlierStart(int shard, const ShardRecords& now) {
  if (!now.leader.has_value() || now.leader->who.task != options_.self.task ||
      now.leader->who == options_.self || !now.copies.has_value() ||
      !now.copies->copy.has_value()) {
    return;
  }
  const std::string key = LeaderKey(options_.job, shard);
  EtcdTransaction remove;
  remove.conditions = {{key, EtcdCondition::Of::kModRevision, now.leader->mod_revision}};
  remove.deletes = {key};
  const auto removed = options_.etcd->Transact(remove);
  LOG_IF(WARNING, !removed.ok()) << task_ << ": " << removed.status().message();
}

ShardLeadership::Options Succession::LeadershipOptions(int shard) const {
  return {options_.etcd, options_.job,     shard,
          options_.self, options_.address, {options_.num_shards, options_.num_tasks}};
}

void Succession::Lead(int shard, const ShardRecords& seen) {
  auto leadership = ShardLeadership::Take(LeadershipOptions(shard), seen, lease_);
  if (leadership.ok()) return Serve(shard, *std::move(leadership));
  // What etcd says next decides.
  LOG(WARNING) << task_ << ": it does not lead ps:" << shard << ": "
               << leadership.status().message();
}

void Succession::Serve(int shard, std::shared_ptr<ShardLeadership> leadership) {
  Known& known = known_[static_cast<size_t>(shard)];
  const uint64_t term = leadership->term();
  absl::optional<ShardCopy> copy = standby_->Release(shard, term);
  known.frozen = false;
  if (!known.takes_copy) copy.reset();  // a copy of long ago
  EtcdCopyPlace::Options place;
  place.etcd = options_.etcd;
  place.job = options_.job;
  place.task = options_.self.task;
  place.took_over = copy.has_value() || known.takes_log;
  place.channel = options_.channel;
  place.own = std::shared_ptr<ParameterServer>(std::shared_ptr<void>(), host_);
  place.is_refused = options_.is_refused;
  Led led;
  led.place = std::make_shared<EtcdCopyPlace>(std::move(place), plan_.CopiesOf(shard), leadership);
  led.shard = options_.new_shard(shard, led.place);
  if (copy.has_value()) {
    const absl::Status taken = led.shard->TakeOver(*std::move(copy));
    if (taken.ok()) {
      LOG(INFO) << task_ << ": it has taken over ps:" << shard << ", of term " << term;
    } else {
      LOG(ERROR) << task_ << ": it cannot go on with its copy of ps:" << shard << ": "
                 << taken.message();
    }
  } else if (known.takes_log) {
    led.recovers = true;
  } else {
    LOG_IF(ERROR, term > 1) << task_ << ": nobody has what ps:" << shard
                            << " had: it begins anew, without a job";
    LOG(INFO) << task_ << ": it speaks for ps:" << shard << ", of term " << term;
  }
  standby_->Forget(shard);
  led.leadership = std::move(leadership);
  Led& here = led_[shard] = std::move(led);
  if (here.recovers) {
    Recover(shard);
  } else {
    Answer(shard);
  }
}

void Succession::Answer(int shard) {
  const Led& led = led_.at(shard);
  host_->Add(shard, led.shard, [leadership = led.leadership] { return leadership->MaySpeak(); });
}

void Succession::Recover(int shard) {
  Led& led = led_.at(shard);
  const absl::StatusOr<bool> recovered = led.shard->Recover();
  if (absl::IsResourceExhausted(recovered.status())) {  // the next look is the next try
    LOG_EVERY_N(ERROR, 100) << task_ << ": it waits for room to go on with ps:" << shard << ": "
                            << recovered.status().message();
    return;
  }
  led.recovers = false;
  if (recovered.ok() && *recovered) {
    LOG(INFO) << task_ << ": it goes on with ps:" << shard << " from its log, of term "
              << led.leadership->term();
  } else {
    LOG(ERROR) << task_ << ": it cannot go on with ps:" << shard
               << " from its log: " << recovered.status().message();
  }
  Answer(shard);
}

void Succession::Drop(int shard, const std::string& why) {
  LOG(WARNING) << task_ << ": it speaks for ps:" << shard << " no more: " << why;
  Led led = std::move(led_.at(shard));
  led_.erase(shard);
  led.leadership->End();
  led.place->EndPause();  // calls that wait are to hear of it
  host_->Remove(shard);
  dropped_.push_back(std::move(led.shard));
}

}  // namespace parley
