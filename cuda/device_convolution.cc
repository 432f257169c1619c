#include "cuda/convolution.h"
#include "cuda/device_backend.h"
#include "cuda/kernels/pool2d.h"
#include "glog/logging.h"

// DeviceBackend's operations on images: convolutions and pooling.

namespace parley {
namespace {

ConvolutionSizes SizesOf(const Tensor& x, const Tensor& y, const Tensor& filter,
                         const Window& window) {
  CHECK(x.shape().rank() == 4 && y.shape().rank() == 4 && filter.shape().rank() == 4);
  CHECK(x.dtype() == y.dtype() && filter.dtype() == x.dtype());
  ConvolutionSizes sizes;
  sizes.batch = x.shape()[0];
  sizes.height = x.shape()[1];
  sizes.width = x.shape()[2];
  sizes.in_channels = x.shape()[3];
  sizes.out_channels = y.shape()[3];
  sizes.window = window;
  sizes.dtype = x.dtype();
  CHECK(window.Fits(sizes.height, sizes.width) &&
        y.shape() ==
            Shape({sizes.batch, sizes.out_height(), sizes.out_width(), sizes.out_channels}) &&
        filter.shape() ==
            Shape({window.height, window.width, sizes.in_channels, sizes.out_channels}))
      << "a convolution of " << x.shape().ToString() << " with " << filter.shape().ToString()
      << " to " << y.shape().ToString();
  return sizes;
}

ImageShape ImageOf(const Tensor& x, const Tensor& y, const Window& window) {
  CHECK(x.shape().rank() == 4 && y.shape().rank() == 4 && x.dtype() == y.dtype());
  const ImageShape image = {x.shape()[0], x.shape()[1], x.shape()[2], x.shape()[3]};
  CHECK(window.Fits(image.height, image.width) &&
        y.shape() == Shape({image.batch, window.OutputHeight(image.height),
                            window.OutputWidth(image.width), image.channels}))
      << "pooling " << x.shape().ToString() << " to " << y.shape().ToString();
  return image;
}

}  // namespace

void DeviceBackend::Conv2d(const Tensor& x, const Tensor& filter, const Window& window,
                           const Tensor& y) {
  const ConvolutionSizes sizes = SizesOf(x, y, filter, window);
  Enqueue("Conv2d", {&x, &filter}, {&y}, [&](Context& context) {
    return Convolve(context, ConvolutionPass::kForward, sizes, x.As<void>(), filter.As<void>(),
                    Write::kReplace, y.As<void>());
  });
}

void DeviceBackend::Conv2dInputGradient(const Tensor& dy, const Tensor& filter,
                                        const Window& window, Write write, const Tensor& dx) {
  const ConvolutionSizes sizes = SizesOf(dx, dy, filter, window);
  Enqueue("Conv2dInputGradient", {&dy, &filter}, {&dx}, [&](Context& context) {
    return Convolve(context, ConvolutionPass::kInputGradient, sizes, dy.As<void>(),
                    filter.As<void>(), write, dx.As<void>());
  });
}

void DeviceBackend::Conv2dFilterGradient(const Tensor& x, const Tensor& dy, const Window& window,
                                         Write write, const Tensor& dfilter) {
  const ConvolutionSizes sizes = SizesOf(x, dy, dfilter, window);
  Enqueue("Conv2dFilterGradient", {&x, &dy}, {&dfilter}, [&](Context& context) {
    return Convolve(context, ConvolutionPass::kFilterGradient, sizes, x.As<void>(), dy.As<void>(),
                    write, dfilter.As<void>());
  });
}

void DeviceBackend::MaxPool2d(const Tensor& x, const Window& window, const Tensor& y,
                              const Tensor& argmax) {
  const ImageShape image = ImageOf(x, y, window);
  CHECK(argmax.shape() == y.shape() && argmax.dtype() == DType::kInt32);
  Enqueue("MaxPool2d", {&x}, {&y, &argmax}, [&](Context& context) {
    return Launched(LaunchMaxPool2d(x.As<void>(), image, window, x.dtype(), y.As<void>(),
                                    argmax.int_data(), context.compute()));
  });
}

void DeviceBackend::MaxPool2dGradient(const Tensor& dy, const Tensor& argmax, const Window& window,
                                      Write write, const Tensor& dx) {
  const ImageShape image = ImageOf(dx, dy, window);
  CHECK(argmax.shape() == dy.shape() && argmax.dtype() == DType::kInt32);
  Enqueue("MaxPool2dGradient", {&dy, &argmax}, {&dx}, [&](Context& context) {
    return Launched(LaunchMaxPool2dGradient(dy.As<void>(), argmax.int_data(), image, window,
                                            dx.dtype(), write, dx.As<void>(), context.compute()));
  });
}

void DeviceBackend::AvgPool2d(const Tensor& x, const Window& window, const Tensor& y) {
  const ImageShape image = ImageOf(x, y, window);
  Enqueue("AvgPool2d", {&x}, {&y}, [&](Context& context) {
    return Launched(
        LaunchAvgPool2d(x.As<void>(), image, window, x.dtype(), y.As<void>(), context.compute()));
  });
}

void DeviceBackend::AvgPool2dGradient(const Tensor& dy, const Window& window, Write write,
                                      const Tensor& dx) {
  const ImageShape image = ImageOf(dx, dy, window);
  Enqueue("AvgPool2dGradient", {&dy}, {&dx}, [&](Context& context) {
    return Launched(LaunchAvgPool2dGradient(dy.As<void>(), image, window, dx.dtype(), write,
                                            dx.As<void>(), context.compute()));
  });
}

}  // namespace parley
