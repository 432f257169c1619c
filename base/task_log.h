#ifndef PARLEY_BASE_TASK_LOG_H_
#define PARLEY_BASE_TASK_LOG_H_

#include <cstdint>
#include <string>

namespace parley {

// The log of a process that is one task of a job: glog's, on stderr, one line for each event, in
// which the task and its step stand:
//   I20261121 18:13:38.880543 21981 ps:0 step 12 shard_recovery.cc:210] ...
// or, with --log_json, one JSON object for each line:
//   {"time": "2026-11-21T18:13:38.880543Z", "severity": "INFO", "task": "ps:0", "step": 12,
//    "thread": 21981, "source": "shard_recovery.cc:210", "message": "..."}
// A process has one log, so this is the process's. For main() and what it alone calls; libraries
// use glog.

// First of all, before flags are parsed. `program` is argv[0].
void StartLog(const char* program);

// Once flags are parsed, before threads start: who it is, "ps:0".
void SetLogTask(const std::string& task);

// Where the task is: a worker's steps done; the rounds of the shard's block furthest behind. Lines
// before the first call have no step. Thread-safe.
void SetLogStep(int64_t step);

// The last line of a program that failed: "<program>: <error>" on stderr; with --log_json an entry
// of severity ERROR.
void LogFailure(const std::string& program, const std::string& error);

}  // namespace parley

#endif  // PARLEY_BASE_TASK_LOG_H_
