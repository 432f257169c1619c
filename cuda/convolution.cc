#include "cuda/convolution.h"

#include <algorithm>
#include <cstddef>
#include <memory>

#include "base/status.h"
#include "cuda/kernels/elementwise.h"
#include "cuda/kernels/im2col.h"
#include "cuda/kernels/strided_copy.h"
#include "cuda/status.h"

namespace parley {
namespace {

// Of the matrix of windows that is made at a time; one image may take more.
constexpr int64_t kPatchesBytes = int64_t{256} << 20;

absl::Status Started(cudaError_t error) { return CudaStatus(error, "starting the kernel"); }

const char* At(const void* memory, int64_t elements, DType dtype) {
  return static_cast<const char*>(memory) + elements * static_cast<int64_t>(SizeOf(dtype));
}

char* At(void* memory, int64_t elements, DType dtype) {
  return static_cast<char*>(memory) + elements * static_cast<int64_t>(SizeOf(dtype));
}

int64_t FilterElements(const ConvolutionSizes& sizes) {
  return sizes.window.height * sizes.window.width * sizes.in_channels * sizes.out_channels;
}

int64_t OutElements(ConvolutionPass pass, const ConvolutionSizes& sizes) {
  switch (pass) {
    case ConvolutionPass::kForward:
      return sizes.batch * sizes.out_height() * sizes.out_width() * sizes.out_channels;
    case ConvolutionPass::kInputGradient:
      return sizes.batch * sizes.height * sizes.width * sizes.in_channels;
    case ConvolutionPass::kFilterGradient:
      return FilterElements(sizes);
  }
  return 0;
}

// Where sums are kept until they are rounded once, at the end.
DType SumType(DType dtype) { return dtype == DType::kFloat64 ? dtype : DType::kFloat32; }

// y = x filter for `pixels` pixels, where a pixel's window has `window_elements`; likewise the
// gradients.
MatrixProduct ProductOf(ConvolutionPass pass, const ConvolutionSizes& sizes, int64_t pixels,
                        int64_t window_elements, const void* first, const void* second, Write write,
                        void* out) {
  MatrixProduct product;
  product.dtype = product.out_dtype = sizes.dtype;
  product.a = first;
  product.b = second;
  product.out = out;
  product.add = write == Write::kAdd;
  switch (pass) {
    case ConvolutionPass::kForward:
      product.m = pixels;
      product.k = window_elements;
      product.n = sizes.out_channels;
      break;
    case ConvolutionPass::kInputGradient:
      product.m = pixels;
      product.k = sizes.out_channels;
      product.n = window_elements;
      product.transpose_b = true;
      break;
    case ConvolutionPass::kFilterGradient:
      product.m = window_elements;
      product.k = pixels;
      product.n = sizes.out_channels;
      product.transpose_a = true;
      break;
  }
  return product;
}

absl::Status ConvolveByCudnn(Context& context, ConvolutionPass pass, const ConvolutionSizes& sizes,
                             const void* first, const void* second, Write write, void* out) {
  Cudnn* const cudnn = context.cudnn();
  if (cudnn == nullptr) return absl::UnimplementedError("no cuDNN");
  PARLEY_ASSIGN_OR_RETURN(const size_t workspace_bytes, cudnn->WorkspaceBytes(pass, sizes));
  PARLEY_ASSIGN_OR_RETURN(const std::shared_ptr<void> workspace,
                          context.memory().Allocate(workspace_bytes));
  // Its filters have the channels out first.
  PARLEY_ASSIGN_OR_RETURN(const std::shared_ptr<void> filter,
                          context.memory().Allocate(FilterElements(sizes) * SizeOf(sizes.dtype)));
  const auto transpose_filter = [&](const void* from) {
    return Started(LaunchPermute(
        from, {sizes.window.height, sizes.window.width, sizes.in_channels, sizes.out_channels},
        {3, 0, 1, 2}, sizes.dtype, Write::kReplace, filter.get(), context.compute()));
  };
  if (pass == ConvolutionPass::kFilterGradient) {
    // It adds, not the way back, so that a sum is rounded once.
    const bool add = write == Write::kAdd;
    if (add) PARLEY_RETURN_IF_ERROR(transpose_filter(out));
    PARLEY_RETURN_IF_ERROR(
        cudnn->Run(pass, sizes, first, second, add, filter.get(), workspace.get()));
    return Started(LaunchPermute(
        filter.get(),
        {sizes.out_channels, sizes.window.height, sizes.window.width, sizes.in_channels},
        {1, 2, 3, 0}, sizes.dtype, Write::kReplace, out, context.compute()));
  }
  PARLEY_RETURN_IF_ERROR(transpose_filter(second));
  return cudnn->Run(pass, sizes, first, filter.get(), write == Write::kAdd, out, workspace.get());
}

}  // namespace

absl::Status Convolve(Context& context, ConvolutionPass pass, const ConvolutionSizes& sizes,
                      const void* first, const void* second, Write write, void* out) {
  const int64_t pixels = sizes.batch * sizes.out_height() * sizes.out_width();
  const int64_t out_elements = OutElements(pass, sizes);
  if (out_elements == 0) return absl::OkStatus();
  if (pixels * sizes.in_channels * sizes.out_channels == 0) {
    // A sum over nothing.
    if (write == Write::kAdd) return absl::OkStatus();
    return Started(LaunchFill(0, out, out_elements, sizes.dtype, context.compute()));
  }
  const Window& window = sizes.window;
  if (window.height == 1 && window.width == 1 && window.stride == 1 && window.padding == 0) {
    return context.cublas().Multiply(
        ProductOf(pass, sizes, pixels, sizes.in_channels, first, second, write, out));
  }
  const absl::Status status = ConvolveByCudnn(context, pass, sizes, first, second, write, out);
  if (!absl::IsUnimplemented(status)) return status;
  return ConvolveByProducts(context, pass, sizes, first, second, write, out);
}

absl::Status ConvolveByProducts(Context& context, ConvolutionPass pass,
                                const ConvolutionSizes& sizes, const void* first,
                                const void* second, Write write, void* out) {
  const DType dtype = sizes.dtype, sum_type = SumType(dtype);
  const DType patch_type = pass == ConvolutionPass::kInputGradient ? sum_type : dtype;
  const int64_t window_elements = sizes.window.height * sizes.window.width * sizes.in_channels;
  const int64_t image_pixels = sizes.out_height() * sizes.out_width();
  const int64_t image_bytes =
      image_pixels * window_elements * static_cast<int64_t>(SizeOf(patch_type));
  const int64_t most = std::max<int64_t>(1, std::min(sizes.batch, kPatchesBytes / image_bytes));
  PARLEY_ASSIGN_OR_RETURN(const std::shared_ptr<void> patches,
                          context.memory().Allocate(most * image_bytes));
  // A filter's gradient is a sum over all parts.
  std::shared_ptr<void> sum;
  if (pass == ConvolutionPass::kFilterGradient && most < sizes.batch && sum_type != dtype) {
    PARLEY_ASSIGN_OR_RETURN(sum,
                            context.memory().Allocate(FilterElements(sizes) * SizeOf(sum_type)));
  }
  ImageShape part = {0, sizes.height, sizes.width, sizes.in_channels};
  for (int64_t begin = 0; begin < sizes.batch; begin += most) {
    part.batch = std::min(most, sizes.batch - begin);
    const int64_t pixels = part.batch * image_pixels;
    const int64_t x_at = begin * sizes.height * sizes.width * sizes.in_channels;
    const int64_t y_at = begin * image_pixels * sizes.out_channels;
    switch (pass) {
      case ConvolutionPass::kForward: {
        PARLEY_RETURN_IF_ERROR(Started(LaunchIm2col(At(first, x_at, dtype), part, sizes.window,
                                                    dtype, patches.get(), context.compute())));
        PARLEY_RETURN_IF_ERROR(
            context.cublas().Multiply(ProductOf(pass, sizes, pixels, window_elements, patches.get(),
                                                second, write, At(out, y_at, dtype))));
        break;
      }
      case ConvolutionPass::kInputGradient: {
        MatrixProduct product =
            ProductOf(pass, sizes, pixels, window_elements, At(first, y_at, dtype), second,
                      Write::kReplace, patches.get());
        product.out_dtype = sum_type;
        PARLEY_RETURN_IF_ERROR(context.cublas().Multiply(product));
        PARLEY_RETURN_IF_ERROR(Started(LaunchCol2im(patches.get(), part, sizes.window, dtype, write,
                                                    At(out, x_at, dtype), context.compute())));
        break;
      }
      case ConvolutionPass::kFilterGradient: {
        PARLEY_RETURN_IF_ERROR(Started(LaunchIm2col(At(first, x_at, dtype), part, sizes.window,
                                                    dtype, patches.get(), context.compute())));
        MatrixProduct product = ProductOf(pass, sizes, pixels, window_elements, patches.get(),
                                          At(second, y_at, dtype), write, out);
        if (sum != nullptr) {
          product.out = sum.get();
          product.out_dtype = sum_type;
          product.add = begin > 0;
        } else if (begin > 0) {
          product.add = true;
        }
        PARLEY_RETURN_IF_ERROR(context.cublas().Multiply(product));
        break;
      }
    }
  }
  if (sum == nullptr) return absl::OkStatus();
  return Started(
      LaunchCast(sum.get(), sum_type, FilterElements(sizes), write, out, dtype, context.compute()));
}

}  // namespace parley
