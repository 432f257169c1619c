#ifndef PARLEY_BASE_STATUS_H_
#define PARLEY_BASE_STATUS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace parley {

// `status` with "context: " before its message; OK stays OK. Used to say which task, parameter,
// step or file.
absl::Status Annotate(const absl::Status& status, absl::string_view context);

// A Status for a failed system call: "context: <strerror(error_number)>", with the code that fits
// the errno.
absl::Status ErrnoToStatus(int error_number, absl::string_view context);

}  // namespace parley

#define PARLEY_CONCAT_INNER(a, b) a##b
#define PARLEY_CONCAT(a, b) PARLEY_CONCAT_INNER(a, b)

// Returns from the enclosing function when `expr`, a Status, is not OK.
#define PARLEY_RETURN_IF_ERROR(expr)               \
  do {                                             \
    absl::Status parley_status = (expr);           \
    if (!parley_status.ok()) return parley_status; \
  } while (false)

// PARLEY_ASSIGN_OR_RETURN(auto x, F()): x is the value of the StatusOr, or the enclosing function
// returns its error.
#define PARLEY_ASSIGN_OR_RETURN(lhs, expr) \
  PARLEY_ASSIGN_OR_RETURN_INNER(PARLEY_CONCAT(parley_status_or_, __LINE__), lhs, expr)
#define PARLEY_ASSIGN_OR_RETURN_INNER(status_or, lhs, expr)  \
  auto status_or = (expr);                                   \
  if (!status_or.ok()) return std::move(status_or).status(); \
  lhs = std::move(status_or).value()

#endif  // PARLEY_BASE_STATUS_H_
