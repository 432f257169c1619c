#ifndef PARLEY_CUDA_KERNELS_DIVISOR_H_
#define PARLEY_CUDA_KERNELS_DIVISOR_H_

#include <cstdint>

namespace parley {

// Division by a number known before the launch. Index is uint32_t, where dividends stay below 2^31
// and a division is a multiplication and a shift (Granlund and Montgomery, "Division by invariant
// integers using multiplication", PLDI 1994), or uint64_t, where it is a plain division. A value;
// the members are constexpr so that device code may call them.
template <typename Index>
class Divisor;

template <>
class Divisor<uint32_t> {
 public:
  Divisor() = default;
  // 0 < divisor < 2^31
  explicit constexpr Divisor(int64_t divisor) : divisor_(static_cast<uint32_t>(divisor)) {
    while ((uint64_t{1} << shift_) < divisor_) ++shift_;
    multiplier_ = static_cast<uint32_t>(
        (uint64_t{1} << 32) * ((uint64_t{1} << shift_) - divisor_) / divisor_ + 1);
  }

  constexpr uint32_t divisor() const { return divisor_; }
  // dividend / divisor, for a dividend below 2^31: the sum cannot overflow.
  constexpr uint32_t Quotient(uint32_t dividend) const {
    const uint32_t high =
        static_cast<uint32_t>((static_cast<uint64_t>(dividend) * multiplier_) >> 32);
    return (high + dividend) >> shift_;
  }

 private:
  uint32_t divisor_ = 1;
  uint32_t multiplier_ = 1;
  uint32_t shift_ = 0;
};

template <>
class Divisor<uint64_t> {
 public:
  Divisor() = default;
  explicit constexpr Divisor(int64_t divisor) : divisor_(static_cast<uint64_t>(divisor)) {}

  constexpr uint64_t divisor() const { return divisor_; }
  constexpr uint64_t Quotient(uint64_t dividend) const { return dividend / divisor_; }

 private:
  uint64_t divisor_ = 1;
};

}  // namespace parley

#endif  // PARLEY_CUDA_KERNELS_DIVISOR_H_
