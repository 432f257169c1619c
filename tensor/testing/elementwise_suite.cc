#include <algorithm>
#include <cmath>
#include <limits>

#include "tensor/testing/backend_suite.h"

// BackendSuite's tests of operations on elements, and of reductions.

namespace parley {
namespace {

constexpr int kRounds = 12;
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

constexpr UnaryOp kUnaryOps[] = {UnaryOp::kRelu, UnaryOp::kSigmoid, UnaryOp::kTanh,
                                 UnaryOp::kGelu, UnaryOp::kExp,     UnaryOp::kLog,
                                 UnaryOp::kSqrt, UnaryOp::kSquare,  UnaryOp::kSoftplus};
constexpr DType kAllTypes[] = {DType::kFloat32, DType::kFloat64, DType::kBFloat16,
                               DType::kFloat16, DType::kInt32,   DType::kInt64};

bool NeedsPositive(UnaryOp op) { return op == UnaryOp::kLog || op == UnaryOp::kSqrt; }

// `shape` as an operand that is broadcast: some dimensions 1, some leading ones missing.
Shape Narrowed(const Shape& shape, uint64_t ones, int64_t missing) {
  std::vector<int64_t> dimensions = shape.ToVector();
  for (size_t d = 0; d < dimensions.size(); ++d) {
    if ((ones >> d) % 2 == 1) dimensions[d] = 1;
  }
  dimensions.erase(dimensions.begin(), dimensions.begin() + missing);
  return Shape(dimensions);
}

}  // namespace

TEST_P(BackendSuite, FillsWithNumbersOfAnyType) {
  for (const DType type : kAllTypes) {
    const Shape shape = RandomShape(0, 3);
    const Tensor out = Rubbish(shape, type);
    backend()->Fill(-3, out);
    ExpectClose(out, Array(shape, -3), 0);
  }
  const Tensor out = Rubbish({5});
  backend()->Fill(1.0 / 3, out);
  ExpectClose(out, Array({5}, 1.0 / 3), 0);
}

TEST_P(BackendSuite, CastsBetweenAllTypes) {
  for (const DType to : kAllTypes) {
    SCOPED_TRACE(NameOf(to));
    const Shape shape = RandomShape(0, 3);
    const Array x = Random(shape, -100, 100);
    const Array want = reference::Map(
        x, [&](double v) { return IsFloating(to) ? reference::RoundTo(to, v) : std::trunc(v); });
    const Tensor out = Rubbish(shape, to);
    backend()->Cast(Put(x), Write::kReplace, out);
    EXPECT_EQ(Get(out).values, want.values);
    if (IsFloating(to)) continue;
    const Array integers = Indices(shape, 200);
    ExpectWrites(integers, 200, [&](Write write, const Tensor& y) {
      backend()->Cast(Put(integers, to), write, y);
    });
  }
  for (const DType from : kFloatingTypes) {
    SCOPED_TRACE(NameOf(from));
    const Array x = Random(RandomShape(0, 3), -10, 10, from);
    ExpectWrites(x, 10,
                 [&](Write write, const Tensor& y) { backend()->Cast(Put(x, from), write, y); });
  }
}

// Rounding first to float32 would lose what decides between two 16-bit numbers.
TEST_P(BackendSuite, CastRoundsOnce) {
  const double half = reference::UnitRoundoff(dtype());
  Array x({6});
  x.values = {1 + half,
              1 + half + half * 0x1p-30,
              1 + 3 * half,
              1 + 3 * half - half * 0x1p-30,
              -1 - half - half * 0x1p-30,
              1 + half / 2};
  if (dtype() == DType::kFloat64) x.values = {1, 2, 3, 4, 5, 6};
  const Tensor out = Rubbish(x.shape);
  backend()->Cast(Put(x, DType::kFloat64), Write::kReplace, out);
  EXPECT_EQ(Get(out).values,
            reference::Map(x, [&](double v) { return reference::RoundTo(dtype(), v); }).values);
}

TEST_P(BackendSuite, Affine) {
  for (int round = 0; round < kRounds; ++round) {
    const Array x = Random(RandomShape(0, 3));
    ExpectWrites(
        reference::Map(x, [](double v) { return -1.5 * v + 0.75; }), 4,
        [&](Write write, const Tensor& out) { backend()->Affine(-1.5, Put(x), 0.75, write, out); });
  }
}

TEST_P(BackendSuite, UnaryOperations) {
  for (const UnaryOp op : kUnaryOps) {
    SCOPED_TRACE(testing::Message() << "operation " << static_cast<int>(op));
    for (int round = 0; round < 4; ++round) {
      const Array x = NeedsPositive(op) ? Random(RandomShape(0, 3), 0.01, 10)
                                        : Random(RandomShape(0, 3), -8, 8);
      const Array want = reference::Map(x, [&](double v) { return reference::Unary(op, v); });
      // exp's error grows with the result.
      ExpectReplaces(want, std::max(4.0, want.Largest()),
                     [&](const Tensor& y) { backend()->Unary(op, Put(x), y); });
      const Tensor in_place = Put(x);
      backend()->Unary(op, in_place, in_place);
      ExpectClose(in_place, want, std::max(4.0, want.Largest()));
    }
  }
}

TEST_P(BackendSuite, UnaryOperationsOfExtremeNumbers) {
  Array x({13});
  x.values = {0, -0.0, 1, -1, 30, -30, 200, -200, 1000, -1000, kInfinity, -kInfinity, kNan};
  for (const UnaryOp op : kUnaryOps) {
    SCOPED_TRACE(testing::Message() << "operation " << static_cast<int>(op));
    const Tensor y = Rubbish(x.shape);
    backend()->Unary(op, Put(x), y);
    const Array got = Get(y);
    for (size_t i = 0; i < x.values.size(); ++i) {
      const double exact = reference::Unary(op, x.values[i]);
      const double want = reference::RoundTo(dtype(), exact);
      if (std::isnan(want)) {
        EXPECT_TRUE(std::isnan(got.values[i])) << got.values[i] << " of " << x.values[i];
      } else if (std::isinf(want)) {
        EXPECT_EQ(got.values[i], want) << "of " << x.values[i];
      } else {
        EXPECT_NEAR(got.values[i], exact,
                    (2e-6 + 1.001 * reference::UnitRoundoff(dtype())) * std::fabs(exact) + 1e-6)
            << "of " << x.values[i];
      }
    }
  }
}

TEST_P(BackendSuite, UnaryGradients) {
  for (const UnaryOp op : kUnaryOps) {
    SCOPED_TRACE(testing::Message() << "operation " << static_cast<int>(op));
    for (int round = 0; round < 4; ++round) {
      const Shape shape = RandomShape(0, 3);
      const Array known = NeedsPositive(op) ? Random(shape, 0.125, 10) : Random(shape, -8, 8);
      const Array dy = Random(shape);
      Array want(shape);
      double scale = 16;
      for (size_t i = 0; i < want.values.size(); ++i) {
        want.values[i] = dy.values[i] * reference::UnaryDerivative(op, known.values[i]);
        scale = std::max(scale, 16 + 8 * std::fabs(want.values[i]));
      }
      ExpectWrites(want, scale, [&](Write write, const Tensor& dx) {
        const Tensor tensor = Put(known);
        const bool of_x = GradientNeedsInput(op);
        backend()->UnaryGradient(op, of_x ? tensor : Tensor(), of_x ? Tensor() : tensor, Put(dy),
                                 write, dx);
      });
    }
  }
}

TEST_P(BackendSuite, BinaryOperationsBroadcast) {
  for (const BinaryOp op :
       {BinaryOp::kAdd, BinaryOp::kSubtract, BinaryOp::kMultiply, BinaryOp::kDivide}) {
    SCOPED_TRACE(testing::Message() << "operation " << static_cast<int>(op));
    for (int round = 0; round < 2 * kRounds; ++round) {
      const Shape whole = RandomShape(0, 4);
      Shape a = whole, b = whole;
      const auto rank = static_cast<int64_t>(whole.rank());
      if (round % 4 == 1) b = Narrowed(whole, 0, Between(0, rank));
      if (round % 4 == 2) a = Narrowed(whole, Between(0, 15), 0);
      if (round % 4 == 3) {
        a = Narrowed(whole, Between(0, 15), 0);
        b = Narrowed(whole, Between(0, 15), Between(0, rank));
      }
      if (round % 8 > 4) std::swap(a, b);
      SCOPED_TRACE(testing::Message() << a.ToString() << " and " << b.ToString());
      const Array x = Random(a);
      const Array y = op == BinaryOp::kDivide ? Random(b, 0.125, 2) : Random(b);
      ExpectWrites(reference::Binary(op, x, y), 20, [&](Write write, const Tensor& out) {
        backend()->Binary(op, Put(x), Put(y), write, out);
      });
    }
  }
}

TEST_P(BackendSuite, BinaryOperationsInPlace) {
  const Shape shape = RandomShape(1, 3);
  const Array a = Random(shape), b = Random(shape);
  const Tensor out = Put(a);
  backend()->Binary(BinaryOp::kSubtract, out, Put(b), Write::kReplace, out);
  ExpectClose(out, reference::Binary(BinaryOp::kSubtract, a, b), 4);
}

TEST_P(BackendSuite, ReducesToAnyDimensions) {
  for (const Reduction reduction : {Reduction::kSum, Reduction::kMax}) {
    for (int round = 0; round < 3 * kRounds; ++round) {
      const Shape shape = RandomShape(0, 4);
      const auto rank = static_cast<int64_t>(shape.rank());
      const Shape to = Narrowed(shape, Between(0, 15), round % 3 == 0 ? Between(0, rank) : 0);
      SCOPED_TRACE(testing::Message() << static_cast<int>(reduction) << " of " << shape.ToString()
                                      << " to " << to.ToString());
      const Array x = Random(shape);
      const double terms = static_cast<double>(shape.num_elements()) /
                           static_cast<double>(std::max<int64_t>(to.num_elements(), 1));
      ExpectWrites(reference::Reduce(reduction, x, to),
                   reduction == Reduction::kSum ? 2 * terms : 2,
                   [&](Write write, const Tensor& out) {
                     backend()->Reduce(reduction, Put(x), write, out);
                   });
    }
  }
}

TEST_P(BackendSuite, SumsOfManyElementsAreExactEnough) {
  for (const Shape& shape : {Shape{70000}, Shape{3, 20000}, Shape{20000, 3}, Shape{1500, 40}}) {
    const Array x = Random(shape, 0, 2);
    for (const Shape& to : {Shape{}, Shape{1, shape.back()}, Shape{shape.rows(), 1}}) {
      if (to.rank() != 0 && shape.rank() == 1) continue;
      const Array want = reference::Reduce(Reduction::kSum, x, to);
      const Tensor out = Rubbish(to);
      backend()->Reduce(Reduction::kSum, Put(x), Write::kReplace, out);
      // Half of the work error: relative to the sum 1e-6, for float32.
      if (dtype() != DType::kFloat16) ExpectClose(out, want, want.Largest() / 2);
    }
  }
}

TEST_P(BackendSuite, ReductionsPassNanOn) {
  const Shape shape = {Between(1, 40), Between(1, 40)};
  Array x = Random(shape);
  const int64_t place = Between(0, shape.num_elements() - 1);
  x.values[place] = kNan;
  for (const Reduction reduction : {Reduction::kSum, Reduction::kMax}) {
    const Tensor all = Rubbish({}), columns = Rubbish({shape[1]}), rows = Rubbish({shape[0], 1});
    for (const Tensor& out : {all, columns, rows}) {
      backend()->Reduce(reduction, Put(x), Write::kReplace, out);
    }
    EXPECT_TRUE(std::isnan(Get(all).values[0]));
    EXPECT_TRUE(std::isnan(Get(columns).values[place % shape[1]]));
    EXPECT_TRUE(std::isnan(Get(rows).values[place / shape[1]]));
  }
}

TEST_P(BackendSuite, FindsWhatIsNotFinite) {
  for (int round = 0; round < kRounds; ++round) {
    const Shape shape = {Between(1, 60), Between(1, 400)};
    Array x = Random(shape);
    x.values[0] = dtype() == DType::kFloat16 ? 65504 : 0x1p127;
    const absl::StatusOr<bool> before = backend()->AllFinite(Put(x));
    ASSERT_TRUE(before.ok()) << before.status();
    EXPECT_TRUE(*before);
    const double odd[] = {kInfinity, -kInfinity, kNan};
    x.values[Between(0, shape.num_elements() - 1)] = odd[round % 3];
    const absl::StatusOr<bool> after = backend()->AllFinite(Put(x));
    ASSERT_TRUE(after.ok()) << after.status();
    EXPECT_FALSE(*after) << odd[round % 3];
  }
  const absl::StatusOr<bool> of_none = backend()->AllFinite(Put(Array({0, 3})));
  ASSERT_TRUE(of_none.ok()) << of_none.status();
  EXPECT_TRUE(*of_none);
}

TEST_P(BackendSuite, DropoutFollowsPhilox) {
  for (int round = 0; round < kRounds; ++round) {
    const Array x = Random(RandomShape(0, 3));
    const double rate = round == 0 ? 0 : static_cast<double>(Between(1, 99)) / 100;
    // Streams and seeds of more than 32 bits.
    const uint64_t seed = static_cast<uint64_t>(Between(0, INT64_MAX));
    const uint64_t stream = static_cast<uint64_t>(Between(0, INT64_MAX));
    const double scale = 2 / (1 - rate);
    ExpectWrites(reference::Dropout(x, rate, seed, stream), scale,
                 [&](Write write, const Tensor& y) {
                   backend()->Dropout(Put(x), rate, seed, stream, write, y);
                 });
  }
}

}  // namespace parley
