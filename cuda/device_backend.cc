#include "cuda/device_backend.h"

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cuda/kernels/reduce.h"
#include "cuda/status.h"
#include "glog/logging.h"

namespace parley {
namespace {

// Up to here a copy from the caller's memory goes through pinned memory of ours, and the call does
// not wait for the device; a bigger one is worth waiting for.
constexpr size_t kMostStagedBytes = size_t{16} << 20;
// Of a copy to the caller's, which has to be waited for anyway.
constexpr size_t kMostStagedDownBytes = size_t{64} << 10;

MemoryRange RangeOf(const Tensor& tensor) { return {tensor.As<void>(), tensor.bytes()}; }

class DeviceTransfer : public Transfer {
 public:
  DeviceTransfer(DeviceBackend* backend, std::shared_ptr<DeviceEvent> event)
      : backend_(backend), event_(std::move(event)) {}

  bool done() const override { return event_ == nullptr || event_->done(); }

  absl::Status Wait() override {
    if (event_ != nullptr) {
      const absl::Status status = event_->Wait(absl::StrCat(backend_->name(), ": a transfer"));
      if (!status.ok()) return backend_->Fail(status);
    }
    return backend_->error();
  }

 private:
  DeviceBackend* const backend_;
  const std::shared_ptr<DeviceEvent> event_;  // null: it was not begun, for the backend has failed
};

}  // namespace

absl::Status Launched(cudaError_t error) { return CudaStatus(error, "starting the kernel"); }

absl::Status DeviceBackend::error() const {
  MutexLock lock(&mutex_);
  return error_;
}

absl::Status DeviceBackend::Fail(const absl::Status& status) {
  MutexLock lock(&mutex_);
  if (error_.ok() && !status.ok()) {
    error_ = status;
    LOG(ERROR) << status;
  }
  return error_;
}

absl::Status DeviceBackend::Prepare(Tensors reads, Tensors writes) {
  for (const bool written : {false, true}) {
    for (const Tensor* const tensor : written ? writes : reads) {
      if (!tensor->defined()) continue;
      CHECK(tensor->backend() == this)
          << name() << " was given a tensor of " << tensor->backend()->name();
      for (const auto& event : pending_.TakeConflicts(RangeOf(*tensor), written)) {
        PARLEY_RETURN_IF_ERROR(event->HoldBack(context_->compute()));
      }
    }
  }
  return absl::OkStatus();
}

void DeviceBackend::Enqueue(const char* operation, Tensors reads, Tensors writes,
                            absl::FunctionRef<absl::Status(Context&)> work) {
  EnqueueCopy(operation, reads, writes,
              [&](Context& context, PendingCopies<DeviceEvent>&) { return work(context); });
}

void DeviceBackend::EnqueueCopy(
    const char* operation, Tensors reads, Tensors writes,
    absl::FunctionRef<absl::Status(Context&, PendingCopies<DeviceEvent>&)> work) {
  MutexLock lock(&mutex_);
  if (!error_.ok()) return;
  absl::Status status = context_->Activate();
  if (status.ok()) status = Prepare(reads, writes);
  if (status.ok()) status = work(*context_, pending_);
  if (status.ok()) return;
  error_ = Annotate(status, absl::StrCat(name(), ": ", operation));
  LOG(ERROR) << error_;
}

absl::Status DeviceBackend::Wait(const std::shared_ptr<DeviceEvent>& event, const char* operation) {
  if (event != nullptr) {
    const absl::Status status = event->Wait(absl::StrCat(name(), ": ", operation));
    if (!status.ok()) return Fail(status);
  }
  return error();
}

std::shared_ptr<void> DeviceBackend::Allocate(size_t bytes) {
  absl::StatusOr<std::shared_ptr<void>> memory = context_->memory().Allocate(bytes);
  if (memory.ok()) return *std::move(memory);
  {
    // Transfers that are done may still hold some.
    MutexLock lock(&mutex_);
    pending_.Sweep();
  }
  memory = context_->memory().Allocate(bytes);
  if (memory.ok()) return *std::move(memory);
  // From now on nothing is done with any tensor, so with this one neither.
  Fail(memory.status()).IgnoreError();
  return nullptr;
}

std::shared_ptr<void> DeviceBackend::AllocateHost(size_t bytes) {
  // Pinned for the thread's device; on another one that would make a context for nothing.
  context_->Activate().IgnoreError();
  absl::StatusOr<std::shared_ptr<void>> memory = context_->host_memory().Allocate(bytes);
  // As for any other memory of the host's.
  CHECK(memory.ok()) << memory.status();
  return *std::move(memory);
}

void DeviceBackend::CopyFromHost(const void* host, const Tensor& to) {
  const size_t bytes = to.bytes();
  if (bytes == 0) return;
  std::shared_ptr<DeviceEvent> event;
  EnqueueCopy("CopyFromHost", {}, {&to}, [&](Context& context, auto& pending) -> absl::Status {
    std::shared_ptr<void> staged;
    if (bytes <= kMostStagedBytes) {
      PARLEY_ASSIGN_OR_RETURN(staged, context.host_memory().Allocate(bytes));
      std::memcpy(staged.get(), host, bytes);
      host = staged.get();
    }
    PARLEY_RETURN_IF_ERROR(CudaStatus(
        cudaMemcpyAsync(to.As<void>(), host, bytes, cudaMemcpyHostToDevice, context.compute()),
        "copying"));
    PARLEY_ASSIGN_OR_RETURN(event, DeviceEvent::Record(context.compute()));
    if (staged != nullptr) {
      pending.Keep(std::move(event), std::move(staged));
      event = nullptr;
    }
    return absl::OkStatus();
  });
  if (event != nullptr) Wait(event, "CopyFromHost").IgnoreError();
}

absl::Status DeviceBackend::CopyToHost(const Tensor& from, void* host) {
  const size_t bytes = from.bytes();
  std::shared_ptr<DeviceEvent> event;
  std::shared_ptr<void> staged;
  EnqueueCopy("CopyToHost", {&from}, {}, [&](Context& context, auto& pending) -> absl::Status {
    if (bytes > 0) {
      if (bytes <= kMostStagedDownBytes) {
        PARLEY_ASSIGN_OR_RETURN(staged, context.host_memory().Allocate(bytes));
      }
      PARLEY_RETURN_IF_ERROR(
          CudaStatus(cudaMemcpyAsync(staged != nullptr ? staged.get() : host, from.As<void>(),
                                     bytes, cudaMemcpyDeviceToHost, context.compute()),
                     "copying"));
    }
    PARLEY_ASSIGN_OR_RETURN(event, DeviceEvent::Record(context.compute()));
    if (staged != nullptr) {
      pending.Keep(event, staged);
    }
    return absl::OkStatus();
  });
  PARLEY_RETURN_IF_ERROR(Wait(event, "CopyToHost"));
  if (staged != nullptr) std::memcpy(host, staged.get(), bytes);
  return absl::OkStatus();
}

std::unique_ptr<Transfer> DeviceBackend::StartCopyFromHost(const void* host, const Tensor& to) {
  std::shared_ptr<DeviceEvent> event;
  EnqueueCopy("StartCopyFromHost", {}, {&to}, [&](Context& context, auto& pending) -> absl::Status {
    PARLEY_ASSIGN_OR_RETURN(const auto before, DeviceEvent::Record(context.compute()));
    PARLEY_RETURN_IF_ERROR(before->HoldBack(context.upload()));
    if (to.bytes() > 0) {
      PARLEY_RETURN_IF_ERROR(CudaStatus(cudaMemcpyAsync(to.As<void>(), host, to.bytes(),
                                                        cudaMemcpyHostToDevice, context.upload()),
                                        "copying"));
    }
    PARLEY_ASSIGN_OR_RETURN(event, DeviceEvent::Record(context.upload()));
    pending.Add(RangeOf(to), /*writes=*/true, event, std::make_shared<Tensor>(to));
    return absl::OkStatus();
  });
  return std::make_unique<DeviceTransfer>(this, std::move(event));
}

std::unique_ptr<Transfer> DeviceBackend::StartCopyToHost(const Tensor& from, void* host) {
  std::shared_ptr<DeviceEvent> event;
  EnqueueCopy("StartCopyToHost", {&from}, {}, [&](Context& context, auto& pending) -> absl::Status {
    PARLEY_ASSIGN_OR_RETURN(const auto before, DeviceEvent::Record(context.compute()));
    PARLEY_RETURN_IF_ERROR(before->HoldBack(context.download()));
    if (from.bytes() > 0) {
      PARLEY_RETURN_IF_ERROR(CudaStatus(cudaMemcpyAsync(host, from.As<void>(), from.bytes(),
                                                        cudaMemcpyDeviceToHost, context.download()),
                                        "copying"));
    }
    PARLEY_ASSIGN_OR_RETURN(event, DeviceEvent::Record(context.download()));
    pending.Add(RangeOf(from), /*writes=*/false, event, std::make_shared<Tensor>(from));
    return absl::OkStatus();
  });
  return std::make_unique<DeviceTransfer>(this, std::move(event));
}

absl::Status DeviceBackend::Synchronize() {
  std::shared_ptr<DeviceEvent> computed, uploaded, downloaded;
  Enqueue("Synchronize", {}, {}, [&](Context& context) -> absl::Status {
    PARLEY_ASSIGN_OR_RETURN(computed, DeviceEvent::Record(context.compute()));
    PARLEY_ASSIGN_OR_RETURN(uploaded, DeviceEvent::Record(context.upload()));
    PARLEY_ASSIGN_OR_RETURN(downloaded, DeviceEvent::Record(context.download()));
    return absl::OkStatus();
  });
  for (const auto& event : {computed, uploaded, downloaded}) {
    PARLEY_RETURN_IF_ERROR(Wait(event, "Synchronize"));
  }
  MutexLock lock(&mutex_);
  pending_.Sweep();
  return error_;
}

absl::StatusOr<bool> DeviceBackend::AllFinite(const Tensor& x) {
  std::shared_ptr<DeviceEvent> event;
  std::shared_ptr<void> found_on_host;
  if (x.num_elements() == 0) {
    PARLEY_RETURN_IF_ERROR(Synchronize());
    return true;
  }
  EnqueueCopy("AllFinite", {&x}, {}, [&](Context& context, auto& pending) -> absl::Status {
    PARLEY_ASSIGN_OR_RETURN(const std::shared_ptr<void> found,
                            context.memory().Allocate(sizeof(int32_t)));
    PARLEY_ASSIGN_OR_RETURN(found_on_host, context.host_memory().Allocate(sizeof(int32_t)));
    PARLEY_RETURN_IF_ERROR(
        Launched(LaunchFindNotFinite(x.As<void>(), x.num_elements(), x.dtype(),
                                     static_cast<int32_t*>(found.get()), context.compute())));
    PARLEY_RETURN_IF_ERROR(
        CudaStatus(cudaMemcpyAsync(found_on_host.get(), found.get(), sizeof(int32_t),
                                   cudaMemcpyDeviceToHost, context.compute()),
                   "copying"));
    PARLEY_ASSIGN_OR_RETURN(event, DeviceEvent::Record(context.compute()));
    pending.Keep(event, found_on_host);
    return absl::OkStatus();
  });
  PARLEY_RETURN_IF_ERROR(Wait(event, "AllFinite"));
  return *static_cast<const int32_t*>(found_on_host.get()) == 0;
}

}  // namespace parley
