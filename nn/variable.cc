#include "nn/variable.h"

#include <cstdint>

#include "absl/container/flat_hash_map.h"
#include "glog/logging.h"

namespace parley::nn {

// The part of a variable that gradients need; its value is elsewhere, so that it can go first.
struct GradientNode {
  using NodePointer = std::shared_ptr<GradientNode>;

  GradientNode(Backend* device, Shape of, DType type)
      : backend(device), shape(std::move(of)), dtype(type) {}
  ~GradientNode() { Release(); }

  bool leaf() const { return value != nullptr; }
  Tensor NewGradient() const { return Tensor(backend, shape, dtype); }

  // Forgets how it was computed. Not by recursion, which would end at the stack's size for a graph
  // of many thousand functions in a row: what only this node keeps is taken apart one by one.
  void Release() {
    // The inputs keep those that the backward function refers to.
    backward = nullptr;
    std::vector<NodePointer> pending = std::move(inputs);
    inputs.clear();
    while (!pending.empty()) {
      const NodePointer node = std::move(pending.back());
      pending.pop_back();
      if (node.use_count() > 1) continue;
      node->backward = nullptr;
      for (NodePointer& input : node->inputs) pending.push_back(std::move(input));
      node->inputs.clear();
    }
  }

  static Variable ToVariable(const NodePointer& leaf) {
    Variable variable;
    variable.value_ = leaf->value;
    variable.node_ = leaf;
    return variable;
  }
  static const NodePointer& Of(const Variable& variable) { return variable.node_; }

  Backend* const backend;
  const Shape shape;
  const DType dtype;
  Tensor gradient;  // of a computed node maybe shared with other nodes, and then not written to
  bool has_gradient = false;
  bool used_up = false;
  std::shared_ptr<Tensor> value;    // a parameter's
  std::vector<NodePointer> inputs;  // those that want a gradient
  Variable::BackwardFunction backward;
};

namespace {

thread_local int open_no_gradient_scopes = 0;

}  // namespace

NoGradientScope::NoGradientScope() { ++open_no_gradient_scopes; }
NoGradientScope::~NoGradientScope() { --open_no_gradient_scopes; }

const Shape& GradientSink::shape() const { return node_->shape; }
const Tensor& GradientSink::gradient() const { return node_->gradient; }

Write GradientSink::Begin() const {
  GradientNode& node = *node_;
  if (!node.gradient.defined()) {
    node.gradient = node.NewGradient();
  } else if (!node.leaf() && !node.gradient.unique()) {
    const Tensor shared = std::move(node.gradient);
    node.gradient = node.NewGradient();
    node.backend->Affine(1, shared, 0, Write::kReplace, node.gradient);
  }
  const Write write = node.has_gradient ? Write::kAdd : Write::kReplace;
  node.has_gradient = true;
  return write;
}

void GradientSink::Pass(const Tensor& gradient) const {
  if (!wanted()) return;
  GradientNode& node = *node_;
  CHECK(gradient.dtype() == node.dtype)
      << NameOf(gradient.dtype()) << " gradient of a " << NameOf(node.dtype) << " variable";
  const Tensor same = gradient.Reshape(node.shape);
  if (!node.leaf() && !node.has_gradient) {
    node.gradient = same;
    node.has_gradient = true;
    return;
  }
  Add([&](Write write, const Tensor& sum) { node.backend->Affine(1, same, 0, write, sum); });
}

Variable Variable::Input(Tensor value) {
  Variable variable;
  variable.value_ = std::make_shared<Tensor>(std::move(value));
  return variable;
}

Variable Variable::Parameter(Tensor value) {
  CHECK(IsFloating(value.dtype())) << "a parameter of " << NameOf(value.dtype());
  Variable variable = Input(std::move(value));
  variable.node_ =
      std::make_shared<GradientNode>(variable.backend(), variable.shape(), variable.dtype());
  variable.node_->value = variable.value_;
  return variable;
}

Variable Variable::Computed(Tensor value, const std::vector<Variable>& inputs,
                            BackwardFunction backward) {
  Variable variable = Input(std::move(value));
  if (open_no_gradient_scopes > 0) return variable;
  for (const Variable& input : inputs) {
    if (!input.wants_gradient()) continue;
    if (variable.node_ == nullptr) {
      variable.node_ =
          std::make_shared<GradientNode>(variable.backend(), variable.shape(), variable.dtype());
    }
    variable.node_->inputs.push_back(input.node_);
  }
  if (variable.node_ != nullptr) variable.node_->backward = std::move(backward);
  return variable;
}

const Tensor& Variable::gradient() const {
  CHECK(wants_gradient()) << "the gradient of an input";
  if (!node_->has_gradient) {
    sink().Add([&](Write, const Tensor& gradient) { backend()->Fill(0, gradient); });
  }
  return node_->gradient;
}

void Variable::ClearGradient() {
  CHECK(wants_gradient()) << "the gradient of an input";
  node_->has_gradient = false;
}

void Variable::Bind(Tensor value, Tensor gradient) {
  CHECK(node_ != nullptr && node_->leaf()) << "only a parameter can be bound";
  CHECK(value.shape() == shape() && gradient.shape() == shape()) << shape().ToString();
  CHECK(value.dtype() == dtype() && gradient.dtype() == dtype()) << NameOf(dtype());
  *value_ = std::move(value);
  node_->gradient = std::move(gradient);
  node_->has_gradient = false;
}

// Visits each computed variable after all that were computed from it: the reverse of a depth-first
// post-order.
void Backward(const Variable& loss, const BackwardOptions& options) {
  CHECK_EQ(loss.value().num_elements(), 1) << "a loss is a scalar, not " << loss.shape().ToString();
  if (!loss.wants_gradient()) return;
  using NodePointer = GradientNode::NodePointer;
  std::vector<NodePointer> order;
  // How often each node is an input of others that have yet to be run.
  absl::flat_hash_map<GradientNode*, int64_t> uses;
  const NodePointer& root = GradientNode::Of(loss);
  std::vector<std::pair<NodePointer, size_t>> path = {{root, 0}};
  uses[root.get()] = 0;
  while (!path.empty()) {
    auto& [node, next] = path.back();
    CHECK(!node->used_up) << "run backward twice, from a loss " << loss.shape().ToString();
    if (next == node->inputs.size()) {
      order.push_back(std::move(node));
      path.pop_back();
      continue;
    }
    const NodePointer& input = node->inputs[next++];
    if (++uses[input.get()] == 1) path.emplace_back(input, 0);
  }
  const Tensor seed(loss.backend(), loss.shape(), loss.dtype());
  loss.backend()->Fill(options.scale, seed);
  loss.sink().Pass(seed);
  if (root->leaf() && options.ready) options.ready(loss);
  for (; !order.empty(); order.pop_back()) {
    const NodePointer node = std::move(order.back());
    if (node->leaf()) continue;
    if (node->has_gradient) node->backward(node->gradient);
    // Its memory serves the next one.
    node->gradient = Tensor();
    node->has_gradient = false;
    node->used_up = true;
    for (const NodePointer& input : node->inputs) {
      if (--uses[input.get()] == 0 && input->leaf() && options.ready) {
        options.ready(GradientNode::ToVariable(input));
      }
    }
    node->Release();
  }
}

}  // namespace parley::nn
