#include "nn/images.h"

#include "glog/logging.h"
#include "nn/layout.h"

namespace parley::nn {
namespace {

void CheckImages(const Shape& x, const Window& window) {
  CHECK_EQ(x.rank(), 4u) << "images are [batch, height, width, channels], not " << x.ToString();
  CHECK(window.Fits(x[1], x[2])) << "a window of " << window.height << "x" << window.width
                                 << " with stride " << window.stride << " and padding "
                                 << window.padding << " on images " << x.ToString();
}

Shape Slid(const Shape& in, const Window& window, int64_t channels) {
  return {in[0], window.OutputHeight(in[1]), window.OutputWidth(in[2]), channels};
}

Tensor Keep(bool needed, const Tensor& value) { return needed ? value : Tensor(); }

}  // namespace

Variable Conv2d(const Variable& x, const Variable& filter, const Window& window) {
  CheckImages(x.shape(), window);
  CHECK(filter.shape().rank() == 4 &&
        filter.shape() == (Shape{window.height, window.width, x.shape()[3], filter.shape()[3]}))
      << "a filter " << filter.shape().ToString() << " in a window of " << window.height << "x"
      << window.width << " on images " << x.shape().ToString();
  CHECK(x.dtype() == filter.dtype())
      << NameOf(x.dtype()) << " images and a " << NameOf(filter.dtype()) << " filter";
  const Tensor y(x.backend(), Slid(x.shape(), window, filter.shape()[3]), x.dtype());
  x.backend()->Conv2d(x.value(), filter.value(), window, y);
  return Variable::Computed(
      y, {x, filter},
      [to_x = x.sink(), to_filter = filter.sink(), window,
       x_value = Keep(filter.wants_gradient(), x.value()),
       filter_value = Keep(x.wants_gradient(), filter.value())](const Tensor& dy) {
        to_filter.Add([&](Write write, const Tensor& dfilter) {
          dy.backend()->Conv2dFilterGradient(x_value, dy, window, write, dfilter);
        });
        to_x.Add([&](Write write, const Tensor& dx) {
          dy.backend()->Conv2dInputGradient(dy, filter_value, window, write, dx);
        });
      });
}

Variable MaxPool2d(const Variable& x, const Window& window) {
  CheckImages(x.shape(), window);
  const Shape out = Slid(x.shape(), window, x.shape()[3]);
  const Tensor y(x.backend(), out, x.dtype());
  const Tensor argmax(x.backend(), out, DType::kInt32);
  x.backend()->MaxPool2d(x.value(), window, y, argmax);
  return Variable::Computed(y, {x}, [to_x = x.sink(), argmax, window](const Tensor& dy) {
    to_x.Add([&](Write write, const Tensor& dx) {
      dy.backend()->MaxPool2dGradient(dy, argmax, window, write, dx);
    });
  });
}

Variable AvgPool2d(const Variable& x, const Window& window) {
  CheckImages(x.shape(), window);
  const Tensor y(x.backend(), Slid(x.shape(), window, x.shape()[3]), x.dtype());
  x.backend()->AvgPool2d(x.value(), window, y);
  return Variable::Computed(y, {x}, [to_x = x.sink(), window](const Tensor& dy) {
    to_x.Add([&](Write write, const Tensor& dx) {
      dy.backend()->AvgPool2dGradient(dy, window, write, dx);
    });
  });
}

Variable GlobalAvgPool2d(const Variable& x) {
  CHECK_EQ(x.shape().rank(), 4u) << "images are [batch, height, width, channels], not "
                                 << x.shape().ToString();
  Window whole;
  whole.height = x.shape()[1];
  whole.width = x.shape()[2];
  return Reshape(AvgPool2d(x, whole), {x.shape()[0], x.shape()[3]});
}

}  // namespace parley::nn
