#ifndef PARLEY_NN_VARIABLE_H_
#define PARLEY_NN_VARIABLE_H_

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "tensor/backend.h"
#include "tensor/tensor.h"

namespace parley::nn {

// A Variable is a tensor that knows how it was computed, so that Backward can find the gradient of
// a scalar with respect to it (reverse-mode differentiation; Griewank and Walther, 2008, chapter
// 3). Copying one shares it.
//
// A leaf was not computed: a parameter (it wants a gradient) or an input (it does not). A
// parameter's value and gradient can live in memory of someone else, so that nothing is copied
// between a model and whoever sends its gradients.
//
// Thread safety: none; one thread builds a graph and runs it backward. The graph lives as long as a
// Variable computed by it.
class Variable {
 public:
  // What to add to the inputs' gradients, given this variable's own.
  using BackwardFunction = std::function<void(const Tensor& gradient)>;

  Variable() = default;
  // A leaf.
  static Variable Input(Tensor value);
  static Variable Parameter(Tensor value);
  // What an operation made of `inputs`. `backward` runs only when one of them wants a gradient.
  static Variable Computed(Tensor value, std::vector<Variable> inputs, BackwardFunction backward);

  bool defined() const { return node_ != nullptr; }
  const Tensor& value() const { return node_->value; }
  const Shape& shape() const { return node_->value.shape(); }
  Backend* backend() const { return node_->value.backend(); }
  bool wants_gradient() const { return node_->wants_gradient; }

  // The sum of all gradients that came since ClearGradient; zeros when none did.
  const Tensor& gradient() const;
  // Forgets the gradient, at no cost: the next one replaces it.
  void ClearGradient() { node_->has_gradient = false; }

  // Makes a parameter's value and gradient live in these tensors, of its shape. What it held is
  // forgotten.
  void Bind(Tensor value, Tensor gradient);

  // For a backward function: calls accumulate(write, tensor), which puts a gradient of this
  // variable into `tensor` as `write` says. Not called when no gradient is wanted.
  template <typename Accumulate>
  void AddGradient(Accumulate accumulate) const {
    if (!node_->wants_gradient) return;
    if (!node_->gradient.defined()) node_->gradient = Tensor(backend(), shape());
    accumulate(node_->has_gradient ? Write::kAdd : Write::kReplace, node_->gradient);
    node_->has_gradient = true;
  }

 private:
  friend void Backward(const Variable& loss);

  struct Node {
    Tensor value;
    Tensor gradient;
    bool has_gradient = false;
    bool wants_gradient = false;
    std::vector<Variable> inputs;
    BackwardFunction backward;  // none for a leaf
  };

  std::shared_ptr<Node> node_;
};

// Adds the gradient of the one element of `loss` to every parameter that it was computed from.
void Backward(const Variable& loss);

}  // namespace parley::nn

#endif  // PARLEY_NN_VARIABLE_H_
