#include "net/discovery.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/env.h"
#include "base/status.h"
#include "glog/logging.h"

namespace parley {
namespace {

// Between attempts when etcd is not reached.
constexpr absl::Duration kPause = absl::Milliseconds(200);
// How much later than promised etcd may end a lease: it looks every half second.
constexpr absl::Duration kSlack = absl::Milliseconds(1500);

absl::Time Now() { return Env::Posix()->Now(); }

// The addresses of ps tasks in `range`, by index.
std::map<int, std::string> TasksIn(const EtcdRange& range, const std::string& folder) {
  std::map<int, std::string> addresses;
  for (const EtcdEntry& entry : range.entries) {
    int index;
    if (absl::StartsWith(entry.key, folder) &&
        absl::SimpleAtoi(entry.key.substr(folder.size()), &index) && index >= 0) {
      addresses[index] = entry.value;
    }
  }
  return addresses;
}

// The address of shard `index` in `range`, of which `tasks` are the tasks: that of its leader. One
// that had a leader and has none now is nowhere. Empty: not there.
std::string PlaceOf(const EtcdRange& range, const std::string& job, int index,
                    const std::map<int, std::string>& tasks) {
  bool led = false;
  for (const EtcdEntry& entry : range.entries) {
    if (entry.key == CopiesKey(job, index)) led = true;
    if (entry.key != LeaderKey(job, index)) continue;
    const absl::StatusOr<ShardLeader> leader = ParseLeader(entry.value);
    if (leader.ok()) return leader->address;
  }
  const auto task = tasks.find(index);
  return led || task == tasks.end() ? std::string() : task->second;
}

// How many shards the job has, as a leader says; 0: nobody says.
int NumShardsIn(const EtcdRange& range, const std::string& job) {
  for (const EtcdEntry& entry : range.entries) {
    if (!absl::StartsWith(entry.key, ShardFolder(job))) continue;
    const absl::StatusOr<ShardLeader> leader = ParseLeader(entry.value);
    if (leader.ok() && leader->size.shards > 0) return leader->size.shards;
  }
  return 0;
}

bool IsOfTheWay(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status);
}

}  // namespace

absl::Status CheckJobKey(const std::string& job) {
  if (!job.empty() && job.find('/') == std::string::npos) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("\"", job, "\" is no name for a job in etcd: it is empty or has a slash"));
}

absl::StatusOr<std::vector<std::string>> FindShards(EtcdClient* etcd, const std::string& job,
                                                    int count, absl::Duration timeout,
                                                    absl::Duration etcd_patience, bool exactly) {
  const absl::Time deadline = Now() + timeout;
  const absl::Time reached_by = std::min(deadline, Now() + etcd_patience);
  const std::string folder = JobFolder(job);
  bool reached = false;
  Mutex mutex;
  CondVar never;
  for (;;) {
    const absl::StatusOr<EtcdRange> range = etcd->List(folder);
    std::vector<std::string> addresses;
    std::vector<std::string> missing;
    if (range.ok()) {
      reached = true;
      if (const int said = NumShardsIn(*range, job); said > 0 && said != count) {
        if (exactly) {
          return absl::FailedPreconditionError(
              absl::StrCat("job ", job, " has ", said, " shards, says etcd, not ", count));
        }
        count = said;
      }
      const std::map<int, std::string> tasks = TasksIn(*range, TaskFolder(job));
      for (int i = 0; i < count; ++i) {
        addresses.push_back(PlaceOf(*range, job, i, tasks));
        if (addresses.back().empty()) missing.push_back(absl::StrCat("ps:", i));
      }
      if (missing.empty()) return addresses;
    } else if ((!reached && Now() >= reached_by) || !IsOfTheWay(range.status())) {
      return range.status();
    }
    const absl::Duration left = deadline - Now();
    if (left <= absl::ZeroDuration()) {
      if (!range.ok()) return range.status();
      return absl::DeadlineExceededError(
          absl::StrCat("job ", job, ": waited ", absl::FormatDuration(timeout), " for ",
                       absl::StrJoin(missing, ", "), " to register in etcd, under ", folder));
    }
    if (range.ok() && etcd->AwaitChange(folder, range->revision, left).ok()) continue;
    MutexLock lock(&mutex);
    never.WaitFor(&mutex, std::min(left, kPause));
  }
}

absl::StatusOr<JobSize> FindJobSize(EtcdClient* etcd, const std::string& job,
                                    absl::Duration etcd_patience) {
  const absl::Time deadline = Now() + etcd_patience;
  Mutex mutex;
  CondVar never;
  for (;;) {
    const absl::StatusOr<AllShardRecords> records = ReadShardRecords(etcd, job, -1);
    if (records.ok()) return records->size();
    if (!IsOfTheWay(records.status()) || Now() >= deadline) return records.status();
    MutexLock lock(&mutex);
    never.WaitFor(&mutex, kPause);
  }
}

absl::StatusOr<std::string> FindShard(EtcdClient* etcd, const std::string& job, int index,
                                      const std::string& known, absl::Duration wait) {
  const absl::Time deadline = Now() + wait;
  for (;;) {
    PARLEY_ASSIGN_OR_RETURN(const EtcdRange range, etcd->List(JobFolder(job)));
    const std::string place = PlaceOf(range, job, index, TasksIn(range, TaskFolder(job)));
    const absl::Duration left = deadline - Now();
    if (left > absl::ZeroDuration() && (place.empty() || place == known)) {
      if (etcd->AwaitChange(JobFolder(job), range.revision, left).ok()) continue;
    }
    if (place.empty()) {
      return absl::NotFoundError(
          absl::StrCat("etcd has no ", TaskFolder(job), index, " nor ", LeaderKey(job, index)));
    }
    return place;
  }
}

absl::StatusOr<std::map<int, std::string>> ListTasks(EtcdClient* etcd, const std::string& job) {
  PARLEY_ASSIGN_OR_RETURN(const EtcdRange range, etcd->List(TaskFolder(job)));
  return TasksIn(range, TaskFolder(job));
}

absl::StatusOr<std::unique_ptr<ShardRegistration>> ShardRegistration::Register(
    std::shared_ptr<EtcdClient> etcd, const std::string& job, int index, const std::string& address,
    absl::Duration etcd_patience) {
  PARLEY_RETURN_IF_ERROR(CheckJobKey(job));
  std::unique_ptr<ShardRegistration> registration(
      new ShardRegistration(std::move(etcd), job, index, address));
  PARLEY_RETURN_IF_ERROR(registration->EnterFirst(etcd_patience));
  registration->thread_ = std::thread([raw = registration.get()] { raw->Stay(); });
  return registration;
}

ShardRegistration::ShardRegistration(std::shared_ptr<EtcdClient> etcd, const std::string& job,
                                     int index, const std::string& address)
    : etcd_(std::move(etcd)),
      who_(absl::StrCat("ps:", index, " of job ", job)),
      key_(absl::StrCat(TaskFolder(job), index)),
      address_(address) {}

ShardRegistration::~ShardRegistration() {
  {
    MutexLock lock(&mutex_);
    closing_ = true;
    changed_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
}

absl::Status ShardRegistration::status() const {
  MutexLock lock(&mutex_);
  return status_;
}

absl::Status ShardRegistration::NewLease() {
  lease_.reset();  // no longer heard of from here on
  {
    MutexLock lock(&mutex_);
    lost_ = false;
  }
  PARLEY_ASSIGN_OR_RETURN(lease_, EtcdLease::Grant(etcd_, kLease, [this](const absl::Status&) {
                            MutexLock lock(&mutex_);
                            lost_ = true;
                            changed_.NotifyAll();
                          }));
  return absl::OkStatus();
}

absl::Status ShardRegistration::EnterFirst(absl::Duration etcd_patience) {
  const absl::Time deadline = Now() + etcd_patience;
  for (;;) {
    const absl::Status entered = Enter(kLease + kSlack);
    if (!IsOfTheWay(entered) || Now() >= deadline) return entered;
    MutexLock lock(&mutex_);
    changed_.WaitFor(&mutex_, kPause);
  }
}

absl::Status ShardRegistration::Enter(absl::Duration patience) {
  const absl::Time deadline = Now() + patience;
  PARLEY_RETURN_IF_ERROR(NewLease());
  bool retried = false;
  for (;;) {
    PARLEY_ASSIGN_OR_RETURN(const EtcdRange range, etcd_->Get(key_));
    EtcdTransaction enter = {
        {{key_, EtcdCondition::Of::kModRevision, 0}}, {{key_, address_, lease_->id()}}, {}};
    if (!range.entries.empty()) {
      const EtcdEntry& other = range.entries[0];
      // This task listens there, so whoever wrote it does no more.
      if (other.value == address_) {
        enter.conditions[0].revision = other.mod_revision;
      } else {
        const absl::Duration left = deadline - Now();
        if (left <= absl::ZeroDuration()) {
          return absl::AlreadyExistsError(
              absl::StrCat("another task is ", who_, ": it listens on ", other.value));
        }
        PARLEY_RETURN_IF_ERROR(etcd_->AwaitChange(key_, range.revision, left).status());
        continue;
      }
    }
    const absl::StatusOr<EtcdTransactionResult> entered = etcd_->Transact(enter);
    if (entered.ok() && entered->done) return absl::OkStatus();
    // The lease may have ended while this process was stopped.
    if (absl::IsNotFound(entered.status()) && !retried) {
      retried = true;
      PARLEY_RETURN_IF_ERROR(NewLease());
    } else if (!entered.ok()) {
      return entered.status();
    }
  }
}

void ShardRegistration::Stay() {
  for (;;) {
    {
      MutexLock lock(&mutex_);
      while (!closing_ && !lost_) changed_.Wait(&mutex_);
      if (closing_) break;
    }
    LOG(WARNING) << who_ << ": its address may be gone from etcd: " << lease_->status().message();
    absl::Status status;
    do {
      status = Enter(absl::ZeroDuration());
      MutexLock lock(&mutex_);
      if (closing_ || status.ok() || absl::IsAlreadyExists(status)) break;
      changed_.WaitFor(&mutex_, kPause);
    } while (true);
    MutexLock lock(&mutex_);
    if (closing_) break;
    if (status.ok()) {
      LOG(INFO) << who_ << ": in etcd again";
      continue;
    }
    status_ = status;
    while (!closing_) changed_.Wait(&mutex_);
    break;
  }
  lease_.reset();
}

}  // namespace parley
