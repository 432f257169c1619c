// When a ReplicaSink says that a change is kept, with a standby and a job that are puppets.

#include "ps/replica_sink.h"

#include <atomic>
#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "gtest/gtest.h"
#include "net/forwarding_parameter_server.h"
#include "net/job.h"
#include "ps/testing/one_shard.h"

namespace parley {
namespace {

constexpr uint64_t kKeeper = 77;

// Takes whatever comes; says that the copy is whole, and that nobody is there, as it is told; holds
// answers back.
class PuppetStandby final : public ForwardingParameterServer {
 public:
  PuppetStandby() : ForwardingParameterServer(nullptr) {}

  void Replicate(v1::ReplicateRequest request, Payload, Done<v1::ReplicateResponse> done) override {
    v1::ReplicateResponse response;
    bool away;
    {
      MutexLock lock(&mutex_);
      away = away_;
      records_ += request.records_size();
      response.set_complete(whole_);
      response.set_keeper(kKeeper);
      changed_.NotifyAll();
      while (silent_) changed_.Wait(&mutex_);
    }
    if (away) return done(absl::UnavailableError("nobody is there"));
    done(response);
  }

  void BecomeWhole() {
    MutexLock lock(&mutex_);
    whole_ = true;
  }
  void GoAway() {
    MutexLock lock(&mutex_);
    away_ = true;
  }
  void BeSilent(bool silent) {
    MutexLock lock(&mutex_);
    silent_ = silent;
    changed_.NotifyAll();
  }
  int records() const {
    MutexLock lock(&mutex_);
    return records_;
  }
  // Until so many records have come.
  void Await(int records) {
    MutexLock lock(&mutex_);
    while (records_ < records) changed_.Wait(&mutex_);
  }

 private:
  mutable Mutex mutex_;
  CondVar changed_;
  bool silent_ ABSL_GUARDED_BY(mutex_) = false;
  bool whole_ ABSL_GUARDED_BY(mutex_) = false;
  bool away_ ABSL_GUARDED_BY(mutex_) = false;
  int records_ ABSL_GUARDED_BY(mutex_) = 0;
};

class PuppetPlace final : public CopyPlace {
 public:
  explicit PuppetPlace(std::shared_ptr<ParameterServer> standby) : standby_(std::move(standby)) {}

  uint64_t term() const override { return 1; }
  bool TookOver() const override { return false; }
  absl::StatusOr<std::shared_ptr<ParameterServer>> Choose() override { return standby_; }
  bool IsGone() override { return false; }
  std::shared_ptr<ParameterServer> OwnPlace() const override {
    MutexLock lock(&mutex_);
    return own_;
  }
  void SetOwn(std::function<bool()> has_all) override {
    MutexLock lock(&mutex_);
    own_has_all_ = std::move(has_all);
  }
  uint64_t pause() const override { return pause_; }
  absl::Status SetInSync(uint64_t keeper) override {
    MutexLock lock(&mutex_);
    in_sync_ = keeper;
    return absl::OkStatus();
  }

  uint64_t in_sync() const {
    MutexLock lock(&mutex_);
    return in_sync_;
  }
  void KeepOwn(std::shared_ptr<ParameterServer> own) {
    MutexLock lock(&mutex_);
    own_ = std::move(own);
  }
  bool OwnHasAll() const {
    MutexLock lock(&mutex_);
    return own_has_all_ != nullptr && own_has_all_();
  }
  void SetPause(uint64_t pause) { pause_ = pause; }

 private:
  const std::shared_ptr<ParameterServer> standby_;
  std::atomic<uint64_t> pause_{0};
  mutable Mutex mutex_;
  std::shared_ptr<ParameterServer> own_ ABSL_GUARDED_BY(mutex_);
  std::function<bool()> own_has_all_ ABSL_GUARDED_BY(mutex_);
  uint64_t in_sync_ ABSL_GUARDED_BY(mutex_) = 0;
};

class ReplicaSinkTest : public ::testing::Test {
 protected:
  void Start(absl::Duration patience) {
    ReplicaSink::Options options;
    options.task = "ps:0";
    options.place = place_;
    options.patience = patience;
    options.fill = [] {};
    options.superseded = [](const absl::Status& status) { ADD_FAILURE() << status; };
    v1::Books identity;
    *identity.mutable_spec() = job_.spec();
    const std::vector<uint32_t> numbers = job_.BlocksOfShard(0);
    sink_ =
        std::make_unique<ReplicaSink>(std::move(options), std::move(identity),
                                      ShardBooks(0, numbers, std::vector<int64_t>(numbers.size()),
                                                 std::vector<std::vector<int64_t>>(numbers.size()),
                                                 WorkerCounts(job_.spec().num_workers())));
    sink_->Start();
  }
  // What the job knows of the copy when the next change is kept.
  std::future<uint64_t> Append() {
    auto kept = std::make_shared<std::promise<uint64_t>>();
    std::vector<ShardRecord> records(1);
    records[0].record.mutable_member()->set_incarnation(1);
    records[0].record.mutable_member()->set_presence(v1::Books::LIVE);
    std::future<uint64_t> known = kept->get_future();
    sink_->Append(std::move(records), [this, kept] { kept->set_value(place_->in_sync()); });
    return known;
  }
  static bool IsKept(const std::future<uint64_t>& change) {
    return change.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
  }

  const Job job_ = Job::Create(OneShardSpec(1, /*synchronous=*/true)).value();
  const std::shared_ptr<PuppetStandby> standby_ = std::make_shared<PuppetStandby>();
  const std::shared_ptr<PuppetPlace> place_ = std::make_shared<PuppetPlace>(standby_);
  std::unique_ptr<ReplicaSink> sink_;
};

TEST_F(ReplicaSinkTest, NothingIsKeptBeforeTheCopyIsWholeAndTheJobKnows) {
  Start(/*patience=*/absl::Minutes(10));
  std::future<uint64_t> first = Append();
  standby_->Await(2);  // the beginning, and the first
  std::future<uint64_t> second = Append();
  standby_->Await(3);  // by now it was decided on the first
  EXPECT_FALSE(IsKept(first));
  EXPECT_EQ(place_->in_sync(), 0u);
  standby_->BecomeWhole();
  std::future<uint64_t> third = Append();
  EXPECT_EQ(third.get(), kKeeper);
  EXPECT_EQ(first.get(), kKeeper);
  EXPECT_EQ(second.get(), kKeeper);
}

TEST_F(ReplicaSinkTest, ACopyThatDoesNotGrowIsNotWaitedFor) {
  Start(/*patience=*/absl::Milliseconds(20));
  EXPECT_EQ(Append().get(), 0u);
  standby_->BecomeWhole();
  Append().get();
  while (Append().get() != kKeeper) {
  }
}

TEST_F(ReplicaSinkTest, TheJobKnowsThatThereIsNoCopyBeforeAnythingIsKeptWithoutIt) {
  Start(/*patience=*/absl::Milliseconds(20));
  standby_->BecomeWhole();
  EXPECT_EQ(Append().get(), kKeeper);
  standby_->GoAway();
  EXPECT_EQ(Append().get(), 0u);
}

// Who takes over answers from its copy, and may die while this one is all that is left.
TEST_F(ReplicaSinkTest, AtAHandOverTheShardsOwnCopyHasWhatTheOtherHasAndNeitherGetsMore) {
  const auto own = std::make_shared<PuppetStandby>();
  own->BecomeWhole();
  standby_->BecomeWhole();
  place_->KeepOwn(own);
  Start(/*patience=*/absl::Minutes(10));
  do {
    Append().get();
  } while (!place_->OwnHasAll());
  standby_->BeSilent(true);
  const int before = standby_->records();
  const int own_before = own->records();
  std::future<uint64_t> first = Append();
  standby_->Await(before + 1);
  place_->SetPause(1);
  std::future<uint64_t> second = Append();
  EXPECT_FALSE(place_->OwnHasAll());  // not the first
  standby_->BeSilent(false);
  EXPECT_EQ(first.get(), kKeeper);
  while (!place_->OwnHasAll()) std::this_thread::yield();
  EXPECT_EQ(own->records(), own_before + 1);
  EXPECT_EQ(standby_->records(), before + 1);
  EXPECT_FALSE(IsKept(second));
  place_->SetPause(0);
  EXPECT_EQ(second.get(), kKeeper);
}

}  // namespace
}  // namespace parley
