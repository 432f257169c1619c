#include "nn/layers/sequential.h"

#include <utility>

namespace parley::nn {
namespace {

class Sequential final : public Module {
 public:
  explicit Sequential(std::vector<std::unique_ptr<Module>> layers) : layers_(std::move(layers)) {}

  Variable Forward(const Variable& x, const ForwardContext& context) override {
    Variable y = x;
    for (const auto& layer : layers_) y = layer->Forward(y, context);
    return y;
  }
  std::vector<Parameter> parameters() const override {
    std::vector<Parameter> all;
    for (const auto& layer : layers_) {
      for (Parameter& parameter : layer->parameters()) all.push_back(std::move(parameter));
    }
    return all;
  }

 private:
  const std::vector<std::unique_ptr<Module>> layers_;
};

}  // namespace

std::unique_ptr<Module> NewSequential(std::vector<std::unique_ptr<Module>> layers) {
  return std::make_unique<Sequential>(std::move(layers));
}

}  // namespace parley::nn
