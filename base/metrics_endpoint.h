#ifndef PARLEY_BASE_METRICS_ENDPOINT_H_
#define PARLEY_BASE_METRICS_ENDPOINT_H_

#include <memory>

#include "absl/status/statusor.h"
#include "base/metrics.h"

namespace parley {

// Serves a task's numbers to Prometheus: GET /metrics, in its text format, as long as it lives.
// Threads: a few of its own, which ask the Metrics for a snapshot at each request.
class MetricsEndpoint {
 public:
  // Listens on `port` of all addresses of this machine; 0 takes a free one. UNAVAILABLE when it is
  // in use, INVALID_ARGUMENT when there is no such port.
  static absl::StatusOr<std::unique_ptr<MetricsEndpoint>> Start(
      int port, std::shared_ptr<const Metrics> metrics);
  // Ends what is under way.
  virtual ~MetricsEndpoint() = default;

  virtual int port() const = 0;
};

}  // namespace parley

#endif  // PARLEY_BASE_METRICS_ENDPOINT_H_
