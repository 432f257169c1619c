#include "worker/report.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace parley {
namespace {

constexpr absl::Duration kLiveInterval = absl::Milliseconds(100);
constexpr absl::Duration kLineInterval = absl::Seconds(1);

std::string FormatClock(absl::Duration duration) {
  const int64_t seconds =
      std::max<int64_t>(0, absl::ToInt64Seconds(duration + absl::Milliseconds(500)));
  if (seconds >= 3600) {
    return absl::StrFormat("%d:%02d:%02d", seconds / 3600, seconds / 60 % 60, seconds % 60);
  }
  return absl::StrFormat("%d:%02d", seconds / 60, seconds % 60);
}

std::string FormatBytes(int64_t bytes) {
  const double value = static_cast<double>(bytes);
  if (value >= 1e9) return absl::StrFormat("%.2f GB", value / 1e9);
  if (value >= 1e6) return absl::StrFormat("%.1f MB", value / 1e6);
  return absl::StrFormat("%.1f kB", value / 1e3);
}

// JSON has no infinity and no NaN; a loss of a job that diverged is one.
std::string FormatNumber(const absl::FormatSpec<double>& format, double value) {
  return std::isfinite(value) ? absl::StrFormat(format, value) : "null";
}

// Of bucket `bucket` of GetStatusResponse.staleness_counts: "7", "16-31".
std::string FormatStaleness(int bucket) {
  constexpr int kExact = 16;
  if (bucket < kExact) return absl::StrCat(bucket);
  const int64_t low = int64_t{kExact} << (bucket - kExact);
  return absl::StrCat(low, "-", 2 * low - 1);
}

std::string FormatEvaluation(const Evaluation& evaluation) {
  std::string line = absl::StrFormat("test loss %.4f", evaluation.loss);
  if (evaluation.has_accuracy) {
    line = absl::StrFormat("test accuracy %.4f, %s", evaluation.accuracy(), line);
  }
  for (const auto& [name, value] : evaluation.metrics) {
    absl::StrAppendFormat(&line, ", %s %.4f", name, value);
  }
  return line;
}

}  // namespace

std::string FormatProgress(const Progress& progress, int workers, bool classes) {
  return absl::StrCat(
      absl::StrFormat("progress: epoch %d/%d step %d/%d loss %.4f ", progress.epoch,
                      progress.epochs, progress.step, progress.steps, progress.loss),
      classes ? absl::StrFormat("accuracy %.2f ", progress.accuracy) : "",
      absl::StrFormat("%.0f samples/s %s left", progress.samples_per_second * workers,
                      FormatClock(progress.remaining)));
}

std::string FormatTable(const RunDescription& run, const TrainingSummary& summary) {
  const v1::GetStatusResponse& total = summary.status.total;
  std::vector<std::pair<std::string, std::string>> rows;
  if (summary.evaluation.has_accuracy) {
    rows.emplace_back("test accuracy",
                      absl::StrFormat("%.2f%%", 100 * summary.evaluation.accuracy()));
  }
  rows.emplace_back("test loss", absl::StrFormat("%.4f", summary.evaluation.loss));
  for (const auto& [name, value] : summary.evaluation.metrics) {
    rows.emplace_back(absl::StrCat("test ", name), absl::StrFormat("%.4f", value));
  }
  rows.emplace_back("training time",
                    absl::StrFormat("%.1f s", absl::ToDoubleSeconds(summary.seconds)));
  rows.emplace_back("samples/s per worker", absl::StrFormat("%.0f", summary.samples_per_second));
  rows.emplace_back("pulled", FormatBytes(total.bytes_pulled()));
  rows.emplace_back("pushed", FormatBytes(total.bytes_pushed()));
  rows.emplace_back("staleness mean", absl::StrFormat("%.2f", summary.status.staleness_mean()));
  rows.emplace_back("staleness max", absl::StrCat(total.staleness_max()));
  for (int i = 0; total.staleness_max() > 0 && i < total.staleness_counts_size(); ++i) {
    if (total.staleness_counts(i) == 0) continue;
    const double share =
        static_cast<double>(total.staleness_counts(i)) / static_cast<double>(total.pushes());
    rows.emplace_back(absl::StrCat("  staleness ", FormatStaleness(i)),
                      absl::StrFormat("%.2f%%", 100 * share));
  }
  if (total.dropped() > 0) {
    const auto all = static_cast<double>(total.dropped() + total.pushes());
    rows.emplace_back("late, dropped", absl::StrFormat("%.2f%%", 100 * total.dropped() / all));
  }
  std::string table = absl::StrFormat("| %s, %s, %d workers, %d shards, %d steps\n", run.model,
                                      run.policy, run.workers, run.shards, summary.steps);
  for (const auto& [name, value] : rows)
    absl::StrAppendFormat(&table, "| %-21s %12s\n", name, value);
  return table;
}

std::string FormatJson(const RunDescription& run, const TrainingSummary& summary) {
  const v1::GetStatusResponse& total = summary.status.total;
  const Evaluation& evaluation = summary.evaluation;
  std::string json = "{";
  const auto add = [&](absl::string_view key, absl::string_view value) {
    absl::StrAppend(&json, json.size() == 1 ? "" : ", ", "\"", key, "\": ", value);
  };
  add("accuracy", evaluation.has_accuracy ? FormatNumber("%.6f", evaluation.accuracy()) : "null");
  add("loss", FormatNumber("%.9g", evaluation.loss));
  for (const auto& [name, value] : evaluation.metrics) add(name, FormatNumber("%.6f", value));
  add("seconds", FormatNumber("%.3f", absl::ToDoubleSeconds(summary.seconds)));
  add("samples_per_second_per_worker", FormatNumber("%.1f", summary.samples_per_second));
  add("bytes_pulled", absl::StrCat(total.bytes_pulled()));
  add("bytes_pushed", absl::StrCat(total.bytes_pushed()));
  add("staleness_mean", FormatNumber("%.6g", summary.status.staleness_mean()));
  add("staleness_max", absl::StrCat(total.staleness_max()));
  std::vector<std::string> counts;
  for (int i = 0; i < total.staleness_counts_size(); ++i) {
    if (total.staleness_counts(i) == 0) continue;
    counts.push_back(absl::StrFormat("\"%s\": %d", FormatStaleness(i), total.staleness_counts(i)));
  }
  add("staleness_counts", absl::StrCat("{", absl::StrJoin(counts, ", "), "}"));
  add("pushes", absl::StrCat(total.pushes()));
  add("dropped", absl::StrCat(total.dropped()));
  add("steps", absl::StrCat(summary.steps));
  add("epochs", absl::StrCat(run.epochs));
  add("workers", absl::StrCat(run.workers));
  add("shards", absl::StrCat(run.shards));
  add("policy", absl::StrCat("\"", run.policy, "\""));
  add("model", absl::StrCat("\"", run.model, "\""));
  add("seed", absl::StrCat(run.seed));
  return json + "}\n";
}

Report::Report(RunDescription run, bool classes, bool terminal, std::ostream* out, Env* env)
    : run_(std::move(run)), classes_(classes), terminal_(terminal), out_(out), env_(env) {}

void Report::OnStep(const Progress& progress) {
  const absl::Time now = env_->Now();
  const bool last = progress.step == progress.steps;
  if (!last && now - last_ < (terminal_ ? kLiveInterval : kLineInterval)) return;
  last_ = now;
  const std::string line = FormatProgress(progress, run_.workers, classes_);
  if (terminal_) {
    *out_ << "\r\033[K" << line << std::flush;
    live_ = true;
  } else {
    *out_ << line << std::endl;
  }
}

void Report::OnEvaluation(const Progress& progress, const Evaluation& evaluation,
                          absl::Duration took) {
  ClearLine();
  *out_ << "epoch " << progress.epoch << "/" << progress.epochs
        << " done: " << FormatEvaluation(evaluation)
        << absl::StrFormat(" (evaluated in %.1f s)", absl::ToDoubleSeconds(took)) << std::endl;
}

void Report::OnCheckpoint(int64_t step, const std::string& manifest) {
  ClearLine();
  *out_ << "checkpoint of step " << step << ": " << manifest << std::endl;
}

void Report::ClearLine() {
  if (live_) *out_ << "\r\033[K";
  live_ = false;
}

}  // namespace parley
