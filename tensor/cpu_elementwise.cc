#include "tensor/cpu_elementwise.h"

#include <algorithm>
#include <limits>

#include "glog/logging.h"
#include "tensor/cpu_lanes.h"
#include "tensor/cpu_math.h"

namespace parley {
namespace {

void CheckAlike(const Tensor& a, const Tensor& b) {
  CHECK(a.dtype() == b.dtype() && a.num_elements() == b.num_elements())
      << NameOf(a.dtype()) << a.shape().ToString() << " and " << NameOf(b.dtype())
      << b.shape().ToString();
}

constexpr double kRootHalf = 0.70710678118654752440;        // 1 / sqrt(2)
constexpr double kRootHalfOverPi = 0.39894228040143267794;  // 1 / sqrt(2 pi)

// Phi(x), the normal distribution's.
template <typename W, typename V>
V NormalCdf(V x) {
  return static_cast<W>(0.5) * (1 + Erf(x * static_cast<W>(kRootHalf)));
}

template <typename T>
void UnaryOf(UnaryOp op, int64_t count, const T* x, T* y) {
  using W = WorkType<T>;
  using V = Lanes<T>;
  const auto map = [&](auto function) { MapLanes(count, Write::kReplace, y, function, x); };
  switch (op) {
    case UnaryOp::kRelu:
      return map([zero = SameLanes(W(0))](V v) { return Larger(v, zero); });
    case UnaryOp::kSigmoid:
      return map([](V v) { return Sigmoid(v); });
    case UnaryOp::kTanh:
      return map([](V v) { return Tanh(v); });
    case UnaryOp::kGelu:
      return map([](V v) { return v * NormalCdf<W>(v); });
    case UnaryOp::kExp:
      return map([](V v) { return Exp(v); });
    case UnaryOp::kLog:
      return map([](V v) { return Log(v); });
    case UnaryOp::kSqrt:
      return map([](V v) { return Sqrt(v); });
    case UnaryOp::kSquare:
      return map([](V v) { return v * v; });
    case UnaryOp::kSoftplus:
      return map([zero = SameLanes(W(0))](V v) { return Larger(v, zero) + Log1p(Exp(-Abs(v))); });
  }
}

// `known` is x where the operation needs it, else y.
template <typename T>
void UnaryGradientOf(UnaryOp op, int64_t count, const T* known, const T* dy, Write write, T* dx) {
  using W = WorkType<T>;
  using V = Lanes<T>;
  const auto map = [&](auto function) { MapLanes(count, write, dx, function, known, dy); };
  switch (op) {
    case UnaryOp::kRelu:
      return map([zero = SameLanes(W(0))](V y, V d) { return Select(Greater(y, zero), d, zero); });
    case UnaryOp::kSigmoid:
      return map([](V y, V d) { return d * y * (1 - y); });
    case UnaryOp::kTanh:
      return map([](V y, V d) { return d * (1 - y * y); });
    case UnaryOp::kGelu:
      return map([](V x, V d) {
        const V density = static_cast<W>(kRootHalfOverPi) * Exp(static_cast<W>(-0.5) * x * x);
        return d * (NormalCdf<W>(x) + x * density);
      });
    case UnaryOp::kExp:
      return map([](V y, V d) { return d * y; });
    case UnaryOp::kLog:
      return map([](V x, V d) { return d / x; });
    case UnaryOp::kSqrt:
      return map([](V y, V d) { return d / (2 * y); });
    case UnaryOp::kSquare:
      return map([](V x, V d) { return 2 * x * d; });
    case UnaryOp::kSoftplus:
      return map([](V x, V d) { return d * Sigmoid(x); });
  }
}

}  // namespace

void CpuAffine(double scale, const Tensor& x, double shift, Write write, const Tensor& out) {
  CheckAlike(x, out);
  WithFloatingType(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const Lanes<T> a = SameLanes(static_cast<WorkType<T>>(scale));
    const Lanes<T> b = SameLanes(static_cast<WorkType<T>>(shift));
    MapLanes(
        x.num_elements(), write, out.As<T>(), [=](Lanes<T> v) { return a * v + b; },
        x.As<const T>());
  });
}

void CpuUnary(UnaryOp op, const Tensor& x, const Tensor& y) {
  CheckAlike(x, y);
  WithFloatingType(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    UnaryOf(op, x.num_elements(), x.As<const T>(), y.As<T>());
  });
}

void CpuUnaryGradient(UnaryOp op, const Tensor& x, const Tensor& y, const Tensor& dy, Write write,
                      const Tensor& dx) {
  const Tensor& known = GradientNeedsInput(op) ? x : y;
  CheckAlike(known, dy);
  CheckAlike(dy, dx);
  WithFloatingType(dy.dtype(), [&](auto zero) {
    using T = decltype(zero);
    UnaryGradientOf(op, dy.num_elements(), known.As<const T>(), dy.As<const T>(), write,
                    dx.As<T>());
  });
}

bool CpuAllFinite(const Tensor& x) {
  if (!IsFloating(x.dtype())) return true;
  bool finite = true;
  WithFloatingType(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    constexpr int64_t kPiece = 16384;
    const T* const values = x.As<const T>();
    for (int64_t begin = 0; finite && begin < x.num_elements(); begin += kPiece) {
      const int64_t count = std::min<int64_t>(kPiece, x.num_elements() - begin);
      // 0 * v is 0 of finite ones and NaN of all others.
      Lanes<T> sum = SameLanes(WorkType<T>(0));
      ForLanes<T>(count, [&](int64_t i, auto place) {
        sum = sum + SameLanes(WorkType<T>(0)) * Load(values + begin + i, place);
      });
      WorkType<T> lanes[kLanes<T>];
      StoreWide(lanes, sum);
      for (const WorkType<T> lane : lanes) finite = finite && lane == 0;
    }
  });
  return finite;
}

}  // namespace parley
