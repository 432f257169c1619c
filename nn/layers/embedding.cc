#include "nn/layers/embedding.h"

#include "nn/elementwise.h"
#include "nn/layout.h"

namespace parley::nn {
namespace {

class Embedding final : public Module {
 public:
  Embedding(Backend* backend, const std::string& name, int64_t ids, int64_t width,
            const Initializer& initializer)
      : table_{name + "/table", initializer, Variable::Parameter(Tensor(backend, {ids, width}))} {}

  // The rows are cast, not the table: it may be far larger.
  Variable Forward(const Variable& x, const ForwardContext& context) override {
    return Cast(GatherRows(table_.variable, x.value()), context.dtype);
  }
  std::vector<Parameter> parameters() const override { return {table_}; }

 private:
  const Parameter table_;
};

}  // namespace

std::unique_ptr<Module> NewEmbedding(Backend* backend, const std::string& name, int64_t ids,
                                     int64_t width, const Initializer& initializer) {
  return std::make_unique<Embedding>(backend, name, ids, width, initializer);
}

}  // namespace parley::nn
