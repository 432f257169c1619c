#ifndef PARLEY_PS_TABLE_ROW_INITIALIZER_H_
#define PARLEY_PS_TABLE_ROW_INITIALIZER_H_

#include <cstdint>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "base/initializer.h"

namespace parley {

// The first values of a table's rows: element i of a row is a function of (seed, table, key, i)
// alone, so that they depend neither on who asks first nor on the shard.
// Thread safety: immutable; safe from any thread.
class RowInitializer {
 public:
  RowInitializer(const Initializer& initializer, uint64_t seed, absl::string_view table);

  // Writes the row's values. Of Philox's four words an even pair makes two normal elements by the
  // Box-Muller transform, or each word makes a uniform one.
  void Fill(uint64_t key, absl::Span<float> values) const;

 private:
  const Initializer initializer_;
  uint64_t stream_;  // of the table
};

}  // namespace parley

#endif  // PARLEY_PS_TABLE_ROW_INITIALIZER_H_
