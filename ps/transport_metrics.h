#ifndef PARLEY_PS_TRANSPORT_METRICS_H_
#define PARLEY_PS_TRANSPORT_METRICS_H_

#include <string>

#include "base/metrics.h"
#include "net/transport_counts.h"

namespace parley {

// What was asked of a ps task by `transport`: "grpc", of all calls, in bytes of messages; "shm", of
// pushes and pulls, in bytes of payloads.
void AddTransport(const std::string& transport, const TransportCounts& counts,
                  MetricSamples* samples);

}  // namespace parley

#endif  // PARLEY_PS_TRANSPORT_METRICS_H_
