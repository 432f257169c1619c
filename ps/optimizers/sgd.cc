#include "ps/optimizers/sgd.h"

#include <immintrin.h>

#include <cstdint>

namespace parley {
namespace {

constexpr size_t kLanes = 8;  // of float32 in a vector

// As Update's loop, for whole vectors that are written to `out`, aligned, around the caches.
void Stream(float learning_rate, const float* g, const float* p, size_t size, float* out) {
  const __m256 rate = _mm256_set1_ps(learning_rate);
  for (size_t i = 0; i < size; i += kLanes) {
    const __m256 change = _mm256_mul_ps(rate, _mm256_loadu_ps(g + i));
    _mm256_stream_ps(out + i, _mm256_sub_ps(_mm256_loadu_ps(p + i), change));
  }
}

class Sgd final : public Optimizer {
 public:
  std::vector<absl::string_view> slot_names() const override { return {}; }

  void Update(const UpdateContext& context, absl::Span<const float> gradient,
              absl::Span<const float> values, absl::Span<float> new_values,
              absl::Span<float* const>) const override {
    const float* __restrict g = gradient.data();
    const float* __restrict p = values.data();
    float* __restrict out = new_values.data();
    const float learning_rate = context.learning_rate;
    size_t begin = 0;
    if (context.around_caches && reinterpret_cast<uintptr_t>(out) % sizeof(__m256) == 0) {
      begin = gradient.size() / kLanes * kLanes;
      Stream(learning_rate, g, p, begin, out);
    }
    for (size_t i = begin; i < gradient.size(); ++i) out[i] = p[i] - learning_rate * g[i];
  }
};

}  // namespace

std::unique_ptr<Optimizer> NewSgd() { return std::make_unique<Sgd>(); }

}  // namespace parley
