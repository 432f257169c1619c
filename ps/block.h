#ifndef PARLEY_PS_BLOCK_H_
#define PARLEY_PS_BLOCK_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/types/optional.h"
#include "absl/types/span.h"
#include "base/mutex.h"
#include "net/job.h"
#include "net/payload.h"
#include "ps/correction.h"
#include "ps/float_buffer.h"
#include "ps/gradient.h"
#include "ps/optimizer.h"

namespace parley {

// A block's values as they were at one version. Keeps its bytes alive, not the Block.
struct BlockSnapshot {
  std::shared_ptr<const float> values;
  size_t size = 0;       // elements
  int64_t version = 0;   // rounds applied
  bool skipped = false;  // the last of them changed nothing

  absl::Span<const float> span() const { return {values.get(), size}; }
};

// All that a block holds at one version; the slots are copies.
struct BlockCut {
  BlockSnapshot values;
  std::vector<FloatBuffer> slots;
  float rate_factor = 1;  // that the chief pushed last
};

// A Block is one contiguous piece of a parameter with its slots.
// Thread safety: only the owning thread calls Apply, Skip, Cut and EncodeSlot; Snapshot is safe
// from any thread. Invariants: (1) the version rises by exactly one a round.
//             (2) values and slots belong to the same version, as the owning thread sees them.
//             (3) published values never change: a round is written into another buffer. Two
//             buffers are kept, and more
//                 only while readers hold older snapshots.
// Owned by Shard.
class Block {
 public:
  // Takes over what a checkpoint held; every slot has values.size() elements. With an `arena` the
  // values stand there, where processes of this host can read them; they are copied into it when
  // they do not yet.
  Block(FloatBuffer values, std::vector<FloatBuffer> slots, int64_t version,
        std::shared_ptr<SharedArena> arena = nullptr, float rate_factor = 1);

  // What a copy of a block has beside its values and slots: those of the version before, size()
  // elements, none where it has not got them, and whether the last round was skipped. Called before
  // the first round.
  void SetPrevious(absl::optional<FloatBuffer> values, bool skipped);

  // Block `number` of `job` with its first values, zero slots, and version 0.
  static std::unique_ptr<Block> Initialized(const Job& job, uint32_t number,
                                            const Optimizer& optimizer,
                                            std::shared_ptr<SharedArena> arena = nullptr);

  // Applies the next round: the mean of `gradients`, summed in their order (see ReduceAndUpdate),
  // each of size() elements, corrected by `correction`. At least one; `optimizer` has as many slots
  // as this block. `mean`, unless null, gets the gradient that the optimizer took, size() elements.
  void Apply(const Optimizer& optimizer, absl::Span<const Gradient> gradients,
             const Correction& correction = {}, float* mean = nullptr);

  // The next round in two halves, for an optimizer that needs norms over whole parameters: Prepare
  // does what Optimizer::Prepare says with the mean of `gradients`, and fills `sums` (one, or two)
  // with the sums of squares of the values, if two, and of what was prepared; what readers see
  // stays. Finish applies it; the next call for this block after Prepare is Finish.
  void Prepare(const Optimizer& optimizer, absl::Span<const Gradient> gradients,
               absl::Span<double> sums, float* mean = nullptr);
  void Finish(const Optimizer& optimizer, absl::Span<const double> norms);

  // A round that changes nothing but the version; called like Apply.
  void Skip();

  // The CRC32C of the values and then the slots, called like Apply.
  uint32_t StateCrc32c() const;

  // From now on rounds may be written around the caches: for the owner of so many blocks that no
  // cache keeps one until it is read. Called before the first round.
  void WriteAroundCaches() { around_caches_ = true; }

  BlockSnapshot Snapshot() const;
  // The values of `version` if that is the one before the newest, else the newest. The one before
  // costs no memory: it stands in the buffer that the next round will be written into.
  BlockSnapshot SnapshotAt(int64_t version) const;
  // Appends the bytes of `snapshot`, one of this block's, as elements of `dtype`; 16-bit ones are
  // made once for each version, for all workers: by Apply in its pass when the version before was
  // asked for in this type, else here. Safe from any thread.
  void Encode(const BlockSnapshot& snapshot, v1::DType dtype, Payload* payload) const;
  BlockCut Cut() const;
  // That the chief pushed last; of the owning thread.
  float rate_factor() const { return rate_factor_; }
  // Appends a copy of slot `slot`, as elements of `dtype`.
  void EncodeSlot(int slot, v1::DType dtype, Payload* payload) const;
  size_t size() const { return size_; }

 private:
  class Spare;

  // The values before the round that begins, and its context. Those before them are forgotten.
  BlockSnapshot Begin(absl::Span<const Gradient> gradients, UpdateContext* context);
  absl::InlinedVector<float*, 4> SlotData();
  // Values that nobody writes any more; their last reader brings the buffer back.
  BlockSnapshot SnapshotOf(std::unique_ptr<FloatBuffer> values, int64_t version) const;
  void Publish(std::unique_ptr<FloatBuffer> values, int64_t version);
  void ForgetPrevious();

  const size_t size_;
  const std::shared_ptr<Spare> spare_;  // shared with the snapshots, which bring their buffers back
  std::vector<FloatBuffer> slots_;      // owning thread only
  float rate_factor_;                   // likewise
  bool around_caches_ = false;
  const std::shared_ptr<SharedArena> arena_;
  std::unique_ptr<FloatBuffer> prepared_;  // likewise; between Prepare and Finish
  mutable Mutex mutex_;
  BlockSnapshot current_ ABSL_GUARDED_BY(mutex_);
  BlockSnapshot previous_ ABSL_GUARDED_BY(mutex_);  // none while a round is written

  // Values of one version in 16 bits: those that were asked for last, or the newest.
  struct Encoded {
    std::shared_ptr<FloatBuffer> bytes;
    v1::DType dtype = v1::DTYPE_UNSPECIFIED;
    int64_t version = -1;
  };
  Encoded NewEncoded(v1::DType dtype, int64_t version) const;
  mutable Mutex encode_mutex_;
  mutable Encoded encoded_ ABSL_GUARDED_BY(encode_mutex_);
  // The 16-bit type that was asked for since the last Apply; unspecified when none was.
  mutable std::atomic<v1::DType> asked_{v1::DTYPE_UNSPECIFIED};
};

}  // namespace parley

#endif  // PARLEY_PS_BLOCK_H_
