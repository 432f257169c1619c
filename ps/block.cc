#include "ps/block.h"

#include <algorithm>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "base/initializer.h"
#include "net/wire_dtype.h"
#include "ps/reduce_update.h"

namespace parley {

// The buffer for the next round, when no reader holds the last one any more.
class Block::Spare {
 public:
  explicit Spare(std::shared_ptr<SharedArena> arena) : arena_(std::move(arena)) {}

  std::unique_ptr<FloatBuffer> Take(size_t size) {
    {
      MutexLock lock(&mutex_);
      if (buffer_ != nullptr) return std::move(buffer_);
    }
    return std::make_unique<FloatBuffer>(size, arena_.get());
  }

  void Return(std::unique_ptr<FloatBuffer> buffer) {
    MutexLock lock(&mutex_);
    if (buffer_ == nullptr) buffer_ = std::move(buffer);
  }

 private:
  const std::shared_ptr<SharedArena> arena_;
  Mutex mutex_;
  std::unique_ptr<FloatBuffer> buffer_ ABSL_GUARDED_BY(mutex_);
};

Block::Block(FloatBuffer values, std::vector<FloatBuffer> slots, int64_t version,
             std::shared_ptr<SharedArena> arena)
    : size_(values.size()),
      spare_(std::make_shared<Spare>(arena)),
      slots_(std::move(slots)),
      arena_(arena) {
  auto first = std::make_unique<FloatBuffer>(std::move(values));
  if (arena != nullptr) {
    auto shared = std::make_unique<FloatBuffer>(size_, arena.get());
    std::copy_n(first->data(), size_, shared->data());
    first = std::move(shared);
  }
  Publish(std::move(first), version);
}

std::unique_ptr<Block> Block::Initialized(const Job& job, uint32_t number,
                                          const Optimizer& optimizer,
                                          std::shared_ptr<SharedArena> arena) {
  const BlockInfo& info = job.blocks()[number];
  const Job::Parameter& parameter = job.parameters()[info.parameter];
  FloatBuffer values(static_cast<size_t>(info.size));
  Initialize(parameter.initializer, job.spec().seed(), parameter.name, info.offset, values.span());
  std::vector<FloatBuffer> slots;
  for (int i = 0; i < optimizer.num_slots(); ++i) {
    slots.push_back(FloatBuffer::Zeros(values.size()));
  }
  return std::make_unique<Block>(std::move(values), std::move(slots), /*version=*/0,
                                 std::move(arena));
}

void Block::Apply(const Optimizer& optimizer, absl::Span<const Gradient> gradients) {
  ForgetPrevious();  // its buffer is the next
  std::unique_ptr<FloatBuffer> next = spare_->Take(size_);
  int64_t version;
  {
    // Only this thread publishes, so the current values stay what they are, and alive, until
    // Publish.
    const BlockSnapshot current = Snapshot();
    version = current.version + 1;
    absl::InlinedVector<float*, 4> slots;
    for (FloatBuffer& slot : slots_) slots.push_back(slot.data());
    UpdateContext context;
    context.round = version;
    ReduceAndUpdate(optimizer, context, gradients, static_cast<int>(gradients.size()),
                    current.span(), next->span(), slots);
  }
  Publish(std::move(next), version);
}

void Block::Skip() {
  ForgetPrevious();
  MutexLock lock(&mutex_);
  previous_ = current_;  // the same values
  ++current_.version;
  current_.skipped = true;
}

void Block::ForgetPrevious() {
  BlockSnapshot previous;  // let go outside the lock
  MutexLock lock(&mutex_);
  std::swap(previous, previous_);
}

BlockSnapshot Block::SnapshotAt(int64_t version) const {
  MutexLock lock(&mutex_);
  const bool before = previous_.values != nullptr && previous_.version == version;
  return before ? previous_ : current_;
}

BlockSnapshot Block::Snapshot() const {
  MutexLock lock(&mutex_);
  return current_;
}

void Block::Encode(const BlockSnapshot& snapshot, v1::DType dtype, Payload* payload) const {
  if (dtype == v1::FLOAT32) {
    payload->Append(snapshot.values.get(), snapshot.size * sizeof(float), snapshot.values);
    return;
  }
  // Others that ask for the same version wait for this one's work.
  MutexLock lock(&encode_mutex_);
  if (encoded_.version != snapshot.version || encoded_.dtype != dtype) {
    auto bytes = std::make_shared<FloatBuffer>((size_ + 1) / 2, arena_.get());
    ToWire(dtype, snapshot.values.get(), size_, bytes->data());
    encoded_ = {std::move(bytes), dtype, snapshot.version};
  }
  payload->Append(encoded_.bytes->data(), size_ * WireBytes(dtype), encoded_.bytes);
}

BlockCut Block::Cut() const {
  BlockCut cut;
  cut.values = Snapshot();
  for (const FloatBuffer& slot : slots_) cut.slots.push_back(slot.Copy());
  return cut;
}

void Block::Publish(std::unique_ptr<FloatBuffer> values, int64_t version) {
  BlockSnapshot published;
  published.size = size_;
  published.version = version;
  FloatBuffer* const buffer = values.release();
  // Its last reader, whoever that is, brings the buffer back.
  published.values =
      std::shared_ptr<const float>(buffer->data(), [buffer, spare = spare_](const float*) {
        spare->Return(std::unique_ptr<FloatBuffer>(buffer));
      });
  {
    MutexLock lock(&mutex_);
    std::swap(current_, published);
    previous_ = std::move(published);
  }
}

}  // namespace parley
