#include "ps/succession.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ps/testing/succession_fixture.h"

namespace parley {
namespace {

using ::testing::HasSubstr;

TEST_F(SuccessionTest, WhoHasTheCopyGoesOnWhereTheLeaderWas) {
  const auto expected = Undisturbed(6);
  for (int i = 0; i < kTasks; ++i) Start(i);
  ASSERT_TRUE(Declare().ok());
  ASSERT_TRUE(Join().ok());
  EXPECT_EQ(*Push(0), expected[0]);
  EXPECT_EQ(*Push(1), expected[1]);
  AwaitCopy(1);
  tasks_[0]->CutOff();
  EXPECT_EQ(*Push(1), expected[1]);  // its answer was lost, for all the worker knows
  EXPECT_EQ(*Push(2), expected[2]);
  EXPECT_EQ(AwaitLeader(1).leader->term, 2);
  // A copy is filled anew: at the shard's own task, when that is there.
  AwaitCopy(2);
  Start(0);
  tasks_[2]->CutOff();
  EXPECT_EQ(*Push(3), expected[3]);
  AwaitCopy(0);
  tasks_[1]->CutOff();
  EXPECT_EQ(*Push(4), expected[4]);
  AwaitLeader(0);
  EXPECT_EQ(*Push(5), expected[5]);  // alone
}

TEST_F(SuccessionTest, ALeaderThatWentOnAloneIsFollowedByNobodyWithAnOldCopy) {
  Start(0, absl::Milliseconds(50));
  Start(1, absl::Milliseconds(50));
  ASSERT_TRUE(Declare().ok());
  ASSERT_TRUE(Join().ok());
  ASSERT_TRUE(Push(0).ok());
  AwaitCopy(1);
  network_.Lose(true);  // the leader does not reach the copy, which is there
  EXPECT_TRUE(Push(1).ok());
  EXPECT_FALSE(Await([](const ShardRecords& now) {
                 return !now.copies->copy.has_value();
               }).copies->copy.has_value());
  End(0);
  Start(0);
  // Its task begins anew, and nothing that was acknowledged is silently taken back.
  EXPECT_EQ(AwaitLeader(0).leader->term, 2);
  const absl::Status lost = Push(2).status();
  EXPECT_TRUE(absl::IsNotFound(lost)) << lost;
  EXPECT_THAT(std::string(lost.message()), HasSubstr("is not declared here"));
}

TEST_F(SuccessionTest, AShardThatNobodyHasBeginsAnewAfterAWhile) {
  // An earlier run of the job, all of whose tasks are gone.
  ShardCopies copies;
  copies.term = 4;
  copies.leader = {1, 11};
  copies.copy = TaskStart{2, 12};
  ASSERT_TRUE(client_->Put({CopiesKey("job", 0), FormatCopies(copies), 0}).ok());
  for (int i = 0; i < kTasks; ++i) Start(i, absl::Milliseconds(300));
  EXPECT_EQ(AwaitLeader(0).leader->term, 5);
  ASSERT_TRUE(Declare().ok());
  ASSERT_TRUE(Join().ok());
  EXPECT_TRUE(Push(0).ok());
}

TEST_F(SuccessionTest, ALeaderThatLostItsLeaseSpeaksAgainWhenNobodyHasTakenOver) {
  Start(0);
  ASSERT_TRUE(client_->Put({"/parley/job/ps/1", "task-1:1", 0}).ok());
  const ShardRecords before = AwaitLeader(0);
  ASSERT_TRUE(client_->RevokeLease(before.leader->lease).ok());
  const ShardRecords after = Await([&](const ShardRecords& now) {
    return now.leader.has_value() && now.leader->lease != before.leader->lease;
  });
  EXPECT_EQ(after.leader->term, 1);
  EXPECT_TRUE(Declare().ok());
}

TEST_F(SuccessionTest, OneThatWasTakenOverFromWhileItStoodStillLetsGo) {
  for (int i = 0; i < 2; ++i) Start(i);
  ASSERT_TRUE(Declare().ok());
  ASSERT_TRUE(Join().ok());
  ASSERT_TRUE(Push(0).ok());
  const ShardRecords seen = AwaitCopy(1);
  tasks_[0]->CutOff();
  AwaitLeader(1);
  // It can reach others, and etcd. What it is asked from now on others answer.
  EXPECT_TRUE(Becomes([&] { return tasks_[0]->host()->shards().empty(); }));
  v1::HeartbeatRequest request;
  *request.mutable_sender() = Sender();
  const absl::Status heard = Begin<v1::HeartbeatResponse>([&](auto done) {
                               tasks_[0]->host()->Heartbeat(request, std::move(done));
                             })
                                 .get()
                                 .status();
  EXPECT_TRUE(absl::IsUnavailable(heard)) << heard;
  EXPECT_THAT(std::string(heard.message()), HasSubstr("task ps:0 does not speak for it now"));
}

TEST_F(SuccessionTest, WhenTheJobIsDoneNothingIsLeft) {
  for (int i = 0; i < kTasks; ++i) Start(i);
  ASSERT_TRUE(Declare().ok());
  ASSERT_TRUE(Join().ok());
  AwaitCopy(1);
  tasks_[0]->CutOff();
  AwaitLeader(1);
  EXPECT_FALSE(tasks_[2]->succession().IsOver());
  ASSERT_TRUE(Leave().ok());
  tasks_[1]->succession().Close();
  Await([](const ShardRecords& now) { return !now.leader.has_value() && !now.copies.has_value(); });
}

// Etcd then says that it leads, and it has to find out.
TEST_F(SuccessionTest, ALeaderWhoseAnswerIsLostWhenItHoldsItsShardAgainSpeaksForItAllTheSame) {
  for (int i = 0; i < kTasks; ++i) Start(i);
  const int64_t lease = AwaitLeader(0).leader->lease;
  tasks_[0]->etcd().LoseNextAnswer();
  ASSERT_TRUE(client_->RevokeLease(lease).ok());
  ASSERT_TRUE(Becomes([&] { return tasks_[0]->etcd().has_lost(); }));
  EXPECT_TRUE(Declare().ok());
  EXPECT_TRUE(Join().ok());
}

// One that is started again when the job is over knows nothing of it, and waits for another. That
// is no reason for the others to stay.
TEST_F(SuccessionTest, AJobThatIsOverStaysOverWhenATaskBeginsAnew) {
  for (int i = 0; i < kTasks; ++i) Start(i);
  for (int shard = 0; shard < kTasks; ++shard) {
    while (!ReadShardRecords(client_.get(), "job", kTasks)->shards[shard].leader.has_value()) {
    }
  }
  // As each leader does with its own when the job is done. The records come back until the task has
  // seen each.
  const auto is_over = [&] { return tasks_[1]->succession().IsOver(); };
  const absl::Time deadline = Env::Posix()->Now() + kLong;
  EXPECT_FALSE(is_over());
  const EtcdRange records = client_->List("/parley/job/shard/").value();
  End(0);
  End(2);
  while (!is_over() && Env::Posix()->Now() < deadline) {
    for (const EtcdEntry& record : records.entries) {
      if (record.key != LeaderKey("job", 1) && record.key != CopiesKey("job", 1)) {
        ASSERT_TRUE(client_->Put({record.key, record.value, 0}).ok());
      }
    }
    absl::SleepFor(absl::Milliseconds(150));  // it looks ten times a second
    ASSERT_TRUE(client_->DeletePrefix("/parley/job/shard/").ok());
    absl::SleepFor(absl::Milliseconds(150));
  }
  ASSERT_TRUE(is_over());
  Start(0);
  AwaitLeader(0);
  for (int i = 0; i < 50; ++i) {
    EXPECT_TRUE(is_over());
    absl::SleepFor(absl::Milliseconds(10));  // it looks ten times a second
  }
}

TEST_F(SuccessionTest, WhatWasSaidOfAnEarlierRunIsForgotten) {
  ASSERT_TRUE(client_->Put({PsTasksKey("job"), "1", 0}).ok());
  for (int i = 0; i < kTasks; ++i) Start(i);
  for (int i = 0; i < kTasks; ++i) {
    Await([](const ShardRecords& now) { return now.leader.has_value(); }, static_cast<size_t>(i));
  }
  EXPECT_FALSE(ReadShardRecords(client_.get(), "job", kTasks)->ps_tasks.has_value());
}

}  // namespace
}  // namespace parley
