#include "net/etcd_lease.h"

#include <future>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/env.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "net/testing/etcd_process.h"

namespace parley {
namespace {

using ::testing::HasSubstr;

// The shortest that etcd gives by default.
constexpr absl::Duration kShort = absl::Seconds(2);
constexpr absl::Duration kLong = absl::Seconds(60);

class EtcdLeaseTest : public ::testing::Test {
 protected:
  std::unique_ptr<EtcdLease> Grant(absl::Duration ttl) {
    auto lease =
        EtcdLease::Grant(client_, ttl, [this](const absl::Status& why) { lost_.set_value(why); });
    EXPECT_TRUE(lease.ok()) << lease.status();
    return lease.ok() ? *std::move(lease) : nullptr;
  }
  bool Exists(const std::string& key) {
    const absl::StatusOr<EtcdRange> range = client_->Get(key);
    EXPECT_TRUE(range.ok()) << range.status();
    return range.ok() && !range->entries.empty();
  }
  static std::shared_ptr<EtcdClient> Connect(const std::string& address) {
    EtcdClientOptions options;
    options.timeout = kLong;
    return *EtcdClient::Create(address, options);
  }

  EtcdProcess etcd_;
  const std::shared_ptr<EtcdClient> client_ = Connect(etcd_.address());
  std::promise<absl::Status> lost_;
};

TEST_F(EtcdLeaseTest, LivesLongerThanItsTimeAndEndsWithTheObject) {
  auto lease = Grant(absl::Seconds(4));
  const absl::Time granted = Env::Posix()->Now();
  ASSERT_TRUE(client_->Put({"/k", "x", lease->id()}).ok());
  // Nothing happens to the key in all this time, which is what the wait is for.
  while (Env::Posix()->Now() < granted + 1.25 * lease->ttl()) {
    const absl::StatusOr<bool> changed =
        client_->AwaitChange("/k", client_->Get("/k")->revision, absl::Milliseconds(500));
    ASSERT_TRUE(changed.ok()) << changed.status();
    ASSERT_FALSE(*changed);
  }
  EXPECT_TRUE(lease->IsHeld()) << lease->status();
  lease.reset();
  EXPECT_FALSE(Exists("/k"));
}

TEST_F(EtcdLeaseTest, IsLostBeforeItsKeysGoWhenEtcdDoesNotAnswer) {
  const auto lease = Grant(kShort);
  ASSERT_TRUE(client_->Put({"/k", "x", lease->id()}).ok());
  etcd_.Stop();
  std::future<absl::Status> lost = lost_.get_future();
  ASSERT_EQ(lost.wait_for(absl::ToChronoSeconds(kLong)), std::future_status::ready);
  const absl::Status why = lost.get();
  EXPECT_FALSE(lease->IsHeld());
  EXPECT_THAT(why.message(), HasSubstr(etcd_.address()));
  EXPECT_EQ(lease->status(), why);
  etcd_.Continue();
  // An etcd that comes back does not bring it back.
  EXPECT_TRUE(client_->List("/").ok());
  EXPECT_FALSE(lease->IsHeld());
}

TEST_F(EtcdLeaseTest, IsLostWhenSomebodyEndsIt) {
  const auto lease = Grant(kShort);
  ASSERT_TRUE(client_->RevokeLease(lease->id()).ok());
  std::future<absl::Status> lost = lost_.get_future();
  ASSERT_EQ(lost.wait_for(absl::ToChronoSeconds(kLong)), std::future_status::ready);
  EXPECT_FALSE(lease->IsHeld());
  EXPECT_FALSE(lost.get().ok());
}

TEST_F(EtcdLeaseTest, OutlivesARestartOfEtcd) {
  const auto lease = Grant(absl::Seconds(60));
  ASSERT_TRUE(client_->Put({"/k", "x", lease->id()}).ok());
  etcd_.Kill();
  EXPECT_TRUE(lease->IsHeld());
  etcd_.Restart();
  EXPECT_TRUE(lease->IsHeld());
  absl::StatusOr<absl::Duration> left = absl::UnavailableError("");
  while (absl::IsUnavailable(left.status())) left = client_->KeepLeaseAlive(lease->id(), kLong);
  EXPECT_TRUE(left.ok()) << left.status();
  EXPECT_TRUE(Exists("/k"));
}

TEST_F(EtcdLeaseTest, NobodyThereIsAnErrorOfGrant) {
  etcd_.Kill();
  EXPECT_TRUE(absl::IsUnavailable(EtcdLease::Grant(client_, kShort).status()));
}

}  // namespace
}  // namespace parley
