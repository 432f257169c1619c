#include "tensor/testing/backend_suite.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "Eigen/Core"

namespace parley {
namespace {

// How far an element may be from the wanted one, relative to the numbers it is computed from.
double WorkError(DType dtype) { return dtype == DType::kFloat64 ? 1e-13 : 2e-6; }

template <typename T>
void Encode(double value, std::byte* to) {
  T element;
  if constexpr (std::is_arithmetic_v<T>) {
    element = static_cast<T>(value);
  } else {
    element = static_cast<T>(static_cast<float>(value));
  }
  std::memcpy(to, &element, sizeof(T));
}

template <typename T>
double Decode(const std::byte* from) {
  T element;
  std::memcpy(static_cast<void*>(&element), from, sizeof(T));
  return static_cast<double>(element);
}

void EncodeAs(DType dtype, double value, std::byte* to) {
  switch (dtype) {
    case DType::kFloat32:
      return Encode<float>(value, to);
    case DType::kFloat64:
      return Encode<double>(value, to);
    case DType::kBFloat16:
      return Encode<Eigen::bfloat16>(value, to);
    case DType::kFloat16:
      return Encode<Eigen::half>(value, to);
    case DType::kInt32:
      return Encode<int32_t>(value, to);
    case DType::kInt64:
      return Encode<int64_t>(value, to);
  }
}

double DecodeAs(DType dtype, const std::byte* from) {
  switch (dtype) {
    case DType::kFloat32:
      return Decode<float>(from);
    case DType::kFloat64:
      return Decode<double>(from);
    case DType::kBFloat16:
      return Decode<Eigen::bfloat16>(from);
    case DType::kFloat16:
      return Decode<Eigen::half>(from);
    case DType::kInt32:
      return Decode<int32_t>(from);
    case DType::kInt64:
      return static_cast<double>(Decode<int64_t>(from));
  }
  return 0;
}

}  // namespace

// No backend need be at hand where this library is only linked.
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(BackendSuite);

std::string BackendSuiteName(const testing::TestParamInfo<BackendSuiteParameter>& info) {
  return NameOf(std::get<1>(info.param));
}

BackendSuite::BackendSuite()
    : seed_(std::random_device()()),
      random_(seed_),
      trace_(__FILE__, __LINE__, testing::Message() << "seed " << seed_) {}

void BackendSuite::SetUp() {
  backend_ = std::get<0>(GetParam())();
  if (backend_ == nullptr) GTEST_SKIP() << "no such device here";
}

int64_t BackendSuite::Between(int64_t low, int64_t high) {
  return std::uniform_int_distribution<int64_t>(low, high)(random_);
}

int64_t BackendSuite::Dimension() {
  switch (Between(0, 9)) {
    case 0:
      return 0;
    case 1:
    case 2:
      return 1;
    case 3:
    case 4:
    case 5:
      return Between(2, 9);
    default:
      return Between(2, 70);
  }
}

Shape BackendSuite::RandomShape(int64_t lowest_rank, int64_t highest_rank) {
  std::vector<int64_t> dimensions(static_cast<size_t>(Between(lowest_rank, highest_rank)));
  int64_t elements = 1;
  for (int64_t& dimension : dimensions) {
    dimension = Dimension();
    if (elements * dimension > 8000) dimension = Between(1, 3);
    elements *= std::max<int64_t>(dimension, 1);
  }
  return Shape(dimensions);
}

reference::Array BackendSuite::Random(const Shape& shape, double low, double high) {
  return Random(shape, low, high, dtype());
}

reference::Array BackendSuite::Random(const Shape& shape, double low, double high, DType dtype) {
  Array array(shape);
  std::uniform_real_distribution<double> uniform(low, high);
  for (double& value : array.values) value = reference::RoundTo(dtype, uniform(random_));
  return array;
}

reference::Array BackendSuite::Indices(const Shape& shape, int64_t bound) {
  Array array(shape);
  for (double& value : array.values) value = static_cast<double>(Between(0, bound - 1));
  return array;
}

Tensor BackendSuite::Put(const Array& array, DType dtype) {
  const Tensor tensor(backend_, array.shape, dtype);
  std::vector<std::byte> bytes(tensor.bytes());
  for (size_t i = 0; i < array.values.size(); ++i) {
    EncodeAs(dtype, array.values[i], bytes.data() + i * SizeOf(dtype));
  }
  backend_->CopyFromHost(bytes.data(), tensor);
  return tensor;
}

reference::Array BackendSuite::Get(const Tensor& tensor) {
  std::vector<std::byte> bytes(tensor.bytes());
  const absl::Status status = backend_->CopyToHost(tensor, bytes.data());
  EXPECT_TRUE(status.ok()) << status;
  Array array(tensor.shape());
  for (size_t i = 0; i < array.values.size(); ++i) {
    array.values[i] = DecodeAs(tensor.dtype(), bytes.data() + i * SizeOf(tensor.dtype()));
  }
  return array;
}

Tensor BackendSuite::Rubbish(const Shape& shape, DType dtype) {
  return Put(Array(shape, IsFloating(dtype) ? std::numeric_limits<double>::quiet_NaN() : -77),
             dtype);
}

void BackendSuite::ExpectClose(const Tensor& got, const Array& want, double scale) {
  const DType type = got.dtype();
  ASSERT_EQ(got.num_elements(), want.shape.num_elements());
  const Array values = Get(got);
  const double smallest = type == DType::kFloat16 ? 0x1p-25 : 0;  // half of it, for denormals
  int faults = 0;
  for (size_t i = 0; i < want.values.size(); ++i) {
    const double wanted = want.values[i], value = values.values[i];
    const double allowed = 1.001 * reference::UnitRoundoff(type) * std::fabs(wanted) +
                           WorkError(type) * scale + smallest;
    const bool right = std::isfinite(wanted)
                           ? std::fabs(value - wanted) <= allowed
                           : (std::isnan(wanted) ? std::isnan(value) : value == wanted);
    if (right) continue;
    ADD_FAILURE() << "element " << i << " of " << want.shape.ToString() << " is " << value
                  << ", not " << wanted << " within " << allowed;
    if (++faults == 3) return;
  }
}

void BackendSuite::ExpectWrites(const Array& want, double scale,
                                const std::function<void(Write, const Tensor&)>& operation) {
  ExpectReplaces(want, scale, [&](const Tensor& out) { operation(Write::kReplace, out); });
  SCOPED_TRACE("added");
  const Array before = Random(want.shape);
  const Tensor out = Put(before);
  operation(Write::kAdd, out);
  Array sum = want;
  for (size_t i = 0; i < sum.values.size(); ++i) sum.values[i] += before.values[i];
  ExpectClose(out, sum, scale + 2);
}

void BackendSuite::ExpectReplaces(const Array& want, double scale,
                                  const std::function<void(const Tensor&)>& operation) {
  const Tensor out = Rubbish(want.shape);
  operation(out);
  ExpectClose(out, want, scale);
}

}  // namespace parley
