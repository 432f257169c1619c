#include "ps/policy.h"

#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ps/policies/asynchronous.h"
#include "ps/policies/backup_workers.h"
#include "ps/policies/bounded_staleness.h"
#include "ps/policies/phased.h"
#include "ps/policies/synchronous.h"

namespace parley {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const std::vector<uint8_t> kAll = {1, 1, 1};
const std::vector<uint8_t> kWithoutTheLast = {1, 1, 0};

TEST(PolicyTest, BackupWorkersCountGradientsOrAllThatAreAwaited) {
  const auto policy = NewBackupWorkers(2, /*needs_every_worker=*/false);
  std::vector<WorkerInRound> workers = {{4, true, 4}, {3, false, 0}, {4, false, 0}};
  EXPECT_FALSE(policy->IsComplete({4, workers, kAll}));
  EXPECT_FALSE(policy->IsComplete({4, workers, kWithoutTheLast}));
  EXPECT_THAT(policy->Missing({4, workers, kAll}, 0, 5), ElementsAre(1, 2));
  EXPECT_THAT(policy->Missing({4, workers, kAll}, 1, 4), IsEmpty());
  EXPECT_EQ(policy->NextStep({4, workers, kAll}, 1, 2), 4);
  EXPECT_EQ(policy->NextStep({4, workers, kAll}, 1, 5), 5);
  workers[1].pushed = true;
  EXPECT_TRUE(policy->IsComplete({4, workers, kAll}));
  const std::vector<uint8_t> first = {1, 0, 0};
  workers[1].pushed = false;
  EXPECT_TRUE(policy->IsComplete({4, workers, first}));
}

TEST(PolicyTest, OnlySynchronousGradientsAreLate) {
  const std::vector<WorkerInRound> workers(3);
  const RoundSnapshot round = {4, workers, kAll};
  EXPECT_TRUE(NewBackupWorkers(2)->IsLate(round, 4, 3));
  EXPECT_FALSE(NewBackupWorkers(2)->IsLate(round, 4, 4));
  EXPECT_TRUE(NewSynchronous()->IsLate(round, 3, 3));
  EXPECT_FALSE(NewSynchronous()->IsLate(round, 4, 0));
  EXPECT_FALSE(NewAsynchronous()->IsLate(round, 0, 0));
  EXPECT_FALSE(NewBoundedStaleness(0)->IsLate(round, 0, 0));
}

TEST(PolicyTest, BoundedStalenessCountsTheAwaitedOnly) {
  const auto policy = NewBoundedStaleness(2);
  const std::vector<WorkerInRound> workers = {{7}, {6}, {3}};
  EXPECT_THAT(policy->Missing({16, workers, kAll}, 0, 7), ElementsAre(2));
  EXPECT_TRUE(policy->MayPull({16, workers, kWithoutTheLast}, 0, 7));
  EXPECT_TRUE(policy->MayPull({16, workers, kAll}, 2, 5));
  EXPECT_EQ(policy->NextStep({16, workers, kAll}, 1, 3), 6);
}

TEST(PolicyTest, CorrectionsAreOfStaleGradientsOnly) {
  const auto policy = NewBoundedStaleness(2, {/*rate_by_staleness=*/true, /*lambda=*/0.5f});
  EXPECT_EQ(policy->CorrectionFor(9, 0).rate, 1);
  EXPECT_EQ(policy->CorrectionFor(9, 0).compensation, 0);
  EXPECT_EQ(policy->CorrectionFor(9, 1).rate, 1);
  EXPECT_EQ(policy->CorrectionFor(9, 1).compensation, 0.5f);
  EXPECT_EQ(policy->CorrectionFor(9, 8).rate, 0.125);
  EXPECT_EQ(NewAsynchronous()->CorrectionFor(9, 8).rate, 1);
}

TEST(PolicyTest, APhaseHasTheRoundsBeforeItsEnd) {
  std::vector<PolicyPhase> phases;
  phases.push_back({NewSynchronous(), 3});
  phases.push_back({NewAsynchronous({true, 0}), 5});
  phases.push_back({NewBackupWorkers(2, false), 5});
  const auto policy = NewPhased(std::move(phases));
  const std::vector<int> expected = {0, 0, 0, 1, 1, 2, 2};
  for (int64_t round = 0; round < 7; ++round) EXPECT_EQ(policy->PhaseOf(round), expected[round]);
  EXPECT_FALSE(policy->AwaitsSilent(2));
  EXPECT_TRUE(policy->NeedsEveryWorker(2));
  EXPECT_FALSE(policy->NeedsEveryWorker(3));
  EXPECT_TRUE(policy->AwaitsSilent(4));
  EXPECT_FALSE(policy->AwaitsSilent(5));
  EXPECT_EQ(policy->CorrectionFor(2, 4).rate, 1);
  EXPECT_EQ(policy->CorrectionFor(3, 4).rate, 0.25);
  EXPECT_EQ(policy->CorrectionFor(5, 4).rate, 1);
}

TEST(PolicyTest, OnlyTheFirstPlainPhaseTakesAStepForARound) {
  v1::Policy spec;
  for (const int64_t rounds : {2, 3, 0}) {
    v1::Phases::Phase* phase = spec.mutable_phases()->add_phase();
    if (rounds == 3) {
      phase->mutable_policy()->mutable_asynchronous();
    } else {
      phase->mutable_policy()->mutable_synchronous();
    }
    phase->set_rounds(rounds);
  }
  const auto policy = NewPolicy(spec, 3).value();
  const std::vector<WorkerInRound> workers(3);
  EXPECT_FALSE(policy->CheckPush({1, workers, kAll}, 0, 2).ok());
  EXPECT_TRUE(policy->CheckPush({1, workers, kAll}, 0, 1).ok());
  EXPECT_TRUE(policy->CheckPush({7, workers, kAll}, 0, 4).ok());
  EXPECT_TRUE(policy->NeedsEveryWorker(7));
  EXPECT_FALSE(policy->AwaitsSilent(7));
}

}  // namespace
}  // namespace parley
