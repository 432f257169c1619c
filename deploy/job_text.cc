#include "deploy/job_text.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "base/plain_text.h"
#include "base/text_table.h"

namespace parley {
namespace {

using Rows = std::vector<std::vector<std::string>>;

constexpr char kRed[] = "\033[31m";
constexpr char kYellow[] = "\033[33m";
constexpr char kBold[] = "\033[1m";
constexpr char kPlain[] = "\033[0m";

std::string FormatBytes(double bytes) {
  for (const char* const unit : {"B", "kB", "MB", "GB"}) {
    if (bytes < 1000)
      return absl::StrFormat(bytes < 10 && *unit != 'B' ? "%.1f %s" : "%.0f %s", bytes, unit);
    bytes /= 1000;
  }
  return absl::StrFormat("%.1f TB", bytes);
}

// "0.3 s", "42 s", "5m10s", "3h2m".
std::string FormatTime(absl::Duration duration) {
  const double seconds = absl::ToDoubleSeconds(duration);
  if (seconds < 10) return absl::StrFormat("%.1f s", seconds);
  const auto whole = static_cast<int64_t>(seconds);
  if (whole < 100) return absl::StrCat(whole, " s");
  if (whole < 3600) return absl::StrCat(whole / 60, "m", whole % 60, "s");
  if (whole < 86400) return absl::StrCat(whole / 3600, "h", whole / 60 % 60, "m");
  return absl::StrCat(whole / 86400, "d", whole / 3600 % 24, "h");
}

std::string FormatVersions(int64_t least, int64_t most) {
  return least == most ? absl::StrCat(least) : absl::StrCat(least, "-", most);
}

const char* ColorOf(absl::string_view state) {
  if (state == "unreachable" || state == "silent" || state == "failing") return kRed;
  if (state == "draining" || state == "stopping" || state == "waiting" || state == "absent") {
    return kYellow;
  }
  return "";
}

// Lines of a table whose second row on are about things in `states`.
void Append(const Rows& rows, absl::string_view alignment, const std::vector<std::string>& states,
            bool colors, std::string* text) {
  const std::vector<std::string> lines = FormatColumns(rows, alignment);
  for (size_t i = 0; i < lines.size(); ++i) {
    const absl::string_view color = !colors ? "" : i == 0 ? kBold : ColorOf(states[i - 1]);
    absl::StrAppend(text, color, lines[i], color.empty() ? "" : kPlain, "\n");
  }
}

std::string WorkersText(const v1::GetStatusResponse& answer) {
  int live = 0;
  int left = 0;
  int silent = 0;
  for (const v1::GetStatusResponse::Worker& worker : answer.workers()) {
    live += worker.state() == v1::GetStatusResponse::Worker::LIVE ? 1 : 0;
    left += worker.state() == v1::GetStatusResponse::Worker::LEFT ? 1 : 0;
    silent += worker.state() == v1::GetStatusResponse::Worker::SILENT ? 1 : 0;
  }
  const int absent = answer.workers_size() - live - left - silent;
  std::vector<std::string> parts = {absl::StrCat(live, " live")};
  if (silent > 0) parts.push_back(absl::StrCat(silent, " silent"));
  if (left > 0) parts.push_back(absl::StrCat(left, " left"));
  if (absent > 0) parts.push_back(absl::StrCat(absent, " absent"));
  return absl::StrJoin(parts, ", ");
}

void AppendShards(const JobView& view, bool colors, std::string* text) {
  Rows rows = {{"shard", "task", "address", "state", "version", "parameters", "workers", "waiting",
                "pushed", "pulled", "up"}};
  std::vector<std::string> states;
  for (const ShardView& shard : view.shards) {
    const v1::GetStatusResponse& answer = shard.answer;
    states.push_back(StateOf(shard));
    std::vector<std::string> row = {absl::StrCat(shard.shard), PlainText(answer.task()),
                                    shard.address, states.back()};
    if (!shard.status.ok()) {
      row.resize(11);
      row.push_back(PlainText(shard.status.message()));
    } else if (shard.declared()) {
      for (std::string& cell :
           std::vector<std::string>{FormatVersions(answer.min_version(), answer.max_version()),
                                    FormatBytes(static_cast<double>(answer.bytes())),
                                    WorkersText(answer), absl::StrCat(answer.requests_waiting()),
                                    FormatBytes(static_cast<double>(answer.bytes_pushed())),
                                    FormatBytes(static_cast<double>(answer.bytes_pulled()))}) {
        row.push_back(std::move(cell));
      }
      row.push_back(FormatTime(absl::Milliseconds(answer.uptime_ms())));
    }
    rows.push_back(std::move(row));
  }
  Append(rows, "rlllrrlrrrr", states, colors, text);
}

void AppendWorkers(const JobView& view, bool colors, std::string* text) {
  const std::vector<WorkerView> workers = view.workers();
  if (workers.empty()) return;
  Rows rows = {{"worker", "state", "step", "clock", "silence", "waited for", "loss", "samples/s"}};
  std::vector<std::string> states;
  for (const WorkerView& worker : workers) {
    const v1::WorkerReport& report = worker.report;
    const bool live = worker.state == v1::GetStatusResponse::Worker::LIVE;
    const bool heard = live || worker.state == v1::GetStatusResponse::Worker::SILENT;
    states.push_back(StateOf(worker));
    std::string step = report.has_step() ? absl::StrCat(report.step()) : "-";
    if (report.has_steps()) absl::StrAppend(&step, "/", report.steps());
    const std::string loss =
        report.has_loss() ? absl::StrFormat("%.4f", report.loss()) : std::string("-");
    const std::string rate = live && report.has_samples_per_second()
                                 ? absl::StrFormat("%.0f", report.samples_per_second())
                                 : std::string("-");
    rows.push_back({absl::StrCat(rows.size() - 1), states.back(), step, absl::StrCat(worker.clock),
                    heard ? FormatTime(worker.silence) : std::string("-"),
                    FormatTime(worker.waited_for), loss, rate});
  }
  absl::StrAppend(text, "\n");
  Append(rows, "rlrrrrrr", states, colors, text);
}

// The mean loss of those who are live, and their samples a second together; empty where nobody has
// said any.
std::string TrainingText(const JobView& view) {
  double loss = 0;
  double samples = 0;
  int said = 0;
  for (const WorkerView& worker : view.workers()) {
    const bool live = worker.state == v1::GetStatusResponse::Worker::LIVE;
    if (!live || !worker.report.has_loss()) continue;
    ++said;
    loss += worker.report.loss();
    samples += worker.report.samples_per_second();
  }
  if (said == 0) return "";
  return absl::StrFormat(", loss %.4f, %.0f samples/s", loss / said, samples);
}

}  // namespace

std::string FormatCheckpoint(const v1::CheckpointReport& checkpoint) {
  if (checkpoint.manifest().empty()) {
    return absl::StrCat("no checkpoint of step ", checkpoint.step(), ": ",
                        PlainText(checkpoint.error()));
  }
  return absl::StrCat("checkpoint of step ", checkpoint.step(), " in ",
                      PlainText(checkpoint.folder()), ": ", PlainText(checkpoint.manifest()));
}

namespace {

// What is wrong with the addresses that were asked, a line each.
std::string AddressesText(const JobView& view) {
  std::string text;
  int job_shards = 0;
  for (const ShardView& shard : view.shards) {
    if (!shard.declared()) continue;
    job_shards = std::max(job_shards, shard.answer.num_shards());
    if (shard.answer.shard() != shard.shard) {
      absl::StrAppend(&text, shard.address, " has shard ", shard.answer.shard(), ", not ",
                      shard.shard, ": --ps_hosts is in another order than the job's\n");
    }
  }
  if (job_shards > static_cast<int>(view.shards.size())) {
    absl::StrAppend(&text, "the job has ", job_shards, " shards, and only ", view.shards.size(),
                    " of them asked: --ps_hosts names all of a job's ps tasks\n");
  }
  return text;
}

}  // namespace

std::string FormatJobText(const JobView& view, const JobRates* rates, absl::Time wall,
                          bool colors) {
  const std::string job = PlainText(view.job());
  std::string text =
      job.empty() ? view.answered() == 0 ? "no shard answered" : "no job is declared"
                  : absl::StrCat("job ", job, ": ", view.declared(), " of ", view.shards.size(),
                                 " shards, ", view.num_workers(), " workers, version ",
                                 FormatVersions(view.min_version(), view.max_version()),
                                 TrainingText(view));
  if (rates != nullptr) {
    absl::StrAppend(&text, absl::StrFormat(", %.1f rounds/s", rates->rounds_per_second),
                    ", pushed ", FormatBytes(rates->bytes_pushed_per_second), "/s, pulled ",
                    FormatBytes(rates->bytes_pulled_per_second), "/s");
  }
  absl::StrAppend(&text, "\n", AddressesText(view));
  if (const absl::optional<v1::CheckpointReport> checkpoint = view.checkpoint();
      checkpoint.has_value()) {
    const absl::Duration age = wall - absl::FromUnixMillis(checkpoint->unix_ms());
    absl::StrAppend(&text, FormatCheckpoint(*checkpoint), ", ",
                    FormatTime(std::max(age, absl::ZeroDuration())), " ago\n");
  }
  absl::StrAppend(&text, "\n");
  AppendShards(view, colors, &text);
  AppendWorkers(view, colors, &text);
  return text;
}

std::string FormatJobLine(const JobView& view, const JobRates& rates) {
  int live = 0;
  for (const WorkerView& worker : view.workers()) {
    live += worker.state == v1::GetStatusResponse::Worker::LIVE ? 1 : 0;
  }
  return absl::StrCat("version ", FormatVersions(view.min_version(), view.max_version()),
                      absl::StrFormat(", %.1f rounds/s", rates.rounds_per_second), ", pushed ",
                      FormatBytes(rates.bytes_pushed_per_second), "/s, pulled ",
                      FormatBytes(rates.bytes_pulled_per_second), "/s", TrainingText(view), ", ",
                      live, " of ", view.num_workers(), " workers, ", view.answered(), " of ",
                      view.shards.size(), " shards");
}

}  // namespace parley
