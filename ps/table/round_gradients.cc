#include "ps/table/round_gradients.h"

#include <algorithm>

namespace parley {
namespace {

constexpr size_t kChunkRows = 256;

void Add(size_t width, const float* __restrict in, float* __restrict sum) {
  for (size_t i = 0; i < width; ++i) sum[i] += in[i];
}

size_t KeysOf(absl::Span<const RoundGradients::Push> pushes) {
  size_t keys = 0;
  for (const RoundGradients::Push& push : pushes) keys += push.keys.size();
  return keys;
}

}  // namespace

float* RoundGradients::NewRow() {
  if (left_ == 0) {
    chunks_.emplace_back(new float[kChunkRows * width_]);
    left_ = kChunkRows;
  }
  --left_;
  return chunks_.back().get() + left_ * width_;
}

RoundGradients::RoundGradients(int width, absl::Span<const Push> pushes, float factor)
    : width_(static_cast<size_t>(width)), keys_(KeysOf(pushes)) {
  gradients_.reserve(KeysOf(pushes));
  std::vector<float*> sums;  // parallel to gradients_: its row of our own, if any
  sums.reserve(KeysOf(pushes));
  for (const Push& push : pushes) {
    for (size_t i = 0; i < push.keys.size(); ++i) {
      const float* const row = push.rows + (push.places.empty() ? i : push.places[i]) * width_;
      const size_t known = keys_.Add(push.keys[i]);
      if (known == gradients_.size()) {
        gradients_.push_back(row);
        sums.push_back(nullptr);
        continue;
      }
      if (sums[known] == nullptr) {
        sums[known] = NewRow();
        std::copy_n(gradients_[known], width_, sums[known]);
        gradients_[known] = sums[known];
      }
      Add(width_, row, sums[known]);
    }
  }
  if (factor == 1) return;
  for (size_t i = 0; i < gradients_.size(); ++i) {
    if (sums[i] == nullptr) sums[i] = NewRow();
    for (size_t j = 0; j < width_; ++j) sums[i][j] = gradients_[i][j] * factor;
    gradients_[i] = sums[i];
  }
}

}  // namespace parley
