#ifndef PARLEY_NN_NORMALIZATION_H_
#define PARLEY_NN_NORMALIZATION_H_

#include "nn/variable.h"

namespace parley::nn {

// Differentiable normalisation of x [..., n] of any floating dtype. gamma, beta and the statistics
// are float64 when x is, and float32 for any other x. Variances are over the count, not one less.
// What does not fit is a failed CHECK.

// (x - mean) / sqrt(variance + epsilon) * gamma + beta, with each row's own statistics, over the
// last dimension (Ba et al., 2016); gamma and beta are [n].
Variable LayerNorm(const Variable& x, const Variable& gamma, const Variable& beta, double epsilon);

// Of each of the n channels, over all dimensions but the last: tensors [n].
struct BatchStatistics {
  Tensor mean;
  Tensor variance;
};

// The same with each channel's statistics of this batch (Ioffe and Szegedy, 2015), for training.
// Puts them into `statistics`, unless that is null, to follow for inference; those of an empty
// batch are NaN.
Variable BatchNorm(const Variable& x, const Variable& gamma, const Variable& beta, double epsilon,
                   BatchStatistics* statistics);

// The same with statistics that are given, and constant to the gradient.
Variable BatchNormInference(const Variable& x, const Variable& gamma, const Variable& beta,
                            const BatchStatistics& statistics, double epsilon);

}  // namespace parley::nn

#endif  // PARLEY_NN_NORMALIZATION_H_
