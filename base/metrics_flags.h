#ifndef PARLEY_BASE_METRICS_FLAGS_H_
#define PARLEY_BASE_METRICS_FLAGS_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "base/metrics.h"
#include "base/metrics_endpoint.h"

namespace parley {

// --metrics_port, which each program lists in a group of its own.

// INVALID_ARGUMENT for a port that there is not.
absl::Status CheckMetricsFlags();

// The numbers of `task` ("ps:0"), those of its process among them. Called once, by main.
std::shared_ptr<Metrics> NewTaskMetrics(const std::string& task);

// The endpoint that --metrics_port asks for, and a line in the log that says where it is. Null when
// it asks for none, or when it cannot listen: training does not need it, so that is a warning.
std::unique_ptr<MetricsEndpoint> ServeMetricsOfFlags(const std::string& task,
                                                     std::shared_ptr<const Metrics> metrics);

}  // namespace parley

#endif  // PARLEY_BASE_METRICS_FLAGS_H_
