#include "cuda/device_event.h"

#include <chrono>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cuda/status.h"

namespace parley {

absl::StatusOr<std::shared_ptr<DeviceEvent>> DeviceEvent::Record(cudaStream_t stream) {
  cudaEvent_t event = nullptr;
  PARLEY_RETURN_IF_ERROR(
      CudaStatus(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "creating an event"));
  std::shared_ptr<DeviceEvent> recorded(new DeviceEvent(event));
  PARLEY_RETURN_IF_ERROR(CudaStatus(cudaEventRecord(event, stream), "recording an event"));
  return recorded;
}

// An error here was already told by the work that met it.
DeviceEvent::~DeviceEvent() { cudaEventDestroy(event_); }

absl::Status DeviceEvent::HoldBack(cudaStream_t stream) const {
  return CudaStatus(cudaStreamWaitEvent(stream, event_, 0), "waiting for an event");
}

bool DeviceEvent::done() const { return cudaEventQuery(event_) != cudaErrorNotReady; }

absl::Status DeviceEvent::Wait(absl::string_view what) const {
  // Most waits are short, and a sleep would be longer: it comes only after the first ones.
  constexpr int kSpins = 2000;
  const auto end = std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(kDevicePatience);
  for (int i = 0;; ++i) {
    const cudaError_t error = cudaEventQuery(event_);
    if (error != cudaErrorNotReady) return CudaStatus(error, what);
    if (i < kSpins) continue;
    if (std::chrono::steady_clock::now() > end) {
      return absl::DeadlineExceededError(absl::StrCat(
          what, ": the device did not get there within ", absl::FormatDuration(kDevicePatience)));
    }
    std::this_thread::sleep_for(std::chrono::microseconds(20));
  }
}

}  // namespace parley
