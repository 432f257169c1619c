#include "tensor/testing/reference.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "base/philox.h"

namespace parley::reference {
namespace {

// The place of each dimension of element `flat`.
std::vector<int64_t> IndexOf(const Shape& shape, int64_t flat) {
  std::vector<int64_t> index(shape.rank());
  for (size_t axis = shape.rank(); axis-- > 0; flat /= shape[axis])
    index[axis] = flat % shape[axis];
  return index;
}

int64_t FlatOf(const Shape& shape, const std::vector<int64_t>& index) {
  int64_t flat = 0;
  for (size_t axis = 0; axis < shape.rank(); ++axis) flat = flat * shape[axis] + index[axis];
  return flat;
}

// Where element `index` of a result finds itself in an operand of `shape` that is broadcast to it.
int64_t BroadcastFlat(const Shape& shape, const std::vector<int64_t>& index) {
  std::vector<int64_t> own(index.end() - static_cast<int64_t>(shape.rank()), index.end());
  for (size_t axis = 0; axis < shape.rank(); ++axis) {
    if (shape[axis] == 1) own[axis] = 0;
  }
  return FlatOf(shape, own);
}

Shape WithoutLast(const Shape& shape) {
  std::vector<int64_t> dimensions = shape.ToVector();
  dimensions.pop_back();
  return Shape(dimensions);
}

double NormalCdf(double x) { return std::erfc(-x * std::sqrt(0.5)) / 2; }

}  // namespace

double Array::Largest() const {
  double largest = 0;
  for (const double value : values) largest = std::max(largest, std::fabs(value));
  return largest;
}

double UnitRoundoff(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return 0x1p-24;
    case DType::kBFloat16:
      return 0x1p-8;
    case DType::kFloat16:
      return 0x1p-11;
    default:
      return 0x1p-53;
  }
}

double RoundTo(DType dtype, double value) {
  if (dtype == DType::kFloat64 || value == 0 || !std::isfinite(value)) return value;
  const int bits = 1 - std::ilogb(UnitRoundoff(dtype)) - 1;  // of the significand
  const int lowest = dtype == DType::kFloat16 ? -14 : -126;  // exponent of normal numbers
  const int highest = dtype == DType::kFloat16 ? 15 : 127;
  const int exponent = std::max(std::ilogb(value), lowest) - bits + 1;
  const double rounded = std::ldexp(std::nearbyint(std::ldexp(value, -exponent)), exponent);
  if (std::fabs(rounded) < std::ldexp(1.0, highest + 1)) return rounded;
  return std::copysign(std::numeric_limits<double>::infinity(), value);
}

Array Map(const Array& x, const std::function<double(double)>& function) {
  Array y = x;
  for (double& value : y.values) value = function(value);
  return y;
}

double Unary(UnaryOp op, double x) {
  switch (op) {
    case UnaryOp::kRelu:
      return std::isnan(x) || x > 0 ? x : 0;
    case UnaryOp::kSigmoid:
      return 1 / (1 + std::exp(-x));
    case UnaryOp::kTanh:
      return std::tanh(x);
    case UnaryOp::kGelu:
      return x * NormalCdf(x);
    case UnaryOp::kExp:
      return std::exp(x);
    case UnaryOp::kLog:
      return std::log(x);
    case UnaryOp::kSqrt:
      return std::sqrt(x);
    case UnaryOp::kSquare:
      return x * x;
    case UnaryOp::kSoftplus:
      return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x));
  }
  return 0;
}

double UnaryDerivative(UnaryOp op, double known) {
  switch (op) {
    case UnaryOp::kRelu:
      return known > 0 ? 1 : 0;
    case UnaryOp::kSigmoid:
      return known * (1 - known);
    case UnaryOp::kTanh:
      return 1 - known * known;
    case UnaryOp::kGelu:
      return NormalCdf(known) + known * std::exp(-known * known / 2) / std::sqrt(2 * M_PI);
    case UnaryOp::kExp:
      return known;
    case UnaryOp::kLog:
      return 1 / known;
    case UnaryOp::kSqrt:
      return 1 / (2 * known);
    case UnaryOp::kSquare:
      return 2 * known;
    case UnaryOp::kSoftplus:
      return 1 / (1 + std::exp(-known));
  }
  return 0;
}

Shape BroadcastShape(const Shape& a, const Shape& b) {
  std::vector<int64_t> shape(std::max(a.rank(), b.rank()));
  for (size_t i = 1; i <= shape.size(); ++i) {
    const int64_t da = i <= a.rank() ? a[a.rank() - i] : 1;
    const int64_t db = i <= b.rank() ? b[b.rank() - i] : 1;
    shape[shape.size() - i] = da == 1 ? db : da;
  }
  return Shape(shape);
}

Array Binary(BinaryOp op, const Array& a, const Array& b) {
  Array out(BroadcastShape(a.shape, b.shape));
  for (int64_t i = 0; i < out.shape.num_elements(); ++i) {
    const std::vector<int64_t> index = IndexOf(out.shape, i);
    const double x = a.values[BroadcastFlat(a.shape, index)];
    const double y = b.values[BroadcastFlat(b.shape, index)];
    switch (op) {
      case BinaryOp::kAdd:
        out.values[i] = x + y;
        break;
      case BinaryOp::kSubtract:
        out.values[i] = x - y;
        break;
      case BinaryOp::kMultiply:
        out.values[i] = x * y;
        break;
      case BinaryOp::kDivide:
        out.values[i] = x / y;
        break;
    }
  }
  return out;
}

Array Reduce(Reduction reduction, const Array& x, const Shape& shape) {
  Array out(shape, reduction == Reduction::kSum ? 0 : -std::numeric_limits<double>::infinity());
  for (int64_t i = 0; i < x.shape.num_elements(); ++i) {
    double& to = out.values[BroadcastFlat(shape, IndexOf(x.shape, i))];
    to = reduction == Reduction::kSum ? to + x.values[i] : std::max(to, x.values[i]);
  }
  return out;
}

Array MatMul(double scale, const Array& a, bool transpose_a, const Array& b, bool transpose_b) {
  const size_t rank = a.shape.rank();
  const int64_t a_rows = a.shape[rank - 2], a_columns = a.shape[rank - 1];
  const int64_t b_rows = b.shape[rank - 2], b_columns = b.shape[rank - 1];
  const int64_t m = transpose_a ? a_columns : a_rows, inner = transpose_a ? a_rows : a_columns;
  const int64_t n = transpose_b ? b_rows : b_columns;
  std::vector<int64_t> dimensions = a.shape.ToVector();
  dimensions[rank - 2] = m;
  dimensions[rank - 1] = n;
  Array out{Shape(dimensions)};
  for (int64_t at = 0; at < out.shape.num_elements(); ++at) {
    const int64_t matrix = at / (m * n), i = at / n % m, j = at % n;
    double sum = 0;
    for (int64_t k = 0; k < inner; ++k) {
      sum += a.values[matrix * m * inner + (transpose_a ? k * m + i : i * inner + k)] *
             b.values[matrix * inner * n + (transpose_b ? j * inner + k : k * n + j)];
    }
    out.values[at] = scale * sum;
  }
  return out;
}

Array Permute(const Array& x, const std::vector<int>& axes) {
  std::vector<int64_t> dimensions(axes.size());
  for (size_t d = 0; d < axes.size(); ++d) dimensions[d] = x.shape[axes[d]];
  Array out{Shape(dimensions)};
  for (int64_t i = 0; i < out.shape.num_elements(); ++i) {
    const std::vector<int64_t> index = IndexOf(out.shape, i);
    std::vector<int64_t> from(axes.size());
    for (size_t d = 0; d < axes.size(); ++d) from[axes[d]] = index[d];
    out.values[i] = x.values[FlatOf(x.shape, from)];
  }
  return out;
}

Array ReadSlice(const Array& x, const std::vector<int64_t>& begin, const Shape& shape) {
  Array out(shape);
  for (int64_t i = 0; i < shape.num_elements(); ++i) {
    std::vector<int64_t> index = IndexOf(shape, i);
    for (size_t d = 0; d < index.size(); ++d) index[d] += begin[d];
    out.values[i] = x.values[FlatOf(x.shape, index)];
  }
  return out;
}

Array WriteSlice(const Array& x, const std::vector<int64_t>& begin, Write write, Array out) {
  for (int64_t i = 0; i < x.shape.num_elements(); ++i) {
    std::vector<int64_t> index = IndexOf(x.shape, i);
    for (size_t d = 0; d < index.size(); ++d) index[d] += begin[d];
    double& to = out.values[FlatOf(out.shape, index)];
    to = write == Write::kAdd ? to + x.values[i] : x.values[i];
  }
  return out;
}

Array GatherRows(const Array& table, const Array& indices) {
  std::vector<int64_t> dimensions = indices.shape.ToVector();
  dimensions.push_back(table.columns());
  Array out{Shape(dimensions)};
  for (size_t i = 0; i < out.values.size(); ++i) {
    const auto row = static_cast<int64_t>(indices.values[i / table.columns()]);
    out.values[i] = table.values[row * table.columns() + i % table.columns()];
  }
  return out;
}

Array ScatterAddRows(const Array& rows, const Array& indices, const Shape& table) {
  Array out(table);
  for (size_t i = 0; i < rows.values.size(); ++i) {
    const auto row = static_cast<int64_t>(indices.values[i / table.back()]);
    out.values[row * table.back() + i % table.back()] += rows.values[i];
  }
  return out;
}

Array Softmax(const Array& x, bool causal) {
  Array y(x.shape);
  for (int64_t row = 0; x.columns() > 0 && row < x.shape.rows(); ++row) {
    const double* in = x.values.data() + row * x.columns();
    double* out = y.values.data() + row * x.columns();
    int64_t seen = x.columns();
    if (causal) seen = std::min(seen, row % x.shape[x.shape.rank() - 2] + 1);
    const double largest = *std::max_element(in, in + seen);
    double sum = 0;
    for (int64_t j = 0; j < seen; ++j) sum += std::exp(in[j] - largest);
    for (int64_t j = 0; j < seen; ++j) out[j] = std::exp(in[j] - largest) / sum;
  }
  return y;
}

Array SoftmaxGradient(const Array& y, const Array& dy) {
  Array dx(y.shape);
  for (size_t i = 0; i < y.values.size(); ++i) {
    const size_t begin = i / y.columns() * y.columns();
    double dot = 0;
    for (int64_t j = 0; j < y.columns(); ++j) dot += y.values[begin + j] * dy.values[begin + j];
    dx.values[i] = y.values[i] * (dy.values[i] - dot);
  }
  return dx;
}

Array LogSoftmax(const Array& x) {
  Array y(x.shape);
  for (size_t begin = 0; begin < x.values.size(); begin += x.columns()) {
    const double* in = x.values.data() + begin;
    const double largest = *std::max_element(in, in + x.columns());
    double sum = 0;
    for (int64_t j = 0; j < x.columns(); ++j) sum += std::exp(in[j] - largest);
    for (int64_t j = 0; j < x.columns(); ++j) y.values[begin + j] = in[j] - largest - std::log(sum);
  }
  return y;
}

Array LogSoftmaxGradient(const Array& y, const Array& dy) {
  Array dx(y.shape);
  for (size_t i = 0; i < y.values.size(); ++i) {
    const size_t begin = i / y.columns() * y.columns();
    double sum = 0;
    for (int64_t j = 0; j < y.columns(); ++j) sum += dy.values[begin + j];
    dx.values[i] = dy.values[i] - std::exp(y.values[i]) * sum;
  }
  return dx;
}

Moments RowMoments(const Array& x) {
  const Array as_columns = Permute(
      [&] {
        Array matrix = x;
        matrix.shape = {x.shape.rows(), x.columns()};
        return matrix;
      }(),
      {1, 0});
  Moments moments = ColumnMoments(as_columns);
  moments.mean.shape = moments.variance.shape = WithoutLast(x.shape);
  return moments;
}

Moments ColumnMoments(const Array& x) {
  const Shape vector = {x.columns()};
  const auto rows = static_cast<double>(x.shape.rows());
  Moments moments{Array(vector), Array(vector)};
  for (int64_t j = 0; j < x.columns(); ++j) {
    double &mean = moments.mean.values[j], &variance = moments.variance.values[j];
    for (size_t i = j; i < x.values.size(); i += x.columns()) mean += x.values[i] / rows;
    for (size_t i = j; i < x.values.size(); i += x.columns()) {
      variance += (x.values[i] - mean) * (x.values[i] - mean) / rows;
    }
  }
  return moments;
}

Array Rstd(const Array& variance, double epsilon) {
  return Map(variance, [&](double v) { return 1 / std::sqrt(v + epsilon); });
}

Array Normalised(const Array& x, const Array& mean, const Array& rstd, bool by_row) {
  Array h(x.shape);
  for (size_t i = 0; i < x.values.size(); ++i) {
    const size_t at = by_row ? i / x.columns() : i % x.columns();
    h.values[i] = (x.values[i] - mean.values[at]) * rstd.values[at];
  }
  return h;
}

Array NormGradient(const Array& h, const Array& gamma, const Array& rstd, const Array& dy,
                   bool by_row) {
  const int64_t columns = h.columns();
  const auto group = [&](size_t i) { return by_row ? i / columns : i % columns; };
  const double count = static_cast<double>(by_row ? columns : h.shape.rows());
  std::vector<double> g(h.values.size()), mean_g(rstd.values.size()), mean_gh(rstd.values.size());
  for (size_t i = 0; i < g.size(); ++i) {
    g[i] = dy.values[i] * gamma.values[i % columns];
    mean_g[group(i)] += g[i] / count;
    mean_gh[group(i)] += g[i] * h.values[i] / count;
  }
  Array dx(h.shape);
  for (size_t i = 0; i < g.size(); ++i) {
    dx.values[i] =
        rstd.values[group(i)] * (g[i] - mean_g[group(i)] - h.values[i] * mean_gh[group(i)]);
  }
  return dx;
}

Array Dropout(const Array& x, double rate, uint64_t seed, uint64_t stream) {
  Array y = x;
  for (size_t i = 0; i < y.values.size(); ++i) {
    const double number = static_cast<double>(Philox(seed, stream, i / 4)[i % 4]) * 0x1p-32;
    y.values[i] = number >= rate ? x.values[i] / (1 - rate) : 0;
  }
  return y;
}

Shape ConvolutionShape(const Shape& x, const Shape& filter, const Window& window) {
  return {x[0], window.OutputHeight(x[1]), window.OutputWidth(x[2]), filter[3]};
}

Shape PooledShape(const Shape& x, const Window& window) {
  return {x[0], window.OutputHeight(x[1]), window.OutputWidth(x[2]), x[3]};
}

void ForEachPooled(const Shape& x, const Window& window,
                   const std::function<void(int64_t, int64_t)>& visit) {
  const Shape y = PooledShape(x, window);
  for (int64_t i = 0; i < y.num_elements(); ++i) {
    const std::vector<int64_t> at = IndexOf(y, i);
    for (int64_t k = 0; k < window.height * window.width; ++k) {
      const int64_t row = at[1] * window.stride - window.padding + k / window.width;
      const int64_t column = at[2] * window.stride - window.padding + k % window.width;
      if (row < 0 || row >= x[1] || column < 0 || column >= x[2]) continue;
      visit(FlatOf(x, {at[0], row, column, at[3]}), i);
    }
  }
}

void ForEachProduct(const Shape& x, const Shape& filter, const Window& window,
                    const std::function<void(int64_t, int64_t, int64_t)>& visit) {
  const Shape y = ConvolutionShape(x, filter, window);
  for (int64_t i = 0; i < y.num_elements(); ++i) {
    const std::vector<int64_t> at = IndexOf(y, i);
    for (int64_t k = 0; k < filter[0] * filter[1] * filter[2]; ++k) {
      const std::vector<int64_t> place = IndexOf({filter[0], filter[1], filter[2]}, k);
      const int64_t row = at[1] * window.stride - window.padding + place[0];
      const int64_t column = at[2] * window.stride - window.padding + place[1];
      if (row < 0 || row >= x[1] || column < 0 || column >= x[2]) continue;
      visit(FlatOf(x, {at[0], row, column, place[2]}), k * filter[3] + at[3], i);
    }
  }
}

}  // namespace parley::reference
