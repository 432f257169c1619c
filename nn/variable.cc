#include "nn/variable.h"

#include <algorithm>

#include "absl/container/flat_hash_set.h"
#include "glog/logging.h"

namespace parley::nn {

Variable Variable::Input(Tensor value) {
  Variable variable;
  variable.node_ = std::make_shared<Node>();
  variable.node_->value = std::move(value);
  return variable;
}

Variable Variable::Parameter(Tensor value) {
  Variable variable = Input(std::move(value));
  variable.node_->wants_gradient = true;
  return variable;
}

Variable Variable::Computed(Tensor value, std::vector<Variable> inputs, BackwardFunction backward) {
  Variable variable = Input(std::move(value));
  variable.node_->wants_gradient = std::any_of(
      inputs.begin(), inputs.end(), [](const Variable& v) { return v.wants_gradient(); });
  if (variable.node_->wants_gradient) {
    variable.node_->inputs = std::move(inputs);
    variable.node_->backward = std::move(backward);
  }
  return variable;
}

const Tensor& Variable::gradient() const {
  AddGradient([&](Write write, const Tensor& gradient) {
    if (write == Write::kReplace) backend()->Fill(0, gradient);
  });
  return node_->gradient;
}

void Variable::Bind(Tensor value, Tensor gradient) {
  CHECK(value.shape() == shape() && gradient.shape() == shape()) << shape().ToString();
  node_->value = std::move(value);
  node_->gradient = std::move(gradient);
  node_->has_gradient = false;
}

// Visits each computed variable after all that were computed from it: the reverse of a depth-first
// post-order.
void Backward(const Variable& loss) {
  CHECK_EQ(loss.value().num_elements(), 1);
  if (!loss.wants_gradient()) return;
  using Node = Variable::Node;
  std::vector<Node*> order;
  absl::flat_hash_set<Node*> seen = {loss.node_.get()};
  std::vector<std::pair<Node*, size_t>> path = {{loss.node_.get(), 0}};
  while (!path.empty()) {
    auto& [node, next] = path.back();
    if (next == node->inputs.size()) {
      order.push_back(node);
      path.pop_back();
      continue;
    }
    Node* const input = node->inputs[next++].node_.get();
    if (input->wants_gradient && seen.insert(input).second) path.emplace_back(input, 0);
  }
  loss.AddGradient([&](Write, const Tensor& gradient) { loss.backend()->Fill(1, gradient); });
  for (auto it = order.rbegin(); it != order.rend(); ++it) {
    Node* const node = *it;
    if (node->backward == nullptr || !node->has_gradient) continue;
    node->backward(node->gradient);
    node->gradient = Tensor();  // its memory serves the next one
    node->has_gradient = false;
  }
}

}  // namespace parley::nn
