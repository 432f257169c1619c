#include "ps/status_page.h"

#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "base/env.h"
#include "base/http_server.h"
#include "base/json_string.h"
#include "base/log_tail.h"
#include "base/mutex.h"
#include "net/job.h"
#include "ps/status_history.h"

namespace parley {
namespace {

constexpr char kPage[] =
#include "ps/status_page_html.inc"
    ;

constexpr absl::Duration kLookEvery = absl::Seconds(1);
// Several people who look cost the other tasks no more than one.
constexpr absl::Duration kFresh = absl::Milliseconds(700);
constexpr size_t kPoints = 600;
constexpr size_t kLogEntries = 100;

// Which shard has how much of the parameters, computed from the job's spec.
std::string FormatPlacement(const v1::JobSpec& spec) {
  const absl::StatusOr<Job> job = Job::Create(spec);
  if (!job.ok()) return "[]";
  std::string json = "[";
  for (int shard = 0; shard < spec.num_shards(); ++shard) {
    int64_t elements = 0;
    const std::vector<uint32_t> blocks = job->BlocksOfShard(shard);
    for (const uint32_t block : blocks) elements += job->blocks()[block].size;
    absl::StrAppend(&json, shard == 0 ? "" : ", ", "{\"shard\": ", shard,
                    ", \"blocks\": ", blocks.size(),
                    ", \"bytes\": ", elements * static_cast<int64_t>(sizeof(float)), "}");
  }
  return json + "]";
}

std::string FormatLog(const std::vector<LogTail::Entry>& entries) {
  std::string json = "[";
  for (const LogTail::Entry& entry : entries) {
    absl::StrAppend(&json, json.size() == 1 ? "" : ", ", "{\"time\": \"",
                    absl::FormatTime("%H:%M:%S", entry.time, absl::LocalTimeZone()),
                    "\", \"severity\": ", JsonString(entry.severity),
                    ", \"message\": ", JsonString(entry.message), "}");
  }
  return json + "]";
}

class HttpStatusPage final : public StatusPage {
 public:
  explicit HttpStatusPage(StatusPageOptions options)
      : options_(std::move(options)),
        log_(kLogEntries),
        began_(Now()),
        history_(kLookEvery, kPoints),
        link_(options_.job) {
    follower_ = std::thread([this] { Follow(); });
  }

  ~HttpStatusPage() override {
    http_.reset();
    {
      MutexLock lock(&mutex_);
      closing_ = true;
    }
    changed_.NotifyAll();
    follower_.join();
  }

  absl::Status Listen() {
    absl::StatusOr<std::unique_ptr<HttpServer>> http =
        HttpServer::Start(options_.port, {{"/",
                                           [] {
                                             return HttpPage{"text/html; charset=utf-8", kPage};
                                           }},
                                          {"/status.json", [this] {
                                             return HttpPage{"application/json", FormatStatus()};
                                           }}});
    if (!http.ok()) return http.status();
    http_ = *std::move(http);
    return absl::OkStatus();
  }

  int port() const override { return http_->port(); }

 private:
  static absl::Time Now() { return Env::Posix()->Now(); }

  void Follow() {
    for (;;) {
      const JobView own = options_.own();
      MutexLock lock(&mutex_);
      history_.Add(own);
      // The spec of a job stays.
      if (placement_.empty() && own.declared() > 0) {
        for (const ShardView& shard : own.shards) {
          if (shard.declared()) placement_ = FormatPlacement(shard.answer.spec());
        }
      }
      const absl::Time next = Now() + kLookEvery;
      while (!closing_ && Now() < next) changed_.WaitFor(&mutex_, next - Now());
      if (closing_) return;
    }
  }

  std::string FormatStatus() {
    const std::string job = FormatJob();
    const absl::Time now = Now();
    std::string json = absl::StrCat(
        "{\"task\": ", JsonString(options_.task), ", \"unix_seconds\": ",
        absl::StrFormat("%.3f", absl::ToDoubleSeconds(absl::Now() - absl::UnixEpoch())),
        ", \"uptime_seconds\": ", absl::StrFormat("%.3f", absl::ToDoubleSeconds(now - began_)),
        ", \"job\": ", job);
    MutexLock lock(&mutex_);
    absl::StrAppend(&json, ", \"placement\": ", placement_.empty() ? "[]" : placement_,
                    ", \"history\": ", history_.FormatJson(now),
                    ", \"log\": ", FormatLog(log_.entries()), "}\n");
    return json;
  }

  // As all of its tasks say; where they cannot be found, as this one does.
  std::string FormatJob() {
    MutexLock lock(&link_mutex_);
    if (job_.empty() || Now() - looked_ >= kFresh) {
      const absl::StatusOr<JobView> view = link_.Look();
      job_ = FormatJobJson(view.ok() ? *view : options_.own());
      looked_ = Now();
    }
    return job_;
  }

  const StatusPageOptions options_;
  const LogTail log_;
  const absl::Time began_;

  Mutex mutex_;
  CondVar changed_;
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
  StatusHistory history_ ABSL_GUARDED_BY(mutex_);
  std::string placement_ ABSL_GUARDED_BY(mutex_);  // empty: not known yet

  Mutex link_mutex_;  // held while the tasks are asked
  JobLink link_ ABSL_GUARDED_BY(link_mutex_);
  std::string job_ ABSL_GUARDED_BY(link_mutex_);
  absl::Time looked_ ABSL_GUARDED_BY(link_mutex_);

  std::thread follower_;
  std::unique_ptr<HttpServer> http_;  // goes first
};

}  // namespace

absl::StatusOr<std::unique_ptr<StatusPage>> StatusPage::Start(StatusPageOptions options) {
  auto page = std::make_unique<HttpStatusPage>(std::move(options));
  if (const absl::Status status = page->Listen(); !status.ok()) return status;
  return page;
}

}  // namespace parley
