#ifndef PARLEY_CUDA_GPU_METRICS_H_
#define PARLEY_CUDA_GPU_METRICS_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/metrics.h"

namespace parley {

// What NVIDIA's management library (NVML, a part of the driver) says of the machine's GPUs, whoever
// uses them: how busy they are, their memory, temperature and power. It is opened while the program
// runs, and needs no CUDA toolkit. Thread safety: safe from any thread.
class GpuMetrics {
 public:
  // UNAVAILABLE where there is no such library, or it finds no driver. `names` is for tests.
  static absl::StatusOr<std::unique_ptr<GpuMetrics>> Open(const std::vector<std::string>& names = {
                                                              "libnvidia-ml.so.1"});
  virtual ~GpuMetrics() = default;

  // parley_gpu_utilization_ratio, parley_gpu_memory_used_bytes, parley_gpu_memory_total_bytes,
  // parley_gpu_temperature_celsius and parley_gpu_power_watts, with gpu="<index>", of each GPU;
  // what one does not say is left out.
  virtual void AddTo(MetricSamples* samples) const = 0;
};

}  // namespace parley

#endif  // PARLEY_CUDA_GPU_METRICS_H_
