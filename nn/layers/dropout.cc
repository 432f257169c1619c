#include "nn/layers/dropout.h"

#include "base/philox.h"
#include "nn/elementwise.h"

namespace parley::nn {
namespace {

// FNV-1a, 64 bits.
uint64_t HashOf(const std::string& name) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

class DropoutLayer final : public Module {
 public:
  DropoutLayer(const std::string& name, double rate) : hash_(HashOf(name)), rate_(rate) {}

  Variable Forward(const Variable& x, const ForwardContext& context) override {
    if (!context.training || rate_ == 0) return x;
    return Dropout(x, rate_, PhiloxUint64(context.seed, hash_, 0),
                   static_cast<uint64_t>(context.step));
  }

 private:
  const uint64_t hash_;
  const double rate_;
};

}  // namespace

std::unique_ptr<Module> NewDropout(const std::string& name, double rate) {
  return std::make_unique<DropoutLayer>(name, rate);
}

}  // namespace parley::nn
