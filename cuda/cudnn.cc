#include "cuda/cudnn.h"

#include <cudnn.h>

#include <array>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/status.h"
#include "cuda/dynamic_library.h"
#include "glog/logging.h"

namespace parley {
namespace {

// Of one algorithm; one that takes more is left out.
constexpr size_t kWorkspaceLimit = size_t{1} << 30;

struct Functions {
  decltype(&::cudnnCreate) create;
  decltype(&::cudnnDestroy) destroy;
  decltype(&::cudnnSetStream) set_stream;
  decltype(&::cudnnGetErrorString) error_string;
  decltype(&::cudnnCreateTensorDescriptor) create_tensor;
  decltype(&::cudnnSetTensor4dDescriptor) set_tensor;
  decltype(&::cudnnDestroyTensorDescriptor) destroy_tensor;
  decltype(&::cudnnCreateFilterDescriptor) create_filter;
  decltype(&::cudnnSetFilter4dDescriptor) set_filter;
  decltype(&::cudnnDestroyFilterDescriptor) destroy_filter;
  decltype(&::cudnnCreateConvolutionDescriptor) create_convolution;
  decltype(&::cudnnSetConvolution2dDescriptor) set_convolution;
  decltype(&::cudnnSetConvolutionMathType) set_math_type;
  decltype(&::cudnnDestroyConvolutionDescriptor) destroy_convolution;
  decltype(&::cudnnGetConvolutionForwardAlgorithm_v7) find_forward;
  decltype(&::cudnnGetConvolutionBackwardDataAlgorithm_v7) find_input_gradient;
  decltype(&::cudnnGetConvolutionBackwardFilterAlgorithm_v7) find_filter_gradient;
  decltype(&::cudnnConvolutionForward) forward;
  decltype(&::cudnnConvolutionBackwardData) input_gradient;
  decltype(&::cudnnConvolutionBackwardFilter) filter_gradient;
};

absl::StatusOr<Functions> Load() {
  const std::string version = absl::StrCat(CUDNN_MAJOR);
  PARLEY_ASSIGN_OR_RETURN(
      const DynamicLibrary library,
      DynamicLibrary::Open({absl::StrCat("libcudnn.so.", version)}, {PARLEY_CUDA_LIBRARIES}));
  Functions f;
  PARLEY_RETURN_IF_ERROR(library.Find("cudnnCreate", &f.create));
  PARLEY_RETURN_IF_ERROR(library.Find("cudnnDestroy", &f.destroy));
  PARLEY_RETURN_IF_ERROR(library.Find("cudnnSetStream", &f.set_stream));
  PARLEY_RETURN_IF_ERROR(library.Find("cudnnGetErrorString", &f.error_string));
  PARLEY_RETURN_IF_ERROR(library.Find("cudnnCreateTensorDescriptor", &f.create_tensor));
  PARLEY_RETURN_IF_ERROR(library.Find("cudnnSetTensor4dDescriptor", &f.set_tensor));
  PARLEY_RETURN_IF_ERROR(library.Find("cudnnDestroyTensorDescriptor", &f.destroy_tensor));
  PARLEY_RETURN_IF_ERROR(library.Find("cudnnCreateFilterDescriptor", &f.create_filter));
  PARLEY_RETURN_IF_ERROR(library.Find("cudnnSetFilter4dDescriptor", &f.set_filter));
  PARLEY_RETURN_IF_ERROR(library.Find("cudnnDestroyFilterDescriptor", &f.destroy_filter));
  PARLEY_RETURN_IF_ERROR(library.Find("cudnnCreateConvolutionDescriptor", &f.create_convolution));
  PARLEY_RETURN_IF_ERROR(library.Find("cudnnSetConvolution2dDescriptor", &f.set_convolution));
  PARLEY_RETURN_IF_ERROR(library.Find("cudnnSetConvolutionMathType", &f.set_math_type));
  PARLEY_RETURN_IF_ERROR(library.Find("cudnnDestroyConvolutionDescriptor", &f.destroy_convolution));
  PARLEY_RETURN_IF_ERROR(library.Find("cudnnGetConvolutionForwardAlgorithm_v7", &f.find_forward));
  PARLEY_RETURN_IF_ERROR(
      library.Find("cudnnGetConvolutionBackwardDataAlgorithm_v7", &f.find_input_gradient));
  PARLEY_RETURN_IF_ERROR(
      library.Find("cudnnGetConvolutionBackwardFilterAlgorithm_v7", &f.find_filter_gradient));
  PARLEY_RETURN_IF_ERROR(library.Find("cudnnConvolutionForward", &f.forward));
  PARLEY_RETURN_IF_ERROR(library.Find("cudnnConvolutionBackwardData", &f.input_gradient));
  PARLEY_RETURN_IF_ERROR(library.Find("cudnnConvolutionBackwardFilter", &f.filter_gradient));
  return f;
}

cudnnDataType_t CudnnType(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return CUDNN_DATA_FLOAT;
    case DType::kFloat64:
      return CUDNN_DATA_DOUBLE;
    case DType::kBFloat16:
      return CUDNN_DATA_BFLOAT16;
    case DType::kFloat16:
      return CUDNN_DATA_HALF;
    case DType::kInt32:
    case DType::kInt64:
      break;
  }
  LOG(FATAL) << "no convolutions of " << NameOf(dtype);
}

// Algorithms that transform their inputs first, and are less exact, in 16 bits by far.
bool Transforms(cudnnConvolutionFwdAlgo_t algorithm) {
  return algorithm == CUDNN_CONVOLUTION_FWD_ALGO_FFT ||
         algorithm == CUDNN_CONVOLUTION_FWD_ALGO_FFT_TILING ||
         algorithm == CUDNN_CONVOLUTION_FWD_ALGO_WINOGRAD ||
         algorithm == CUDNN_CONVOLUTION_FWD_ALGO_WINOGRAD_NONFUSED;
}
bool Transforms(cudnnConvolutionBwdDataAlgo_t algorithm) {
  return algorithm == CUDNN_CONVOLUTION_BWD_DATA_ALGO_FFT ||
         algorithm == CUDNN_CONVOLUTION_BWD_DATA_ALGO_FFT_TILING ||
         algorithm == CUDNN_CONVOLUTION_BWD_DATA_ALGO_WINOGRAD ||
         algorithm == CUDNN_CONVOLUTION_BWD_DATA_ALGO_WINOGRAD_NONFUSED;
}
bool Transforms(cudnnConvolutionBwdFilterAlgo_t algorithm) {
  return algorithm == CUDNN_CONVOLUTION_BWD_FILTER_ALGO_FFT ||
         algorithm == CUDNN_CONVOLUTION_BWD_FILTER_ALGO_FFT_TILING ||
         algorithm == CUDNN_CONVOLUTION_BWD_FILTER_ALGO_WINOGRAD ||
         algorithm == CUDNN_CONVOLUTION_BWD_FILTER_ALGO_WINOGRAD_NONFUSED;
}

using Key = std::array<int64_t, 11>;

Key KeyOf(ConvolutionPass pass, const ConvolutionSizes& sizes) {
  return {static_cast<int64_t>(pass),
          sizes.batch,
          sizes.height,
          sizes.width,
          sizes.in_channels,
          sizes.out_channels,
          sizes.window.height,
          sizes.window.width,
          sizes.window.stride,
          sizes.window.padding,
          static_cast<int64_t>(sizes.dtype)};
}

// One convolution as cuDNN is told of it, and how it is best computed.
struct Plan {
  cudnnTensorDescriptor_t x = nullptr;
  cudnnTensorDescriptor_t y = nullptr;
  cudnnFilterDescriptor_t filter = nullptr;
  cudnnConvolutionDescriptor_t convolution = nullptr;
  absl::Status status;  // UNIMPLEMENTED: cuDNN cannot
  int algorithm = 0;    // of its pass' enumeration
  size_t workspace_bytes = 0;
};

class CudnnLibrary : public Cudnn {
 public:
  CudnnLibrary(const Functions& functions, cudnnHandle_t handle, bool allow_tf32)
      : f_(functions), handle_(handle), allow_tf32_(allow_tf32) {}

  ~CudnnLibrary() override {
    for (auto& [key, plan] : plans_) {
      if (plan.x != nullptr) f_.destroy_tensor(plan.x);
      if (plan.y != nullptr) f_.destroy_tensor(plan.y);
      if (plan.filter != nullptr) f_.destroy_filter(plan.filter);
      if (plan.convolution != nullptr) f_.destroy_convolution(plan.convolution);
    }
    f_.destroy(handle_);
  }

  absl::StatusOr<size_t> WorkspaceBytes(ConvolutionPass pass,
                                        const ConvolutionSizes& sizes) override {
    const Plan& plan = PlanFor(pass, sizes);
    if (!plan.status.ok()) return plan.status;
    return plan.workspace_bytes;
  }

  absl::Status Run(ConvolutionPass pass, const ConvolutionSizes& sizes, const void* first,
                   const void* second, bool add, void* out, void* workspace) override {
    Plan& plan = PlanFor(pass, sizes);
    if (!plan.status.ok()) return plan.status;
    const bool wide = sizes.dtype == DType::kFloat64;
    const double wide_one = 1, wide_beta = add ? 1 : 0;
    const float narrow_one = 1, narrow_beta = add ? 1 : 0;
    const void* const one = wide ? static_cast<const void*>(&wide_one) : &narrow_one;
    const void* const beta = wide ? static_cast<const void*>(&wide_beta) : &narrow_beta;
    cudnnStatus_t status = CUDNN_STATUS_SUCCESS;
    switch (pass) {
      case ConvolutionPass::kForward:
        status = f_.forward(handle_, one, plan.x, first, plan.filter, second, plan.convolution,
                            static_cast<cudnnConvolutionFwdAlgo_t>(plan.algorithm), workspace,
                            plan.workspace_bytes, beta, plan.y, out);
        break;
      case ConvolutionPass::kInputGradient:
        status =
            f_.input_gradient(handle_, one, plan.filter, second, plan.y, first, plan.convolution,
                              static_cast<cudnnConvolutionBwdDataAlgo_t>(plan.algorithm), workspace,
                              plan.workspace_bytes, beta, plan.x, out);
        break;
      case ConvolutionPass::kFilterGradient:
        status = f_.filter_gradient(handle_, one, plan.x, first, plan.y, second, plan.convolution,
                                    static_cast<cudnnConvolutionBwdFilterAlgo_t>(plan.algorithm),
                                    workspace, plan.workspace_bytes, beta, plan.filter, out);
        break;
    }
    absl::Status result = ToStatus(status, "a convolution");
    // Some combinations that it said to be possible are seen not to be only here.
    if (absl::IsUnimplemented(result)) plan.status = result;
    return result;
  }

 private:
  absl::Status ToStatus(cudnnStatus_t status, absl::string_view what) const {
    if (status == CUDNN_STATUS_SUCCESS) return absl::OkStatus();
    // The codes come in blocks of a thousand for each kind (cudnn_graph.h). The sizes are right, so
    // what it takes for a bad parameter is one that it does not support.
    const int kind = static_cast<int>(status) / 1000 * 1000;
    const bool unsupported = kind == CUDNN_STATUS_NOT_SUPPORTED || kind == CUDNN_STATUS_BAD_PARAM;
    const absl::StatusCode code =
        unsupported ? absl::StatusCode::kUnimplemented : absl::StatusCode::kInternal;
    return absl::Status(code, absl::StrCat(what, ": cuDNN: ", f_.error_string(status)));
  }

  Plan& PlanFor(ConvolutionPass pass, const ConvolutionSizes& sizes) {
    const auto [place, is_new] = plans_.try_emplace(KeyOf(pass, sizes));
    Plan& plan = place->second;
    if (is_new) {
      const absl::Status status = Describe(sizes, &plan);
      plan.status = status.ok() ? Choose(pass, &plan) : absl::UnimplementedError(status.message());
    }
    return plan;
  }

  absl::Status Describe(const ConvolutionSizes& sizes, Plan* plan) {
    constexpr int64_t kMost = std::numeric_limits<int>::max();
    for (const int64_t size : KeyOf(ConvolutionPass::kForward, sizes)) {
      if (size > kMost) return absl::UnimplementedError("cuDNN: sizes are beyond 32 bits");
    }
    const cudnnDataType_t type = CudnnType(sizes.dtype);
    const int batch = static_cast<int>(sizes.batch), in = static_cast<int>(sizes.in_channels),
              out = static_cast<int>(sizes.out_channels);
    const Window& window = sizes.window;
    PARLEY_RETURN_IF_ERROR(ToStatus(f_.create_tensor(&plan->x), "describing x"));
    PARLEY_RETURN_IF_ERROR(
        ToStatus(f_.set_tensor(plan->x, CUDNN_TENSOR_NHWC, type, batch, in,
                               static_cast<int>(sizes.height), static_cast<int>(sizes.width)),
                 "describing x"));
    PARLEY_RETURN_IF_ERROR(ToStatus(f_.create_tensor(&plan->y), "describing y"));
    PARLEY_RETURN_IF_ERROR(ToStatus(
        f_.set_tensor(plan->y, CUDNN_TENSOR_NHWC, type, batch, out,
                      static_cast<int>(sizes.out_height()), static_cast<int>(sizes.out_width())),
        "describing y"));
    PARLEY_RETURN_IF_ERROR(ToStatus(f_.create_filter(&plan->filter), "describing the filter"));
    PARLEY_RETURN_IF_ERROR(
        ToStatus(f_.set_filter(plan->filter, type, CUDNN_TENSOR_NHWC, out, in,
                               static_cast<int>(window.height), static_cast<int>(window.width)),
                 "describing the filter"));
    PARLEY_RETURN_IF_ERROR(
        ToStatus(f_.create_convolution(&plan->convolution), "describing the convolution"));
    const int padding = static_cast<int>(window.padding), stride = static_cast<int>(window.stride);
    PARLEY_RETURN_IF_ERROR(ToStatus(
        f_.set_convolution(plan->convolution, padding, padding, stride, stride, 1, 1,
                           CUDNN_CROSS_CORRELATION,
                           sizes.dtype == DType::kFloat64 ? CUDNN_DATA_DOUBLE : CUDNN_DATA_FLOAT),
        "describing the convolution"));
    cudnnMathType_t math = CUDNN_FMA_MATH;
    if (SizeOf(sizes.dtype) == 2) math = CUDNN_TENSOR_OP_MATH;
    if (sizes.dtype == DType::kFloat32 && allow_tf32_) math = CUDNN_DEFAULT_MATH;
    return ToStatus(f_.set_math_type(plan->convolution, math), "describing the convolution");
  }

  // Sets the plan's algorithm to the one that cuDNN expects to be fastest of those that may be
  // used.
  absl::Status Choose(ConvolutionPass pass, Plan* plan) {
    constexpr int kMost = 16;
    int found = 0;
    switch (pass) {
      case ConvolutionPass::kForward: {
        std::array<cudnnConvolutionFwdAlgoPerf_t, kMost> results;
        const cudnnStatus_t status =
            f_.find_forward(handle_, plan->x, plan->filter, plan->convolution, plan->y, kMost,
                            &found, results.data());
        return ChooseOf(status, results.data(), found, plan);
      }
      case ConvolutionPass::kInputGradient: {
        std::array<cudnnConvolutionBwdDataAlgoPerf_t, kMost> results;
        const cudnnStatus_t status =
            f_.find_input_gradient(handle_, plan->filter, plan->y, plan->convolution, plan->x,
                                   kMost, &found, results.data());
        return ChooseOf(status, results.data(), found, plan);
      }
      case ConvolutionPass::kFilterGradient: {
        std::array<cudnnConvolutionBwdFilterAlgoPerf_t, kMost> results;
        const cudnnStatus_t status =
            f_.find_filter_gradient(handle_, plan->x, plan->y, plan->convolution, plan->filter,
                                    kMost, &found, results.data());
        return ChooseOf(status, results.data(), found, plan);
      }
    }
    return absl::InternalError("no such pass");
  }

  template <typename Result>
  absl::Status ChooseOf(cudnnStatus_t status, const Result* results, int found, Plan* plan) {
    if (status == CUDNN_STATUS_SUCCESS) {
      for (int i = 0; i < found; ++i) {
        const Result& result = results[i];
        if (result.status != CUDNN_STATUS_SUCCESS || result.determinism != CUDNN_DETERMINISTIC ||
            result.memory > kWorkspaceLimit || Transforms(result.algo)) {
          continue;
        }
        plan->algorithm = static_cast<int>(result.algo);
        plan->workspace_bytes = result.memory;
        // The default would let float32 use TF32.
        if (result.mathType == CUDNN_DEFAULT_MATH) return absl::OkStatus();
        return ToStatus(f_.set_math_type(plan->convolution, result.mathType),
                        "describing the convolution");
      }
    }
    return absl::UnimplementedError("cuDNN has no repeatable algorithm for this convolution");
  }

  const Functions f_;
  const cudnnHandle_t handle_;
  const bool allow_tf32_;
  std::map<Key, Plan> plans_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Cudnn>> Cudnn::Open(cudaStream_t stream, bool allow_tf32) {
  PARLEY_ASSIGN_OR_RETURN(const Functions functions, Load());
  cudnnHandle_t handle = nullptr;
  const cudnnStatus_t created = functions.create(&handle);
  if (created != CUDNN_STATUS_SUCCESS) {
    return absl::UnavailableError(
        absl::StrCat("creating a handle: ", functions.error_string(created)));
  }
  auto cudnn = std::make_unique<CudnnLibrary>(functions, handle, allow_tf32);
  const cudnnStatus_t set = functions.set_stream(handle, stream);
  if (set != CUDNN_STATUS_SUCCESS) {
    return absl::UnavailableError(
        absl::StrCat("setting the stream: ", functions.error_string(set)));
  }
  return cudnn;
}

}  // namespace parley
