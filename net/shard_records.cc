#include "net/shard_records.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status.h"

namespace parley {
namespace {

constexpr absl::string_view kLeader = "leader";
constexpr absl::string_view kCopies = "copies";
constexpr absl::string_view kKept = "kept";

bool ParseStart(absl::string_view task, absl::string_view start, TaskStart* result) {
  return absl::SimpleAtoi(task, &result->task) && result->task >= 0 &&
         absl::SimpleHexAtoi(start, &result->start);
}

void AppendStart(const TaskStart& start, std::string* text) {
  absl::StrAppend(text, " ", start.task, " ", absl::Hex(start.start));
}

// A number of shards or tasks.
bool ParseCount(absl::string_view text, int* count) {
  return absl::SimpleAtoi(text, count) && *count >= 1 && *count <= kMostShards;
}

// The index that `text` is; -1: none.
int IndexOf(absl::string_view text) {
  int index;
  return absl::SimpleAtoi(text, &index) && index >= 0 && index < kMostShards ? index : -1;
}

absl::Status NoRecord(absl::string_view text) {
  return absl::DataLossError(absl::StrCat("\"", text, "\" is not what a ps task writes there"));
}

std::string LeavingFolder(const std::string& job) {
  return absl::StrCat(JobFolder(job), "leaving/");
}

// Puts an entry of a shard's folder, under `name`, where it belongs.
absl::Status Take(const EtcdEntry& entry, absl::string_view name, ShardRecords* records) {
  if (name == kLeader) {
    absl::StatusOr<ShardLeader> leader = ParseLeader(entry.value);
    if (!leader.ok()) return Annotate(leader.status(), absl::StrCat("etcd's ", entry.key));
    leader->mod_revision = entry.mod_revision;
    leader->lease = entry.lease;
    records->leader = *std::move(leader);
  } else if (name == kCopies) {
    absl::StatusOr<ShardCopies> copies = ParseCopies(entry.value);
    if (!copies.ok()) return Annotate(copies.status(), absl::StrCat("etcd's ", entry.key));
    copies->mod_revision = entry.mod_revision;
    records->copies = *std::move(copies);
  }
  return absl::OkStatus();
}

}  // namespace

std::string JobFolder(const std::string& job) { return absl::StrCat("/parley/", job, "/"); }

std::string TaskFolder(const std::string& job) { return absl::StrCat(JobFolder(job), "ps/"); }

std::string ShardFolder(const std::string& job) { return absl::StrCat(JobFolder(job), "shard/"); }

std::string ShardFolder(const std::string& job, int shard) {
  return absl::StrCat(ShardFolder(job), shard, "/");
}

std::string LeaderKey(const std::string& job, int shard) {
  return absl::StrCat(ShardFolder(job, shard), kLeader);
}

std::string CopiesKey(const std::string& job, int shard) {
  return absl::StrCat(ShardFolder(job, shard), kCopies);
}

std::string PsTasksKey(const std::string& job) { return absl::StrCat(JobFolder(job), "ps_tasks"); }

std::string LeavingKey(const std::string& job, int task) {
  return absl::StrCat(LeavingFolder(job), task);
}

std::string FormatLeader(const ShardLeader& leader) {
  std::string text = absl::StrCat(leader.address, " ", leader.term);
  AppendStart(leader.who, &text);
  if (leader.size.shards > 0)
    absl::StrAppend(&text, " ", leader.size.shards, " ", leader.size.tasks);
  return text;
}

std::string FormatCopies(const ShardCopies& copies) {
  std::string text = absl::StrCat(copies.term);
  AppendStart(copies.leader, &text);
  if (copies.copy.has_value()) AppendStart(*copies.copy, &text);
  if (copies.leader_keeps) absl::StrAppend(&text, " ", kKept);
  return text;
}

absl::StatusOr<ShardLeader> ParseLeader(absl::string_view text) {
  const std::vector<absl::string_view> words = absl::StrSplit(text, ' ');
  ShardLeader leader;
  if ((words.size() != 4 && words.size() != 6) || words[0].empty() ||
      !absl::SimpleAtoi(words[1], &leader.term) || !ParseStart(words[2], words[3], &leader.who)) {
    return NoRecord(text);
  }
  if (words.size() == 6 &&
      (!ParseCount(words[4], &leader.size.shards) || !ParseCount(words[5], &leader.size.tasks))) {
    return NoRecord(text);
  }
  leader.address = std::string(words[0]);
  return leader;
}

absl::StatusOr<ShardCopies> ParseCopies(absl::string_view text) {
  const std::vector<absl::string_view> words = absl::StrSplit(text, ' ');
  ShardCopies copies;
  copies.leader_keeps = words.size() == 6 && words[5] == kKept;
  if ((words.size() != 3 && words.size() != 5 && !copies.leader_keeps) ||
      !absl::SimpleAtoi(words[0], &copies.term) ||
      !ParseStart(words[1], words[2], &copies.leader)) {
    return NoRecord(text);
  }
  if (words.size() >= 5) {
    copies.copy.emplace();
    if (!ParseStart(words[3], words[4], &*copies.copy)) return NoRecord(text);
  }
  return copies;
}

JobSize AllShardRecords::size() const {
  for (const ShardRecords& shard : shards) {
    if (shard.leader.has_value() && shard.leader->size.shards > 0) return shard.leader->size;
  }
  return {};
}

absl::StatusOr<AllShardRecords> ReadShardRecords(EtcdClient* etcd, const std::string& job,
                                                 int count) {
  PARLEY_ASSIGN_OR_RETURN(const EtcdRange range, etcd->List(JobFolder(job)));
  const std::string shards = ShardFolder(job);
  const std::string tasks = TaskFolder(job);
  const std::string leaving = LeavingFolder(job);
  std::map<int, uint64_t> leaves;
  AllShardRecords all;
  all.shards.resize(static_cast<size_t>(std::max(count, 0)));
  all.revision = range.revision;
  for (const EtcdEntry& entry : range.entries) {
    if (entry.key == PsTasksKey(job)) {
      all.ps_tasks.emplace();
      all.ps_tasks->mod_revision = entry.mod_revision;
      if (ParseCount(entry.value, &all.ps_tasks->tasks)) continue;
      return Annotate(NoRecord(entry.value), absl::StrCat("etcd's ", entry.key));
    }
    if (absl::StartsWith(entry.key, tasks)) {
      const int task = IndexOf(entry.key.substr(tasks.size()));
      if (task >= 0) all.tasks[task] = {entry.value, entry.create_revision};
    }
    if (absl::StartsWith(entry.key, leaving)) {
      uint64_t start;
      const int task = IndexOf(entry.key.substr(leaving.size()));
      if (task >= 0 && absl::SimpleHexAtoi(entry.value, &start)) leaves[task] = start;
    }
    if (!absl::StartsWith(entry.key, shards)) continue;
    const std::vector<std::string> path = absl::StrSplit(entry.key.substr(shards.size()), '/');
    const int shard = IndexOf(path[0]);
    if (path.size() != 2 || shard < 0 || (count >= 0 && shard >= count)) continue;
    if (static_cast<size_t>(shard) >= all.shards.size()) {
      all.shards.resize(static_cast<size_t>(shard) + 1);
    }
    PARLEY_RETURN_IF_ERROR(Take(entry, path[1], &all.shards[static_cast<size_t>(shard)]));
  }
  for (auto& [index, task] : all.tasks) {
    if (const auto found = leaves.find(index); found != leaves.end()) task.leaving = found->second;
  }
  return all;
}

absl::StatusOr<ShardRecords> ReadShardRecordsOf(EtcdClient* etcd, const std::string& job,
                                                int shard) {
  const std::string folder = ShardFolder(job, shard);
  PARLEY_ASSIGN_OR_RETURN(const EtcdRange range, etcd->List(folder));
  ShardRecords records;
  for (const EtcdEntry& entry : range.entries) {
    PARLEY_RETURN_IF_ERROR(Take(entry, entry.key.substr(folder.size()), &records));
  }
  return records;
}

}  // namespace parley
