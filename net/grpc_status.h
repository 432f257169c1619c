#ifndef PARLEY_NET_GRPC_STATUS_H_
#define PARLEY_NET_GRPC_STATUS_H_

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace parley {

// The only place where a Status becomes gRPC's and back. Codes are the same in both; a code that
// this version does not know becomes UNKNOWN. Messages travel in HTTP headers, which are limited,
// so ToGrpcStatus cuts them at 2000 bytes.
grpc::Status ToGrpcStatus(const absl::Status& status);
absl::Status FromGrpcStatus(const grpc::Status& status);

}  // namespace parley

#endif  // PARLEY_NET_GRPC_STATUS_H_
