#include "ps/block.h"

#include <algorithm>
#include <utility>

#include "base/aligned_buffer.h"
#include "base/crc32c.h"
#include "base/initializer.h"
#include "net/wire_dtype.h"
#include "ps/reduce_update.h"
#include "ps/square_sum.h"

namespace parley {

namespace {

// The first half of a round of `optimizer`, as an Optimizer whose new values are what it prepares.
class FirstHalf final : public Optimizer {
 public:
  explicit FirstHalf(const Optimizer& optimizer) : optimizer_(optimizer) {}

  std::vector<absl::string_view> slot_names() const override { return optimizer_.slot_names(); }

  void Update(const UpdateContext& context, absl::Span<const float> gradient,
              absl::Span<const float> values, absl::Span<float> new_values,
              absl::Span<float* const> slots) const override {
    optimizer_.Prepare(context, gradient, values, new_values, slots);
  }

 private:
  const Optimizer& optimizer_;
};

// `values`, or a copy where processes of this host can read it.
std::unique_ptr<FloatBuffer> InArena(FloatBuffer values, SharedArena* arena) {
  if (arena == nullptr || arena->Find(values.data(), values.size() * sizeof(float)).has_value()) {
    return std::make_unique<FloatBuffer>(std::move(values));
  }
  auto shared = std::make_unique<FloatBuffer>(values.size(), arena);
  std::copy_n(values.data(), values.size(), shared->data());
  return shared;
}

}  // namespace

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
             std::shared_ptr<SharedArena> arena, float rate_factor)
    : size_(values.size()),
      spare_(std::make_shared<Spare>(arena)),
      slots_(std::move(slots)),
      rate_factor_(rate_factor),
      arena_(arena) {
  Publish(InArena(std::move(values), arena.get()), version);
}

void Block::SetPrevious(absl::optional<FloatBuffer> values, bool skipped) {
  BlockSnapshot previous;
  if (values.has_value()) {
    previous = SnapshotOf(InArena(*std::move(values), arena_.get()), Snapshot().version - 1);
  }
  MutexLock lock(&mutex_);
  std::swap(previous_, previous);
  current_.skipped = skipped;
}

std::unique_ptr<Block> Block::Initialized(const Job& job, uint32_t number,
                                          const Optimizer& optimizer,
                                          std::shared_ptr<SharedArena> arena) {
  const BlockInfo& info = job.blocks()[number];
  const Job::Parameter& parameter = job.parameters()[info.parameter];
  // Where they will stay: memory that is given back between the slots would not be of use again.
  FloatBuffer values(static_cast<size_t>(info.size), arena.get());
  Initialize(parameter.initializer, job.spec().seed(), parameter.name, info.offset, values.span());
  std::vector<FloatBuffer> slots;
  for (int i = 0; i < optimizer.num_slots(); ++i) {
    slots.push_back(FloatBuffer::Zeros(values.size()));
  }
  absl::InlinedVector<float*, 4> slot_data;
  for (FloatBuffer& slot : slots) slot_data.push_back(slot.data());
  optimizer.BeginSlots(values.span(), slot_data);
  return std::make_unique<Block>(std::move(values), std::move(slots), /*version=*/0,
                                 std::move(arena));
}

BlockSnapshot Block::Begin(absl::Span<const Gradient> gradients, UpdateContext* context) {
  for (const Gradient& gradient : gradients) {
    rate_factor_ = gradient.rate_factor.value_or(rate_factor_);
  }
  BlockSnapshot previous;  // its buffer, which is let go outside the lock, is the next
  MutexLock lock(&mutex_);
  std::swap(previous, previous_);
  context->round = current_.version + 1;
  context->rate_factor = rate_factor_;
  return current_;
}

absl::InlinedVector<float*, 4> Block::SlotData() {
  absl::InlinedVector<float*, 4> slots;
  for (FloatBuffer& slot : slots_) slots.push_back(slot.data());
  return slots;
}

void Block::Apply(const Optimizer& optimizer, absl::Span<const Gradient> gradients,
                  const Correction& correction, float* mean) {
  UpdateContext context;
  context.rate_scale = correction.rate;
  context.around_caches = around_caches_;
  std::unique_ptr<FloatBuffer> next;
  {
    // Only this thread publishes, so the current values stay what they are until Publish.
    const BlockSnapshot current = Begin(gradients, &context);
    next = spare_->Take(size_);
    const v1::DType asked = asked_.load(std::memory_order_relaxed) == v1::DTYPE_UNSPECIFIED
                                ? v1::DTYPE_UNSPECIFIED
                                : asked_.exchange(v1::DTYPE_UNSPECIFIED);
    Encoded encoded;
    NarrowCopy copy;
    if (asked != v1::DTYPE_UNSPECIFIED) {
      encoded = NewEncoded(asked, context.round);
      copy = {asked, encoded.bytes->data()};
    }
    ReduceAndUpdate(optimizer, context, gradients, static_cast<int>(gradients.size()),
                    current.span(), next->span(), SlotData(), copy, correction.compensation, mean);
    if (encoded.bytes != nullptr) {
      MutexLock lock(&encode_mutex_);
      std::swap(encoded_, encoded);  // the old one is let go outside the lock
    }
  }
  Publish(std::move(next), context.round);
}

void Block::Prepare(const Optimizer& optimizer, absl::Span<const Gradient> gradients,
                    absl::Span<double> sums, float* mean) {
  UpdateContext context;
  const BlockSnapshot current = Begin(gradients, &context);
  prepared_ = spare_->Take(size_);
  ReduceAndUpdate(FirstHalf(optimizer), context, gradients, static_cast<int>(gradients.size()),
                  current.span(), prepared_->span(), SlotData(), {}, 0, mean);
  // Over the whole block, so that tiles of another size make no other bits.
  sums[sums.size() - 1] = SquareSum(prepared_->span());
  if (sums.size() == 2) sums[0] = SquareSum(current.span());
}

void Block::Finish(const Optimizer& optimizer, absl::Span<const double> norms) {
  UpdateContext context;
  {
    const BlockSnapshot current = Snapshot();
    context.round = current.version + 1;
    context.rate_factor = rate_factor_;
    context.norms = norms;
    // New values take the place of what was prepared, tile by tile.
    constexpr size_t kTile = 2048;
    alignas(kBufferAlignment) float tile[kTile];
    absl::InlinedVector<float*, 4> slots = SlotData();
    for (size_t begin = 0; begin < size_; begin += kTile) {
      const size_t size = std::min(kTile, size_ - begin);
      const absl::Span<float> out = prepared_->span().subspan(begin, size);
      std::copy(out.begin(), out.end(), tile);
      optimizer.Update(context, {tile, size}, current.span().subspan(begin, size), out, slots);
      for (float*& slot : slots) slot += size;
    }
  }
  Publish(std::move(prepared_), context.round);
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

uint32_t Block::StateCrc32c() const {
  const BlockSnapshot snapshot = Snapshot();
  uint32_t crc = Crc32c(snapshot.values.get(), snapshot.size * sizeof(float));
  for (const FloatBuffer& slot : slots_) {
    crc = ExtendCrc32c(crc, slot.data(), slot.size() * sizeof(float));
  }
  return crc;
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
  asked_ = dtype;
  MutexLock lock(&encode_mutex_);
  if (encoded_.version != snapshot.version || encoded_.dtype != dtype) {
    encoded_ = NewEncoded(dtype, snapshot.version);
    ToWire(dtype, snapshot.values.get(), size_, encoded_.bytes->data());
  }
  payload->Append(encoded_.bytes->data(), size_ * WireBytes(dtype), encoded_.bytes);
}

Block::Encoded Block::NewEncoded(v1::DType dtype, int64_t version) const {
  return {std::make_shared<FloatBuffer>((size_ + 1) / 2, arena_.get()), dtype, version};
}

BlockCut Block::Cut() const {
  BlockCut cut;
  cut.values = Snapshot();
  for (const FloatBuffer& slot : slots_) cut.slots.push_back(slot.Copy());
  cut.rate_factor = rate_factor_;
  return cut;
}

void Block::EncodeSlot(int slot, v1::DType dtype, Payload* payload) const {
  const size_t bytes = size_ * WireBytes(dtype);
  const auto copy =
      std::make_shared<FloatBuffer>((bytes + sizeof(float) - 1) / sizeof(float), arena_.get());
  ToWire(dtype, slots_[slot].data(), size_, copy->data());
  payload->Append(copy->data(), bytes, copy);
}

BlockSnapshot Block::SnapshotOf(std::unique_ptr<FloatBuffer> values, int64_t version) const {
  BlockSnapshot snapshot;
  snapshot.size = size_;
  snapshot.version = version;
  FloatBuffer* const buffer = values.release();
  snapshot.values =
      std::shared_ptr<const float>(buffer->data(), [buffer, spare = spare_](const float*) {
        spare->Return(std::unique_ptr<FloatBuffer>(buffer));
      });
  return snapshot;
}

void Block::Publish(std::unique_ptr<FloatBuffer> values, int64_t version) {
  BlockSnapshot published = SnapshotOf(std::move(values), version);
  MutexLock lock(&mutex_);
  std::swap(current_, published);
  previous_ = std::move(published);
}

}  // namespace parley
