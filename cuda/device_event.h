#ifndef PARLEY_CUDA_DEVICE_EVENT_H_
#define PARLEY_CUDA_DEVICE_EVENT_H_

#include <cuda_runtime_api.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace parley {

// How long anybody waits for a device before it is taken to hang.
constexpr absl::Duration kDevicePatience = absl::Minutes(10);

// A place in a stream that work can be seen to have passed. Thread safety: safe from any thread
// after it was recorded.
class DeviceEvent {
 public:
  // Recorded in `stream` of the thread's current device: behind everything that was enqueued in it.
  static absl::StatusOr<std::shared_ptr<DeviceEvent>> Record(cudaStream_t stream);
  ~DeviceEvent();
  DeviceEvent(const DeviceEvent&) = delete;
  DeviceEvent& operator=(const DeviceEvent&) = delete;

  // Makes what is enqueued in `stream` from now on wait for it.
  absl::Status HoldBack(cudaStream_t stream) const;
  // Whether the device has passed it, or has failed.
  bool done() const;
  // Until the device has passed it. The device's error, or DEADLINE_EXCEEDED after
  // kDevicePatience; `what` names what is waited for.
  absl::Status Wait(absl::string_view what) const;

 private:
  explicit DeviceEvent(cudaEvent_t event) : event_(event) {}

  const cudaEvent_t event_;
};

}  // namespace parley

#endif  // PARLEY_CUDA_DEVICE_EVENT_H_
