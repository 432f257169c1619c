#include "nn/layers/recurrent.h"

#include <algorithm>
#include <cmath>

#include "nn/elementwise.h"
#include "nn/layout.h"
#include "nn/matrix.h"

namespace parley::nn {
namespace {

Parameter Kernel(Backend* backend, const std::string& name, int64_t rows, int64_t units,
                 int64_t gates) {
  const float bound = 1 / std::sqrt(static_cast<float>(std::max<int64_t>(1, units)));
  return {name, Initializer::Uniform(-bound, bound),
          Variable::Parameter(Tensor(backend, {rows, gates * units}))};
}

Parameter Bias(Backend* backend, const std::string& name, int64_t units, int64_t gates) {
  return {name, Initializer::Zeros(), Variable::Parameter(Tensor(backend, {gates * units}))};
}

Variable Zeros(const Variable& like, const Shape& shape) {
  const Tensor zeros(like.backend(), shape, like.dtype());
  like.backend()->Fill(0, zeros);
  return Variable::Input(zeros);
}

// x [batch, time, n] -> `time` variables [batch, n].
std::vector<Variable> Times(const Variable& x) {
  const Shape& shape = x.shape();
  std::vector<Variable> times = Split(x, 1, std::vector<int64_t>(shape[1], 1));
  for (Variable& each : times) each = Reshape(each, {shape[0], shape[2]});
  return times;
}

// The reverse; [batch, 0, n] of none.
Variable Stack(const std::vector<Variable>& times, const Variable& x, int64_t n) {
  const int64_t batch = x.shape()[0];
  if (times.empty()) return Zeros(x, {batch, 0, n});
  std::vector<Variable> parts;
  for (const Variable& each : times) parts.push_back(Reshape(each, {batch, 1, n}));
  return Concat(parts, 1);
}

class Lstm final : public Module {
 public:
  Lstm(Backend* backend, const std::string& name, int64_t inputs, int64_t units)
      : units_(units),
        kernel_(Kernel(backend, name + "/kernel", inputs, units, 4)),
        recurrent_(Kernel(backend, name + "/recurrent_kernel", units, units, 4)),
        bias_(Bias(backend, name + "/bias", units, 4)) {}

  Variable Forward(const Variable& x, const ForwardContext&) override {
    const Variable recurrent = Cast(recurrent_.variable, x.dtype());
    const Variable projected =
        AddBias(MatMul(x, Cast(kernel_.variable, x.dtype())), Cast(bias_.variable, x.dtype()));
    Variable h;  // not defined: zeros
    Variable c;
    std::vector<Variable> states;
    for (const Variable& input : Times(projected)) {
      const std::vector<Variable> gates =
          Split(h.defined() ? Add(input, MatMul(h, recurrent)) : input, 1,
                {units_, units_, units_, units_});
      const Variable candidate = Multiply(Sigmoid(gates[0]), Tanh(gates[2]));
      c = c.defined() ? Add(Multiply(Sigmoid(gates[1]), c), candidate) : candidate;
      h = Multiply(Sigmoid(gates[3]), Tanh(c));
      states.push_back(h);
    }
    return Stack(states, x, units_);
  }
  std::vector<Parameter> parameters() const override { return {kernel_, recurrent_, bias_}; }

 private:
  const int64_t units_;
  const Parameter kernel_;
  const Parameter recurrent_;
  const Parameter bias_;
};

class Gru final : public Module {
 public:
  Gru(Backend* backend, const std::string& name, int64_t inputs, int64_t units)
      : units_(units),
        kernel_(Kernel(backend, name + "/kernel", inputs, units, 3)),
        recurrent_(Kernel(backend, name + "/recurrent_kernel", units, units, 3)),
        bias_(Bias(backend, name + "/bias", units, 3)),
        recurrent_bias_(Bias(backend, name + "/recurrent_bias", units, 3)) {}

  Variable Forward(const Variable& x, const ForwardContext&) override {
    const Variable recurrent = Cast(recurrent_.variable, x.dtype());
    const Variable recurrent_bias = Cast(recurrent_bias_.variable, x.dtype());
    const Variable projected =
        AddBias(MatMul(x, Cast(kernel_.variable, x.dtype())), Cast(bias_.variable, x.dtype()));
    Variable h = Zeros(x, {x.shape()[0], units_});
    std::vector<Variable> states;
    for (const Variable& input : Times(projected)) {
      // Both gates at once, then the candidate.
      const std::vector<Variable> in = Split(input, 1, {2 * units_, units_});
      const std::vector<Variable> back =
          Split(AddBias(MatMul(h, recurrent), recurrent_bias), 1, {2 * units_, units_});
      const std::vector<Variable> gates = Split(Sigmoid(Add(in[0], back[0])), 1, {units_, units_});
      const Variable candidate = Tanh(Add(in[1], Multiply(gates[0], back[1])));
      // (1 - u) n + u h = n + u (h - n)
      h = Add(candidate, Multiply(gates[1], Subtract(h, candidate)));
      states.push_back(h);
    }
    return Stack(states, x, units_);
  }
  std::vector<Parameter> parameters() const override {
    return {kernel_, recurrent_, bias_, recurrent_bias_};
  }

 private:
  const int64_t units_;
  const Parameter kernel_;
  const Parameter recurrent_;
  const Parameter bias_;
  const Parameter recurrent_bias_;
};

}  // namespace

std::unique_ptr<Module> NewLstm(Backend* backend, const std::string& name, int64_t inputs,
                                int64_t units) {
  return std::make_unique<Lstm>(backend, name, inputs, units);
}

std::unique_ptr<Module> NewGru(Backend* backend, const std::string& name, int64_t inputs,
                               int64_t units) {
  return std::make_unique<Gru>(backend, name, inputs, units);
}

}  // namespace parley::nn
