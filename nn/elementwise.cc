#include "nn/elementwise.h"

#include <algorithm>
#include <vector>

#include "glog/logging.h"

namespace parley::nn {
namespace {

void CheckDTypes(const Variable& a, const Variable& b) {
  CHECK(a.dtype() == b.dtype()) << NameOf(a.dtype()) << " and " << NameOf(b.dtype());
}

Shape BroadcastShape(const Shape& a, const Shape& b) {
  if (a == b) return a;
  const size_t rank = std::max(a.rank(), b.rank());
  std::vector<int64_t> dimensions(rank);
  for (size_t from_end = 1; from_end <= rank; ++from_end) {
    const int64_t in_a = from_end <= a.rank() ? a[a.rank() - from_end] : 1;
    const int64_t in_b = from_end <= b.rank() ? b[b.rank() - from_end] : 1;
    CHECK(in_a == in_b || in_a == 1 || in_b == 1)
        << a.ToString() << " and " << b.ToString() << " cannot be broadcast together";
    dimensions[rank - from_end] = in_a == 1 ? in_b : in_a;
  }
  return Shape(dimensions);
}

Tensor Like(const Tensor& x) { return Tensor(x.backend(), x.shape(), x.dtype()); }

// Adds what `put(write, tensor)` makes, of dy's shape, to `sink`, summed over the dimensions where
// the sink's variable was repeated.
template <typename Put>
void AddReduced(const GradientSink& sink, const Tensor& dy, const Put& put) {
  if (!sink.wanted()) return;
  if (sink.shape() == dy.shape()) {
    sink.Add(put);
    return;
  }
  const Tensor whole = Like(dy);
  put(Write::kReplace, whole);
  sink.Add([&](Write write, const Tensor& dx) {
    dy.backend()->Reduce(Reduction::kSum, whole, write, dx);
  });
}

// Adds dy itself, summed as above.
void PassReduced(const GradientSink& sink, const Tensor& dy) {
  if (!sink.wanted()) return;
  if (sink.shape() == dy.shape()) {
    sink.Pass(dy);
    return;
  }
  sink.Add(
      [&](Write write, const Tensor& dx) { dy.backend()->Reduce(Reduction::kSum, dy, write, dx); });
}

// Adds -dy, summed as above.
void PassNegated(const GradientSink& sink, const Tensor& dy) {
  if (!sink.wanted()) return;
  Tensor sum = dy;
  if (sink.shape() != dy.shape()) {
    sum = Tensor(dy.backend(), sink.shape(), dy.dtype());
    dy.backend()->Reduce(Reduction::kSum, dy, Write::kReplace, sum);
  }
  sink.Add([&](Write write, const Tensor& dx) { dy.backend()->Affine(-1, sum, 0, write, dx); });
}

Tensor Compute(BinaryOp op, const Variable& a, const Variable& b) {
  CheckDTypes(a, b);
  const Tensor y(a.backend(), BroadcastShape(a.shape(), b.shape()), a.dtype());
  a.backend()->Binary(op, a.value(), b.value(), Write::kReplace, y);
  return y;
}

// The value, where a gradient needs it.
Tensor Keep(bool needed, const Tensor& value) { return needed ? value : Tensor(); }

Variable Apply(UnaryOp op, const Variable& x) {
  const Tensor y = Like(x.value());
  x.backend()->Unary(op, x.value(), y);
  const bool from_x = GradientNeedsInput(op);
  return Variable::Computed(y, {x},
                            [op, to_x = x.sink(), in = Keep(from_x, x.value()),
                             out = Keep(!from_x, y)](const Tensor& dy) {
                              to_x.Add([&](Write write, const Tensor& dx) {
                                dy.backend()->UnaryGradient(op, in, out, dy, write, dx);
                              });
                            });
}

}  // namespace

Variable Add(const Variable& a, const Variable& b) {
  return Variable::Computed(Compute(BinaryOp::kAdd, a, b), {a, b},
                            [to_a = a.sink(), to_b = b.sink()](const Tensor& dy) {
                              PassReduced(to_a, dy);
                              PassReduced(to_b, dy);
                            });
}

Variable Subtract(const Variable& a, const Variable& b) {
  return Variable::Computed(Compute(BinaryOp::kSubtract, a, b), {a, b},
                            [to_a = a.sink(), to_b = b.sink()](const Tensor& dy) {
                              PassReduced(to_a, dy);
                              PassNegated(to_b, dy);
                            });
}

Variable Multiply(const Variable& a, const Variable& b) {
  return Variable::Computed(
      Compute(BinaryOp::kMultiply, a, b), {a, b},
      [to_a = a.sink(), to_b = b.sink(), a_value = Keep(b.wants_gradient(), a.value()),
       b_value = Keep(a.wants_gradient(), b.value())](const Tensor& dy) {
        AddReduced(to_a, dy, [&](Write write, const Tensor& out) {
          dy.backend()->Binary(BinaryOp::kMultiply, dy, b_value, write, out);
        });
        AddReduced(to_b, dy, [&](Write write, const Tensor& out) {
          dy.backend()->Binary(BinaryOp::kMultiply, dy, a_value, write, out);
        });
      });
}

Variable Divide(const Variable& a, const Variable& b) {
  const Tensor y = Compute(BinaryOp::kDivide, a, b);
  return Variable::Computed(
      y, {a, b},
      [to_a = a.sink(), to_b = b.sink(), b_value = b.value(),
       kept_y = Keep(b.wants_gradient(), y)](const Tensor& dy) {
        Backend* const backend = dy.backend();
        AddReduced(to_a, dy, [&](Write write, const Tensor& out) {
          backend->Binary(BinaryOp::kDivide, dy, b_value, write, out);
        });
        if (!to_b.wanted()) return;
        // -dy a / b^2 = -(dy y) / b
        const Tensor product = Like(dy), quotient = Like(dy);
        backend->Binary(BinaryOp::kMultiply, dy, kept_y, Write::kReplace, product);
        backend->Binary(BinaryOp::kDivide, product, b_value, Write::kReplace, quotient);
        PassNegated(to_b, quotient);
      });
}

Variable AddBias(const Variable& x, const Variable& bias) {
  CHECK(x.shape().rank() > 0 && bias.shape() == Shape{x.shape().back()})
      << "a bias " << bias.shape().ToString() << " for " << x.shape().ToString();
  return Add(x, bias);
}

Variable Affine(const Variable& x, double scale, double shift) {
  const Tensor y = Like(x.value());
  x.backend()->Affine(scale, x.value(), shift, Write::kReplace, y);
  return Variable::Computed(y, {x}, [scale, to_x = x.sink()](const Tensor& dy) {
    if (scale == 1) {
      to_x.Pass(dy);
      return;
    }
    to_x.Add([&](Write write, const Tensor& dx) { dy.backend()->Affine(scale, dy, 0, write, dx); });
  });
}

Variable Scale(const Variable& x, double factor) { return Affine(x, factor, 0); }

Variable Relu(const Variable& x) { return Apply(UnaryOp::kRelu, x); }
Variable Sigmoid(const Variable& x) { return Apply(UnaryOp::kSigmoid, x); }
Variable Tanh(const Variable& x) { return Apply(UnaryOp::kTanh, x); }
Variable Gelu(const Variable& x) { return Apply(UnaryOp::kGelu, x); }
Variable Exp(const Variable& x) { return Apply(UnaryOp::kExp, x); }
Variable Log(const Variable& x) { return Apply(UnaryOp::kLog, x); }
Variable Sqrt(const Variable& x) { return Apply(UnaryOp::kSqrt, x); }
Variable Square(const Variable& x) { return Apply(UnaryOp::kSquare, x); }
Variable Softplus(const Variable& x) { return Apply(UnaryOp::kSoftplus, x); }

Variable Cast(const Variable& x, DType dtype) {
  if (x.dtype() == dtype) return x;
  CHECK(IsFloating(x.dtype()) && IsFloating(dtype))
      << "from " << NameOf(x.dtype()) << " to " << NameOf(dtype);
  const Tensor y(x.backend(), x.shape(), dtype);
  x.backend()->Cast(x.value(), Write::kReplace, y);
  return Variable::Computed(y, {x}, [to_x = x.sink()](const Tensor& dy) {
    to_x.Add([&](Write write, const Tensor& dx) { dy.backend()->Cast(dy, write, dx); });
  });
}

Variable Dropout(const Variable& x, double rate, uint64_t seed, uint64_t stream) {
  CHECK(rate >= 0 && rate < 1) << "a dropout rate of " << rate;
  if (rate == 0) return x;
  const Tensor y = Like(x.value());
  x.backend()->Dropout(x.value(), rate, seed, stream, Write::kReplace, y);
  return Variable::Computed(y, {x}, [to_x = x.sink(), rate, seed, stream](const Tensor& dy) {
    to_x.Add([&](Write write, const Tensor& dx) {
      dy.backend()->Dropout(dy, rate, seed, stream, write, dx);
    });
  });
}

Variable Detach(const Variable& x) { return Variable::Input(x.value()); }

}  // namespace parley::nn
