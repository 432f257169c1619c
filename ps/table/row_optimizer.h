#ifndef PARLEY_PS_TABLE_ROW_OPTIMIZER_H_
#define PARLEY_PS_TABLE_ROW_OPTIMIZER_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "proto/job.pb.h"

namespace parley {

// How rows of a table are updated; the formulas are in proto/job.proto. Works row by row and
// element by element in float32, without fused multiply-add, so that the bits depend neither on the
// order of rows nor on where they are. Thread safety: immutable; safe from any thread.
class RowOptimizer {
 public:
  // All of the row's, none overlapping another.
  struct Row {
    float* values;          // `width` of them
    float* state;           // state_floats() of them, zeros before the first update
    const float* gradient;  // `width` of them, finite
  };

  virtual ~RowOptimizer() = default;

  // Kept beside each row.
  virtual int state_floats() const = 0;
  // The table's round, from 1, updates these distinct rows.
  virtual void Update(int64_t round, absl::Span<const Row> rows) const = 0;
};

// For rows of `width` > 0 elements. INVALID_ARGUMENT when there is no kind; the numbers are legal
// (net/check_table.h).
absl::StatusOr<std::unique_ptr<RowOptimizer>> NewRowOptimizer(const v1::RowOptimizer& spec,
                                                              int width);

}  // namespace parley

#endif  // PARLEY_PS_TABLE_ROW_OPTIMIZER_H_
