#ifndef PARLEY_PS_BOTH_SINKS_H_
#define PARLEY_PS_BOTH_SINKS_H_

#include <atomic>
#include <memory>
#include <utility>
#include <vector>

#include "base/planted_bug.h"
#include "ps/record_sink.h"

namespace parley {

// Gives records to two sinks, which must outlive it; they are kept when both have them. As either
// runs its callbacks in order, so does this. Thread safety: safe from any thread, as long as
// records that must not change places come from one.
class BothSinks final : public RecordSink {
 public:
  BothSinks(RecordSink* first, RecordSink* second) : first_(first), second_(second) {}

  void Append(std::vector<ShardRecord> records, absl::AnyInvocable<void()> kept) override {
    struct Shared {
      absl::AnyInvocable<void()> kept;
      std::atomic<int> missing{2};
    };
    const auto shared = std::make_shared<Shared>();
    shared->kept = std::move(kept);
    const auto one = [shared] {
      if (shared->missing.fetch_sub(1, std::memory_order_acq_rel) == 1 && shared->kept) {
        shared->kept();
      }
    };
    first_->Append(records, one);
    if (PARLEY_PLANTED_BUG("one_of_two_sinks_is_enough")) one();
    second_->Append(std::move(records), one);
  }

 private:
  RecordSink* const first_;
  RecordSink* const second_;
};

}  // namespace parley

#endif  // PARLEY_PS_BOTH_SINKS_H_
