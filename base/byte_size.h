#ifndef PARLEY_BASE_BYTE_SIZE_H_
#define PARLEY_BASE_BYTE_SIZE_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace parley {

// The bytes that `text` names: a positive number, which may have a fraction, and B, KiB, MiB, GiB
// or TiB, like "512MiB" or "1.5GiB". INVALID_ARGUMENT: it names none, or more than 2^62. Safe from
// any thread.
absl::StatusOr<int64_t> ParseByteSize(absl::string_view text);

}  // namespace parley

#endif  // PARLEY_BASE_BYTE_SIZE_H_
