#include <algorithm>
#include <cstring>
#include <numeric>
#include <vector>

#include "tensor/testing/backend_suite.h"

// BackendSuite's tests of transfers and of operations that move elements.

namespace parley {
namespace {

constexpr int kRounds = 20;

}  // namespace

TEST_P(BackendSuite, HostCopiesComeBackAsTheyWent) {
  const Array x = Random(RandomShape(0, 3));
  const Tensor tensor = Put(x), other = Rubbish(x.shape);
  const std::shared_ptr<void> host = backend()->AllocateHost(tensor.bytes());
  // After the operations before it, and before those after it.
  backend()->Affine(2, tensor, 0, Write::kReplace, tensor);
  const std::unique_ptr<Transfer> down = backend()->StartCopyToHost(tensor, host.get());
  backend()->Fill(0, tensor);
  ASSERT_TRUE(down->Wait().ok());
  EXPECT_TRUE(down->done());
  const std::unique_ptr<Transfer> up = backend()->StartCopyFromHost(host.get(), other);
  backend()->Affine(1, other, 1, Write::kReplace, other);
  ASSERT_TRUE(up->Wait().ok());
  EXPECT_TRUE(up->done());
  ASSERT_TRUE(backend()->Synchronize().ok());
  ExpectClose(other, reference::Map(x, [](double v) { return 2 * v + 1; }), 4);
  ExpectClose(tensor, Array(x.shape, 0), 0);
}

TEST_P(BackendSuite, Permutes) {
  for (int round = 0; round < 2 * kRounds; ++round) {
    const Array x = Random(RandomShape(0, 4));
    std::vector<int> axes(x.shape.rank());
    std::iota(axes.begin(), axes.end(), 0);
    for (size_t d = axes.size(); d > 1; --d) {
      std::swap(axes[d - 1], axes[Between(0, static_cast<int64_t>(d) - 1)]);
    }
    ExpectWrites(reference::Permute(x, axes), 2, [&](Write write, const Tensor& out) {
      backend()->Permute(Put(x), axes, write, out);
    });
  }
}

TEST_P(BackendSuite, PermutesManyRowsAndColumns) {
  const Array x = Random({2, Between(60, 140), Between(60, 140)});
  ExpectWrites(reference::Permute(x, {0, 2, 1}), 2, [&](Write write, const Tensor& out) {
    backend()->Permute(Put(x), {0, 2, 1}, write, out);
  });
}

TEST_P(BackendSuite, ReadsAndWritesSlices) {
  for (int round = 0; round < 2 * kRounds; ++round) {
    const Array whole = Random(RandomShape(0, 4));
    std::vector<int64_t> begin, size;
    for (const int64_t dimension : whole.shape.ToVector()) {
      // Often all, as in concatenation, or one.
      int64_t part = Between(0, dimension);
      if (Between(0, 2) == 0) part = dimension;
      if (Between(0, 3) == 0) part = std::min<int64_t>(dimension, 1);
      size.push_back(part);
      begin.push_back(Between(0, dimension - part));
    }
    const Shape shape(size);
    SCOPED_TRACE(testing::Message() << shape.ToString() << " of " << whole.shape.ToString());
    ExpectWrites(reference::ReadSlice(whole, begin, shape), 2, [&](Write write, const Tensor& out) {
      backend()->ReadSlice(Put(whole), begin, write, out);
    });
    const Array part = Random(shape);
    for (const Write write : {Write::kReplace, Write::kAdd}) {
      const Tensor out = Put(whole);
      backend()->WriteSlice(Put(part), begin, write, out);
      ExpectClose(out, reference::WriteSlice(part, begin, write, whole), 4);
    }
  }
}

TEST_P(BackendSuite, GathersRows) {
  for (int round = 0; round < kRounds; ++round) {
    const Array table = Random({Between(1, 30), Dimension()});
    const Array indices = Indices(RandomShape(0, 2), table.shape[0]);
    const Array want = reference::GatherRows(table, indices);
    ExpectReplaces(want, 0, [&](const Tensor& out) {
      backend()->GatherRows(Put(table), Put(indices, Coin() ? DType::kInt32 : DType::kInt64), out);
    });
  }
}

TEST_P(BackendSuite, ScattersRows) {
  for (int round = 0; round < kRounds; ++round) {
    const Shape table = {Between(1, 30), Dimension()};
    const Array indices = Indices(RandomShape(0, 2), table[0]);
    std::vector<int64_t> dimensions = indices.shape.ToVector();
    dimensions.push_back(table[1]);
    const Array rows = Random(Shape(dimensions));
    // All could be added to one row.
    const double terms = static_cast<double>(indices.values.size());
    ExpectWrites(reference::ScatterAddRows(rows, indices, table), 2 * terms,
                 [&](Write write, const Tensor& out) {
                   backend()->ScatterAddRows(
                       Put(rows), Put(indices, Coin() ? DType::kInt32 : DType::kInt64), write, out);
                 });
  }
}

// 1 and a hundred times less than half of what is between numbers near 1: lost if each were
// rounded.
TEST_P(BackendSuite, ScatterSumsBeforeItRounds) {
  const double little = reference::RoundTo(dtype(), reference::UnitRoundoff(dtype()) / 4);
  Array rows({101, 3}, little);
  for (int j = 0; j < 3; ++j) rows.values[j] = 1;
  const Tensor out = Rubbish({1, 3});
  backend()->ScatterAddRows(Put(rows), Put(Array({101}), DType::kInt32), Write::kReplace, out);
  // The wider types' sums themselves round.
  const bool narrow = SizeOf(dtype()) == 2;
  ExpectClose(out, Array({1, 3}, 1 + 100 * little), narrow ? 1 : 1e3);
}

// A sequence of all kinds of operation, twice, in fresh memory.
TEST_P(BackendSuite, TheSameInputsGiveTheSameBits) {
  const Array x = Random({6, 7, 5, 8}), filter = Random({3, 3, 8, 5}), weights = Random({8, 6});
  const Array table = Random({4, 8}), indices = Indices({6 * 7 * 5}, 4);
  const auto run = [&] {
    Backend* const device = backend();
    std::vector<Tensor> results;
    const auto make = [&](const Shape& shape) {
      return results.emplace_back(device, shape, dtype());
    };
    const Tensor in = Put(x), w = Put(filter);
    const Tensor y = make({6, 7, 5, 5}), tanh = make(y.shape()), dx = make(x.shape);
    const Tensor dw = make(filter.shape), product = make({6 * 7 * 5, 6}), sums = make({8});
    const Tensor all = make({}), softmax = make(x.shape), dtable = make(table.shape);
    device->Conv2d(in, w, {3, 3, 1, 1}, y);
    device->Unary(UnaryOp::kTanh, y, tanh);
    device->Conv2dInputGradient(tanh, w, {3, 3, 1, 1}, Write::kReplace, dx);
    device->Conv2dFilterGradient(in, tanh, {3, 3, 1, 1}, Write::kReplace, dw);
    device->MatMul(in, false, Put(weights), false, Write::kReplace, product);
    device->Reduce(Reduction::kSum, dx, Write::kReplace, sums);
    device->Reduce(Reduction::kSum, dx, Write::kReplace, all);
    device->Softmax(dx, false, softmax);
    device->ScatterAddRows(dx.Reshape({6 * 7 * 5, 8}), Put(indices, DType::kInt32), Write::kReplace,
                           dtable);
    return results;
  };
  const std::vector<Tensor> first = run(), second = run();
  for (size_t i = 0; i < first.size(); ++i) {
    EXPECT_EQ(Get(first[i]).values, Get(second[i]).values) << "result " << i;
  }
}

}  // namespace parley
