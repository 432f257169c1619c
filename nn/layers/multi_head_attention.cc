#include "nn/layers/multi_head_attention.h"

#include <cmath>

#include "glog/logging.h"
#include "nn/layers/dense.h"
#include "nn/layout.h"
#include "nn/matrix.h"
#include "nn/softmax.h"

namespace parley::nn {
namespace {

class MultiHeadAttention final : public Module {
 public:
  MultiHeadAttention(Backend* backend, const std::string& name, int64_t width, int64_t heads,
                     bool causal)
      : width_(width), heads_(heads), causal_(causal) {
    CHECK(heads > 0 && width % heads == 0) << name << ": " << heads << " heads, width " << width;
    const auto make = [&](const char* what) {
      return NewDense(backend, name + "/" + what, width, width,
                      Initializer::GlorotUniform(width, width));
    };
    query_ = make("query");
    key_ = make("key");
    value_ = make("value");
    output_ = make("output");
  }

  Variable Forward(const Variable& x, const ForwardContext& context) override {
    const int64_t batch = x.shape()[0];
    const int64_t time = x.shape()[1];
    const int64_t size = width_ / heads_;
    // [batch, time, width] -> [batch, heads, time, size]
    const auto project = [&](Module* dense) {
      return Permute(Reshape(dense->Forward(x, context), {batch, time, heads_, size}),
                     {0, 2, 1, 3});
    };
    const Variable query = project(query_.get());
    const Variable key = project(key_.get());
    const Variable value = project(value_.get());
    const Variable scores =
        BatchMatMul(query, false, key, true, 1 / std::sqrt(static_cast<double>(size)));
    const Variable mixed =
        BatchMatMul(causal_ ? CausalSoftmax(scores) : Softmax(scores), false, value, false);
    return output_->Forward(Reshape(Permute(mixed, {0, 2, 1, 3}), {batch, time, width_}), context);
  }

  std::vector<Parameter> parameters() const override {
    std::vector<Parameter> all;
    for (const auto* dense : {&query_, &key_, &value_, &output_}) {
      for (Parameter& parameter : (*dense)->parameters()) all.push_back(std::move(parameter));
    }
    return all;
  }

 private:
  const int64_t width_;
  const int64_t heads_;
  const bool causal_;
  std::unique_ptr<Module> query_;
  std::unique_ptr<Module> key_;
  std::unique_ptr<Module> value_;
  std::unique_ptr<Module> output_;
};

}  // namespace

std::unique_ptr<Module> NewMultiHeadAttention(Backend* backend, const std::string& name,
                                              int64_t width, int64_t heads, bool causal) {
  return std::make_unique<MultiHeadAttention>(backend, name, width, heads, causal);
}

}  // namespace parley::nn
