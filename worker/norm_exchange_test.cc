#include "worker/norm_exchange.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "net/testing/puppet_parameter_server.h"

namespace parley {
namespace {

// A shard that has `sums` for every round, and writes down what it is asked, with those of others,
// in the order of the calls.
class Shard final : public PuppetParameterServer {
 public:
  struct Log {
    Mutex mutex;
    CondVar changed;
    std::vector<std::string> lines ABSL_GUARDED_BY(mutex);
  };

  Shard(int index, std::vector<double> sums, Log* log)
      : index_(index), sums_(std::move(sums)), log_(log) {}

  // Rounds up to this one have their totals.
  void set_finished(int64_t round) {
    MutexLock lock(&log_->mutex);
    finished_ = round;
  }
  // The next call fails.
  void FailOnce() {
    MutexLock lock(&log_->mutex);
    fails_ = true;
  }

  void GetNormSums(v1::GetNormSumsRequest request, Done<v1::GetNormSumsResponse> done) override {
    v1::GetNormSumsResponse response;
    response.mutable_sums()->Add(sums_.begin(), sums_.end());
    bool fails;
    {
      MutexLock lock(&log_->mutex);
      response.set_finished(request.round() <= finished_);
      fails = std::exchange(fails_, false);
      log_->lines.push_back(absl::StrCat("ask ", index_, " ", request.round()));
      log_->changed.NotifyAll();
    }
    if (fails) return done(absl::AbortedError("the job failed"));
    done(std::move(response));
  }
  void SetNormTotals(v1::SetNormTotalsRequest request,
                     Done<v1::SetNormTotalsResponse> done) override {
    {
      MutexLock lock(&log_->mutex);
      finished_ = request.round();
      log_->lines.push_back(absl::StrCat("tell ", index_, " ", request.round(), ": ",
                                         absl::StrJoin(request.totals(), ",")));
      log_->changed.NotifyAll();
    }
    done(v1::SetNormTotalsResponse());
  }

 private:
  const int index_;
  const std::vector<double> sums_;
  Log* const log_;
  int64_t finished_ = 0;  // guarded by log_->mutex, as is
  bool fails_ = false;
};

// One parameter with lamb, of one block on each of two shards.
Job MakeJob(int accumulate_rounds) {
  v1::JobSpec spec;
  spec.set_name("job");
  spec.set_num_workers(1);
  spec.set_num_shards(2);
  spec.set_block_elements(10);
  v1::ParameterSpec* const parameter = spec.add_parameters();
  parameter->set_name("w");
  parameter->add_shape(20);
  parameter->set_dtype(v1::FLOAT32);
  spec.mutable_optimizer()->mutable_lamb();
  spec.mutable_optimizer()->set_accumulate_rounds(accumulate_rounds);
  spec.mutable_policy()->mutable_synchronous();
  return Job::Create(spec).value();
}

class NormExchangeTest : public testing::Test {
 protected:
  void Start(int64_t finished, int accumulate_rounds = 1) {
    for (int i = 0; i < 2; ++i) {
      shards_.push_back(
          std::make_shared<Shard>(i, std::vector<double>{1.0 + i, 10.0 * (1 + i)}, &log_));
      SessionOptions options;
      options.shard = i;
      sessions_.push_back(std::make_shared<Session>(options, shards_.back(), timer_));
    }
    exchange_ = std::make_shared<NormExchange>(MakeJob(accumulate_rounds), "worker:0", sessions_,
                                               timer_, finished);
  }
  ~NormExchangeTest() override {
    for (const auto& session : sessions_) session->Close();
    timer_->Stop();
  }

  void Need(int64_t round) { exchange_->Need(round, Timer::After(absl::Seconds(60))); }
  // The log, once it has `count` lines.
  std::vector<std::string> Await(size_t count) {
    const absl::Time end = absl::Now() + absl::Minutes(1);
    MutexLock lock(&log_.mutex);
    while (log_.lines.size() < count && absl::Now() < end) {
      log_.changed.WaitFor(&log_.mutex, end - absl::Now());
    }
    return log_.lines;
  }

  Shard::Log log_;
  const std::shared_ptr<Timer> timer_ = std::make_shared<Timer>();
  std::vector<std::shared_ptr<Shard>> shards_;
  std::vector<std::shared_ptr<Session>> sessions_;
  std::shared_ptr<NormExchange> exchange_;
};

using Lines = std::vector<std::string>;

TEST_F(NormExchangeTest, AsksAllShardsAndTellsThemTheTotalsRoundAfterRound) {
  Start(/*finished=*/4);
  Need(6);
  EXPECT_EQ(Await(8), (Lines{"ask 0 5", "ask 1 5", "tell 0 5: 3,30", "tell 1 5: 3,30", "ask 0 6",
                             "ask 1 6", "tell 0 6: 3,30", "tell 1 6: 3,30"}));
  Need(5);
  Need(7);
  EXPECT_EQ(Await(12)[8], "ask 0 7");
}

TEST_F(NormExchangeTest, TellsOnlyShardsThatNeedTheTotals) {
  Start(/*finished=*/0);
  shards_[0]->set_finished(1);  // by a worker that died before it came to the other
  Need(1);
  EXPECT_EQ(Await(3), (Lines{"ask 0 1", "ask 1 1", "tell 1 1: 3,30"}));
}

TEST_F(NormExchangeTest, PassesOverRoundsThatOtherWorkersHaveFinishedOrThatNeedNoNorms) {
  Start(/*finished=*/0, /*accumulate_rounds=*/3);
  for (const auto& shard : shards_) shard->set_finished(3);
  Need(6);
  EXPECT_EQ(Await(6), (Lines{"ask 0 3", "ask 1 3", "ask 0 6", "ask 1 6", "tell 0 6: 3,30",
                             "tell 1 6: 3,30"}));
}

TEST_F(NormExchangeTest, AfterAFailureBeginsAgainWhenItIsNeeded) {
  Start(/*finished=*/0);
  shards_[1]->FailOnce();
  Need(1);
  EXPECT_EQ(Await(2), (Lines{"ask 0 1", "ask 1 1"}));
  Need(1);
  EXPECT_EQ(Await(6), (Lines{"ask 0 1", "ask 1 1", "ask 0 1", "ask 1 1", "tell 0 1: 3,30",
                             "tell 1 1: 3,30"}));
}

}  // namespace
}  // namespace parley
