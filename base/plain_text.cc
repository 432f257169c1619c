#include "base/plain_text.h"

#include <cstdint>

namespace parley {
namespace {

constexpr absl::string_view kReplacement = "\xef\xbf\xbd";  // U+FFFD

bool IsControl(absl::string_view character) {
  const unsigned char first = static_cast<unsigned char>(character[0]);
  if (character.size() == 1) return first < 0x20 || first == 0x7f;
  // U+0080 to U+009F.
  return character.size() == 2 && first == 0xc2 && static_cast<unsigned char>(character[1]) < 0xa0;
}

}  // namespace

size_t Utf8CharacterSize(absl::string_view text) {
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

std::string PlainText(absl::string_view text, size_t most) {
  std::string plain;
  while (!text.empty()) {
    const size_t size = Utf8CharacterSize(text);
    absl::string_view character = size == 0 ? kReplacement : text.substr(0, size);
    if (IsControl(character)) character = " ";
    if (character.size() > most - plain.size()) break;
    plain.append(character.data(), character.size());
    text.remove_prefix(size == 0 ? 1 : size);
  }
  return plain;
}

}  // namespace parley
