#include "ps/shard_state.h"

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace parley {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

v1::JobSpec SpecOf(int workers, const v1::Policy& policy) {
  v1::JobSpec spec;
  spec.set_name("job");
  spec.set_num_workers(workers);
  spec.set_num_shards(1);
  for (const char* name : {"a", "b"}) {
    v1::ParameterSpec* parameter = spec.add_parameters();
    parameter->set_name(name);
    parameter->add_shape(4);
    parameter->set_dtype(v1::FLOAT32);
  }
  spec.mutable_optimizer()->set_learning_rate(1);
  spec.mutable_optimizer()->mutable_sgd();
  *spec.mutable_policy() = policy;
  return spec;
}

v1::Policy SynchronousPolicy() {
  v1::Policy policy;
  policy.mutable_synchronous();
  return policy;
}
v1::Policy AsynchronousPolicy() {
  v1::Policy policy;
  policy.mutable_asynchronous();
  return policy;
}
v1::Policy BoundedPolicy(int limit) {
  v1::Policy policy;
  policy.mutable_bounded_staleness()->set_limit(limit);
  return policy;
}

// A shard of two blocks with its workers, in words. A gradient is one byte that names its worker
// and step, so that a test sees which gradients a round holds.
class Cluster {
 public:
  Cluster(int workers, const v1::Policy& policy, std::vector<ShardState::BlockClocks> clocks = {})
      : job_(Job::Create(SpecOf(workers, policy)).value()),
        policy_(NewPolicy(policy).value()),
        incarnations_(workers, 1),
        sequences_(workers, 0) {
    if (clocks.empty()) clocks.resize(2);
    state_.emplace(ShardState::Options{"ps:0", absl::Seconds(10)}, &job_,
                   std::vector<uint32_t>{0, 1}, policy_.get(), std::move(clocks));
  }

  uint64_t Join(int worker, uint64_t incarnation = 1, absl::Duration wait = absl::Seconds(60)) {
    const uint64_t token = ++last_token_;
    Take(state_->Join(token, worker, incarnation, now, now + wait));
    if (answers.count(token) != 0 && answers[token].status.ok())
      incarnations_[worker] = incarnation;
    return token;
  }
  void JoinAll() {
    for (size_t worker = 0; worker < incarnations_.size(); ++worker) Join(static_cast<int>(worker));
  }

  // Pushes `step` to both blocks and, with `pull`, pulls both for step + 1. Returns the token.
  uint64_t PushPull(int worker, int64_t step, bool pull = true, uint64_t sequence = 0) {
    ShardState::PushPull request = Request(worker, step);
    request.sequence = sequence == 0 ? ++sequences_[worker] : sequence;
    for (size_t block = 0; block < 2; ++block) {
      request.pushes.push_back({block, base_version, GradientOf(worker, step)});
      if (pull) request.pulls.push_back(block);
    }
    return Send(std::move(request));
  }
  uint64_t Push(int worker, int64_t step) { return PushPull(worker, step, /*pull=*/false); }
  uint64_t Pull(int worker, int64_t step) {
    ShardState::PushPull request = Request(worker, step);
    request.pull_step = step;
    request.pulls = {0, 1};
    return Send(std::move(request));
  }
  absl::Status Leave(int worker, const std::string& error = "") {
    ShardState::Actions actions;
    const absl::Status status = state_->Leave(worker, incarnations_[worker], error, now, &actions);
    Take(std::move(actions));
    return status;
  }
  uint64_t Barrier(int worker) {
    const uint64_t token = ++last_token_;
    Take(state_->Barrier(token, worker, incarnations_[worker], "b", now, now + absl::Seconds(5)));
    return token;
  }
  void Advance(absl::Duration duration) {
    now += duration;
    Take(state_->Tick(now));
  }

  // Reports every round that was scheduled as applied, oldest first.
  void ApplyAll() {
    while (!unapplied.empty()) {
      const size_t block = unapplied.front();
      unapplied.erase(unapplied.begin());
      Take(state_->Applied(block));
    }
  }

  bool Answered(uint64_t token) const { return answers.count(token) != 0; }
  absl::Status StatusOf(uint64_t token) const {
    return Answered(token) ? answers.at(token).status : absl::UnknownError("not answered");
  }

  // Gradients whose memory is still held.
  int64_t LiveGradients() const {
    return std::count_if(sent_.begin(), sent_.end(),
                         [](const std::weak_ptr<int>& gradient) { return !gradient.expired(); });
  }

  ShardState& state() { return *state_; }

  absl::Time now = absl::UnixEpoch() + absl::Hours(1);
  int64_t base_version = 0;
  std::map<uint64_t, ShardState::Answer> answers;
  std::vector<size_t> unapplied;  // blocks of rounds scheduled
  std::vector<std::vector<std::vector<int>>> rounds{
      {}, {}};  // by block, then round: 100 * worker + step
  bool apply_at_once = true;

 private:
  Payload GradientOf(int worker, int64_t step) {
    auto value = std::make_shared<int>(100 * worker + static_cast<int>(step));
    sent_.push_back(value);
    Payload payload;
    payload.Append(value.get(), sizeof(int), value);
    return payload;
  }
  ShardState::PushPull Request(int worker, int64_t step) {
    ShardState::PushPull request;
    request.token = ++last_token_;
    request.worker = worker;
    request.incarnation = incarnations_[worker];
    request.step = step;
    request.sequence = 0;
    request.pull_step = step + 1;
    request.deadline = now + absl::Seconds(30);
    return request;
  }
  uint64_t Send(ShardState::PushPull request) {
    const uint64_t token = request.token;
    Take(state_->HandlePushPull(std::move(request), now));
    return token;
  }
  void Take(ShardState::Actions actions) {
    for (ShardState::Round& round : actions.rounds) {
      std::vector<int>& values = rounds[round.block].emplace_back();
      for (const Gradient& gradient : round.gradients) {
        int value;
        gradient.payload.CopyTo(&value);
        values.push_back(value);
      }
      unapplied.push_back(round.block);
    }
    for (ShardState::Answer& answer : actions.answers) {
      const uint64_t token = answer.token;
      EXPECT_TRUE(answers.emplace(token, std::move(answer)).second) << "answered twice: " << token;
    }
    if (apply_at_once) ApplyAll();
  }

  const Job job_;
  const std::unique_ptr<Policy> policy_;
  std::vector<uint64_t> incarnations_;
  std::vector<uint64_t> sequences_;
  uint64_t last_token_ = 0;
  std::vector<std::weak_ptr<int>> sent_;
  std::optional<ShardState> state_;
};

using Rounds = std::vector<std::vector<int>>;

TEST(SynchronousTest, ClosesARoundWhenAllHavePushedInOrderOfWorkers) {
  Cluster cluster(3, SynchronousPolicy());
  cluster.JoinAll();
  const uint64_t late = cluster.PushPull(2, 0);
  cluster.PushPull(0, 0);
  EXPECT_FALSE(cluster.Answered(late));
  EXPECT_THAT(cluster.rounds[0], IsEmpty());
  cluster.PushPull(1, 0);
  EXPECT_TRUE(cluster.StatusOf(late).ok());
  EXPECT_EQ(cluster.rounds[0], (Rounds{{0, 100, 200}}));
  EXPECT_EQ(cluster.rounds[1], (Rounds{{0, 100, 200}}));
}

TEST(SynchronousTest, AnswersAPullOnlyWhenTheRoundIsApplied) {
  Cluster cluster(1, SynchronousPolicy());
  cluster.JoinAll();
  cluster.apply_at_once = false;
  const uint64_t token = cluster.PushPull(0, 0);
  EXPECT_FALSE(cluster.Answered(token));
  cluster.ApplyAll();
  EXPECT_TRUE(cluster.StatusOf(token).ok());
}

TEST(SynchronousTest, NeverMixesRounds) {
  Cluster cluster(2, SynchronousPolicy());
  cluster.JoinAll();
  cluster.Push(0, 0);
  const uint64_t early = cluster.Push(0, 1);  // round 0 is still open
  EXPECT_EQ(cluster.StatusOf(early).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(cluster.StatusOf(early).message(), HasSubstr("worker:0 step 1"));
  cluster.Push(1, 0);
  const uint64_t late = cluster.Push(1, 0);
  EXPECT_EQ(cluster.StatusOf(late).code(), absl::StatusCode::kFailedPrecondition);
  cluster.Push(1, 1);
  cluster.Push(0, 1);
  EXPECT_EQ(cluster.rounds[0], (Rounds{{0, 100}, {1, 101}}));
}

TEST(SynchronousTest, WaitsForAWorkerThatJoinsLate) {
  Cluster cluster(2, SynchronousPolicy());
  cluster.Join(0);
  const uint64_t token = cluster.PushPull(0, 0);
  EXPECT_FALSE(cluster.Answered(token));
  cluster.Join(1);
  cluster.PushPull(1, 0);
  EXPECT_TRUE(cluster.StatusOf(token).ok());
}

TEST(SynchronousTest, GoesOnWithoutAWorkerThatLeft) {
  Cluster cluster(2, SynchronousPolicy());
  cluster.JoinAll();
  const uint64_t token = cluster.PushPull(0, 0);
  EXPECT_FALSE(cluster.Answered(token));
  EXPECT_TRUE(cluster.Leave(1).ok());
  EXPECT_TRUE(cluster.StatusOf(token).ok());
  EXPECT_EQ(cluster.rounds[0], (Rounds{{0}}));
  EXPECT_EQ(cluster.StatusOf(cluster.Push(1, 1)).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(cluster.StatusOf(cluster.Join(1, 2)).code(), absl::StatusCode::kFailedPrecondition);
}

TEST(SynchronousTest, CountsTheLastGradientOfAWorkerThatLeft) {
  Cluster cluster(2, SynchronousPolicy());
  cluster.JoinAll();
  cluster.Push(1, 0);
  EXPECT_TRUE(cluster.Leave(1).ok());
  cluster.Push(0, 0);
  EXPECT_EQ(cluster.rounds[0], (Rounds{{0, 100}}));
}

TEST(SynchronousTest, NamesTheMissingWorkerWhenTheDeadlinePasses) {
  Cluster cluster(3, SynchronousPolicy());
  cluster.Join(0);
  cluster.Join(1);
  const uint64_t token = cluster.PushPull(0, 0);
  cluster.Advance(absl::Seconds(31));
  const absl::Status status = cluster.StatusOf(token);
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(status.message(), HasSubstr("worker:1 (last heard 31s ago)"));
  EXPECT_THAT(status.message(), HasSubstr("worker:2 (has not joined)"));
  EXPECT_THAT(status.message(), HasSubstr("parameter a"));
  EXPECT_EQ(cluster.state().NextDeadline(), absl::InfiniteFuture());
}

TEST(SynchronousTest, FailsForAllWhenAWorkerFails) {
  Cluster cluster(2, SynchronousPolicy());
  cluster.JoinAll();
  const uint64_t token = cluster.PushPull(0, 0);
  EXPECT_TRUE(cluster.Leave(1, "out of cheese").ok());
  EXPECT_EQ(cluster.StatusOf(token).code(), absl::StatusCode::kAborted);
  EXPECT_THAT(cluster.StatusOf(token).message(), HasSubstr("worker:1: out of cheese"));
  EXPECT_EQ(cluster.StatusOf(cluster.PushPull(0, 0)).code(), absl::StatusCode::kAborted);
  EXPECT_TRUE(cluster.Leave(0).ok());
  EXPECT_TRUE(cluster.state().IsDone(cluster.now));
}

TEST(SynchronousTest, ContinuesARestartedWorkerWithoutTakingItsGradientTwice) {
  Cluster cluster(2, SynchronousPolicy());
  cluster.JoinAll();
  cluster.Push(0, 0);
  cluster.Push(1, 0);
  cluster.Push(1, 1);  // then worker 1 dies, and comes back after its lease
  cluster.Advance(absl::Seconds(11));
  const uint64_t join = cluster.Join(1, 2);
  ASSERT_TRUE(cluster.StatusOf(join).ok());
  EXPECT_EQ(cluster.answers[join].step, 1);
  EXPECT_TRUE(cluster.StatusOf(cluster.PushPull(1, 1, false, 77)).ok());
  EXPECT_EQ(cluster.rounds[0], (Rounds{{0, 100}}));
  cluster.Push(0, 1);
  EXPECT_EQ(cluster.rounds[0], (Rounds{{0, 100}, {1, 101}}));
}

TEST(AsynchronousTest, AppliesEachGradientAtOnceAndMeasuresStaleness) {
  Cluster cluster(2, AsynchronousPolicy());
  cluster.JoinAll();
  const uint64_t first = cluster.PushPull(0, 0);
  EXPECT_EQ(cluster.answers[first].staleness, (std::vector<int64_t>{0, 0}));
  const uint64_t second = cluster.PushPull(1, 0);
  EXPECT_EQ(cluster.answers[second].staleness, (std::vector<int64_t>{1, 1}));
  EXPECT_EQ(cluster.rounds[0], (Rounds{{0}, {100}}));
  v1::GetStatusResponse status;
  cluster.state().FillStatus(&status);
  EXPECT_EQ(status.pushes(), 4);
  EXPECT_EQ(status.staleness_sum(), 2);
  EXPECT_EQ(status.staleness_max(), 1);
}

TEST(AsynchronousTest, APullSeesTheSendersOwnPush) {
  Cluster cluster(1, AsynchronousPolicy());
  cluster.JoinAll();
  cluster.apply_at_once = false;
  const uint64_t token = cluster.PushPull(0, 0);
  EXPECT_FALSE(cluster.Answered(token));
  cluster.ApplyAll();
  EXPECT_TRUE(cluster.StatusOf(token).ok());
}

TEST(AsynchronousTest, DoesNotWaitForAnybody) {
  Cluster cluster(3, AsynchronousPolicy());
  cluster.Join(0);
  for (int step = 0; step < 50; ++step) {
    EXPECT_TRUE(cluster.StatusOf(cluster.PushPull(0, step)).ok());
  }
  EXPECT_TRUE(cluster.Leave(0).ok());
  const uint64_t back = cluster.Join(0, 5);
  ASSERT_TRUE(cluster.StatusOf(back).ok());
  EXPECT_EQ(cluster.answers[back].step, 50);
}

TEST(AsynchronousTest, SurvivesAWorkerThatFails) {
  Cluster cluster(2, AsynchronousPolicy());
  cluster.JoinAll();
  EXPECT_TRUE(cluster.Leave(1, "killed").ok());
  EXPECT_TRUE(cluster.StatusOf(cluster.PushPull(0, 0)).ok());
}

TEST(AsynchronousTest, IsDoneWhenTheChiefHasLeftAndADeadWorkerIsSilentForALease) {
  Cluster cluster(3, AsynchronousPolicy());
  cluster.Join(0);
  cluster.Join(1);  // worker 2 never comes, and worker 1 dies
  EXPECT_FALSE(cluster.state().IsDone(cluster.now + absl::Hours(1)));
  EXPECT_TRUE(cluster.Leave(0).ok());
  EXPECT_FALSE(cluster.state().IsDone(cluster.now));
  EXPECT_TRUE(cluster.state().IsDone(cluster.now + absl::Seconds(10)));
}

TEST(SynchronousTest, LetsGoOfTheGradientsOfAFailedJob) {
  Cluster cluster(2, SynchronousPolicy());
  cluster.JoinAll();
  cluster.Push(0, 0);
  EXPECT_EQ(cluster.LiveGradients(), 2);
  EXPECT_TRUE(cluster.Leave(1, "out of cheese").ok());
  EXPECT_EQ(cluster.LiveGradients(), 0);
}

TEST(BoundedStalenessTest, HoldsTheFastWorkerAtTheLimit) {
  Cluster cluster(2, BoundedPolicy(2));
  cluster.JoinAll();
  EXPECT_TRUE(cluster.StatusOf(cluster.PushPull(0, 0)).ok());  // pulls for step 1
  EXPECT_TRUE(cluster.StatusOf(cluster.PushPull(0, 1)).ok());  // step 2: two ahead
  const uint64_t third = cluster.PushPull(0, 2);               // step 3 must wait
  EXPECT_FALSE(cluster.Answered(third));
  cluster.PushPull(1, 0);
  EXPECT_TRUE(cluster.StatusOf(third).ok());
}

TEST(BoundedStalenessTest, LimitZeroMakesAllWait) {
  Cluster cluster(2, BoundedPolicy(0));
  cluster.JoinAll();
  const uint64_t first = cluster.PushPull(0, 0);
  EXPECT_FALSE(cluster.Answered(first));
  cluster.PushPull(1, 0);
  EXPECT_TRUE(cluster.StatusOf(first).ok());
}

TEST(BoundedStalenessTest, WaitsForOneThatJoinsLateButNotForOneThatLeft) {
  Cluster cluster(2, BoundedPolicy(0));
  cluster.Join(0);
  const uint64_t token = cluster.PushPull(0, 0);
  EXPECT_FALSE(cluster.Answered(token));
  cluster.Join(1);
  EXPECT_FALSE(cluster.Answered(token));
  EXPECT_TRUE(cluster.Leave(1).ok());
  EXPECT_TRUE(cluster.StatusOf(token).ok());
}

TEST(BoundedStalenessTest, OneThatComesBackStartsWhereTheSlowestIs) {
  Cluster cluster(2, BoundedPolicy(1));
  cluster.JoinAll();
  EXPECT_TRUE(cluster.Leave(1).ok());
  for (int step = 0; step < 7; ++step) {
    EXPECT_TRUE(cluster.StatusOf(cluster.PushPull(0, step)).ok());
  }
  const uint64_t join = cluster.Join(1, 2);
  ASSERT_TRUE(cluster.StatusOf(join).ok());
  EXPECT_EQ(cluster.answers[join].step, 7);
  EXPECT_TRUE(cluster.StatusOf(cluster.PushPull(0, 7)).ok());
  EXPECT_FALSE(cluster.Answered(cluster.PushPull(0, 8)));
}

TEST(ShardStateTest, ARepeatedPushGetsTheFirstAnswerAndIsNotAppliedAgain) {
  Cluster cluster(1, AsynchronousPolicy());
  cluster.JoinAll();
  const uint64_t first = cluster.PushPull(0, 0, true, 9);
  const uint64_t again = cluster.PushPull(0, 0, true, 9);
  EXPECT_TRUE(cluster.StatusOf(again).ok());
  EXPECT_EQ(cluster.answers[first].staleness, cluster.answers[again].staleness);
  EXPECT_EQ(cluster.rounds[0].size(), 1u);
}

TEST(ShardStateTest, ARefusedPushIsRefusedAgain) {
  Cluster cluster(1, SynchronousPolicy());
  cluster.JoinAll();
  const uint64_t first = cluster.PushPull(0, 3, false, 9);
  EXPECT_EQ(cluster.StatusOf(first).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(cluster.StatusOf(cluster.PushPull(0, 3, false, 9)), cluster.StatusOf(first));
}

TEST(ShardStateTest, ASequenceNumberTooOldToRememberIsRefused) {
  Cluster cluster(1, AsynchronousPolicy());
  cluster.JoinAll();
  const int many = static_cast<int>(SequenceWindow::kRemembered) + 1;
  for (int i = 0; i < many; ++i) cluster.Push(0, i);
  EXPECT_EQ(cluster.StatusOf(cluster.PushPull(0, many, false, 1)).code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(cluster.rounds[0].size(), static_cast<size_t>(many));
}

TEST(ShardStateTest, ABaseVersionFromTheFutureIsRefusedWhole) {
  Cluster cluster(1, AsynchronousPolicy());
  cluster.JoinAll();
  cluster.base_version = 1;
  EXPECT_EQ(cluster.StatusOf(cluster.Push(0, 0)).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(cluster.rounds[0], IsEmpty());
}

TEST(ShardStateTest, ABaseVersionThatIsSeenBeforeItsRoundIsReportedAppliedIsTaken) {
  Cluster cluster(2, AsynchronousPolicy());
  cluster.JoinAll();
  cluster.apply_at_once = false;
  cluster.Push(0, 0);
  cluster.base_version = 1;  // worker 1 pulled after the round was applied, before Applied said so
  EXPECT_TRUE(cluster.StatusOf(cluster.Push(1, 0)).ok());
  cluster.base_version = 3;
  EXPECT_EQ(cluster.StatusOf(cluster.Push(1, 1)).code(), absl::StatusCode::kInvalidArgument);
}

TEST(ShardStateTest, ASecondTaskWithTheSameIndexIsRefusedWhileTheFirstIsHeard) {
  Cluster cluster(1, AsynchronousPolicy());
  cluster.JoinAll();
  const uint64_t second = cluster.Join(0, 2);
  for (int i = 0; i < 6; ++i) {
    cluster.Advance(absl::Seconds(2));
    if (cluster.Answered(second)) break;
    EXPECT_TRUE(cluster.state().Heartbeat(0, 1, cluster.now).ok());
  }
  EXPECT_EQ(cluster.StatusOf(second).code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(cluster.StatusOf(second).message(), HasSubstr("worker:0"));
  EXPECT_TRUE(cluster.StatusOf(cluster.Push(0, 0)).ok());
}

TEST(ShardStateTest, ANewIncarnationTakesOverWhenTheLeaseEndsAndTheOldOneIsFencedOff) {
  Cluster cluster(1, AsynchronousPolicy());
  cluster.JoinAll();
  const uint64_t second = cluster.Join(0, 2);
  EXPECT_FALSE(cluster.Answered(second));
  EXPECT_EQ(cluster.state().NextDeadline(), cluster.now + absl::Seconds(10));
  cluster.Advance(absl::Seconds(10));
  EXPECT_TRUE(cluster.StatusOf(second).ok());
  EXPECT_EQ(cluster.StatusOf(cluster.Push(0, 0)).code(), absl::StatusCode::kAborted);
}

TEST(ShardStateTest, AStrangerIsRefused) {
  Cluster cluster(1, AsynchronousPolicy());
  EXPECT_EQ(cluster.StatusOf(cluster.Push(0, 0)).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(cluster.StatusOf(cluster.Join(1)).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(cluster.StatusOf(cluster.Join(-1)).code(), absl::StatusCode::kInvalidArgument);
}

TEST(ShardStateTest, ABarrierOpensWhenAllThatHaveNotLeftAreInIt) {
  Cluster cluster(3, AsynchronousPolicy());
  cluster.JoinAll();
  const uint64_t first = cluster.Barrier(0);
  const uint64_t second = cluster.Barrier(1);
  EXPECT_FALSE(cluster.Answered(first));
  EXPECT_TRUE(cluster.Leave(2).ok());
  EXPECT_TRUE(cluster.StatusOf(first).ok());
  EXPECT_TRUE(cluster.StatusOf(second).ok());
  const uint64_t third = cluster.Barrier(0);
  cluster.Advance(absl::Seconds(6));
  EXPECT_EQ(cluster.StatusOf(third).code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(cluster.StatusOf(third).message(), HasSubstr("worker:1"));
}

TEST(ShardStateTest, ContinuesFromACheckpointsClocks) {
  ShardState::BlockClocks clocks;
  clocks.version = 40;
  clocks.clocks = {20, 17};
  Cluster cluster(2, BoundedPolicy(3), {clocks, clocks});
  const uint64_t fast = cluster.Join(0);
  const uint64_t slow = cluster.Join(1);
  EXPECT_EQ(cluster.answers[fast].step, 20);
  EXPECT_EQ(cluster.answers[slow].step, 17);
  EXPECT_TRUE(cluster.StatusOf(cluster.Pull(0, 20)).ok());
  EXPECT_FALSE(cluster.Answered(cluster.PushPull(0, 20)));
}

TEST(ShardStateTest, ACheckpointLeavesOutGradientsOfAnOpenRound) {
  Cluster cluster(2, SynchronousPolicy());
  cluster.JoinAll();
  cluster.Push(0, 0);
  EXPECT_EQ(cluster.state().ClocksOf(0).version, 0);
  EXPECT_EQ(cluster.state().ClocksOf(0).clocks, (std::vector<int64_t>{0, 0}));
  cluster.Push(1, 0);
  EXPECT_EQ(cluster.state().ClocksOf(0).version, 1);
  EXPECT_EQ(cluster.state().ClocksOf(0).clocks, (std::vector<int64_t>{1, 1}));
}

// A whole job in one thread: at each turn one worker, at random, starts a step, repeats its last
// request, crashes and comes back, or leaves; rounds are applied when chance will have it.
class RandomJob {
 public:
  RandomJob(uint32_t seed, int workers, const v1::Policy& policy)
      : random_(seed), cluster_(workers, policy), runners_(workers) {
    cluster_.apply_at_once = false;
    cluster_.JoinAll();
  }

  // Runs until every worker has done `steps`; `after_turn` sees each worker's step.
  void Run(int64_t steps, const std::function<void(const std::vector<int64_t>&)>& after_turn) {
    for (int turn = 0; turn < 200000; ++turn) {
      bool done = true;
      std::vector<int64_t> at;
      for (const Runner& runner : runners_) {
        done = done && runner.step == steps;
        at.push_back(runner.step);
      }
      after_turn(at);
      if (done) return;
      Turn(steps);
    }
    FAIL() << "the job did not end";
  }

  Cluster& cluster() { return cluster_; }

 private:
  struct Runner {
    int64_t step = 0;
    uint64_t sequence = 0;
    uint64_t incarnation = 1;
    uint64_t token = 0;      // of the request it waits for
    bool restarted = false;  // and this is a pull for its first step, step + 1
  };

  uint64_t Resend(int worker) {
    const Runner& runner = runners_[worker];
    return runner.restarted ? cluster_.Pull(worker, runner.step + 1)
                            : cluster_.PushPull(worker, runner.step, true, runner.sequence);
  }

  void Turn(int64_t steps) {
    const int worker = static_cast<int>(random_() % runners_.size());
    Runner& runner = runners_[worker];
    switch (random_() % 8) {
      case 0:
        cluster_.ApplyAll();
        break;
      case 1:  // the answer was lost: the same request again
        if (runner.token != 0 && !cluster_.Answered(runner.token)) {
          runner.token = Resend(worker);
        }
        break;
      case 2:  // a restart
        if (random_() % 8 != 0) break;
        cluster_.Advance(absl::Seconds(20));
        {
          const uint64_t join = cluster_.Join(worker, ++runner.incarnation);
          ASSERT_TRUE(cluster_.StatusOf(join).ok()) << cluster_.StatusOf(join);
          runner.step = cluster_.answers[join].step - 1;
          runner.restarted = true;
          runner.token = Resend(worker);
        }
        break;
      default:
        if (runner.token == 0) {
          if (runner.step < steps) {
            runner.token = cluster_.PushPull(worker, runner.step, true, ++runner.sequence);
          }
        } else if (cluster_.Answered(runner.token)) {
          const absl::Status status = cluster_.StatusOf(runner.token);
          runner.token = 0;
          if (status.ok()) {
            ++runner.step;
            runner.restarted = false;
          } else {  // its wait was too long for one of the restarts' pauses
            ASSERT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded) << status;
            runner.token = Resend(worker);
          }
        }
    }
  }

  std::mt19937 random_;
  Cluster cluster_;
  std::vector<Runner> runners_;
};

// Every gradient of every worker and step is in exactly one round of each block.
void ExpectEachGradientOnce(const Cluster& cluster, int workers, int64_t steps) {
  std::vector<int> expected;
  for (int worker = 0; worker < workers; ++worker) {
    for (int64_t step = 0; step < steps; ++step)
      expected.push_back(100 * worker + static_cast<int>(step));
  }
  for (const Rounds& rounds : cluster.rounds) {
    std::vector<int> all;
    for (const std::vector<int>& round : rounds) all.insert(all.end(), round.begin(), round.end());
    std::sort(all.begin(), all.end());
    EXPECT_EQ(all, expected);
  }
}

// No worker has pulled for a step more than `limit` ahead of what the slowest has finished.
void ExpectWithin(int64_t limit, const std::vector<int64_t>& at, Cluster& cluster) {
  v1::GetStatusResponse status;
  cluster.state().FillStatus(&status);
  int64_t slowest = status.workers(0).clock();
  for (const auto& worker : status.workers()) slowest = std::min(slowest, worker.clock());
  EXPECT_LE(*std::max_element(at.begin(), at.end()) - slowest, limit);
}

TEST(RandomJobTest, SynchronousRoundsNeverMixAndTakeEachGradientOnce) {
  for (uint32_t seed = 0; seed < 50; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    const int workers = 1 + static_cast<int>(seed % 4);
    RandomJob job(seed, workers, SynchronousPolicy());
    job.Run(20, [&](const std::vector<int64_t>& at) { ExpectWithin(0, at, job.cluster()); });
    ExpectEachGradientOnce(job.cluster(), workers, 20);
    for (const Rounds& rounds : job.cluster().rounds) {
      ASSERT_EQ(rounds.size(), 20u);
      for (int step = 0; step < 20; ++step) {
        for (int worker = 0; worker < workers; ++worker) {
          EXPECT_EQ(rounds[step][worker], 100 * worker + step);
        }
      }
    }
  }
}

TEST(RandomJobTest, BoundedStalenessNeverExceedsItsLimit) {
  for (uint32_t seed = 0; seed < 50; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    const int workers = 2 + static_cast<int>(seed % 3);
    const int limit = static_cast<int>(seed % 4);
    RandomJob job(seed, workers, BoundedPolicy(limit));
    job.Run(20, [&](const std::vector<int64_t>& at) { ExpectWithin(limit, at, job.cluster()); });
    ExpectEachGradientOnce(job.cluster(), workers, 20);
  }
}

TEST(RandomJobTest, AsynchronousTakesEachGradientOnce) {
  for (uint32_t seed = 0; seed < 50; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    RandomJob job(seed, 3, AsynchronousPolicy());
    job.Run(20, [](const std::vector<int64_t>&) {});
    ExpectEachGradientOnce(job.cluster(), 3, 20);
  }
}

}  // namespace
}  // namespace parley
