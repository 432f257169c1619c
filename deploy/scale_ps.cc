#include "deploy/scale_ps.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/env.h"
#include "base/status.h"
#include "net/shard_homes.h"
#include "net/shard_records.h"

namespace parley {
namespace {

absl::Time Now() { return Env::Posix()->Now(); }

absl::Status CheckJob(const std::string& job, const AllShardRecords& records) {
  if (records.size().shards > 0) return absl::OkStatus();
  if (!records.shards.empty()) {
    return absl::UnavailableError(
        absl::StrCat("job ", job, ": no task speaks for any of its shards now, says etcd"));
  }
  if (records.tasks.empty()) {
    return absl::NotFoundError(absl::StrCat("etcd knows no ps task of job ", job));
  }
  return absl::FailedPreconditionError(
      absl::StrCat("job ", job, ": its ps tasks do not take over from each other, so none can be ",
                   "added or removed: they need --replicas=1 and --etcd"));
}

// Has etcd say it. Only where a job is running, which forgets it when it ends.
absl::Status Say(EtcdClient* etcd, const std::string& job, int tasks, absl::Time deadline,
                 JobSize* size) {
  for (;;) {
    PARLEY_ASSIGN_OR_RETURN(const AllShardRecords records, ReadShardRecords(etcd, job, -1));
    PARLEY_RETURN_IF_ERROR(CheckJob(job, records));
    *size = records.size();
    const auto any = std::find_if(records.shards.begin(), records.shards.end(),
                                  [](const ShardRecords& each) { return each.copies.has_value(); });
    if (any == records.shards.end()) return CheckJob(job, {});
    const int shard = static_cast<int>(any - records.shards.begin());
    EtcdTransaction say;
    say.conditions = {
        {CopiesKey(job, shard), EtcdCondition::Of::kModRevision, any->copies->mod_revision}};
    say.puts = {{PsTasksKey(job), absl::StrCat(tasks), 0}};
    PARLEY_ASSIGN_OR_RETURN(const EtcdTransactionResult said, etcd->Transact(say));
    if (said.done) return absl::OkStatus();
    if (Now() >= deadline) {
      return absl::DeadlineExceededError("etcd's records of the job change all the time");
    }
  }
}

// What is not as it is to be.
struct Missing {
  int shards = 0;                  // not at home
  std::vector<std::string> what;   // each of them, and tasks
  std::vector<std::string> tasks;  // to be started
};

Missing FindMissing(const AllShardRecords& records, const JobSize& size) {
  Missing missing;
  const int tasks = records.ps_tasks->tasks;
  const std::vector<int> homes = ShardHomes(size.shards, tasks);
  for (int shard = 0; shard < size.shards; ++shard) {
    const size_t index = static_cast<size_t>(shard);
    const int home = homes[index];
    const bool known = index < records.shards.size() && records.shards[index].leader.has_value();
    const int at = known ? records.shards[index].leader->who.task : -1;
    if (at == home) continue;
    ++missing.shards;
    missing.what.push_back(absl::StrCat(
        "shard ", shard, " is at ", known ? absl::StrCat("ps:", at) : "no task",
        ", not at ps:", home, records.tasks.count(home) > 0 ? "" : ", which is not there"));
  }
  for (int task = 0; task < std::min(tasks, size.shards); ++task) {
    if (records.tasks.count(task) == 0) missing.tasks.push_back(absl::StrCat("ps:", task));
  }
  for (const auto& [task, present] : records.tasks) {
    // One that was started since waits until it is asked for.
    if (task < tasks || present.create_revision > records.ps_tasks->mod_revision) continue;
    missing.what.push_back(absl::StrCat("ps:", task, " is still there"));
  }
  return missing;
}

std::string Describe(const Missing& missing, const JobSize& size) {
  std::string text =
      absl::StrCat(size.shards - missing.shards, " of ", size.shards, " shards are at home");
  if (!missing.tasks.empty()) {
    absl::StrAppend(&text, "; to be started: ", absl::StrJoin(missing.tasks, ", "));
  }
  for (const std::string& what : missing.what) {
    if (what.rfind("ps:", 0) == 0) absl::StrAppend(&text, "; ", what);
  }
  return text;
}

}  // namespace

absl::Status ScalePsTasks(EtcdClient* etcd, const std::string& job, int tasks, absl::Duration wait,
                          std::ostream* progress) {
  if (tasks < 2) {
    return absl::InvalidArgumentError(
        absl::StrCat("--ps=", tasks, ": each shard has a copy at another task, so there are two"));
  }
  if (tasks > kMostShards) {
    return absl::InvalidArgumentError(absl::StrCat("--ps=", tasks, " is more than ", kMostShards));
  }
  const absl::Time deadline = Now() + wait;
  JobSize size;
  PARLEY_RETURN_IF_ERROR(Say(etcd, job, tasks, deadline, &size));
  if (tasks > size.shards) {
    *progress << "job " << job << " has " << size.shards
              << " shards: ps tasks from ps:" << size.shards << " on speak for none" << std::endl;
  }
  std::string described;
  for (;;) {
    PARLEY_ASSIGN_OR_RETURN(const AllShardRecords records, ReadShardRecords(etcd, job, -1));
    if (!records.ps_tasks.has_value()) {
      return absl::AbortedError(absl::StrCat("job ", job, " has ended meanwhile"));
    }
    if (records.ps_tasks->tasks != tasks) {
      return absl::AbortedError(
          absl::StrCat("somebody has said --ps=", records.ps_tasks->tasks, " meanwhile"));
    }
    const Missing missing = FindMissing(records, size);
    const std::string now = Describe(missing, size);
    if (now != described) *progress << now << std::endl;
    described = now;
    if (missing.what.empty()) return absl::OkStatus();
    const absl::Duration left = deadline - Now();
    if (left <= absl::ZeroDuration()) {
      std::string more;
      if (missing.what.size() > 1) {
        more = absl::StrCat(", and ", missing.what.size() - 1, " more like it");
      }
      return absl::DeadlineExceededError(absl::StrCat("after ", absl::FormatDuration(wait), ": ",
                                                      missing.what[0], more,
                                                      "; it goes on all the same"));
    }
    const absl::Status watched = etcd->AwaitChange(JobFolder(job), records.revision, left).status();
    if (!watched.ok() && !absl::IsDeadlineExceeded(watched) && !absl::IsOutOfRange(watched)) {
      return watched;
    }
  }
}

}  // namespace parley
