#include "base/metrics_flags.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/process_metrics.h"
#include "base/version.h"
#include "gflags/gflags.h"
#include "glog/logging.h"

DEFINE_int32(
    metrics_port, -1,
    "The port where Prometheus finds this task's numbers, at /metrics; 0: a free one, which "
    "the log says; -1: none. When it is in use, the task goes on without.");

namespace parley {

absl::Status CheckMetricsFlags() {
  if (FLAGS_metrics_port >= -1 && FLAGS_metrics_port <= 65535) return absl::OkStatus();
  return absl::InvalidArgumentError("--metrics_port is not in [-1, 65535]");
}

std::shared_ptr<Metrics> NewTaskMetrics(const std::string& task) {
  // The source goes before the Metrics that it belongs to.
  struct Owned {
    explicit Owned(const std::string& task) : metrics(task) {
      source = metrics.AddSource([](MetricSamples* samples) {
        samples->AddGauge("parley_build_info", "Always 1; the label has the version.", 1,
                          {{"version", kVersion}});
        AddProcessMetrics(samples);
      });
    }
    Metrics metrics;
    std::unique_ptr<Metrics::Source> source;
  };
  const auto owned = std::make_shared<Owned>(task);
  return {owned, &owned->metrics};
}

std::unique_ptr<MetricsEndpoint> ServeMetricsOfFlags(const std::string& task,
                                                     std::shared_ptr<const Metrics> metrics) {
  if (FLAGS_metrics_port < 0) return nullptr;
  absl::StatusOr<std::unique_ptr<MetricsEndpoint>> endpoint =
      MetricsEndpoint::Start(FLAGS_metrics_port, std::move(metrics));
  if (!endpoint.ok()) {
    LOG(WARNING) << task << ": no metrics: " << endpoint.status().message();
    return nullptr;
  }
  LOG(INFO) << task << ": metrics on port " << (*endpoint)->port() << ", at /metrics";
  return *std::move(endpoint);
}

}  // namespace parley
