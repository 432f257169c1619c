#include "base/json_string.h"

#include <cstddef>
#include <cstdint>

#include "absl/strings/str_format.h"

namespace parley {
namespace {

// Bytes of the UTF-8 character at the beginning of `text`; 0: it is none (RFC 3629).
size_t CharacterSize(absl::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const size_t size = byte(0) < 0x80             ? 1
                      : (byte(0) & 0xe0) == 0xc0 ? 2
                      : (byte(0) & 0xf0) == 0xe0 ? 3
                      : (byte(0) & 0xf8) == 0xf0 ? 4
                                                 : 0;
  if (size == 0 || size > text.size()) return 0;
  if (size == 1) return 1;
  uint32_t code = byte(0) & (0x7f >> size);
  for (size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
    code = (code << 6) | (byte(i) & 0x3f);
  }
  constexpr uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = code >= 0xd800 && code < 0xe000;
  return code < kLeast[size] || code > 0x10ffff || surrogate ? 0 : size;
}

}  // namespace

std::string JsonString(absl::string_view text) {
  std::string json = "\"";
  while (!text.empty()) {
    const size_t size = CharacterSize(text);
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
