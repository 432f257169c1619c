#ifndef PARLEY_PS_OPTIMIZERS_NORM_CLIPPED_H_
#define PARLEY_PS_OPTIMIZERS_NORM_CLIPPED_H_

#include <memory>

#include "ps/optimizer.h"

namespace parley {

// `inner`, which needs no norms, with a shorter gradient (Pascanu, Mikolov and Bengio, ICML 2013;
// torch.nn.utils.clip_grad_norm_); no slots of its own. In two halves, of which Prepare only keeps
// the gradient; Update, with |g| over all parameters that are clipped so, is
//   g <- g * min(1, clip_norm / (|g| + 1e-6)), then `inner`
std::unique_ptr<Optimizer> NewNormClipped(float clip_norm, std::unique_ptr<Optimizer> inner);

}  // namespace parley

#endif  // PARLEY_PS_OPTIMIZERS_NORM_CLIPPED_H_
