#ifndef PARLEY_NN_VARIABLE_H_
#define PARLEY_NN_VARIABLE_H_

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "tensor/backend.h"
#include "tensor/tensor.h"

namespace parley::nn {

struct GradientNode;  // variable.cc

// A GradientSink is where the gradient of one variable gathers: what a backward function keeps of
// an input, so that the input's value, unless the gradient needs it, is freed. A value; copies are
// of the same variable.
class GradientSink {
 public:
  GradientSink() = default;
  explicit GradientSink(std::shared_ptr<GradientNode> node) : node_(std::move(node)) {}

  bool wanted() const { return node_ != nullptr; }
  // The variable's; only of one that is wanted.
  const Shape& shape() const;

  // Calls accumulate(write, tensor), which puts a gradient of the variable into `tensor` as `write`
  // says. Not called when none is wanted.
  template <typename Accumulate>
  void Add(Accumulate accumulate) const {
    if (!wanted()) return;
    const Write write = Begin();
    accumulate(write, gradient());
  }

  // Adds `gradient`, which has as many elements as the variable and its dtype. It may be kept
  // instead of copied, so nobody may write to it afterwards: a backward function passes on what it
  // was given, or made.
  void Pass(const Tensor& gradient) const;

 private:
  // Makes the gradient's tensor one that may be written to, and says how.
  Write Begin() const;
  const Tensor& gradient() const;

  std::shared_ptr<GradientNode> node_;
};

// A Variable is a tensor that knows how it was computed, so that Backward can find the gradient of
// a scalar with respect to it (reverse-mode differentiation; Griewank and Walther, 2008, chapter
// 3). Copying one shares it. Its dtype is any floating one, and its gradient has the same.
//
// A leaf was not computed: a parameter (it wants a gradient) or an input (it does not). A
// parameter's value and gradient can live in memory of someone else, so that nothing is copied
// between a model and whoever sends its gradients.
//
// Thread safety: none; one thread builds a graph and runs it backward. The graph lives until it is
// run backward, or the last Variable computed by it goes.
class Variable {
 public:
  // What to add to the inputs' gradients, given this variable's own. It keeps sinks and tensors,
  // no Variables: those would keep values that no gradient needs.
  using BackwardFunction = std::function<void(const Tensor& gradient)>;

  Variable() = default;
  // A leaf.
  static Variable Input(Tensor value);
  static Variable Parameter(Tensor value);
  // What an operation made of `inputs`. `backward` is kept only when one of them wants a gradient,
  // and no NoGradientScope is open.
  static Variable Computed(Tensor value, const std::vector<Variable>& inputs,
                           BackwardFunction backward);

  bool defined() const { return value_ != nullptr; }
  const Tensor& value() const { return *value_; }
  const Shape& shape() const { return value_->shape(); }
  DType dtype() const { return value_->dtype(); }
  Backend* backend() const { return value_->backend(); }
  bool wants_gradient() const { return node_ != nullptr; }
  // The same for all copies of a variable, and for no other one that lives.
  const void* id() const { return value_.get(); }

  // The sum of all gradients that came since ClearGradient; zeros when none did. Of a parameter.
  const Tensor& gradient() const;
  // Forgets the gradient, at no cost: the next one replaces it.
  void ClearGradient();

  // Makes a parameter's value and gradient live in these tensors, of its shape and dtype. What it
  // held is forgotten.
  void Bind(Tensor value, Tensor gradient);

  // For backward functions.
  GradientSink sink() const { return GradientSink(node_); }

 private:
  friend struct GradientNode;

  std::shared_ptr<Tensor> value_;
  std::shared_ptr<GradientNode> node_;  // none when no gradient is wanted
};

// While one lives, what this thread computes wants no gradient, and so keeps nothing for one: for
// evaluation.
class NoGradientScope {
 public:
  NoGradientScope();
  ~NoGradientScope();
  NoGradientScope(const NoGradientScope&) = delete;
  NoGradientScope& operator=(const NoGradientScope&) = delete;
};

struct BackwardOptions {
  // What the loss's gradient begins with: above 1 so that small gradients survive float16 (loss
  // scaling; Micikevicius et al., 2018). All gradients come multiplied by it.
  double scale = 1;
  // Called once for each parameter that the loss was computed from, as soon as its gradient is
  // final: when the last function that used it was run backward. So the parameters of the last
  // layers come first, while the others are yet to be computed. On a device that computes later,
  // what follows on it comes after the gradient (Backend::StartCopyToHost).
  std::function<void(const Variable& parameter)> ready;
};

// Adds the gradient of the one element of `loss` to every parameter that it was computed from.
// Frees what the functions kept as it goes: a graph, and any part of one, runs backward once; a
// second time is a failed CHECK.
void Backward(const Variable& loss, const BackwardOptions& options = {});
inline void Backward(const Variable& loss, std::function<void(const Variable& parameter)> ready) {
  Backward(loss, BackwardOptions{1, std::move(ready)});
}

}  // namespace parley::nn

#endif  // PARLEY_NN_VARIABLE_H_
