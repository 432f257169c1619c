#include "ps/status_history.h"

#include <cmath>
#include <functional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace parley {
namespace {

std::string Number(absl::optional<double> value) {
  return value.has_value() && std::isfinite(*value) ? absl::StrFormat("%.6g", *value) : "null";
}

}  // namespace

StatusHistory::StatusHistory(absl::Duration interval, size_t most)
    : interval_(interval), most_(most) {}

void StatusHistory::Add(const JobView& view) {
  if (view.declared() == 0) return;
  if (!points_.empty() && view.at - points_.back().at < interval_) return;
  if (points_.size() == most_) {
    // Every other one, and the last.
    for (size_t i = 0; i < most_ / 2; ++i) points_[i] = points_[2 * i + 1];
    points_.resize(most_ / 2);
    interval_ *= 2;
  }
  Point point;
  point.at = view.at;
  point.version = view.min_version();
  point.bytes_pushed = view.bytes_pushed();
  point.bytes_pulled = view.bytes_pulled();
  int said = 0;
  for (const WorkerView& worker : view.workers()) {
    const bool live = worker.state == v1::GetStatusResponse::Worker::LIVE;
    if (!live || !worker.report.has_loss()) continue;
    point.loss = point.loss.value_or(0) + worker.report.loss();
    point.samples_per_second =
        point.samples_per_second.value_or(0) + worker.report.samples_per_second();
    ++said;
  }
  if (said > 0) *point.loss /= said;
  points_.push_back(point);
}

std::string StatusHistory::FormatJson(absl::Time now) const {
  const auto list = [&](const std::function<absl::optional<double>(size_t)>& value) {
    std::string json = "[";
    for (size_t i = 0; i < points_.size(); ++i) {
      absl::StrAppend(&json, i == 0 ? "" : ",", Number(value(i)));
    }
    return json + "]";
  };
  const auto rate = [&](int64_t Point::*count) {
    return list([this, count](size_t i) -> absl::optional<double> {
      if (i == 0 || points_[i].*count < points_[i - 1].*count) return absl::nullopt;
      return static_cast<double>(points_[i].*count - points_[i - 1].*count) /
             absl::ToDoubleSeconds(points_[i].at - points_[i - 1].at);
    });
  };
  return absl::StrCat(
      "{\"age_seconds\": ",
      list([&](size_t i) { return absl::ToDoubleSeconds(now - points_[i].at); }),
      ", \"version\": ", list([&](size_t i) { return static_cast<double>(points_[i].version); }),
      ", \"loss\": ", list([&](size_t i) { return points_[i].loss; }),
      ", \"samples_per_second\": ", list([&](size_t i) { return points_[i].samples_per_second; }),
      ", \"rounds_per_second\": ", rate(&Point::version),
      ", \"bytes_pushed_per_second\": ", rate(&Point::bytes_pushed),
      ", \"bytes_pulled_per_second\": ", rate(&Point::bytes_pulled), "}");
}

}  // namespace parley
