#include "nn/layers/residual.h"

#include <utility>

#include "nn/elementwise.h"

namespace parley::nn {
namespace {

class Residual final : public Module {
 public:
  Residual(std::unique_ptr<Module> body, std::unique_ptr<Module> shortcut)
      : body_(std::move(body)), shortcut_(std::move(shortcut)) {}

  Variable Forward(const Variable& x, const ForwardContext& context) override {
    return Add(body_->Forward(x, context),
               shortcut_ == nullptr ? x : shortcut_->Forward(x, context));
  }
  std::vector<Parameter> parameters() const override {
    std::vector<Parameter> all = body_->parameters();
    if (shortcut_ != nullptr) {
      for (Parameter& parameter : shortcut_->parameters()) all.push_back(std::move(parameter));
    }
    return all;
  }

 private:
  const std::unique_ptr<Module> body_;
  const std::unique_ptr<Module> shortcut_;
};

}  // namespace

std::unique_ptr<Module> NewResidual(std::unique_ptr<Module> body,
                                    std::unique_ptr<Module> shortcut) {
  return std::make_unique<Residual>(std::move(body), std::move(shortcut));
}

}  // namespace parley::nn
