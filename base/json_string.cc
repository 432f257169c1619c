#include "base/json_string.h"

#include <cstddef>

#include "absl/strings/str_format.h"
#include "base/plain_text.h"

namespace parley {
std::string JsonString(absl::string_view text) {
  std::string json = "\"";
  while (!text.empty()) {
    const size_t size = Utf8CharacterSize(text);
    const char first = text[0];
    if (size == 0) {
      json += "\\ufffd";
    } else if (first == '"' || first == '\\') {
      json += '\\';
      json += first;
    } else if (first == '\n') {
      json += "\\n";
    } else if (first == '\t') {
      json += "\\t";
    } else if (static_cast<unsigned char>(first) < 0x20 || first == 0x7f) {
      json += absl::StrFormat("\\u%04x", static_cast<unsigned char>(first));
    } else {
      json.append(text.data(), size);
    }
    text.remove_prefix(size == 0 ? 1 : size);
  }
  return json + "\"";
}

}  // namespace parley
