#ifndef PARLEY_NN_FUNCTIONS_H_
#define PARLEY_NN_FUNCTIONS_H_

// All differentiable functions of variables, by what they work on.

#include "nn/elementwise.h"
#include "nn/images.h"
#include "nn/layout.h"
#include "nn/matrix.h"
#include "nn/normalization.h"
#include "nn/reductions.h"
#include "nn/softmax.h"

#endif  // PARLEY_NN_FUNCTIONS_H_
