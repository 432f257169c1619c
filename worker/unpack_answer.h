#ifndef PARLEY_WORKER_UNPACK_ANSWER_H_
#define PARLEY_WORKER_UNPACK_ANSWER_H_

#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "net/parameter_server.h"

namespace parley {

// Copies the values of a PushPull's answer, elements of `dtype`, from the slices of its payload to
// `targets`, those of the request's pulls in order; targets with a size but no place are only
// checked, all or none of them. INTERNAL, with nothing written, when the answer
// is not one to `pushes` pushes and these pulls: a peer's mistake must not become ours. Thread
// safety: pure.
absl::Status UnpackAnswer(int pushes, v1::DType dtype, const ParameterServer::PushPullReply& reply,
                          const std::vector<absl::Span<float>>& targets);

}  // namespace parley

#endif  // PARLEY_WORKER_UNPACK_ANSWER_H_
