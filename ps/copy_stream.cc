#include "ps/copy_stream.h"

#include <future>
#include <utility>

#include "base/random_id.h"
#include "base/status.h"

namespace parley {

CopyStream::CopyStream(Options options) : options_(std::move(options)), stream_(RandomId()) {}

absl::StatusOr<std::unique_ptr<CopyStream>> CopyStream::Begin(Options options, v1::Books books) {
  std::unique_ptr<CopyStream> stream(new CopyStream(std::move(options)));
  ShardRecord begin;
  *begin.record.mutable_begin()->mutable_books() = std::move(books);
  PARLEY_RETURN_IF_ERROR(stream->Send({&begin}));
  return stream;
}

absl::Status CopyStream::Send(const std::vector<const ShardRecord*>& records) {
  // Who sends them again begins with the first of them; the standby knows those that it has.
  for (size_t sent = 0; sent < records.size();) {
    v1::ReplicateRequest request;
    Payload payload;
    request.set_first(next_ + sent);
    do {
      const ShardRecord& record = *records[sent++];
      *request.add_records() = record.record;
      request.add_payload_bytes(record.payload.size());
      payload.Append(record.payload);
    } while (sent < records.size() &&
             payload.size() + records[sent]->payload.size() <= kMessageBytes);
    PARLEY_RETURN_IF_ERROR(Ask(std::move(request), std::move(payload)));
  }
  next_ += records.size();
  return absl::OkStatus();
}

void CopyStream::End() {
  v1::ReplicateRequest request;
  request.set_first(next_);
  request.set_ends(true);
  Ask(std::move(request), Payload()).IgnoreError();
}

absl::Status CopyStream::Ask(v1::ReplicateRequest request, Payload payload) {
  const TraceScope scope(options_.trace.get(), "replicate");
  request.set_shard(options_.shard);
  request.set_adopts(options_.adopts && next_ == 0);
  if (next_ == 0) request.set_table_bytes(options_.table_bytes);
  request.set_term(options_.term);
  request.set_stream(stream_);
  std::promise<absl::StatusOr<v1::ReplicateResponse>> promise;
  options_.standby->Replicate(std::move(request), std::move(payload),
                              [&promise](absl::StatusOr<v1::ReplicateResponse> answer) {
                                promise.set_value(std::move(answer));
                              });
  const absl::StatusOr<v1::ReplicateResponse> answer = promise.get_future().get();
  if (!answer.ok()) return answer.status();
  keeper_ = answer->keeper();
  if (answer->complete()) whole_ = true;
  return absl::OkStatus();
}

}  // namespace parley
