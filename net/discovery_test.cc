#include "net/discovery.h"

#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "net/testing/etcd_process.h"
#include "net/testing/silent_listener.h"

namespace parley {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr absl::Duration kLong = absl::Seconds(60);

std::shared_ptr<EtcdClient> Connect(const std::string& address) {
  EtcdClientOptions options;
  options.timeout = kLong;
  return *EtcdClient::Create(address, options);
}

class DiscoveryTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { etcd_ = new EtcdProcess(); }
  static void TearDownTestSuite() {
    delete etcd_;
    etcd_ = nullptr;
  }
  void TearDown() override { EXPECT_TRUE(client_->DeletePrefix("/parley/").ok()); }

  std::unique_ptr<ShardRegistration> Register(int index, const std::string& address) {
    auto registration = ShardRegistration::Register(client_, "job", index, address);
    EXPECT_TRUE(registration.ok()) << registration.status();
    return registration.ok() ? *std::move(registration) : nullptr;
  }

  static EtcdProcess* etcd_;
  const std::shared_ptr<EtcdClient> client_ = Connect(etcd_->address());
};

EtcdProcess* DiscoveryTest::etcd_ = nullptr;

TEST_F(DiscoveryTest, AllShardsAreFoundInWhateverOrderTheyCome) {
  auto found =
      std::async(std::launch::async, [&] { return FindShards(client_.get(), "job", 2, kLong); });
  const auto other_job = ShardRegistration::Register(client_, "job2", 0, "x:9");
  const auto one = Register(1, "b:2");
  const auto zero = Register(0, "a:1");
  const auto addresses = found.get();
  ASSERT_TRUE(addresses.ok()) << addresses.status();
  EXPECT_THAT(*addresses, ElementsAre("a:1", "b:2"));
  EXPECT_EQ(*FindShard(client_.get(), "job", 1), "b:2");
}

TEST_F(DiscoveryTest, WhoIsMissingIsNamed) {
  const auto one = Register(1, "b:2");
  const absl::Status status = FindShards(client_.get(), "job", 3, absl::Milliseconds(100)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded) << status;
  EXPECT_THAT(status.message(), HasSubstr("ps:0, ps:2 to register"));
  EXPECT_THAT(status.message(), HasSubstr("job job"));
  EXPECT_TRUE(absl::IsNotFound(FindShard(client_.get(), "job", 0).status()));
}

TEST_F(DiscoveryTest, AnAddressGoesWithItsTask) {
  auto zero = Register(0, "a:1");
  zero.reset();
  EXPECT_TRUE(absl::IsNotFound(FindShard(client_.get(), "job", 0).status()));
}

TEST_F(DiscoveryTest, ASecondLiveTaskWithTheSameIndexIsRefused) {
  ASSERT_TRUE(client_->Put({"/parley/job/ps/0", "a:1", 0}).ok());
  const absl::Status status = ShardRegistration::Register(client_, "job", 0, "b:2").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists) << status;
  EXPECT_EQ(std::string(status.message()), "another task is ps:0 of job job: it listens on a:1");
  EXPECT_EQ(*FindShard(client_.get(), "job", 0), "a:1");
}

TEST_F(DiscoveryTest, TheAddressOfADeadTaskIsWaitedFor) {
  // Dead: its lease is not kept alive any more.
  const auto lease = client_->GrantLease(absl::Seconds(2));
  ASSERT_TRUE(lease.ok()) << lease.status();
  ASSERT_TRUE(client_->Put({"/parley/job/ps/0", "a:1", lease->id}).ok());
  const auto zero = Register(0, "b:2");
  EXPECT_EQ(*FindShard(client_.get(), "job", 0), "b:2");
}

TEST_F(DiscoveryTest, ATaskOnTheSameAddressTakesItOverAtOnce) {
  ASSERT_TRUE(client_->Put({"/parley/job/ps/0", "a:1", 0}).ok());
  auto zero = Register(0, "a:1");
  zero.reset();
  EXPECT_TRUE(absl::IsNotFound(FindShard(client_.get(), "job", 0).status()));
}

TEST_F(DiscoveryTest, HowManyShardsThereAreTheirLeadersSay) {
  EXPECT_EQ(*FindJobSize(client_.get(), "job"), JobSize());
  const auto zero = Register(0, "a:1");
  for (int shard = 0; shard < 3; ++shard) {
    ShardLeader leader;
    leader.address = "a:1";
    leader.who = {0, 1};
    leader.size = {3, 1};
    ASSERT_TRUE(client_->Put({LeaderKey("job", shard), FormatLeader(leader), 0}).ok());
  }
  EXPECT_EQ(*FindJobSize(client_.get(), "job"), (JobSize{3, 1}));
  EXPECT_THAT(*FindShards(client_.get(), "job", 1, kLong), ElementsAre("a:1", "a:1", "a:1"));
  const absl::Status other =
      FindShards(client_.get(), "job", 2, kLong, kLong, /*exactly=*/true).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(other)) << other;
  EXPECT_EQ(std::string(other.message()), "job job has 3 shards, says etcd, not 2");
}

// The lease that a registration's key hangs on.
int64_t LeaseOf(EtcdClient* client) {
  const auto range = client->Get("/parley/job/ps/0");
  return range.ok() && range->entries.size() == 1 ? range->entries[0].lease : 0;
}

TEST_F(DiscoveryTest, ALostLeaseIsFollowedByAnother) {
  const auto zero = Register(0, "a:1");
  const int64_t lease = LeaseOf(client_.get());
  ASSERT_TRUE(client_->RevokeLease(lease).ok());
  const auto found = FindShards(client_.get(), "job", 1, kLong);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_NE(LeaseOf(client_.get()), lease);
  EXPECT_TRUE(zero->status().ok());
}

TEST_F(DiscoveryTest, ATaskWhosePlaceWasTakenIsTold) {
  const auto zero = Register(0, "a:1");
  const int64_t lease = LeaseOf(client_.get());
  ASSERT_TRUE(client_->Put({"/parley/job/ps/0", "b:2", 0}).ok());
  ASSERT_TRUE(client_->RevokeLease(lease).ok());
  while (zero->status().ok()) std::this_thread::yield();
  EXPECT_EQ(std::string(zero->status().message()),
            "another task is ps:0 of job job: it listens on b:2");
}

// As when it is started again while tasks are.
TEST(DiscoveryErrorsTest, AnEtcdThatIsNotThereYetIsAwaited) {
  EtcdProcess etcd;
  EtcdClientOptions options;
  options.timeout = absl::Milliseconds(500);
  const std::shared_ptr<EtcdClient> client = *EtcdClient::Create(etcd.address(), options);
  etcd.Kill();
  auto found = std::async(std::launch::async,
                          [&] { return FindShards(client.get(), "job", 1, kLong, kLong); });
  auto registered = std::async(std::launch::async, [&] {
    return ShardRegistration::Register(client, "job", 0, "a:1", kLong);
  });
  // Both have been refused by then: a call ends at the latest after its time.
  EXPECT_EQ(found.wait_for(std::chrono::seconds(1)), std::future_status::timeout);
  EXPECT_EQ(registered.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  etcd.Restart();
  const auto registration = registered.get();
  EXPECT_TRUE(registration.ok()) << registration.status();
  const auto addresses = found.get();
  ASSERT_TRUE(addresses.ok()) << addresses.status();
  EXPECT_THAT(*addresses, ElementsAre("a:1"));
}

TEST(DiscoveryErrorsTest, AnEtcdThatIsNotThereIsNamed) {
  const SilentListener nobody(/*listening=*/false);
  const std::string address = absl::StrCat("127.0.0.1:", nobody.port());
  const auto client = Connect(address);
  for (const absl::Status& status :
       {FindShards(client.get(), "job", 1, kLong, absl::Milliseconds(300)).status(),
        ShardRegistration::Register(client, "job", 0, "a:1", absl::Milliseconds(300)).status()}) {
    EXPECT_TRUE(absl::IsUnavailable(status)) << status;
    EXPECT_THAT(status.message(), HasSubstr("etcd at " + address));
  }
}

TEST(DiscoveryErrorsTest, AJobThatIsNoKeyIsRefused) {
  EXPECT_TRUE(CheckJobKey("resnet-3").ok());
  EXPECT_TRUE(absl::IsInvalidArgument(CheckJobKey("")));
  EXPECT_TRUE(absl::IsInvalidArgument(CheckJobKey("a/ps/0")));
}

}  // namespace
}  // namespace parley
