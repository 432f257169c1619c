#include "ps/transport_metrics.h"

namespace parley {

void AddTransport(const std::string& transport, const TransportCounts& counts,
                  MetricSamples* samples) {
  const MetricLabels labels = {{"transport", transport}};
  samples->AddCounter("parley_transport_requests_total", "Requests that came, by transport.",
                      static_cast<double>(counts.requests()), labels);
  samples->AddCounter("parley_transport_failed_requests_total",
                      "Requests that were answered with an error.",
                      static_cast<double>(counts.failed()), labels);
  samples->AddGauge("parley_transport_requests_in_progress", "Requests that are not answered yet.",
                    static_cast<double>(counts.in_progress()), labels);
  samples->AddCounter("parley_transport_received_bytes_total",
                      "Requests: of grpc whole messages, of shm the gradients.",
                      static_cast<double>(counts.received_bytes()), labels);
  samples->AddCounter("parley_transport_sent_bytes_total",
                      "Answers: of grpc whole messages, of shm the parameters.",
                      static_cast<double>(counts.sent_bytes()), labels);
}

}  // namespace parley
