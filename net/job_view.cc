#include "net/job_view.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "base/json_string.h"

namespace parley {
namespace {

using Worker = v1::GetStatusResponse::Worker;

template <typename Get>
int64_t Sum(const JobView& view, Get get) {
  int64_t sum = 0;
  for (const ShardView& shard : view.shards) {
    if (shard.declared()) sum += get(shard.answer);
  }
  return sum;
}

std::string Number(double value) {
  return std::isfinite(value) ? absl::StrFormat("%.9g", value) : "null";
}

std::string Seconds(absl::Duration duration) {
  return absl::StrFormat("%.3f", absl::ToDoubleSeconds(duration));
}

// A JSON object that grows.
class Object {
 public:
  Object& Add(absl::string_view key, absl::string_view json) {
    absl::StrAppend(&text_, text_.size() == 1 ? "" : ", ", "\"", key, "\": ", json);
    return *this;
  }
  Object& Add(absl::string_view key, int64_t value) { return Add(key, absl::StrCat(value)); }
  Object& AddText(absl::string_view key, absl::string_view text) {
    return Add(key, text.empty() ? "null" : JsonString(text));
  }
  std::string Take() { return text_ + "}"; }

 private:
  std::string text_ = "{";
};

std::string ShardJson(const ShardView& shard) {
  Object json;
  json.Add("shard", shard.shard).AddText("task", shard.answer.task());
  json.AddText("address", shard.address).AddText("state", StateOf(shard));
  json.AddText("error", shard.status.message());
  if (!shard.status.ok()) return json.Take();
  const v1::GetStatusResponse& answer = shard.answer;
  json.Add("version", answer.min_version()).Add("max_version", answer.max_version());
  json.Add("blocks", answer.blocks()).Add("bytes", answer.bytes());
  json.Add("rounds", answer.rounds()).Add("rounds_queued", answer.rounds_queued());
  json.Add("requests_waiting", answer.requests_waiting());
  json.Add("bytes_pushed", answer.bytes_pushed()).Add("bytes_pulled", answer.bytes_pulled());
  const double pushes = std::max(1.0, static_cast<double>(answer.pushes()));
  json.Add("staleness_mean", Number(static_cast<double>(answer.staleness_sum()) / pushes));
  json.Add("staleness_max", answer.staleness_max()).Add("dropped", answer.dropped());
  json.Add("uptime_seconds", Seconds(absl::Milliseconds(answer.uptime_ms())));
  Object replica;
  replica.Add("whole", answer.replica().whole() ? "true" : "false");
  replica.Add("lag_seconds", Seconds(absl::Milliseconds(answer.replica().lag_ms())));
  json.Add("replica", answer.has_replica() ? replica.Take() : "null");
  return json.Take();
}

std::string WorkerJson(int index, const WorkerView& worker) {
  const v1::WorkerReport& report = worker.report;
  Object json;
  json.Add("worker", index).AddText("state", StateOf(worker)).Add("clock", worker.clock);
  json.Add("silence_seconds", Seconds(worker.silence));
  json.Add("waited_for_seconds", Seconds(worker.waited_for));
  json.Add("step", report.has_step() ? absl::StrCat(report.step()) : "null");
  json.Add("steps", report.has_steps() ? absl::StrCat(report.steps()) : "null");
  json.Add("loss", report.has_loss() ? Number(report.loss()) : "null");
  json.Add("samples_per_second",
           report.has_samples_per_second() ? Number(report.samples_per_second()) : "null");
  return json.Take();
}

std::string CheckpointJson(const absl::optional<v1::CheckpointReport>& checkpoint) {
  if (!checkpoint.has_value()) return "null";
  Object json;
  json.Add("step", checkpoint->step()).AddText("folder", checkpoint->folder());
  json.AddText("manifest", checkpoint->manifest());
  json.Add("unix_seconds", absl::StrFormat("%.3f", checkpoint->unix_ms() / 1000.0));
  json.AddText("error", checkpoint->error());
  return json.Take();
}

template <typename Items, typename Format>
std::string List(const Items& items, Format format) {
  std::string json = "[";
  int index = 0;
  for (const auto& item : items) {
    absl::StrAppend(&json, index == 0 ? "" : ", ", format(index, item));
    ++index;
  }
  return json + "]";
}

}  // namespace

std::string JobView::job() const {
  for (const ShardView& shard : shards) {
    if (shard.declared()) return shard.answer.job();
  }
  return "";
}

int JobView::answered() const {
  return static_cast<int>(std::count_if(shards.begin(), shards.end(),
                                        [](const ShardView& each) { return each.status.ok(); }));
}

int JobView::declared() const {
  return static_cast<int>(std::count_if(shards.begin(), shards.end(),
                                        [](const ShardView& each) { return each.declared(); }));
}

int JobView::num_workers() const {
  int count = 0;
  for (const ShardView& shard : shards) count = std::max(count, shard.answer.num_workers());
  return count;
}

std::vector<WorkerView> JobView::workers() const {
  std::vector<WorkerView> views;
  std::vector<bool> has_clock;
  bool first = true;
  for (const ShardView& shard : shards) {
    if (!shard.declared()) continue;
    const auto& said = shard.answer.workers();
    // All have as many, but who answers is not ours to trust.
    const size_t known = views.size();
    views.resize(std::max(known, static_cast<size_t>(said.size())));
    has_clock.resize(views.size(), false);
    for (int i = 0; i < said.size(); ++i) {
      WorkerView& view = views[static_cast<size_t>(i)];
      const Worker& worker = said[i];
      // Live is who is live everywhere; silent who is so anywhere, and has left nowhere.
      const bool silent = view.state == Worker::SILENT && worker.state() != Worker::LIVE;
      if (first || view.state == Worker::LIVE || silent) view.state = worker.state();
      if (shard.answer.blocks() > 0) {
        view.clock = has_clock[i] ? std::min(view.clock, worker.clock()) : worker.clock();
        has_clock[i] = true;
      }
      view.silence = std::max(view.silence, absl::Milliseconds(worker.silence_ms()));
      view.waited_for += absl::Milliseconds(worker.waited_for_ms());
      if (worker.has_report() &&
          (!view.report.has_step() || worker.report().step() > view.report.step())) {
        view.report = worker.report();
      }
    }
    first = false;
  }
  return views;
}

int64_t JobView::min_version() const {
  absl::optional<int64_t> least;
  for (const ShardView& shard : shards) {
    if (!shard.declared() || shard.answer.blocks() == 0) continue;
    least = std::min(least.value_or(shard.answer.min_version()), shard.answer.min_version());
  }
  return least.value_or(0);
}

int64_t JobView::max_version() const {
  int64_t most = 0;
  for (const ShardView& shard : shards) {
    if (shard.declared()) most = std::max<int64_t>(most, shard.answer.max_version());
  }
  return most;
}

int64_t JobView::bytes() const {
  return Sum(*this, [](const v1::GetStatusResponse& answer) { return answer.bytes(); });
}

int64_t JobView::bytes_pushed() const {
  return Sum(*this, [](const v1::GetStatusResponse& answer) { return answer.bytes_pushed(); });
}

int64_t JobView::bytes_pulled() const {
  return Sum(*this, [](const v1::GetStatusResponse& answer) { return answer.bytes_pulled(); });
}

absl::optional<v1::CheckpointReport> JobView::checkpoint() const {
  absl::optional<v1::CheckpointReport> newest;
  for (const ShardView& shard : shards) {
    if (!shard.declared() || !shard.answer.has_checkpoint()) continue;
    const v1::CheckpointReport& checkpoint = shard.answer.checkpoint();
    if (!newest.has_value() || checkpoint.unix_ms() > newest->unix_ms()) newest = checkpoint;
  }
  return newest;
}

JobRates RatesBetween(const JobView& before, const JobView& after) {
  JobRates rates;
  const double seconds = absl::ToDoubleSeconds(after.at - before.at);
  if (seconds <= 0) return rates;
  const auto rate = [&](int64_t from, int64_t to) {
    return static_cast<double>(std::max<int64_t>(0, to - from)) / seconds;
  };
  rates.rounds_per_second = rate(before.min_version(), after.min_version());
  const size_t shards = std::min(before.shards.size(), after.shards.size());
  for (size_t i = 0; i < shards; ++i) {
    const ShardView& from = before.shards[i];
    const ShardView& to = after.shards[i];
    if (!from.declared() || !to.declared()) continue;
    rates.bytes_pushed_per_second += rate(from.answer.bytes_pushed(), to.answer.bytes_pushed());
    rates.bytes_pulled_per_second += rate(from.answer.bytes_pulled(), to.answer.bytes_pulled());
  }
  return rates;
}

std::string FormatJobJson(const JobView& view) {
  Object json;
  json.AddText("job", view.job());
  json.Add("version", view.min_version()).Add("max_version", view.max_version());
  json.Add("bytes", view.bytes());
  json.Add("shards",
           List(view.shards, [](int, const ShardView& shard) { return ShardJson(shard); }));
  json.Add("num_workers", absl::StrCat(view.num_workers()));
  json.Add("workers", List(view.workers(), WorkerJson));
  json.Add("checkpoint", CheckpointJson(view.checkpoint()));
  return json.Take();
}

std::string StateOf(const ShardView& shard) {
  if (absl::IsUnavailable(shard.status)) return "unreachable";
  if (absl::IsDeadlineExceeded(shard.status)) return "silent";
  if (absl::IsUnknown(shard.status)) return "unknown";
  if (!shard.status.ok()) return "failing";
  if (shard.answer.stopping()) return "stopping";
  if (shard.answer.draining()) return "draining";
  return shard.answer.job().empty() ? "waiting" : "serving";
}

std::string StateOf(const WorkerView& worker) {
  switch (worker.state) {
    case Worker::LIVE:
      return "live";
    case Worker::LEFT:
      return "left";
    case Worker::SILENT:
      return "silent";
    default:
      return "absent";
  }
}

}  // namespace parley
