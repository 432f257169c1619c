#include "nn/functions.h"

#include <utility>
#include <vector>

#include "glog/logging.h"

namespace parley::nn {
namespace {

// The shape of x with another last dimension.
Shape WithLast(const Shape& shape, int64_t last) {
  std::vector<int64_t> dimensions = shape.ToVector();
  dimensions.back() = last;
  return Shape(dimensions);
}

void CheckImages(const Shape& x, const Window& window) {
  CHECK_EQ(x.rank(), 4u) << "images are [batch, height, width, channels], not " << x.ToString();
  CHECK(window.Fits(x[1], x[2])) << "a window of " << window.height << "x" << window.width
                                 << " with stride " << window.stride << " and padding "
                                 << window.padding << " on images " << x.ToString();
}

Variable Activate(const Variable& x, UnaryOp op) {
  const Tensor y(x.backend(), x.shape());
  x.backend()->Unary(op, x.value(), y);
  return Variable::Computed(y, {x}, [x, y, op](const Tensor& dy) {
    x.AddGradient([&](Write write, const Tensor& dx) {
      x.backend()->UnaryGradient(op, x.value(), y, dy, write, dx);
    });
  });
}

}  // namespace

Variable MatMul(const Variable& x, const Variable& w) {
  Backend* const backend = x.backend();
  const Tensor y(backend, WithLast(x.shape(), w.shape().back()));
  backend->MatMul(x.value(), false, w.value(), false, Write::kReplace, y);
  return Variable::Computed(y, {x, w}, [backend, x, w](const Tensor& dy) {
    w.AddGradient([&](Write write, const Tensor& dw) {
      backend->MatMul(x.value(), true, dy, false, write, dw);
    });
    x.AddGradient([&](Write write, const Tensor& dx) {
      backend->MatMul(dy, false, w.value(), true, write, dx);
    });
  });
}

Variable AddBias(const Variable& x, const Variable& bias) {
  Backend* const backend = x.backend();
  const Tensor y(backend, x.shape());
  backend->Binary(BinaryOp::kAdd, x.value(), bias.value(), Write::kReplace, y);
  return Variable::Computed(y, {x, bias}, [backend, x, bias](const Tensor& dy) {
    bias.AddGradient(
        [&](Write write, const Tensor& db) { backend->Reduce(Reduction::kSum, dy, write, db); });
    x.AddGradient([&](Write write, const Tensor& dx) { backend->Affine(1, dy, 0, write, dx); });
  });
}

Variable Add(const Variable& a, const Variable& b) {
  Backend* const backend = a.backend();
  const Tensor y(backend, a.shape());
  backend->Binary(BinaryOp::kAdd, a.value(), b.value(), Write::kReplace, y);
  return Variable::Computed(y, {a, b}, [backend, a, b](const Tensor& dy) {
    for (const Variable& input : {a, b}) {
      input.AddGradient(
          [&](Write write, const Tensor& dx) { backend->Affine(1, dy, 0, write, dx); });
    }
  });
}

Variable Multiply(const Variable& a, const Variable& b) {
  Backend* const backend = a.backend();
  const Tensor y(backend, a.shape());
  backend->Binary(BinaryOp::kMultiply, a.value(), b.value(), Write::kReplace, y);
  return Variable::Computed(y, {a, b}, [backend, a, b](const Tensor& dy) {
    a.AddGradient([&](Write write, const Tensor& da) {
      backend->Binary(BinaryOp::kMultiply, dy, b.value(), write, da);
    });
    b.AddGradient([&](Write write, const Tensor& db) {
      backend->Binary(BinaryOp::kMultiply, dy, a.value(), write, db);
    });
  });
}

Variable Scale(const Variable& x, float factor) {
  Backend* const backend = x.backend();
  const Tensor y(backend, x.shape());
  backend->Affine(factor, x.value(), 0, Write::kReplace, y);
  return Variable::Computed(y, {x}, [backend, x, factor](const Tensor& dy) {
    x.AddGradient(
        [&](Write write, const Tensor& dx) { backend->Affine(factor, dy, 0, write, dx); });
  });
}

Variable Mean(const Variable& x) {
  Backend* const backend = x.backend();
  const float factor = 1.0f / static_cast<float>(x.value().num_elements());
  const Tensor sum(backend, {});
  backend->Reduce(Reduction::kSum, x.value(), Write::kReplace, sum);
  const Tensor mean(backend, {});
  backend->Affine(factor, sum, 0, Write::kReplace, mean);
  return Variable::Computed(mean, {x}, [backend, x, factor](const Tensor& dmean) {
    x.AddGradient([&](Write write, const Tensor& dx) {
      const Tensor ones(backend, x.shape());
      backend->Fill(static_cast<double>(factor), ones);
      backend->Binary(BinaryOp::kMultiply, ones, dmean, write, dx);
    });
  });
}

Variable Reshape(const Variable& x, Shape shape) {
  return Variable::Computed(x.value().Reshape(std::move(shape)), {x}, [x](const Tensor& dy) {
    x.AddGradient([&](Write write, const Tensor& dx) { x.backend()->Affine(1, dy, 0, write, dx); });
  });
}

Variable Relu(const Variable& x) { return Activate(x, UnaryOp::kRelu); }
Variable Sigmoid(const Variable& x) { return Activate(x, UnaryOp::kSigmoid); }
Variable Tanh(const Variable& x) { return Activate(x, UnaryOp::kTanh); }

Variable Softmax(const Variable& x) {
  Backend* const backend = x.backend();
  const Tensor y(backend, x.shape());
  backend->Softmax(x.value(), false, y);
  return Variable::Computed(y, {x}, [backend, x, y](const Tensor& dy) {
    x.AddGradient(
        [&](Write write, const Tensor& dx) { backend->SoftmaxGradient(y, dy, write, dx); });
  });
}

Variable Conv2d(const Variable& x, const Variable& filter, const Window& window) {
  Backend* const backend = x.backend();
  const Shape& in = x.shape();
  CheckImages(in, window);
  CHECK_EQ(filter.shape().rank(), 4u) << filter.shape().ToString();
  const Tensor y(backend, {in[0], window.OutputHeight(in[1]), window.OutputWidth(in[2]),
                           filter.shape().back()});
  backend->Conv2d(x.value(), filter.value(), window, y);
  return Variable::Computed(y, {x, filter}, [backend, x, filter, window](const Tensor& dy) {
    filter.AddGradient([&](Write write, const Tensor& dfilter) {
      backend->Conv2dFilterGradient(x.value(), dy, window, write, dfilter);
    });
    x.AddGradient([&](Write write, const Tensor& dx) {
      backend->Conv2dInputGradient(dy, filter.value(), window, write, dx);
    });
  });
}

Variable MaxPool2d(const Variable& x, const Window& window) {
  Backend* const backend = x.backend();
  const Shape& in = x.shape();
  CheckImages(in, window);
  const Shape out = {in[0], window.OutputHeight(in[1]), window.OutputWidth(in[2]), in[3]};
  const Tensor y(backend, out);
  const Tensor argmax(backend, out, DType::kInt32);
  backend->MaxPool2d(x.value(), window, y, argmax);
  return Variable::Computed(y, {x}, [backend, x, argmax, window](const Tensor& dy) {
    x.AddGradient([&](Write write, const Tensor& dx) {
      backend->MaxPool2dGradient(dy, argmax, window, write, dx);
    });
  });
}

Variable SoftmaxCrossEntropy(const Variable& logits, const Tensor& labels) {
  Backend* const backend = logits.backend();
  const Tensor probabilities(backend, logits.shape());
  const Tensor loss(backend, {});
  backend->SoftmaxCrossEntropy(logits.value(), labels, probabilities, loss);
  return Variable::Computed(
      loss, {logits}, [backend, logits, labels, probabilities](const Tensor& dloss) {
        logits.AddGradient([&](Write write, const Tensor& dlogits) {
          backend->SoftmaxCrossEntropyGradient(probabilities, labels, dloss, write, dlogits);
        });
      });
}

}  // namespace parley::nn
