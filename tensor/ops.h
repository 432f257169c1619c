#ifndef PARLEY_TENSOR_OPS_H_
#define PARLEY_TENSOR_OPS_H_

#include <cstdint>

namespace parley {

// The kinds of operation that a Backend (backend.h) takes as an argument.

// Whether a result replaces what its tensor held or is added to it.
enum class Write { kReplace, kAdd };

enum class UnaryOp {
  kRelu,     // max(x, 0); derivative 0 at 0; NaN stays NaN
  kSigmoid,  // 1 / (1 + exp(-x))
  kTanh,
  kGelu,  // x Phi(x) = x / 2 (1 + erf(x / sqrt 2)) (Hendrycks and Gimpel, 2016, the exact form)
  kExp,
  kLog,
  kSqrt,
  kSquare,
  kSoftplus,  // log(1 + exp(x)), without overflow
};

// Whether the derivative is found from x; else from y = op(x).
inline bool GradientNeedsInput(UnaryOp op) {
  switch (op) {
    case UnaryOp::kGelu:
    case UnaryOp::kLog:
    case UnaryOp::kSquare:
    case UnaryOp::kSoftplus:
      return true;
    case UnaryOp::kRelu:
    case UnaryOp::kSigmoid:
    case UnaryOp::kTanh:
    case UnaryOp::kExp:
    case UnaryOp::kSqrt:
      return false;
  }
  return false;
}

enum class BinaryOp { kAdd, kSubtract, kMultiply, kDivide };

enum class Reduction { kSum, kMax };

// How a window slides over an image that has `padding` rows and columns added on every side. An
// output has (in + 2 * padding - window) / stride + 1 rows, columns likewise.
struct Window {
  int64_t height = 1;
  int64_t width = 1;
  int64_t stride = 1;
  int64_t padding = 0;

  int64_t OutputHeight(int64_t in) const { return (in + 2 * padding - height) / stride + 1; }
  int64_t OutputWidth(int64_t in) const { return (in + 2 * padding - width) / stride + 1; }

  // Whether it finds a place in an image of this size at all.
  bool Fits(int64_t image_height, int64_t image_width) const {
    return height > 0 && width > 0 && stride > 0 && padding >= 0 &&
           image_height + 2 * padding >= height && image_width + 2 * padding >= width;
  }
};

}  // namespace parley

#endif  // PARLEY_TENSOR_OPS_H_
