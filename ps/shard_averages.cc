// How a Shard answers a pull of moving averages (PushPullRequest.average).

#include <atomic>
#include <utility>
#include <vector>

#include "ps/shard.h"

namespace parley {

// Averages stand in slots, which only a block's owner thread may read: each owner copies those of
// its blocks, behind the rounds scheduled by now, and the last one answers.
void Shard::AnswerAverages(Declared* declared, const ShardState::Answer& answer,
                           const std::vector<size_t>& pulls, v1::DType dtype,
                           Done<PushPullReply> done) {
  struct Gathered {
    // A block may be in the middle of a round when the shard is destroyed.
    ~Gathered() {
      if (done) done(absl::UnavailableError("the shard is stopping"));
    }
    PushPullReply reply;
    std::vector<int64_t> versions;
    std::vector<Payload> payloads;
    std::atomic<size_t> missing;
    Done<PushPullReply> done;
  };
  auto gathered = std::make_shared<Gathered>();
  FillTaken(answer, &gathered->reply.response);
  if (pulls.empty()) return done(std::move(gathered->reply));
  gathered->versions.resize(pulls.size());
  gathered->payloads.resize(pulls.size());
  gathered->missing = pulls.size();
  gathered->done = std::move(done);
  for (size_t i = 0; i < pulls.size(); ++i) {
    const auto copy = [this, declared, dtype, gathered, i, block = pulls[i]] {
      const Block& source = *declared->blocks[block];
      const BlockSnapshot snapshot = source.Snapshot();
      const int slot = declared->AverageSlotOf(declared->numbers[block]);
      gathered->versions[i] = snapshot.version;
      if (slot < 0) {
        source.Encode(snapshot, dtype, &gathered->payloads[i]);
      } else {
        source.EncodeSlot(slot, dtype, &gathered->payloads[i]);
      }
      if (gathered->missing.fetch_sub(1, std::memory_order_acq_rel) > 1) return;
      for (size_t j = 0; j < gathered->payloads.size(); ++j) {
        gathered->reply.response.add_version(gathered->versions[j]);
        gathered->reply.payload.Append(std::move(gathered->payloads[j]));
      }
      bytes_pulled_.fetch_add(static_cast<int64_t>(gathered->reply.payload.size()),
                              std::memory_order_relaxed);
      std::exchange(gathered->done, nullptr)(std::move(gathered->reply));
    };
    declared->QueueOf(pulls[i]).Post(
        [this, declared, copy, block = pulls[i]] { RunInTurn(declared, block, copy); });
  }
}

}  // namespace parley
