#ifndef PARLEY_NN_LAYERS_BATCH_NORM2D_H_
#define PARLEY_NN_LAYERS_BATCH_NORM2D_H_

#include <memory>
#include <string>

#include "nn/module.h"

namespace parley::nn {

struct BatchNormOptions {
  double epsilon = 1e-5;
  // The share of the past in the moving statistics, in [0, 1); PyTorch's momentum is 1 - this.
  double momentum = 0.9;
};

// y = (x - mean) / sqrt(variance + epsilon) * gamma + beta, for x [..., channels] such as images
// (Ioffe and Szegedy, 2015): in training with the batch's statistics of each channel, else with
// those that moved along. Parameters "<name>/gamma", ones, and "<name>/beta", zeros.
//
// "<name>/moving_mean", zeros, and "<name>/moving_variance", ones, are parameters too, `averaged`
// (module.h) by 1 - momentum, so a training step moves them where its gradients are applied: they
// belong to the job, not to a worker. The variance that they follow is over count - 1, unbiased.
std::unique_ptr<Module> NewBatchNorm2d(Backend* backend, const std::string& name, int64_t channels,
                                       const BatchNormOptions& options = {});

}  // namespace parley::nn

#endif  // PARLEY_NN_LAYERS_BATCH_NORM2D_H_
