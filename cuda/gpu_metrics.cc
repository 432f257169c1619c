#include "cuda/gpu_metrics.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cuda/dynamic_library.h"

namespace parley {
namespace {

// Of nvml.h, which comes with the toolkit and is not needed: its interface is stable.
using NvmlReturn = int;
constexpr NvmlReturn kSuccess = 0;
using NvmlDevice = void*;
struct NvmlUtilization {
  unsigned int gpu;     // percent of the last sample period in which a kernel ran
  unsigned int memory;  // percent in which memory was read or written
};
struct NvmlMemory {
  unsigned long long total;  // bytes
  unsigned long long free;
  unsigned long long used;
};
constexpr int kTemperatureOfGpu = 0;

struct Nvml {
  NvmlReturn (*init)();
  NvmlReturn (*shutdown)();
  NvmlReturn (*get_count)(unsigned int*);
  NvmlReturn (*get_device)(unsigned int, NvmlDevice*);
  NvmlReturn (*get_utilization)(NvmlDevice, NvmlUtilization*);
  NvmlReturn (*get_memory)(NvmlDevice, NvmlMemory*);
  NvmlReturn (*get_temperature)(NvmlDevice, int, unsigned int*);
  NvmlReturn (*get_power)(NvmlDevice, unsigned int*);
};

class NvmlMetrics final : public GpuMetrics {
 public:
  NvmlMetrics(const Nvml& nvml, std::vector<NvmlDevice> devices)
      : nvml_(nvml), devices_(std::move(devices)) {}
  ~NvmlMetrics() override { nvml_.shutdown(); }

  void AddTo(MetricSamples* samples) const override {
    for (size_t i = 0; i < devices_.size(); ++i) {
      const NvmlDevice device = devices_[i];
      const MetricLabels labels = {{"gpu", absl::StrCat(i)}};
      NvmlUtilization utilization;
      if (nvml_.get_utilization(device, &utilization) == kSuccess) {
        samples->AddGauge("parley_gpu_utilization_ratio",
                          "Share of the last second or less in which the GPU computed.",
                          utilization.gpu / 100.0, labels);
      }
      NvmlMemory memory;
      if (nvml_.get_memory(device, &memory) == kSuccess) {
        samples->AddGauge("parley_gpu_memory_used_bytes", "Memory of the GPU in use, by anybody.",
                          static_cast<double>(memory.used), labels);
        samples->AddGauge("parley_gpu_memory_total_bytes", "Memory of the GPU.",
                          static_cast<double>(memory.total), labels);
      }
      unsigned int value;
      if (nvml_.get_temperature(device, kTemperatureOfGpu, &value) == kSuccess) {
        samples->AddGauge("parley_gpu_temperature_celsius", "Temperature of the GPU.", value,
                          labels);
      }
      if (nvml_.get_power(device, &value) == kSuccess) {
        samples->AddGauge("parley_gpu_power_watts", "What the GPU draws.", value / 1000.0, labels);
      }
    }
  }

 private:
  const Nvml nvml_;
  const std::vector<NvmlDevice> devices_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<GpuMetrics>> GpuMetrics::Open(
    const std::vector<std::string>& names) {
  PARLEY_ASSIGN_OR_RETURN(const DynamicLibrary library, DynamicLibrary::Open(names));
  Nvml nvml;
  PARLEY_RETURN_IF_ERROR(library.Find("nvmlInit_v2", &nvml.init));
  PARLEY_RETURN_IF_ERROR(library.Find("nvmlShutdown", &nvml.shutdown));
  PARLEY_RETURN_IF_ERROR(library.Find("nvmlDeviceGetCount_v2", &nvml.get_count));
  PARLEY_RETURN_IF_ERROR(library.Find("nvmlDeviceGetHandleByIndex_v2", &nvml.get_device));
  PARLEY_RETURN_IF_ERROR(library.Find("nvmlDeviceGetUtilizationRates", &nvml.get_utilization));
  PARLEY_RETURN_IF_ERROR(library.Find("nvmlDeviceGetMemoryInfo", &nvml.get_memory));
  PARLEY_RETURN_IF_ERROR(library.Find("nvmlDeviceGetTemperature", &nvml.get_temperature));
  PARLEY_RETURN_IF_ERROR(library.Find("nvmlDeviceGetPowerUsage", &nvml.get_power));
  if (const NvmlReturn code = nvml.init(); code != kSuccess) {
    return absl::UnavailableError(absl::StrCat("NVML does not start: its error ", code));
  }
  unsigned int count = 0;
  if (nvml.get_count(&count) != kSuccess) count = 0;
  std::vector<NvmlDevice> devices;
  for (unsigned int i = 0; i < count; ++i) {
    NvmlDevice device;
    if (nvml.get_device(i, &device) == kSuccess) devices.push_back(device);
  }
  return std::make_unique<NvmlMetrics>(nvml, std::move(devices));
}

}  // namespace parley
