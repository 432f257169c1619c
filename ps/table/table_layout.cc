#include "ps/table/table_layout.h"

#include <utility>

#include "base/status.h"
#include "net/job.h"
#include "net/wire_dtype.h"

namespace parley {

absl::StatusOr<TableLayout> TableLayout::Create(const v1::TableSpec& spec, uint64_t seed) {
  PARLEY_ASSIGN_OR_RETURN(std::unique_ptr<RowOptimizer> optimizer,
                          NewRowOptimizer(spec.optimizer(), spec.width()));
  const size_t value_bytes = static_cast<size_t>(spec.width()) * WireBytes(spec.dtype());
  const size_t stamp_offset = (value_bytes + sizeof(float) - 1) / sizeof(float) * sizeof(float);
  const size_t state_offset =
      stamp_offset + (spec.expire_after_rounds() > 0 ? sizeof(uint32_t) : 0);
  const size_t row_bytes =
      state_offset + static_cast<size_t>(optimizer->state_floats()) * sizeof(float);
  RowInitializer initializer(FromProto(spec.initializer()), seed, spec.name());
  return TableLayout{spec.name(),
                     spec.width(),
                     spec.dtype(),
                     static_cast<uint32_t>(spec.virtual_shards()),
                     spec.expire_after_rounds(),
                     static_cast<uint32_t>(spec.admit_after_rounds()),
                     value_bytes,
                     stamp_offset,
                     state_offset,
                     row_bytes,
                     std::move(initializer),
                     std::move(optimizer)};
}

}  // namespace parley
