#ifndef PARLEY_TENSOR_TESTING_REFERENCE_H_
#define PARLEY_TENSOR_TESTING_REFERENCE_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "tensor/dtype.h"
#include "tensor/ops.h"
#include "tensor/shape.h"

// What a Backend's operations (tensor/backend.h) must compute: their definitions, written as
// plainly as can be, in float64. All return new arrays; the caller's arguments must fit. Pure
// functions.
namespace parley::reference {

struct Array {
  Array() = default;
  explicit Array(Shape s, double value = 0)
      : shape(std::move(s)), values(static_cast<size_t>(shape.num_elements()), value) {}

  int64_t columns() const { return shape.back(); }
  double Largest() const;  // absolute value; 0 of none

  Shape shape;
  std::vector<double> values;
};

// The number of the type nearest to `value`, to even from the middle; infinite beyond the largest.
// Floating types only.
double RoundTo(DType dtype, double value);
// Half the distance between 1 and the next number.
double UnitRoundoff(DType dtype);

Array Map(const Array& x, const std::function<double(double)>& function);
double Unary(UnaryOp op, double x);
// From x where GradientNeedsInput(op), else from y.
double UnaryDerivative(UnaryOp op, double known);
Shape BroadcastShape(const Shape& a, const Shape& b);
Array Binary(BinaryOp op, const Array& a, const Array& b);
Array Reduce(Reduction reduction, const Array& x, const Shape& out);

// Of matrices in the last two dimensions, the leading ones of equal sizes.
Array MatMul(double scale, const Array& a, bool transpose_a, const Array& b, bool transpose_b);

Array Permute(const Array& x, const std::vector<int>& axes);
Array ReadSlice(const Array& x, const std::vector<int64_t>& begin, const Shape& shape);
// `out` with x at `begin`, added to what is there where `write` says so.
Array WriteSlice(const Array& x, const std::vector<int64_t>& begin, Write write, Array out);
Array GatherRows(const Array& table, const Array& indices);
Array ScatterAddRows(const Array& rows, const Array& indices, const Shape& table);

Array Softmax(const Array& x, bool causal);
Array SoftmaxGradient(const Array& y, const Array& dy);
Array LogSoftmax(const Array& x);
Array LogSoftmaxGradient(const Array& y, const Array& dy);

// Means and variances of each row, or each column, of x as a matrix of the last dimension.
struct Moments {
  Array mean;
  Array variance;
};
Moments RowMoments(const Array& x);
Moments ColumnMoments(const Array& x);
// 1 / sqrt(variance + epsilon)
Array Rstd(const Array& variance, double epsilon);
// (x - mean) * rstd, the vectors of each row (layer normalisation) or each column (batch).
Array Normalised(const Array& x, const Array& mean, const Array& rstd, bool by_row);
// dx of y = h * gamma where h = (x - mean) * rstd, both functions of x.
Array NormGradient(const Array& h, const Array& gamma, const Array& rstd, const Array& dy,
                   bool by_row);

Array Dropout(const Array& x, double rate, uint64_t seed, uint64_t stream);

// visit(index in x, index in filter, index in y) for each product of a convolution.
void ForEachProduct(const Shape& x, const Shape& filter, const Window& window,
                    const std::function<void(int64_t, int64_t, int64_t)>& visit);
Shape ConvolutionShape(const Shape& x, const Shape& filter, const Window& window);
// visit(index in x, index in y) for each element of each window that is not padding, in order.
void ForEachPooled(const Shape& x, const Window& window,
                   const std::function<void(int64_t, int64_t)>& visit);
Shape PooledShape(const Shape& x, const Window& window);

}  // namespace parley::reference

#endif  // PARLEY_TENSOR_TESTING_REFERENCE_H_
