#include "tensor/cpu_softmax.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "glog/logging.h"
#include "tensor/cpu_lanes.h"
#include "tensor/cpu_math.h"

namespace parley {
namespace {

void CheckAlike(const Tensor& a, const Tensor& b) {
  CHECK(a.dtype() == b.dtype() && a.num_elements() == b.num_elements() && a.shape().rank() > 0 &&
        a.shape().back() == b.shape().back())
      << NameOf(a.dtype()) << a.shape().ToString() << " and " << NameOf(b.dtype())
      << b.shape().ToString();
}

// body(T(), row's offset) for each row of the last dimension.
template <typename T, typename Body>
void ForEachRow(const Tensor& x, Body body) {
  if (x.num_elements() == 0) return;
  for (int64_t row = 0; row < x.shape().rows(); ++row) body(row, row * x.shape().back());
}

template <typename W>
struct Exponentials {
  W largest;
  double sum;  // of exp(x - largest)
};

// out[i] = exp(x[i] - the largest); `out` may be x.
template <typename T>
Exponentials<WorkType<T>> ExponentialsOf(const T* x, int64_t count, WorkType<T>* out) {
  using W = WorkType<T>;
  const W largest = MaxOf(x, count);
  const Lanes<T> subtrahend = SameLanes(largest);
  const double sum = SumLanes<T>(count, [&](int64_t i, auto place) {
    const Lanes<T> value = Exp(Load(x + i, place) - subtrahend);
    Store(out + i, value, place);
    return value;
  });
  return {largest, sum};
}

// Softmax of rows, each through a row of the work type where T is narrower.
template <typename T>
class SoftmaxRows {
 public:
  using W = WorkType<T>;

  explicit SoftmaxRows(int64_t columns) : wide_(kIsWorkType<T> ? 0 : columns) {}

  Exponentials<W> Row(const T* x, int64_t count, T* y) {
    W* exponentials;
    if constexpr (kIsWorkType<T>) {
      exponentials = y;
    } else {
      exponentials = wide_.data();
    }
    const Exponentials<W> result = ExponentialsOf(x, count, exponentials);
    const Lanes<T> factor = SameLanes(static_cast<W>(1 / result.sum));
    MapLanes(
        count, Write::kReplace, y, [&](Lanes<T> v) { return v * factor; },
        static_cast<const W*>(exponentials));
    return result;
  }

 private:
  std::vector<W> wide_;
};

int32_t CheckedLabel(const Tensor& labels, int64_t row, int64_t classes) {
  const int32_t label = labels.As<int32_t>()[row];
  CHECK(label >= 0 && label < classes) << "label " << label << " of " << classes << " classes";
  return label;
}

void CheckLabels(const Tensor& matrix, const Tensor& labels, const Tensor& scalar) {
  CHECK(labels.dtype() == DType::kInt32 && matrix.shape().rank() == 2 &&
        labels.num_elements() == matrix.shape()[0] && scalar.num_elements() == 1 &&
        scalar.dtype() == matrix.dtype())
      << NameOf(matrix.dtype()) << matrix.shape().ToString() << " with labels "
      << NameOf(labels.dtype()) << labels.shape().ToString() << " and a loss "
      << NameOf(scalar.dtype()) << scalar.shape().ToString();
}

}  // namespace

void CpuSoftmax(const Tensor& x, bool causal, const Tensor& y) {
  CheckAlike(x, y);
  const size_t rank = x.shape().rank();
  CHECK(!causal || rank >= 2);
  const int64_t columns = x.shape().back();
  WithFloatingType(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    SoftmaxRows<T> softmax(columns);
    ForEachRow<T>(x, [&](int64_t row, int64_t at) {
      const int64_t seen = causal ? std::min(columns, row % x.shape()[rank - 2] + 1) : columns;
      softmax.Row(x.As<const T>() + at, seen, y.As<T>() + at);
      std::fill_n(y.As<T>() + at + seen, columns - seen, T(0));
    });
  });
}

void CpuSoftmaxGradient(const Tensor& y, const Tensor& dy, Write write, const Tensor& dx) {
  CheckAlike(y, dy);
  CheckAlike(dy, dx);
  const int64_t columns = y.shape().back();
  WithFloatingType(y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    ForEachRow<T>(y, [&](int64_t, int64_t at) {
      const T* const p = y.As<const T>() + at;
      const T* const d = dy.As<const T>() + at;
      const Lanes<T> dot =
          SameLanes(static_cast<WorkType<T>>(SumLanes<T>(columns, [&](int64_t i, auto place) {
            return Load(p + i, place) * Load(d + i, place);
          })));
      MapLanes(
          columns, write, dx.As<T>() + at,
          [&](Lanes<T> pv, Lanes<T> dv) { return pv * (dv - dot); }, p, d);
    });
  });
}

void CpuLogSoftmax(const Tensor& x, const Tensor& y) {
  CheckAlike(x, y);
  const int64_t columns = x.shape().back();
  WithFloatingType(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    using W = WorkType<T>;
    ForEachRow<T>(x, [&](int64_t, int64_t at) {
      const T* const row = x.As<const T>() + at;
      const W largest = MaxOf(row, columns);
      const Lanes<T> subtrahend = SameLanes(largest);
      const double sum = SumLanes<T>(
          columns, [&](int64_t i, auto place) { return Exp(Load(row + i, place) - subtrahend); });
      // Of a value near the largest, the difference is exact.
      const Lanes<T> log_sum = SameLanes(static_cast<W>(std::log(sum)));
      MapLanes(
          columns, Write::kReplace, y.As<T>() + at,
          [&](Lanes<T> v) { return v - subtrahend - log_sum; }, row);
    });
  });
}

void CpuLogSoftmaxGradient(const Tensor& y, const Tensor& dy, Write write, const Tensor& dx) {
  CheckAlike(y, dy);
  CheckAlike(dy, dx);
  const int64_t columns = y.shape().back();
  WithFloatingType(y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    ForEachRow<T>(y, [&](int64_t, int64_t at) {
      const T* const d = dy.As<const T>() + at;
      const Lanes<T> sum = SameLanes(static_cast<WorkType<T>>(
          SumLanes<T>(columns, [&](int64_t i, auto place) { return Load(d + i, place); })));
      MapLanes(
          columns, write, dx.As<T>() + at,
          [&](Lanes<T> yv, Lanes<T> dv) { return dv - Exp(yv) * sum; }, y.As<const T>() + at, d);
    });
  });
}

void CpuSoftmaxCrossEntropy(const Tensor& logits, const Tensor& labels, const Tensor& probabilities,
                            const Tensor& loss) {
  CheckAlike(logits, probabilities);
  CheckLabels(logits, labels, loss);
  const int64_t rows = logits.shape()[0], classes = logits.shape()[1];
  WithFloatingType(logits.dtype(), [&](auto zero) {
    using T = decltype(zero);
    using W = WorkType<T>;
    SoftmaxRows<T> softmax(classes);
    double sum = rows == 0 ? std::numeric_limits<double>::quiet_NaN() : 0;
    for (int64_t row = 0; row < rows; ++row) {
      const T* const x = logits.As<const T>() + row * classes;
      // Read first: the probabilities may take the logits' place.
      const auto logit = static_cast<double>(static_cast<W>(x[CheckedLabel(labels, row, classes)]));
      const Exponentials<W> e = softmax.Row(x, classes, probabilities.As<T>() + row * classes);
      sum += std::log(e.sum) - (logit - static_cast<double>(e.largest));
    }
    const auto mean = static_cast<W>(sum / static_cast<double>(std::max<int64_t>(rows, 1)));
    loss.As<T>()[0] = static_cast<T>(mean);
  });
}

void CpuSoftmaxCrossEntropyGradient(const Tensor& probabilities, const Tensor& labels,
                                    const Tensor& dloss, Write write, const Tensor& dlogits) {
  CheckAlike(probabilities, dlogits);
  CheckLabels(probabilities, labels, dloss);
  const int64_t rows = probabilities.shape()[0], classes = probabilities.shape()[1];
  WithFloatingType(probabilities.dtype(), [&](auto zero) {
    using T = decltype(zero);
    using W = WorkType<T>;
    const W factor = static_cast<W>(dloss.As<const T>()[0]) / static_cast<W>(rows);
    const Lanes<T> factors = SameLanes(factor);
    for (int64_t row = 0; row < rows; ++row) {
      const T* const p = probabilities.As<const T>() + row * classes;
      T* const out = dlogits.As<T>() + row * classes;
      const int32_t label = CheckedLabel(labels, row, classes);
      // Of the label's own, before it may be overwritten.
      W own = (static_cast<W>(p[label]) - 1) * factor;
      if (write == Write::kAdd) own += static_cast<W>(out[label]);
      MapLanes(
          classes, write, out, [&](Lanes<T> v) { return v * factors; }, p);
      out[label] = static_cast<T>(own);
    }
  });
}

}  // namespace parley
