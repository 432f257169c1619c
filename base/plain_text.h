#ifndef PARLEY_BASE_PLAIN_TEXT_H_
#define PARLEY_BASE_PLAIN_TEXT_H_

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"

namespace parley {

// The bytes of the UTF-8 character (RFC 3629) that `text`, which is not empty, begins with; 0: it
// begins with none.
size_t Utf8CharacterSize(absl::string_view text);

// `text` as a protobuf string may carry it and a terminal may show it: names of files, and the
// errors that name them, may be any bytes. What is not UTF-8 becomes U+FFFD, a control character
// (C0, DEL, C1) a space, and of a result of more than `most` bytes its beginning is left, up to
// a whole character. Pure; the result of it is left as it is.
std::string PlainText(absl::string_view text, size_t most = std::string::npos);

}  // namespace parley

#endif  // PARLEY_BASE_PLAIN_TEXT_H_
