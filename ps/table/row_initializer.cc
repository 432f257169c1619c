#include "ps/table/row_initializer.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/philox.h"

namespace parley {
namespace {

constexpr double kTwoPi = 6.283185307179586;
constexpr size_t kWords = 4;

// FNV-1a, 64 bits.
uint64_t HashOf(absl::string_view name) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

void ToUniform(const std::array<uint32_t, kWords>& words, float a, float b, float* out) {
  for (size_t i = 0; i < kWords; ++i) {
    out[i] = a + (b - a) * (static_cast<float>(words[i] >> 8) * 0x1p-24f);
  }
}

void ToNormal(const std::array<uint32_t, kWords>& words, float a, float b, float* out) {
  for (size_t i = 0; i < kWords; i += 2) {
    // (0, 1], so that the logarithm is finite.
    const double u = (static_cast<double>(words[i]) + 1.0) * 0x1p-32;
    const double angle = kTwoPi * (static_cast<double>(words[i + 1]) * 0x1p-32);
    const double radius = std::sqrt(-2.0 * std::log(u));
    out[i] = a + b * static_cast<float>(radius * std::cos(angle));
    out[i + 1] = a + b * static_cast<float>(radius * std::sin(angle));
  }
}

}  // namespace

RowInitializer::RowInitializer(const Initializer& initializer, uint64_t seed,
                               absl::string_view table)
    : initializer_(initializer), stream_(PhiloxUint64(seed, HashOf(table), 0)) {}

void RowInitializer::Fill(uint64_t key, absl::Span<float> values) const {
  if (initializer_.kind == Initializer::Kind::kConstant) {
    std::fill(values.begin(), values.end(), initializer_.a);
    return;
  }
  for (size_t i = 0; i < values.size(); i += kWords) {
    const std::array<uint32_t, kWords> words = Philox(stream_, key, i / kWords);
    float four[kWords];
    if (initializer_.kind == Initializer::Kind::kUniform) {
      ToUniform(words, initializer_.a, initializer_.b, four);
    } else {
      ToNormal(words, initializer_.a, initializer_.b, four);
    }
    std::copy_n(four, std::min(kWords, values.size() - i), values.begin() + i);
  }
}

}  // namespace parley
