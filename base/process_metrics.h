#ifndef PARLEY_BASE_PROCESS_METRICS_H_
#define PARLEY_BASE_PROCESS_METRICS_H_

#include "base/metrics.h"

namespace parley {

// The numbers of this process that Prometheus' own client libraries give, under their names, from
// /proc: process_resident_memory_bytes, process_virtual_memory_bytes, process_cpu_seconds_total,
// process_threads, process_open_fds, process_max_fds, process_start_time_seconds. What cannot be
// read is left out.
void AddProcessMetrics(MetricSamples* samples);

}  // namespace parley

#endif  // PARLEY_BASE_PROCESS_METRICS_H_
