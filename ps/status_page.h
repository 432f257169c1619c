#ifndef PARLEY_PS_STATUS_PAGE_H_
#define PARLEY_PS_STATUS_PAGE_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "net/job_link.h"
#include "net/job_view.h"

namespace parley {

struct StatusPageOptions {
  int port = 0;      // 0 takes a free one
  std::string task;  // "ps:0"
  // The shards that this task speaks for, with their spec; asked once a second. Safe from any
  // thread.
  std::function<JobView()> own;
  // Where all of the job's shards are, this task's among them; asked when somebody looks.
  JobLinkOptions job;
};

// Serves a page for people at "/": the job, its curves since this task's start, workers, shards,
// the last checkpoint and the end of this task's log; and the same as JSON at "/status.json":
//   {"task": "ps:0", "unix_seconds": 1.5, "uptime_seconds": 60.5, "job": <FormatJobJson>,
//    "placement": [{"shard": 0, "blocks": 3, "bytes": 500}], "history": <StatusHistory>,
//    "log": [{"time": "18:13:38", "severity": "INFO", "message": "..."}]}
// The page asks for nothing else, from nowhere else. It is for networks that may see what a job
// does: there is no password. Threads: the HTTP server's, and one that follows the job.
class StatusPage {
 public:
  // The errors of HttpServer::Start.
  static absl::StatusOr<std::unique_ptr<StatusPage>> Start(StatusPageOptions options);
  virtual ~StatusPage() = default;

  virtual int port() const = 0;
};

}  // namespace parley

#endif  // PARLEY_PS_STATUS_PAGE_H_
