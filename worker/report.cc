#include "worker/report.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

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

std::string FormatEvaluation(const Evaluation& evaluation) {
  const std::string loss = absl::StrFormat("test loss %.4f", evaluation.loss);
  if (!evaluation.has_accuracy) return loss;
  return absl::StrFormat("test accuracy %.4f, %s", evaluation.accuracy(), loss);
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
  rows.emplace_back("training time",
                    absl::StrFormat("%.1f s", absl::ToDoubleSeconds(summary.seconds)));
  rows.emplace_back("samples/s per worker", absl::StrFormat("%.0f", summary.samples_per_second));
  rows.emplace_back("pulled", FormatBytes(total.bytes_pulled()));
  rows.emplace_back("pushed", FormatBytes(total.bytes_pushed()));
  rows.emplace_back("staleness mean", absl::StrFormat("%.2f", summary.status.staleness_mean()));
  rows.emplace_back("staleness max", absl::StrCat(total.staleness_max()));
  std::string table = absl::StrFormat("| %s, %s, %d workers, %d shards, %d steps\n", run.model,
                                      run.policy, run.workers, run.shards, summary.steps);
  for (const auto& [name, value] : rows)
    absl::StrAppendFormat(&table, "| %-21s %12s\n", name, value);
  return table;
}

std::string FormatJson(const RunDescription& run, const TrainingSummary& summary) {
  const v1::GetStatusResponse& total = summary.status.total;
  return absl::StrFormat(
      "{\"accuracy\": %s, \"loss\": %.9g, \"seconds\": %.3f, \"samples_per_second_per_worker\": "
      "%.1f, "
      "\"bytes_pulled\": %d, \"bytes_pushed\": %d, \"staleness_mean\": %.6g, \"staleness_max\": "
      "%d, "
      "\"steps\": %d, \"epochs\": %d, \"workers\": %d, \"shards\": %d, \"policy\": \"%s\", "
      "\"model\": \"%s\", \"seed\": %d}\n",
      summary.evaluation.has_accuracy ? absl::StrFormat("%.6f", summary.evaluation.accuracy())
                                      : "null",
      summary.evaluation.loss, absl::ToDoubleSeconds(summary.seconds), summary.samples_per_second,
      total.bytes_pulled(), total.bytes_pushed(), summary.status.staleness_mean(),
      total.staleness_max(), summary.steps, run.epochs, run.workers, run.shards, run.policy,
      run.model, run.seed);
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
