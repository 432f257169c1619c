#ifndef PARLEY_BASE_JSON_STRING_H_
#define PARLEY_BASE_JSON_STRING_H_

#include <string>

#include "absl/strings/string_view.h"

namespace parley {

// `text` as a JSON string, quotes included (RFC 8259). What is not UTF-8 becomes U+FFFD.
std::string JsonString(absl::string_view text);

}  // namespace parley

#endif  // PARLEY_BASE_JSON_STRING_H_
