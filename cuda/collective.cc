#include "cuda/collective.h"

#include <nccl.h>

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/status.h"
#include "cuda/device_backend.h"
#include "cuda/dynamic_library.h"

namespace parley {
namespace {

struct Functions {
  decltype(&::ncclGetErrorString) error_string;
  decltype(&::ncclCommInitAll) initialize_all;
  decltype(&::ncclCommDestroy) destroy;
  decltype(&::ncclGroupStart) group_start;
  decltype(&::ncclGroupEnd) group_end;
  decltype(&::ncclAllReduce) all_reduce;
};

absl::StatusOr<Functions> Load() {
  const std::string version = absl::StrCat(NCCL_MAJOR);
  absl::StatusOr<DynamicLibrary> library =
      DynamicLibrary::Open({absl::StrCat("libnccl.so.", version)}, {PARLEY_CUDA_LIBRARIES});
  if (!library.ok()) return Annotate(library.status(), "NCCL");
  Functions f;
  PARLEY_RETURN_IF_ERROR(library->Find("ncclGetErrorString", &f.error_string));
  PARLEY_RETURN_IF_ERROR(library->Find("ncclCommInitAll", &f.initialize_all));
  PARLEY_RETURN_IF_ERROR(library->Find("ncclCommDestroy", &f.destroy));
  PARLEY_RETURN_IF_ERROR(library->Find("ncclGroupStart", &f.group_start));
  PARLEY_RETURN_IF_ERROR(library->Find("ncclGroupEnd", &f.group_end));
  PARLEY_RETURN_IF_ERROR(library->Find("ncclAllReduce", &f.all_reduce));
  return f;
}

absl::StatusOr<ncclDataType_t> NcclType(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return ncclFloat32;
    case DType::kFloat64:
      return ncclFloat64;
    case DType::kBFloat16:
      return ncclBfloat16;
    case DType::kFloat16:
      return ncclFloat16;
    case DType::kInt32:
    case DType::kInt64:
      break;
  }
  return absl::InvalidArgumentError(absl::StrCat("no mean of ", NameOf(dtype)));
}

class NcclCollective : public Collective {
 public:
  NcclCollective(const Functions& functions, std::vector<DeviceBackend*> backends)
      : f_(functions), backends_(std::move(backends)) {}

  ~NcclCollective() override {
    for (ncclComm_t const communicator : communicators_) f_.destroy(communicator);
  }

  absl::Status Initialize(const std::vector<int>& devices) {
    std::vector<ncclComm_t> communicators(devices.size(), nullptr);
    PARLEY_RETURN_IF_ERROR(ToStatus(
        f_.initialize_all(communicators.data(), static_cast<int>(devices.size()), devices.data()),
        "connecting the devices"));
    communicators_ = std::move(communicators);
    return absl::OkStatus();
  }

  absl::Status AllReduceMean(absl::Span<const Tensor> tensors) override {
    if (tensors.size() != backends_.size()) {
      return absl::InvalidArgumentError(absl::StrCat("a mean over ", backends_.size(),
                                                     " devices of ", tensors.size(), " tensors"));
    }
    for (size_t i = 0; i < tensors.size(); ++i) {
      if (tensors[i].backend() != backends_[i]) {
        return absl::InvalidArgumentError(
            absl::StrCat("tensor ", i, " is not on ", backends_[i]->name()));
      }
      if (tensors[i].num_elements() != tensors[0].num_elements() ||
          tensors[i].dtype() != tensors[0].dtype()) {
        return absl::InvalidArgumentError(
            absl::StrCat("tensors ", i, " and 0 differ in size or dtype"));
      }
    }
    PARLEY_ASSIGN_OR_RETURN(const ncclDataType_t type, NcclType(tensors[0].dtype()));
    if (tensors[0].num_elements() == 0) return absl::OkStatus();
    // A device that does not take part would leave the others waiting for ever.
    for (DeviceBackend* const backend : backends_) PARLEY_RETURN_IF_ERROR(backend->error());
    PARLEY_RETURN_IF_ERROR(ToStatus(f_.group_start(), "a mean over devices"));
    for (size_t i = 0; i < tensors.size(); ++i) {
      backends_[i]->Enqueue("AllReduceMean", {}, {&tensors[i]}, [&](Context& context) {
        return ToStatus(f_.all_reduce(tensors[i].As<void>(), tensors[i].As<void>(),
                                      static_cast<size_t>(tensors[i].num_elements()), type, ncclAvg,
                                      communicators_[i], context.compute()),
                        "a mean over devices");
      });
    }
    PARLEY_RETURN_IF_ERROR(ToStatus(f_.group_end(), "a mean over devices"));
    for (DeviceBackend* const backend : backends_) PARLEY_RETURN_IF_ERROR(backend->error());
    return absl::OkStatus();
  }

 private:
  absl::Status ToStatus(ncclResult_t result, absl::string_view what) const {
    if (result == ncclSuccess) return absl::OkStatus();
    return absl::InternalError(absl::StrCat(what, ": NCCL: ", f_.error_string(result)));
  }

  const Functions f_;
  const std::vector<DeviceBackend*> backends_;
  std::vector<ncclComm_t> communicators_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Collective>> NewCollective(absl::Span<Backend* const> backends) {
  if (backends.size() < 2) {
    return absl::UnavailableError(
        absl::StrCat("a mean over devices needs two, not ", backends.size()));
  }
  std::vector<DeviceBackend*> on_devices;
  std::vector<int> devices;
  for (Backend* const backend : backends) {
    auto* const on_device = dynamic_cast<DeviceBackend*>(backend);
    if (on_device == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat(backend->name(), " is no CUDA device"));
    }
    on_devices.push_back(on_device);
    devices.push_back(on_device->device());
  }
  if (std::set<int>(devices.begin(), devices.end()).size() != devices.size()) {
    return absl::InvalidArgumentError("the same CUDA device twice");
  }
  PARLEY_ASSIGN_OR_RETURN(const Functions functions, Load());
  auto collective = std::make_unique<NcclCollective>(functions, std::move(on_devices));
  PARLEY_RETURN_IF_ERROR(collective->Initialize(devices));
  return collective;
}

}  // namespace parley
