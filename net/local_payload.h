#ifndef PARLEY_NET_LOCAL_PAYLOAD_H_
#define PARLEY_NET_LOCAL_PAYLOAD_H_

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "net/local_connection.h"
#include "net/payload.h"
#include "net/shared_arena.h"
#include "proto/local.pb.h"

namespace parley {

// A payload as a peer on this host can find it, and what must be kept while it reads.
struct LocalPayload {
  std::vector<v1::LocalPiece> pieces;
  Payload held;
};

// Where `payload` is in `arena`. Slices outside of it are copied into a buffer there; the others
// are held. Pieces that follow each other are one. RESOURCE_EXHAUSTED when there is no memory for
// the copy. Thread safety: safe from any thread.
absl::StatusOr<LocalPayload> PlacePayload(SharedArena* arena, const Payload& payload);

// The payload that `pieces` of a peer's memory are. Its slices keep the memory mapped, and
// `reading` alive, which tells the peer when the last of them is gone. INVALID_ARGUMENT when a
// piece is not inside a segment. Thread safety: as `segments`.
absl::StatusOr<Payload> ResolvePayload(
    const PeerSegments& segments, const google::protobuf::RepeatedPtrField<v1::LocalPiece>& pieces,
    const std::shared_ptr<const void>& reading);

// Which of an arena's segments the peer of one connection has. Thread safety: none.
class AnnouncedSegments {
 public:
  // Sends what the peer needs to find `pieces`; call it before the frame with them is sent.
  void Announce(const SharedArena& arena, const std::vector<v1::LocalPiece>& pieces,
                LocalConnection* connection);

 private:
  uint32_t announced_ = 0;  // segments below this number
};

}  // namespace parley

#endif  // PARLEY_NET_LOCAL_PAYLOAD_H_
