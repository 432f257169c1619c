#include "net/shard_leadership.h"

#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "net/testing/etcd_process.h"
#include "net/testing/lossy_etcd.h"

namespace parley {
namespace {

constexpr absl::Duration kLong = absl::Seconds(60);

class ShardLeadershipTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { etcd_ = new EtcdProcess(); }
  static void TearDownTestSuite() {
    delete etcd_;
    etcd_ = nullptr;
  }
  void TearDown() override { EXPECT_TRUE(client_->DeletePrefix("/parley/").ok()); }

  static std::shared_ptr<EtcdClient> Connect() {
    EtcdClientOptions options;
    options.timeout = kLong;
    return *EtcdClient::Create(etcd_->address(), options);
  }
  std::shared_ptr<EtcdLease> Lease() {
    auto lease = EtcdLease::Grant(client_, kLong);
    EXPECT_TRUE(lease.ok()) << lease.status();
    return *std::move(lease);
  }
  ShardLeadership::Options OptionsOf(int task) const {
    return {client_, "job", 3, StartOf(task), "host:" + std::to_string(task), {6, 2}};
  }
  static TaskStart StartOf(int task) { return {task, static_cast<uint64_t>(100 + task)}; }
  ShardRecords Read() { return ReadShardRecordsOf(client_.get(), "job", 3).value(); }

  static EtcdProcess* etcd_;
  const std::shared_ptr<EtcdClient> client_ = Connect();
};

EtcdProcess* ShardLeadershipTest::etcd_ = nullptr;

TEST_F(ShardLeadershipTest, OfTwoWhoSawTheSameOneLeads) {
  const ShardRecords seen = Read();
  EXPECT_FALSE(seen.leader.has_value());
  const auto lease = Lease();
  const auto first = ShardLeadership::Take(OptionsOf(0), seen, lease);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ((*first)->term(), 1);
  EXPECT_TRUE((*first)->MaySpeak());
  EXPECT_EQ(ShardLeadership::Take(OptionsOf(1), seen, Lease()).status().code(),
            absl::StatusCode::kFailedPrecondition);
  const ShardRecords now = Read();
  EXPECT_EQ(now.leader->address, "host:0");
  EXPECT_EQ(now.leader->lease, lease->id());
  EXPECT_EQ(now.leader->size, (JobSize{6, 2}));
  EXPECT_EQ(now.copies->leader, StartOf(0));
  EXPECT_FALSE(now.copies->copy.has_value());
}

TEST_F(ShardLeadershipTest, WhoSawTheCopiesBeforeTheyChangedDoesNotLead) {
  const auto leader = ShardLeadership::Take(OptionsOf(0), Read(), Lease()).value();
  ASSERT_TRUE(leader->SetCopy(StartOf(1)).ok());
  EXPECT_EQ(leader->copy(), StartOf(1));
  const ShardRecords seen = Read();
  EXPECT_EQ(seen.copies->copy, StartOf(1));
  ASSERT_TRUE(leader->SetCopy(absl::nullopt).ok());  // it goes on alone
  EXPECT_TRUE(
      absl::IsFailedPrecondition(ShardLeadership::Take(OptionsOf(1), seen, Lease()).status()));
}

TEST_F(ShardLeadershipTest, AnEarlierLeaderCanWriteNothingAndComesNotBack) {
  const auto first = ShardLeadership::Take(OptionsOf(0), Read(), Lease()).value();
  ASSERT_TRUE(first->SetCopy(StartOf(1)).ok());
  const auto second = ShardLeadership::Take(OptionsOf(1), Read(), Lease()).value();
  EXPECT_EQ(second->term(), 2);
  // Of the two calls either is the first to notice.
  EXPECT_TRUE(absl::IsAborted(first->SetCopy(absl::nullopt)));
  EXPECT_TRUE(absl::IsAborted(first->Hold(Lease())));
  EXPECT_FALSE(Read().copies->copy.has_value());
  EXPECT_EQ(Read().leader->address, "host:1");
  first->Remove().IgnoreError();
  EXPECT_TRUE(Read().copies.has_value());
  EXPECT_THAT(std::string(first->SetCopy(absl::nullopt).message()),
              ::testing::HasSubstr("ps:1 speaks for ps:3 now"));
}

TEST_F(ShardLeadershipTest, WithItsLeaseItLosesItsVoiceAndWithAnotherItHasItAgain) {
  auto lease = Lease();
  const auto leader = ShardLeadership::Take(OptionsOf(0), Read(), lease).value();
  ASSERT_TRUE(leader->SetCopy(StartOf(1)).ok());
  ASSERT_TRUE(client_->RevokeLease(lease->id()).ok());
  EXPECT_FALSE(Read().leader.has_value());
  ASSERT_TRUE(leader->Hold(Lease()).ok());
  EXPECT_TRUE(leader->MaySpeak());
  EXPECT_EQ(Read().leader->address, "host:0");
  EXPECT_EQ(Read().copies->copy, StartOf(1));
  leader->End();
  EXPECT_FALSE(leader->MaySpeak());
}

TEST_F(ShardLeadershipTest, OneWhoseAnswerWasLostIsFound) {
  const auto lost = ShardLeadership::Take(OptionsOf(0), Read(), Lease()).value();
  const auto found = ShardLeadership::Found(OptionsOf(0), Read(), Lease());
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ((*found)->term(), lost->term());
  EXPECT_TRUE((*found)->SetCopy(StartOf(2)).ok());
}

TEST_F(ShardLeadershipTest, AfterASilenceItLooksAgain) {
  const auto leader = ShardLeadership::Take(OptionsOf(0), Read(), Lease()).value();
  // The same task wrote, by an answer that it never got.
  ShardCopies copies = *Read().copies;
  copies.copy = StartOf(1);
  ASSERT_TRUE(client_->Put({CopiesKey("job", 3), FormatCopies(copies), 0}).ok());
  EXPECT_TRUE(absl::IsUnavailable(leader->SetCopy(StartOf(2))));
  EXPECT_TRUE(leader->SetCopy(StartOf(2)).ok());
  EXPECT_EQ(Read().copies->copy, StartOf(2));
}

// Nobody may take over with it: the leader goes on without.
TEST_F(ShardLeadershipTest, ACopyIsTakenBackOfWhichItIsNotKnownWhetherEtcdHasIt) {
  EtcdClientOptions etcd_options;
  etcd_options.timeout = kLong;
  const auto lossy =
      std::make_shared<LossyEtcd>(*EtcdClient::Create(etcd_->address(), etcd_options));
  ShardLeadership::Options options = OptionsOf(0);
  options.etcd = lossy;
  const auto leader = ShardLeadership::Take(options, Read(), Lease()).value();
  lossy->LoseNextAnswer();
  EXPECT_FALSE(leader->SetCopy(StartOf(1)).ok());
  ASSERT_EQ(Read().copies->copy, StartOf(1));
  EXPECT_TRUE(leader->SetCopy(absl::nullopt).ok());
  EXPECT_EQ(Read().copies->copy, absl::nullopt);
}

TEST_F(ShardLeadershipTest, WhoIsHandedAShardSaysThatItsLastLeaderHasACopy) {
  const auto leader = ShardLeadership::Take(OptionsOf(0), Read(), Lease()).value();
  ASSERT_TRUE(leader->SetCopy(StartOf(1)).ok());
  leader->FallSilent();
  ASSERT_TRUE(leader->HandOver(1).ok());
  ASSERT_TRUE(ShardLeadership::Take(OptionsOf(1), Read(), Lease()).ok());
  const ShardRecords now = Read();
  EXPECT_EQ(now.copies->leader, StartOf(1));
  EXPECT_EQ(now.copies->copy, StartOf(0));
}

TEST_F(ShardLeadershipTest, AShardWhoseJobIsDoneLeavesNothing) {
  const auto leader = ShardLeadership::Take(OptionsOf(0), Read(), Lease()).value();
  ASSERT_TRUE(leader->Remove().ok());
  EXPECT_FALSE(Read().leader.has_value());
  EXPECT_FALSE(Read().copies.has_value());
}

TEST_F(ShardLeadershipTest, AShardWhoseJobIsDoneLeavesNothingOfALateWriteEither) {
  const auto leader = ShardLeadership::Take(OptionsOf(0), Read(), Lease()).value();
  const ShardCopies copies = *Read().copies;  // of the same task, whose answer it never got
  ASSERT_TRUE(client_->Put({CopiesKey("job", 3), FormatCopies(copies), 0}).ok());
  ASSERT_TRUE(leader->Remove().ok());
  EXPECT_FALSE(Read().leader.has_value());
  EXPECT_FALSE(Read().copies.has_value());
}

TEST_F(ShardLeadershipTest, AllShardsAreReadAtOnceAndWhatOthersWroteIsNamed) {
  const auto leader = ShardLeadership::Take(OptionsOf(0), Read(), Lease()).value();
  const auto all = ReadShardRecords(client_.get(), "job", 5);
  ASSERT_TRUE(all.ok());
  ASSERT_EQ(all->shards.size(), 5);
  EXPECT_EQ(all->shards[3].leader->address, "host:0");
  EXPECT_FALSE(all->shards[4].leader.has_value());
  EXPECT_EQ(ReadShardRecords(client_.get(), "job", 2)->shards.size(), 2);
  EXPECT_EQ(all->size(), (JobSize{6, 2}));
  EXPECT_FALSE(all->ps_tasks.has_value());
  ASSERT_TRUE(client_->Put({"/parley/job/ps/1", "host:1", 0}).ok());
  ASSERT_TRUE(client_->Put({PsTasksKey("job"), "3", 0}).ok());
  const auto more = ReadShardRecords(client_.get(), "job", -1);
  ASSERT_TRUE(more.ok());
  EXPECT_EQ(more->shards.size(), 4);  // up to the highest
  EXPECT_EQ(more->ps_tasks->tasks, 3);
  ASSERT_EQ(more->tasks.size(), 1);
  EXPECT_EQ(more->tasks.at(1).address, "host:1");
  EXPECT_LT(more->tasks.at(1).create_revision, more->ps_tasks->mod_revision);
  ASSERT_TRUE(client_->Put({CopiesKey("job", 3), "by hand", 0}).ok());
  EXPECT_THAT(std::string(ReadShardRecords(client_.get(), "job", 5).status().message()),
              ::testing::HasSubstr("/parley/job/shard/3/copies"));
}

}  // namespace
}  // namespace parley
