#include "tensor/cpu_binary.h"

#include "glog/logging.h"
#include "tensor/cpu_lanes.h"
#include "tensor/strides.h"

namespace parley {
namespace {

void CheckBroadcast(const Tensor& a, const Tensor& b, const Tensor& out) {
  const Shape &as = a.shape(), &bs = b.shape(), &os = out.shape();
  bool fits = a.dtype() == out.dtype() && b.dtype() == out.dtype() &&
              os.rank() == std::max(as.rank(), bs.rank());
  for (size_t i = 1; fits && i <= os.rank(); ++i) {
    const int64_t da = i <= as.rank() ? as[as.rank() - i] : 1;
    const int64_t db = i <= bs.rank() ? bs[bs.rank() - i] : 1;
    fits = (da == db || da == 1 || db == 1) && os[os.rank() - i] == (da == 1 ? db : da);
  }
  CHECK(fits) << NameOf(a.dtype()) << as.ToString() << " and " << NameOf(b.dtype()) << bs.ToString()
              << " into " << NameOf(out.dtype()) << os.ToString();
}

// out[i] = function(a[i * a_step], b[i * b_step]); steps are 0 or 1.
template <typename T, typename Function>
void RunOf(int64_t count, int64_t a_step, const T* a, int64_t b_step, const T* b, Write write,
           T* out, Function function) {
  using V = Lanes<T>;
  if (b_step == 0) {
    const V value = SameLanes(static_cast<WorkType<T>>(*b));
    MapLanes(
        count, write, out, [&](V v) { return function(v, value); }, a);
  } else if (a_step == 0) {
    const V value = SameLanes(static_cast<WorkType<T>>(*a));
    MapLanes(
        count, write, out, [&](V v) { return function(value, v); }, b);
  } else {
    MapLanes(count, write, out, function, a, b);
  }
}

template <typename T, typename Function>
void BinaryOf(const Loop<3>& loop, const T* a, const T* b, Write write, T* out, Function function) {
  if (loop.empty()) return RunOf(1, 1, a, 1, b, write, out, function);
  const LoopDimension<3>& run = loop.back();
  ForEachStep(loop, loop.size() - 1, [&](const std::array<int64_t, 3>& at) {
    RunOf(run.size, run.strides[1], a + at[1], run.strides[2], b + at[2], write, out + at[0],
          function);
  });
}

}  // namespace

void CpuBinary(BinaryOp op, const Tensor& a, const Tensor& b, Write write, const Tensor& out) {
  CheckBroadcast(a, b, out);
  if (out.num_elements() == 0) return;
  const size_t rank = out.shape().rank();
  const std::vector<int64_t> strides[] = {StridesOf(out.shape()), BroadcastStrides(a.shape(), rank),
                                          BroadcastStrides(b.shape(), rank)};
  Loop<3> loop;
  for (size_t d = 0; d < rank; ++d) {
    loop.push_back({out.shape()[d], {strides[0][d], strides[1][d], strides[2][d]}});
  }
  loop = Collapsed(loop);
  WithFloatingType(out.dtype(), [&](auto zero) {
    using T = decltype(zero);
    using V = Lanes<T>;
    const auto run = [&](auto function) {
      BinaryOf(loop, a.As<const T>(), b.As<const T>(), write, out.As<T>(), function);
    };
    switch (op) {
      case BinaryOp::kAdd:
        return run([](V x, V y) { return x + y; });
      case BinaryOp::kSubtract:
        return run([](V x, V y) { return x - y; });
      case BinaryOp::kMultiply:
        return run([](V x, V y) { return x * y; });
      case BinaryOp::kDivide:
        return run([](V x, V y) { return x / y; });
    }
  });
}

}  // namespace parley
