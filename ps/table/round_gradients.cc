#include "ps/table/round_gradients.h"

#include <algorithm>

#include "net/table_placement.h"

namespace parley {
namespace {

constexpr size_t kChunkRows = 256;

void Add(size_t width, const float* __restrict in, float* __restrict sum) {
  for (size_t i = 0; i < width; ++i) sum[i] += in[i];
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
    : width_(static_cast<size_t>(width)) {
  size_t total = 0;
  for (const Push& push : pushes) total += push.keys.size();
  keys_.reserve(total);
  gradients_.reserve(total);
  // Open addressing, at most half full: the index of a key, plus one. The lower bits of the mixed
  // key, for the upper ones say where it lives.
  size_t places = 2;
  while (places < total * 2) places *= 2;
  std::vector<uint32_t> index(places, 0);
  std::vector<float*> sums(total, nullptr);  // parallel to keys_: its row of our own, if any
  for (const Push& push : pushes) {
    for (size_t i = 0; i < push.keys.size(); ++i) {
      const uint64_t key = push.keys[i];
      const float* const row = push.rows + (push.places.empty() ? i : push.places[i]) * width_;
      size_t at = MixKey(key) & (places - 1);
      while (index[at] != 0 && keys_[index[at] - 1] != key) at = (at + 1) & (places - 1);
      if (index[at] == 0) {
        keys_.push_back(key);
        gradients_.push_back(row);
        index[at] = static_cast<uint32_t>(keys_.size());
        continue;
      }
      const size_t known = index[at] - 1;
      if (sums[known] == nullptr) {
        sums[known] = NewRow();
        std::copy_n(gradients_[known], width_, sums[known]);
        gradients_[known] = sums[known];
      }
      Add(width_, row, sums[known]);
    }
  }
  if (factor == 1) return;
  for (size_t i = 0; i < keys_.size(); ++i) {
    if (sums[i] == nullptr) sums[i] = NewRow();
    for (size_t j = 0; j < width_; ++j) sums[i][j] = gradients_[i][j] * factor;
    gradients_[i] = sums[i];
  }
}

}  // namespace parley
