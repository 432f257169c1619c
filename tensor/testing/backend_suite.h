#ifndef PARLEY_TENSOR_TESTING_BACKEND_SUITE_H_
#define PARLEY_TENSOR_TESTING_BACKEND_SUITE_H_

#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "gtest/gtest.h"
#include "tensor/backend.h"
#include "tensor/testing/reference.h"

namespace parley {

// The conformance suite of Backend (tensor/backend.h): each operation, of one floating dtype,
// against its definition in float64 (reference.h), at random sizes and values, new ones on each
// run; a failure names the seed. A backend's test links this library and says
//
//   INSTANTIATE_TEST_SUITE_P(Cpu, BackendSuite,
//                            testing::Combine(testing::Values(&CpuBackend),
//                                             testing::ValuesIn(kFloatingTypes)),
//                            BackendSuiteName);
//
// Where the factory returns null, for want of a device, all its tests are skipped.
using BackendFactory = Backend* (*)();
using BackendSuiteParameter = std::tuple<BackendFactory, DType>;

inline constexpr DType kFloatingTypes[] = {DType::kFloat32, DType::kFloat64, DType::kBFloat16,
                                           DType::kFloat16};
std::string BackendSuiteName(const testing::TestParamInfo<BackendSuiteParameter>& info);

class BackendSuite : public testing::TestWithParam<BackendSuiteParameter> {
 protected:
  using Array = reference::Array;

  BackendSuite();
  void SetUp() override;

  Backend* backend() const { return backend_; }
  DType dtype() const { return std::get<1>(GetParam()); }
  // Of the statistics and parameters of a normalisation.
  DType statistics_dtype() const {
    return dtype() == DType::kFloat64 ? DType::kFloat64 : DType::kFloat32;
  }

  // Uniform in low..high.
  int64_t Between(int64_t low, int64_t high);
  bool Coin() { return Between(0, 1) == 1; }
  // A dimension: short or long enough for vectors and their rests, at times 1 or 0.
  int64_t Dimension();
  // Of these ranks, and of at most some thousand elements.
  Shape RandomShape(int64_t lowest_rank, int64_t highest_rank);

  // Numbers of a type (dtype() unless told), uniform in [low, high].
  Array Random(const Shape& shape, double low = -2, double high = 2);
  Array Random(const Shape& shape, double low, double high, DType dtype);
  // Integers in 0..bound - 1.
  Array Indices(const Shape& shape, int64_t bound);

  // On the device. The values must be numbers of the type.
  Tensor Put(const Array& array) { return Put(array, dtype()); }
  Tensor Put(const Array& array, DType dtype);
  Array Get(const Tensor& tensor);
  // Elements that no operation may leave there.
  Tensor Rubbish(const Shape& shape) { return Rubbish(shape, dtype()); }
  Tensor Rubbish(const Shape& shape, DType dtype);

  // Expects each element to be the wanted one, rounded once to the tensor's type, but for an error
  // of the work type: `scale` is how large the numbers are that it is computed from, summed over
  // terms. Infinities and NaN must be equal.
  void ExpectClose(const Tensor& got, const Array& want, double scale);
  // Of an operation that stores as `write` says: that it replaces rubbish, and adds.
  void ExpectWrites(const Array& want, double scale,
                    const std::function<void(Write, const Tensor&)>& operation);
  // Of one that only replaces.
  void ExpectReplaces(const Array& want, double scale,
                      const std::function<void(const Tensor&)>& operation);

 private:
  const uint32_t seed_;
  std::mt19937 random_;
  testing::ScopedTrace trace_;
  Backend* backend_ = nullptr;
};

}  // namespace parley

#endif  // PARLEY_TENSOR_TESTING_BACKEND_SUITE_H_
