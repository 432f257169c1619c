#include "worker/local_update.h"

#include <algorithm>
#include <cstddef>

namespace parley {

std::unique_ptr<LocalUpdate> LocalUpdate::Create(const v1::JobSpec& spec) {
  const v1::Policy& policy = spec.policy();
  const auto workers = static_cast<float>(spec.num_workers());
  // The constructor is private.
  const auto make = [](Kind kind, int every, const v1::Optimizer& local, float rate) {
    return std::unique_ptr<LocalUpdate>(new LocalUpdate(kind, every, local, rate));
  };
  switch (policy.kind_case()) {
    case v1::Policy::kLocalSgd:
      return make(Kind::kLocalSgd, policy.local_sgd().every(), policy.local_sgd().local(), 1);
    case v1::Policy::kElasticAveraging: {
      const v1::ElasticAveraging& elastic = policy.elastic_averaging();
      const float rate = elastic.moving_rate() > 0 ? elastic.moving_rate() : 0.9f / workers;
      return make(Kind::kElasticAveraging, elastic.every(), elastic.local(), rate);
    }
    case v1::Policy::kGeo:
      return make(Kind::kGeo, policy.geo().every(), policy.geo().local(), 1 / workers);
    default:
      return nullptr;
  }
}

LocalUpdate::LocalUpdate(Kind kind, int64_t every, const v1::Optimizer& local, float rate)
    : kind_(kind),
      every_(every),
      learning_rate_(local.learning_rate()),
      l2_(local.l2()),
      momentum_(local.momentum().momentum()),
      nesterov_(local.momentum().nesterov()),
      rate_(rate) {}

void LocalUpdate::Start(absl::Span<const absl::Span<float>> values,
                        absl::Span<const absl::Span<float>> gradients) {
  values_.assign(values.begin(), values.end());
  gradients_.assign(gradients.begin(), gradients.end());
  const auto new_array = [&](size_t size) {
    memory_.push_back(NewAlignedBytes(size * sizeof(float)));
    return absl::MakeSpan(reinterpret_cast<float*>(memory_.back().get()), size);
  };
  for (const absl::Span<float> value : values_) {
    shared_.push_back(new_array(value.size()));
    std::copy(value.begin(), value.end(), shared_.back().begin());
    if (momentum_ == 0) continue;
    v_.push_back(new_array(value.size()));
    std::fill(v_.back().begin(), v_.back().end(), 0.0f);
  }
}

void LocalUpdate::Step() {
  for (size_t i = 0; i < values_.size(); ++i) {
    float* __restrict x = values_[i].data();
    const float* __restrict gradient = gradients_[i].data();
    const size_t size = values_[i].size();
    if (v_.empty()) {
      for (size_t j = 0; j < size; ++j) {
        const float g = gradient[j] + l2_ * x[j];
        x[j] = x[j] - learning_rate_ * g;
      }
      continue;
    }
    float* __restrict v = v_[i].data();
    for (size_t j = 0; j < size; ++j) {
      const float g = gradient[j] + l2_ * x[j];
      v[j] = momentum_ * v[j] + g;
      x[j] = x[j] - learning_rate_ * (nesterov_ ? g + momentum_ * v[j] : v[j]);
    }
  }
}

void LocalUpdate::MakeDifference() {
  for (size_t i = 0; i < values_.size(); ++i) {
    float* __restrict x = values_[i].data();
    float* __restrict pushed = gradients_[i].data();
    float* __restrict shared = shared_[i].data();
    const size_t size = values_[i].size();
    switch (kind_) {
      case Kind::kLocalSgd:
        for (size_t j = 0; j < size; ++j) pushed[j] = shared[j] - x[j];
        break;
      case Kind::kElasticAveraging:
        for (size_t j = 0; j < size; ++j) {
          pushed[j] = rate_ * (shared[j] - x[j]);
          x[j] = x[j] + pushed[j];
          shared[j] = shared[j] - pushed[j];
        }
        break;
      case Kind::kGeo:
        // shared becomes b; as the pull overwrites it, x - b waits in x for the newest x~.
        for (size_t j = 0; j < size; ++j) {
          pushed[j] = rate_ * (shared[j] - x[j]);
          shared[j] = shared[j] - pushed[j];
          x[j] = x[j] - shared[j];
        }
        break;
    }
  }
}

void LocalUpdate::TakeShared() {
  for (size_t i = 0; i < values_.size(); ++i) {
    float* __restrict x = values_[i].data();
    const float* __restrict shared = shared_[i].data();
    const size_t size = values_[i].size();
    switch (kind_) {
      case Kind::kLocalSgd:
        for (size_t j = 0; j < size; ++j) x[j] = shared[j];
        break;
      case Kind::kGeo:
        for (size_t j = 0; j < size; ++j) x[j] = x[j] + shared[j];
        break;
      case Kind::kElasticAveraging:
        break;  // MakeDifference has moved x already
    }
  }
}

void LocalUpdate::SwapShared() {
  for (size_t i = 0; i < values_.size(); ++i) {
    std::swap_ranges(values_[i].begin(), values_[i].end(), shared_[i].begin());
  }
}

}  // namespace parley
