#include "cuda/cublas.h"

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cuda/dynamic_library.h"
#include "cuda/status.h"
#include "glog/logging.h"

namespace parley {
namespace {

cudaDataType_t CudaType(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return CUDA_R_32F;
    case DType::kFloat64:
      return CUDA_R_64F;
    case DType::kBFloat16:
      return CUDA_R_16BF;
    case DType::kFloat16:
      return CUDA_R_16F;
    case DType::kInt32:
    case DType::kInt64:
      break;
  }
  LOG(FATAL) << "no matrix products of " << NameOf(dtype);
}

}  // namespace

struct Cublas::Functions {
  decltype(&cublasCreate_v2) create;
  decltype(&cublasDestroy_v2) destroy;
  decltype(&cublasSetStream_v2) set_stream;
  decltype(&cublasSetWorkspace_v2) set_workspace;
  decltype(&cublasSetMathMode) set_math_mode;
  decltype(&cublasGemmEx_64) multiply;
  decltype(&cublasGemmStridedBatchedEx_64) multiply_batch;
};

CublasArguments ArgumentsOf(const MatrixProduct& product) {
  CublasArguments arguments;
  arguments.first_op = product.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N;
  arguments.second_op = product.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N;
  arguments.rows = product.n;
  arguments.columns = product.m;
  arguments.inner = product.k;
  arguments.first_ld = product.transpose_b ? product.k : product.n;
  arguments.second_ld = product.transpose_a ? product.m : product.k;
  arguments.out_ld = product.n;
  arguments.first_stride = product.k * product.n;
  arguments.second_stride = product.m * product.k;
  arguments.out_stride = product.m * product.n;
  return arguments;
}

absl::StatusOr<Cublas::Functions> Cublas::Load() {
  const std::string version = absl::StrCat(CUBLAS_VER_MAJOR);
  const std::vector<std::string> folders = {PARLEY_CUDA_LIBRARIES};
  // cuBLAS needs it, and finds it if it is there already. Whether it is missing is seen below.
  (void)DynamicLibrary::Open({absl::StrCat("libcublasLt.so.", version)}, folders);
  absl::StatusOr<DynamicLibrary> library =
      DynamicLibrary::Open({absl::StrCat("libcublas.so.", version)}, folders);
  if (!library.ok()) return Annotate(library.status(), "cuBLAS");
  Functions functions;
  PARLEY_RETURN_IF_ERROR(library->Find("cublasCreate_v2", &functions.create));
  PARLEY_RETURN_IF_ERROR(library->Find("cublasDestroy_v2", &functions.destroy));
  PARLEY_RETURN_IF_ERROR(library->Find("cublasSetStream_v2", &functions.set_stream));
  PARLEY_RETURN_IF_ERROR(library->Find("cublasSetWorkspace_v2", &functions.set_workspace));
  PARLEY_RETURN_IF_ERROR(library->Find("cublasSetMathMode", &functions.set_math_mode));
  PARLEY_RETURN_IF_ERROR(library->Find("cublasGemmEx_64", &functions.multiply));
  PARLEY_RETURN_IF_ERROR(library->Find("cublasGemmStridedBatchedEx_64", &functions.multiply_batch));
  return functions;
}

absl::StatusOr<std::unique_ptr<Cublas>> Cublas::Open(cudaStream_t stream, void* workspace,
                                                     bool allow_tf32) {
  PARLEY_ASSIGN_OR_RETURN(const Functions functions, Load());
  cublasHandle_t handle = nullptr;
  PARLEY_RETURN_IF_ERROR(CublasStatus(functions.create(&handle), "creating a handle"));
  std::unique_ptr<Cublas> cublas(new Cublas(functions, handle, allow_tf32));
  PARLEY_RETURN_IF_ERROR(CublasStatus(functions.set_stream(handle, stream), "setting the stream"));
  // After the stream, for setting that puts the workspace back.
  PARLEY_RETURN_IF_ERROR(CublasStatus(functions.set_workspace(handle, workspace, kWorkspaceBytes),
                                      "setting the workspace"));
  // 16-bit products are summed in float32 also where a sum is split.
  const auto mode = static_cast<cublasMath_t>(CUBLAS_DEFAULT_MATH |
                                              CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION);
  PARLEY_RETURN_IF_ERROR(CublasStatus(functions.set_math_mode(handle, mode), "setting the mode"));
  return cublas;
}

Cublas::Cublas(const Functions& functions, cublasHandle_t handle, bool allow_tf32)
    : functions_(std::make_unique<Functions>(functions)),
      handle_(handle),
      allow_tf32_(allow_tf32) {}

Cublas::~Cublas() { functions_->destroy(handle_); }

absl::Status Cublas::Multiply(const MatrixProduct& product) {
  const CublasArguments arguments = ArgumentsOf(product);
  const bool wide = product.dtype == DType::kFloat64;
  const double wide_alpha = product.scale, wide_beta = product.add ? 1 : 0;
  const float alpha = static_cast<float>(product.scale), beta = product.add ? 1 : 0;
  const void* const alpha_at = wide ? static_cast<const void*>(&wide_alpha) : &alpha;
  const void* const beta_at = wide ? static_cast<const void*>(&wide_beta) : &beta;
  cublasComputeType_t compute = CUBLAS_COMPUTE_32F;
  if (wide) compute = CUBLAS_COMPUTE_64F;
  if (product.dtype == DType::kFloat32 && allow_tf32_) compute = CUBLAS_COMPUTE_32F_FAST_TF32;
  const cudaDataType_t type = CudaType(product.dtype), out_type = CudaType(product.out_dtype);
  if (product.batch == 1) {
    return CublasStatus(
        functions_->multiply(handle_, arguments.first_op, arguments.second_op, arguments.rows,
                             arguments.columns, arguments.inner, alpha_at, product.b, type,
                             arguments.first_ld, product.a, type, arguments.second_ld, beta_at,
                             product.out, out_type, arguments.out_ld, compute, CUBLAS_GEMM_DEFAULT),
        "a matrix product");
  }
  return CublasStatus(
      functions_->multiply_batch(handle_, arguments.first_op, arguments.second_op, arguments.rows,
                                 arguments.columns, arguments.inner, alpha_at, product.b, type,
                                 arguments.first_ld, arguments.first_stride, product.a, type,
                                 arguments.second_ld, arguments.second_stride, beta_at, product.out,
                                 out_type, arguments.out_ld, arguments.out_stride, product.batch,
                                 compute, CUBLAS_GEMM_DEFAULT),
      "a batch of matrix products");
}

}  // namespace parley
