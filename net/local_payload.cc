#include "net/local_payload.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>

#include "base/copy_around_caches.h"
#include "base/status.h"

namespace parley {
namespace {

// Below this size what the peer's caches have of the buffer before is little.
constexpr size_t kAroundCaches = size_t{64} << 10;

void AddPiece(SharedArena::Place place, size_t size, std::vector<v1::LocalPiece>* pieces) {
  if (!pieces->empty()) {
    v1::LocalPiece& last = pieces->back();
    if (last.segment() == place.segment && last.offset() + last.size() == place.offset) {
      last.set_size(last.size() + size);
      return;
    }
  }
  v1::LocalPiece& piece = pieces->emplace_back();
  piece.set_segment(place.segment);
  piece.set_offset(place.offset);
  piece.set_size(size);
}

}  // namespace

absl::StatusOr<LocalPayload> PlacePayload(SharedArena* arena, const Payload& payload) {
  LocalPayload result;
  std::vector<SharedArena::Range> ranges;
  ranges.reserve(payload.slices().size());
  for (const Payload::Slice& slice : payload.slices()) ranges.push_back({slice.data, slice.size});
  std::vector<std::optional<SharedArena::Place>> places = arena->FindAll(ranges);
  size_t outside = 0;
  for (size_t i = 0; i < places.size(); ++i) {
    if (!places[i].has_value()) outside += ranges[i].size;
  }
  std::shared_ptr<std::byte> copy;
  SharedArena::Place copied = {};  // where the next copy is
  if (outside > 0) {
    PARLEY_ASSIGN_OR_RETURN(copy, arena->Allocate(outside));
    result.held.Append(copy.get(), outside, copy);
    copied = *arena->Find(copy.get(), outside);
  }
  std::byte* next = copy.get();
  for (size_t i = 0; i < places.size(); ++i) {
    const Payload::Slice& slice = payload.slices()[i];
    if (places[i].has_value()) {
      result.held.Append(slice.data, slice.size, slice.owner);
    } else {
      if (outside >= kAroundCaches) {
        CopyAroundCaches(slice.data, slice.size, next);
      } else {
        std::memcpy(next, slice.data, slice.size);
      }
      places[i] = copied;
      next += slice.size;
      copied.offset += slice.size;
    }
    AddPiece(*places[i], slice.size, &result.pieces);
  }
  for (const v1::LocalPiece& piece : result.pieces) {
    arena->UseHugePages({piece.segment(), piece.offset()}, piece.size());
  }
  return result;
}

absl::StatusOr<Payload> ResolvePayload(
    const PeerSegments& segments, const google::protobuf::RepeatedPtrField<v1::LocalPiece>& pieces,
    const std::shared_ptr<const void>& reading) {
  using Both = std::pair<std::shared_ptr<const void>, std::shared_ptr<const void>>;
  Payload payload;
  std::shared_ptr<const void> owner;  // of the piece's mapping and `reading`
  uint32_t owned = 0;
  for (const v1::LocalPiece& piece : pieces) {
    PARLEY_ASSIGN_OR_RETURN(const PeerSegments::Piece found,
                            segments.Resolve(piece.segment(), piece.offset(), piece.size()));
    if (owner == nullptr || owned != piece.segment()) {
      owner = std::make_shared<Both>(found.mapping, reading);
      owned = piece.segment();
    }
    payload.Append(found.data, piece.size(), owner);
  }
  return payload;
}

void AnnouncedSegments::Announce(const SharedArena& arena,
                                 const std::vector<v1::LocalPiece>& pieces,
                                 LocalConnection* connection) {
  uint32_t needed = announced_;
  for (const v1::LocalPiece& piece : pieces) needed = std::max(needed, piece.segment() + 1);
  for (; announced_ < needed; ++announced_) {
    const SharedArena::Segment segment = arena.SegmentAt(announced_);
    v1::LocalFrame frame;
    frame.mutable_segment()->set_segment(announced_);
    frame.mutable_segment()->set_size(segment.size);
    connection->Send(frame, segment.fd);
  }
}

}  // namespace parley
