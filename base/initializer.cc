#include "base/initializer.h"

#include <algorithm>
#include <cmath>

#include "base/philox.h"

namespace parley {
namespace {

// FNV-1a, 64 bits: names the random stream of a parameter.
uint64_t StreamOf(absl::string_view name) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

}  // namespace

Initializer Initializer::GlorotUniform(int64_t fan_in, int64_t fan_out) {
  const float bound = std::sqrt(6.0f / static_cast<float>(std::max<int64_t>(1, fan_in + fan_out)));
  return Uniform(-bound, bound);
}

Initializer Initializer::HeNormal(int64_t fan_in) {
  return Normal(0, std::sqrt(2.0f / static_cast<float>(std::max<int64_t>(1, fan_in))));
}

void Initialize(const Initializer& initializer, uint64_t seed, absl::string_view name,
                int64_t offset, absl::Span<float> values) {
  if (initializer.kind == Initializer::Kind::kConstant) {
    std::fill(values.begin(), values.end(), initializer.a);
    return;
  }
  const uint64_t stream = StreamOf(name);
  const float a = initializer.a;
  const float b = initializer.b;
  for (size_t i = 0; i < values.size(); ++i) {
    const uint64_t index = static_cast<uint64_t>(offset) + i;
    values[i] = initializer.kind == Initializer::Kind::kUniform
                    ? a + (b - a) * PhiloxUniform(seed, stream, index)
                    : a + b * PhiloxNormal(seed, stream, index);
  }
}

}  // namespace parley
