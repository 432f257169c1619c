// When a second copy of a shard counts as there, with a standby that is a puppet.

#include "ps/copy_move.h"

#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "gtest/gtest.h"
#include "net/forwarding_parameter_server.h"

namespace parley {
namespace {

// Takes whatever comes; the copy is whole with its third record, the beginning being the first.
class PuppetStandby final : public ForwardingParameterServer {
 public:
  PuppetStandby() : ForwardingParameterServer(nullptr) {}

  void Replicate(v1::ReplicateRequest request, Payload, Done<v1::ReplicateResponse> done) override {
    v1::ReplicateResponse response;
    bool refuses;
    {
      MutexLock lock(&mutex_);
      records_ += request.records_size();
      ends_ = ends_ || request.ends();
      refuses = refuses_;
      response.set_complete(records_ >= 3);
      response.set_keeper(7);
      changed_.NotifyAll();
    }
    if (refuses) return done(absl::ResourceExhaustedError("there is no room"));
    done(response);
  }
  void Refuse() {
    MutexLock lock(&mutex_);
    refuses_ = true;
  }
  // Until so many records have come.
  void Await(int records) {
    MutexLock lock(&mutex_);
    while (records_ < records) changed_.Wait(&mutex_);
  }
  int records() const {
    MutexLock lock(&mutex_);
    return records_;
  }
  bool ends() const {
    MutexLock lock(&mutex_);
    return ends_;
  }

 private:
  mutable Mutex mutex_;
  CondVar changed_;
  int records_ ABSL_GUARDED_BY(mutex_) = 0;
  bool refuses_ ABSL_GUARDED_BY(mutex_) = false;
  bool ends_ ABSL_GUARDED_BY(mutex_) = false;
};

class CopyMoveTest : public ::testing::Test {
 protected:
  void Start(absl::Duration patience = absl::Minutes(1), int64_t backlog = 1 << 20) {
    CopyMove::Options options;
    options.stream.standby = standby_;
    options.stream.term = 1;
    options.patience = patience;
    options.backlog = backlog;
    options.changed = [this] {
      MutexLock lock(&mutex_);
      changes_.NotifyAll();
    };
    move_ = std::make_unique<CopyMove>(std::move(options), v1::Books());
  }
  static std::vector<ShardRecord> Record(size_t bytes = 0) {
    std::vector<ShardRecord> records(1);
    records[0].record.mutable_member()->set_incarnation(1);
    const auto memory = std::make_shared<std::vector<char>>(bytes);
    if (bytes > 0) records[0].payload.Append(memory->data(), bytes, memory);
    return records;
  }
  // Until it is ready or has failed.
  void AwaitEnd() {
    MutexLock lock(&mutex_);
    while (!move_->IsReady() && move_->status().ok()) {
      changes_.WaitFor(&mutex_, absl::Milliseconds(10));
    }
  }

  const std::shared_ptr<PuppetStandby> standby_ = std::make_shared<PuppetStandby>();
  Mutex mutex_;
  CondVar changes_;
  std::unique_ptr<CopyMove> move_;
};

TEST_F(CopyMoveTest, ACopyIsThereWhenItIsWholeAndHasAll) {
  Start();
  move_->Append(Record());
  standby_->Await(2);
  // Soon the second record is answered, and there is nothing to send.
  for (int i = 0; i < 20000; ++i) {
    ASSERT_FALSE(move_->IsReady());
    std::this_thread::yield();
  }
  move_->Append(Record());
  AwaitEnd();
  EXPECT_TRUE(move_->IsReady());
  EXPECT_EQ(standby_->records(), 3);
  const std::unique_ptr<CopyStream> stream = move_->Finish();
  EXPECT_TRUE(stream->whole());
  EXPECT_EQ(stream->keeper(), 7u);
  stream->End();
  EXPECT_TRUE(standby_->ends());
}

TEST_F(CopyMoveTest, AStandbyThatRefusesItEndsTheMove) {
  standby_->Refuse();
  Start();
  AwaitEnd();
  EXPECT_TRUE(absl::IsResourceExhausted(move_->status())) << move_->status();
  move_->Append(Record());  // is of no use, and waits for nothing
  EXPECT_FALSE(move_->IsReady());
}

TEST_F(CopyMoveTest, OneThatFallsTooFarBehindEndsInTime) {
  Start(/*patience=*/absl::ZeroDuration(), /*backlog=*/10);
  move_->Append(Record(11));
  AwaitEnd();
  EXPECT_TRUE(absl::IsDeadlineExceeded(move_->status())) << move_->status();
}

}  // namespace
}  // namespace parley
