#include <vector>

#include "base/status.h"
#include "cuda/device_backend.h"
#include "cuda/kernels/binary.h"
#include "cuda/kernels/dropout.h"
#include "cuda/kernels/elementwise.h"
#include "cuda/kernels/reduce.h"
#include "cuda/kernels/rows.h"
#include "cuda/kernels/strided_copy.h"
#include "glog/logging.h"

// DeviceBackend's operations on single elements, their sums, and parts of tensors.

namespace parley {
namespace {

std::vector<int64_t> ToVector(absl::Span<const int64_t> values) {
  return {values.begin(), values.end()};
}

// Of a table [rows, width].
int64_t WidthOf(const Tensor& table) {
  CHECK(table.shape().rank() == 2);
  return table.shape()[1];
}

}  // namespace

void DeviceBackend::Fill(double value, const Tensor& out) {
  Enqueue("Fill", {}, {&out}, [&](Context& context) {
    return Launched(
        LaunchFill(value, out.As<void>(), out.num_elements(), out.dtype(), context.compute()));
  });
}

void DeviceBackend::Cast(const Tensor& x, Write write, const Tensor& out) {
  CHECK_EQ(x.num_elements(), out.num_elements());
  Enqueue("Cast", {&x}, {&out}, [&](Context& context) {
    return Launched(LaunchCast(x.As<void>(), x.dtype(), x.num_elements(), write, out.As<void>(),
                               out.dtype(), context.compute()));
  });
}

void DeviceBackend::Affine(double scale, const Tensor& x, double shift, Write write,
                           const Tensor& out) {
  CHECK(x.num_elements() == out.num_elements() && x.dtype() == out.dtype());
  Enqueue("Affine", {&x}, {&out}, [&](Context& context) {
    return Launched(LaunchAffine(scale, x.As<void>(), shift, x.num_elements(), x.dtype(), write,
                                 out.As<void>(), context.compute()));
  });
}

void DeviceBackend::Unary(UnaryOp op, const Tensor& x, const Tensor& y) {
  CHECK(x.num_elements() == y.num_elements() && x.dtype() == y.dtype());
  Enqueue("Unary", {&x}, {&y}, [&](Context& context) {
    return Launched(LaunchUnary(op, x.As<void>(), x.num_elements(), x.dtype(), y.As<void>(),
                                context.compute()));
  });
}

void DeviceBackend::UnaryGradient(UnaryOp op, const Tensor& x, const Tensor& y, const Tensor& dy,
                                  Write write, const Tensor& dx) {
  const Tensor& needed = GradientNeedsInput(op) ? x : y;
  CHECK(needed.num_elements() == dy.num_elements() && needed.dtype() == dy.dtype());
  CHECK(dx.num_elements() == dy.num_elements() && dx.dtype() == dy.dtype());
  Enqueue("UnaryGradient", {&needed, &dy}, {&dx}, [&](Context& context) {
    return Launched(LaunchUnaryGradient(op, x.As<void>(), y.As<void>(), dy.As<void>(),
                                        dy.num_elements(), dy.dtype(), write, dx.As<void>(),
                                        context.compute()));
  });
}

void DeviceBackend::Binary(BinaryOp op, const Tensor& a, const Tensor& b, Write write,
                           const Tensor& out) {
  CHECK(a.dtype() == out.dtype() && b.dtype() == out.dtype());
  Enqueue("Binary", {&a, &b}, {&out}, [&](Context& context) {
    return Launched(LaunchBinary(op, a.As<void>(), a.shape().ToVector(), b.As<void>(),
                                 b.shape().ToVector(), out.dtype(), write, out.As<void>(),
                                 out.shape().ToVector(), context.compute()));
  });
}

void DeviceBackend::Reduce(Reduction reduction, const Tensor& x, Write write, const Tensor& out) {
  CHECK(x.dtype() == out.dtype());
  Enqueue("Reduce", {&x}, {&out}, [&](Context& context) -> absl::Status {
    const Extents from = x.shape().ToVector(), to = out.shape().ToVector();
    PARLEY_ASSIGN_OR_RETURN(const std::shared_ptr<void> scratch,
                            context.memory().Allocate(ReduceScratchBytes(from, to, x.dtype())));
    return Launched(LaunchReduce(reduction, x.As<void>(), from, x.dtype(), write, out.As<void>(),
                                 to, scratch.get(), context.compute()));
  });
}

void DeviceBackend::Permute(const Tensor& x, absl::Span<const int> axes, Write write,
                            const Tensor& out) {
  CHECK(axes.size() == x.shape().rank() && x.num_elements() == out.num_elements());
  CHECK(x.dtype() == out.dtype());
  Enqueue("Permute", {&x}, {&out}, [&](Context& context) {
    return Launched(LaunchPermute(x.As<void>(), x.shape().ToVector(), {axes.begin(), axes.end()},
                                  x.dtype(), write, out.As<void>(), context.compute()));
  });
}

void DeviceBackend::ReadSlice(const Tensor& x, absl::Span<const int64_t> begin, Write write,
                              const Tensor& out) {
  CHECK(begin.size() == x.shape().rank() && out.shape().rank() == x.shape().rank());
  CHECK(x.dtype() == out.dtype());
  Enqueue("ReadSlice", {&x}, {&out}, [&](Context& context) {
    return Launched(LaunchReadSlice(x.As<void>(), x.shape().ToVector(), ToVector(begin), x.dtype(),
                                    write, out.As<void>(), out.shape().ToVector(),
                                    context.compute()));
  });
}

void DeviceBackend::WriteSlice(const Tensor& x, absl::Span<const int64_t> begin, Write write,
                               const Tensor& out) {
  CHECK(begin.size() == x.shape().rank() && out.shape().rank() == x.shape().rank());
  CHECK(x.dtype() == out.dtype());
  Enqueue("WriteSlice", {&x}, {&out}, [&](Context& context) {
    return Launched(LaunchWriteSlice(x.As<void>(), x.shape().ToVector(), ToVector(begin), x.dtype(),
                                     write, out.As<void>(), out.shape().ToVector(),
                                     context.compute()));
  });
}

void DeviceBackend::GatherRows(const Tensor& table, const Tensor& indices, const Tensor& out) {
  const int64_t width = WidthOf(table);
  CHECK(out.num_elements() == indices.num_elements() * width && out.dtype() == table.dtype());
  Enqueue("GatherRows", {&table, &indices}, {&out}, [&](Context& context) {
    return Launched(LaunchGatherRows(table.As<void>(), table.shape()[0], width, table.dtype(),
                                     indices.As<void>(), indices.dtype(), indices.num_elements(),
                                     out.As<void>(), context.compute()));
  });
}

void DeviceBackend::ScatterAddRows(const Tensor& rows, const Tensor& indices, Write write,
                                   const Tensor& dtable) {
  const int64_t width = WidthOf(dtable), count = indices.num_elements();
  CHECK(rows.num_elements() == count * width && rows.dtype() == dtable.dtype());
  Enqueue("ScatterAddRows", {&rows, &indices}, {&dtable}, [&](Context& context) -> absl::Status {
    size_t scratch_bytes = 0;
    PARLEY_RETURN_IF_ERROR(Launched(ScatterAddRowsScratchBytes(count, &scratch_bytes)));
    PARLEY_ASSIGN_OR_RETURN(const std::shared_ptr<void> scratch,
                            context.memory().Allocate(scratch_bytes));
    return Launched(LaunchScatterAddRows(rows.As<void>(), indices.As<void>(), indices.dtype(),
                                         count, dtable.dtype(), write, dtable.As<void>(),
                                         dtable.shape()[0], width, scratch.get(), scratch_bytes,
                                         context.compute()));
  });
}

void DeviceBackend::Dropout(const Tensor& x, double rate, uint64_t seed, uint64_t stream,
                            Write write, const Tensor& y) {
  CHECK(x.num_elements() == y.num_elements() && x.dtype() == y.dtype());
  CHECK(rate >= 0 && rate < 1) << rate;
  Enqueue("Dropout", {&x}, {&y}, [&](Context& context) {
    return Launched(LaunchDropout(x.As<void>(), rate, seed, stream, x.num_elements(), x.dtype(),
                                  write, y.As<void>(), context.compute()));
  });
}

}  // namespace parley
