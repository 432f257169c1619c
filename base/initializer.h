#ifndef PARLEY_BASE_INITIALIZER_H_
#define PARLEY_BASE_INITIALIZER_H_

#include <cstdint>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace parley {

// How a parameter gets its first values. A description, not an action: a shard that holds a middle
// piece of a parameter, or a program without shards, makes the same values from it.
struct Initializer {
  enum class Kind {
    kConstant,  // every element is `a`
    kUniform,   // uniform in [a, b)
    kNormal,    // mean `a`, standard deviation `b`
  };
  Kind kind = Kind::kConstant;
  float a = 0;
  float b = 0;

  static Initializer Zeros() { return {}; }
  static Initializer Constant(float value) { return {Kind::kConstant, value, 0}; }
  static Initializer Uniform(float low, float high) { return {Kind::kUniform, low, high}; }
  static Initializer Normal(float mean, float stddev) { return {Kind::kNormal, mean, stddev}; }
  // Uniform in +-sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio, 2010, equation 16).
  static Initializer GlorotUniform(int64_t fan_in, int64_t fan_out);
  // Normal with variance 2 / fan_in, for layers followed by ReLU (He et al., 2015, equation 10).
  static Initializer HeNormal(int64_t fan_in);

  bool operator==(const Initializer& other) const {
    return kind == other.kind && a == other.a && b == other.b;
  }
};

// Writes elements [offset, offset + values.size()) of the parameter `name` of a job with seed
// `seed`. Each element is a function of (seed, name, its index) alone. Pure; safe from any thread.
void Initialize(const Initializer& initializer, uint64_t seed, absl::string_view name,
                int64_t offset, absl::Span<float> values);

}  // namespace parley

#endif  // PARLEY_BASE_INITIALIZER_H_
