#ifndef PARLEY_NET_GRPC_METADATA_H_
#define PARLEY_NET_GRPC_METADATA_H_

namespace parley {

// GrpcServer adds this trailing metadata to every error that it or its ParameterServer made. An
// error without it was made by gRPC on the way, so its message does not name the task and
// NewGrpcChannel adds the name.
inline constexpr char kOriginKey[] = "parley-origin";
inline constexpr char kOriginTask[] = "task";

}  // namespace parley

#endif  // PARLEY_NET_GRPC_METADATA_H_
