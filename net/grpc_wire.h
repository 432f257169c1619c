#ifndef PARLEY_NET_GRPC_WIRE_H_
#define PARLEY_NET_GRPC_WIRE_H_

#include <google/protobuf/message_lite.h>
#include <grpcpp/support/byte_buffer.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "net/payload.h"

namespace parley {

// Messages of proto/parameter_server.proto to and from the bytes that gRPC moves, without copying
// their field `bytes payload = 15`, small slices of it aside. The bytes are those that protobuf
// itself would write, so no peer can tell.
//
// Thread safety: pure functions.

// The number of the payload field in every message that has one.
constexpr int kPayloadField = 15;

// `message`, whose payload field is not set, followed by that field with the bytes of `payload` (no
// field when it is empty). Slices of less than 16 KiB are copied; otherwise the buffer's slices
// point at the payload's memory and hold its owners until gRPC has dropped the last slice, which
// can be after the call has ended. INVALID_ARGUMENT when the message is too long for protobuf (2
// GiB).
absl::StatusOr<grpc::ByteBuffer> EncodeMessage(const google::protobuf::MessageLite& message,
                                               const Payload& payload);

// Parses `buffer` into `message`. With `payload`, which must be empty, the payload field is left
// out of `message` and becomes a Payload that shares the buffer's memory and keeps it alive; the
// last one counts when there are several, and fields may stand in any order. INVALID_ARGUMENT when
// the bytes are malformed; both outputs are then unspecified.
absl::Status DecodeMessage(const grpc::ByteBuffer& buffer, google::protobuf::MessageLite* message,
                           Payload* payload);

}  // namespace parley

#endif  // PARLEY_NET_GRPC_WIRE_H_
