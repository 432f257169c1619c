#include "tensor/cpu_cast.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "glog/logging.h"
#include "tensor/cpu_lanes.h"

namespace parley {
namespace {

template <typename T>
constexpr bool kIs16Bit = std::is_same_v<T, Eigen::bfloat16> || std::is_same_v<T, Eigen::half>;

template <typename T>
constexpr bool kComputedInFloat = std::is_same_v<T, float> || kIs16Bit<T>;

// function(T()) for the element type T of `dtype`.
template <typename Function>
void WithType(DType dtype, Function function) {
  if (dtype == DType::kInt32) return function(int32_t());
  if (dtype == DType::kInt64) return function(int64_t());
  WithFloatingType(dtype, function);
}

// Rounded to a float, if inexact, to the one beside it whose last bit is odd: rounding that to
// fewer bits is as rounding the number itself (Boldo and Melquiond, 2008).
float RoundedToOdd(long double value) {
  float rounded = static_cast<float>(value);
  if (std::isfinite(rounded) && static_cast<long double>(rounded) != value) {
    if (std::fabs(static_cast<long double>(rounded)) > std::fabs(value)) {
      rounded = std::nextafter(rounded, 0.0f);
    }
    uint32_t bits;
    std::memcpy(&bits, &rounded, sizeof(bits));
    bits |= 1;
    std::memcpy(&rounded, &bits, sizeof(bits));
  }
  return rounded;
}

template <typename To, typename From>
To Converted(From value) {
  if constexpr (kIs16Bit<From>) {
    return Converted<To>(static_cast<float>(value));
  } else if constexpr (kIs16Bit<To>) {
    return static_cast<To>(RoundedToOdd(static_cast<long double>(value)));
  } else if constexpr (std::is_integral_v<To> && std::is_floating_point_v<From>) {
    if (std::isnan(value)) return 0;
    // The upper limit itself is not a From; the power of two above it is.
    if (value >= -static_cast<From>(std::numeric_limits<To>::min())) {
      return std::numeric_limits<To>::max();
    }
    if (value <= static_cast<From>(std::numeric_limits<To>::min())) {
      return std::numeric_limits<To>::min();
    }
    return static_cast<To>(value);
  } else {
    return static_cast<To>(value);
  }
}

// What exact values of two types are added in.
template <typename To, typename From>
using SumType = std::conditional_t<
    std::is_integral_v<To>, To,
    std::conditional_t<std::is_same_v<From, double> || std::is_same_v<To, double> ||
                           std::is_integral_v<From>,
                       double, float>>;

template <typename From, typename To>
void CastOf(const From* x, int64_t count, Write write, To* out) {
  using Sum = SumType<To, From>;
  if constexpr (kComputedInFloat<From> && kComputedInFloat<To>) {
    MapLanes(
        count, write, out, [](__m256 v) { return v; }, x);
  } else if (write == Write::kReplace) {
    for (int64_t i = 0; i < count; ++i) out[i] = Converted<To>(x[i]);
  } else {
    for (int64_t i = 0; i < count; ++i) {
      out[i] = Converted<To>(Converted<Sum>(out[i]) + Converted<Sum>(x[i]));
    }
  }
}

}  // namespace

void CpuFill(double value, const Tensor& out) {
  WithType(out.dtype(), [&](auto zero) {
    using T = decltype(zero);
    std::fill_n(out.As<T>(), out.num_elements(), Converted<T>(value));
  });
}

void CpuCast(const Tensor& x, Write write, const Tensor& out) {
  CHECK_EQ(x.num_elements(), out.num_elements());
  if (x.dtype() == out.dtype() && write == Write::kReplace) {
    if (x.bytes() > 0) std::memmove(out.As<void>(), x.As<void>(), x.bytes());
    return;
  }
  WithType(x.dtype(), [&](auto from) {
    WithType(out.dtype(), [&](auto to) {
      CastOf(x.As<const decltype(from)>(), x.num_elements(), write, out.As<decltype(to)>());
    });
  });
}

}  // namespace parley
