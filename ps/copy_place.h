#ifndef PARLEY_PS_COPY_PLACE_H_
#define PARLEY_PS_COPY_PLACE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "net/parameter_server.h"

namespace parley {

// Where a shard's copy is kept, and whether the job knows of it; for a ReplicaSink. Calls may block
// for seconds at most, and come from one thread at a time.
class CopyPlace {
 public:
  virtual ~CopyPlace() = default;

  // Of whom the shard is; a higher one is heard instead of a lower. 0: the place says
  // (FetchReplica).
  virtual uint64_t term() const = 0;
  // Whether the shard goes on with values that a copy had, so that changes need not wait long for
  // the next one.
  virtual bool TookOver() const = 0;

  // A task to keep a new copy. NOT_FOUND: there is none now. UNAVAILABLE: that is not known.
  virtual absl::StatusOr<std::shared_ptr<ParameterServer>> Choose() = 0;
  // Whether that task's process has ended, for all that can be seen.
  virtual bool IsGone() = 0;
  // Whether the copy is to be kept elsewhere than where Choose said. From any thread, at once.
  virtual bool IsToMove() const { return false; }
  // A task to keep another copy meanwhile; the errors of Choose.
  virtual absl::StatusOr<std::shared_ptr<ParameterServer>> BeginMove() {
    return absl::NotFoundError("the copy stays where it is");
  }
  // From now on the copy is the one of that task.
  virtual void EndMove() {}

  // Whether the job knows of a copy from the beginning.
  virtual bool IsKnown() const { return false; }
  // Whether the task that Choose said has what the shard began with, having handed it over.
  virtual bool MayAdopt() const { return false; }
  // Where the shard's own task keeps a copy, which it needs to hand the shard over; null: it needs
  // none. From any thread, at once.
  virtual std::shared_ptr<ParameterServer> OwnPlace() const { return nullptr; }
  // Says of that copy whether it has everything that is kept by the time of the call, and while
  // there is a pause, whether that is all that the other copy has, too; empty: there is none. May
  // be called from any thread.
  virtual void SetOwn(std::function<bool()>) {}
  // Not 0: nothing more is to be sent to the copies, for the shard is being handed over; another
  // number each time. From any thread, at once.
  virtual uint64_t pause() const { return 0; }
  // Makes it known that the copy there is in sync, so that its task, of start `keeper`, may take
  // over; or with 0 that none is. OK: it is known. ABORTED: another task speaks for the shard.
  // Others: it may be known or not; try again.
  virtual absl::Status SetInSync(uint64_t keeper) = 0;
};

// One task for ever, which never takes over.
class FixedCopyPlace final : public CopyPlace {
 public:
  explicit FixedCopyPlace(std::shared_ptr<ParameterServer> standby, uint64_t term)
      : standby_(std::move(standby)), term_(term) {}
  uint64_t term() const override { return term_; }
  bool TookOver() const override { return false; }
  absl::StatusOr<std::shared_ptr<ParameterServer>> Choose() override { return standby_; }
  bool IsGone() override { return false; }
  absl::Status SetInSync(uint64_t) override { return absl::OkStatus(); }

 private:
  const std::shared_ptr<ParameterServer> standby_;
  const uint64_t term_;
};

}  // namespace parley

#endif  // PARLEY_PS_COPY_PLACE_H_
