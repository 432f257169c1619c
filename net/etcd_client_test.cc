#include "net/etcd_client.h"

#include <future>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "net/testing/etcd_process.h"
#include "net/testing/silent_listener.h"

namespace parley {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// Long, for a loaded machine; nothing waits for it to pass.
constexpr absl::Duration kLong = absl::Seconds(60);

std::unique_ptr<EtcdClient> Connect(const std::string& endpoints, absl::Duration timeout = kLong) {
  EtcdClientOptions options;
  options.timeout = timeout;
  absl::StatusOr<std::unique_ptr<EtcdClient>> client = EtcdClient::Create(endpoints, options);
  EXPECT_TRUE(client.ok()) << client.status();
  return client.ok() ? *std::move(client) : nullptr;
}

std::string At(const SilentListener& listener) {
  return absl::StrCat("127.0.0.1:", listener.port());
}

std::string Text(const absl::StatusOr<EtcdRange>& range) {
  if (!range.ok()) return range.status().ToString();
  std::string text;
  for (const EtcdEntry& entry : range->entries) {
    absl::StrAppend(&text, entry.key, "=", entry.value, " ");
  }
  return text;
}

// One etcd for all tests that leave it alive; each finds it empty.
class EtcdClientTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { etcd_ = new EtcdProcess(); }
  static void TearDownTestSuite() {
    delete etcd_;
    etcd_ = nullptr;
  }
  void TearDown() override {
    for (const char* prefix : {"/", "a", "b", "\xff"}) {
      EXPECT_TRUE(Connect(etcd_->address())->DeletePrefix(prefix).ok());
    }
  }

  static EtcdProcess* etcd_;
  const std::unique_ptr<EtcdClient> client_ = Connect(etcd_->address());
};

EtcdProcess* EtcdClientTest::etcd_ = nullptr;

TEST_F(EtcdClientTest, ReadsWhatWasWritten) {
  EXPECT_EQ(Text(client_->Get("/a")), "");
  for (const char* key : {"/a/1", "/a/2", "/b", "/a"}) {
    ASSERT_TRUE(client_->Put({key, absl::StrCat("at ", key), 0}).ok());
  }
  EXPECT_EQ(Text(client_->Get("/a")), "/a=at /a ");
  EXPECT_EQ(Text(client_->List("/a/")), "/a/1=at /a/1 /a/2=at /a/2 ");
  ASSERT_TRUE(client_->Put({"/a", std::string("bytes\0\xff", 7), 0}).ok());
  const absl::StatusOr<EtcdRange> again = client_->Get("/a");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->entries[0].value, std::string("bytes\0\xff", 7));
  EXPECT_EQ(again->entries[0].mod_revision, again->revision);
  EXPECT_EQ(again->entries[0].create_revision, again->revision - 1);
  EXPECT_EQ(*client_->Delete("/b"), 1);
  EXPECT_EQ(*client_->Delete("/b"), 0);
  EXPECT_EQ(*client_->DeletePrefix("/a/"), 2);
  EXPECT_EQ(Text(client_->List("/")), absl::StrCat("/a=", std::string("bytes\0\xff", 7), " "));
}

TEST_F(EtcdClientTest, APrefixThatEndsInTheLastByteEndsThere) {
  for (const char* key : {"a\xff", "a\xff\x01", "b", "\xff\xff", "\xff\xff\x02"}) {
    ASSERT_TRUE(client_->Put({key, "x", 0}).ok());
  }
  EXPECT_EQ(Text(client_->List("a\xff")), "a\xff=x a\xff\x01=x ");
  EXPECT_EQ(Text(client_->List("\xff\xff")), "\xff\xff=x \xff\xff\x02=x ");
}

TEST_F(EtcdClientTest, ATransactionIsDoneUnderItsConditionsOrNotAtAll) {
  const EtcdTransaction create = {
      {{"/leader", EtcdCondition::Of::kCreateRevision, 0}}, {{"/leader", "me", 0}}, {}};
  const absl::StatusOr<EtcdTransactionResult> first = client_->Transact(create);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_TRUE(first->done);
  EXPECT_EQ(client_->Get("/leader")->entries[0].mod_revision, first->revision);
  const absl::StatusOr<EtcdTransactionResult> second = client_->Transact(create);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_FALSE(second->done);

  // A writer of before is fenced off, whatever else it would write.
  EtcdTransaction guarded = {{{"/leader", EtcdCondition::Of::kModRevision, first->revision}},
                             {{"/leader", "me again", 0}, {"/table", "mine", 0}},
                             {}};
  EXPECT_TRUE(client_->Transact(guarded)->done);
  guarded.puts[1].value = "of yesterday";
  EXPECT_FALSE(client_->Transact(guarded)->done);
  EXPECT_EQ(Text(client_->List("/")), "/leader=me again /table=mine ");

  const EtcdTransaction erase = {{{"/leader", EtcdCondition::Of::kCreateRevision, first->revision}},
                                 {},
                                 {"/leader", "/table"}};
  EXPECT_TRUE(client_->Transact(erase)->done);
  EXPECT_EQ(Text(client_->List("/")), "");
}

TEST_F(EtcdClientTest, OneOfManyWhoCreateAKeyAtOnceSucceeds) {
  std::vector<std::future<bool>> tries;
  for (int i = 0; i < 8; ++i) {
    tries.push_back(std::async(std::launch::async, [&, i] {
      const auto result = client_->Transact(
          {{{"/one", EtcdCondition::Of::kModRevision, 0}}, {{"/one", absl::StrCat(i), 0}}, {}});
      return result.ok() && result->done;
    }));
  }
  int winners = 0;
  for (std::future<bool>& each : tries) winners += each.get() ? 1 : 0;
  EXPECT_EQ(winners, 1);
}

TEST_F(EtcdClientTest, KeysGoWithTheirLease) {
  const absl::StatusOr<EtcdGrant> grant = client_->GrantLease(absl::Seconds(90));
  ASSERT_TRUE(grant.ok()) << grant.status();
  EXPECT_EQ(grant->ttl, absl::Seconds(90));
  ASSERT_TRUE(client_->Put({"/leased", "x", grant->id}).ok());
  EXPECT_EQ(client_->Get("/leased")->entries[0].lease, grant->id);
  EXPECT_EQ(*client_->KeepLeaseAlive(grant->id, kLong), absl::Seconds(90));
  ASSERT_TRUE(client_->RevokeLease(grant->id).ok());
  EXPECT_EQ(Text(client_->Get("/leased")), "");
  EXPECT_TRUE(absl::IsNotFound(client_->KeepLeaseAlive(grant->id, kLong).status()));
  EXPECT_TRUE(absl::IsNotFound(client_->RevokeLease(grant->id)));
  const absl::Status refused = client_->Put({"/leased", "x", grant->id});
  EXPECT_TRUE(absl::IsNotFound(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()),
              StartsWith(absl::StrCat("etcd at ", etcd_->address(), ": Put /leased: ")));
}

TEST_F(EtcdClientTest, AChangeIsHeardOfBeforeAndAfterItHappens) {
  ASSERT_TRUE(client_->Put({"/w/a", "1", 0}).ok());
  const int64_t before = client_->List("/w/")->revision;
  EXPECT_FALSE(*client_->AwaitChange("/w/", before, absl::Milliseconds(50)));
  auto waiting =
      std::async(std::launch::async, [&] { return client_->AwaitChange("/w/", before, kLong); });
  ASSERT_TRUE(client_->Put({"/elsewhere", "1", 0}).ok());
  ASSERT_TRUE(client_->Delete("/w/a").ok());
  const absl::StatusOr<bool> heard = waiting.get();
  ASSERT_TRUE(heard.ok()) << heard.status();
  EXPECT_TRUE(*heard);
  EXPECT_TRUE(*client_->AwaitChange("/w/", before, kLong));  // it is past, but after `before`
}

TEST_F(EtcdClientTest, CancelEndsWhatWaits) {
  auto waiting = std::async(std::launch::async,
                            [&] { return client_->AwaitChange("/w/", 1, kLong).status(); });
  client_->Cancel();
  EXPECT_EQ(waiting.get().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(client_->Put({"/a", "", 0}).code(), absl::StatusCode::kCancelled);
}

TEST_F(EtcdClientTest, ATransactionGoesToAnEndpointThatIsThere) {
  const SilentListener nobody(/*listening=*/false);
  const auto client = Connect(At(nobody) + "," + etcd_->address());
  const auto result = client->Transact({{}, {{"/a", "x", 0}}, {}});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(Text(client_->Get("/a")), "/a=x ");
}

TEST(EtcdClientFaultsTest, AStoppedServerIsADeadlineAndAnotherEndpointHelps) {
  EtcdProcess stopped, other;
  stopped.Stop();
  const absl::Status status =
      Connect(stopped.address(), absl::Milliseconds(100))->Put({"/a", "y", 0});
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded) << status;
  EXPECT_THAT(std::string(status.message()),
              StartsWith("etcd at " + stopped.address() + ": Put /a: no answer within "));
  const auto both = Connect(stopped.address() + "," + other.address(), absl::Seconds(1));
  while (!both->Put({"/b", "x", 0}).ok()) {  // the other has half of the time
  }
  stopped.Continue();
  EXPECT_EQ(Text(Connect(stopped.address())->Get("/b")), "");
  EXPECT_EQ(Text(both->Get("/b")), "/b=x ");  // it stays with the one that answered
}

TEST(EtcdClientFaultsTest, AServerThatComesBackIsFoundAgainWithWhatItHad) {
  EtcdProcess etcd;
  const auto client = Connect(etcd.address());
  ASSERT_TRUE(client->Put({"/a", "kept", 0}).ok());
  etcd.Kill();
  const absl::Status lost = client->Put({"/a", "y", 0});
  EXPECT_EQ(lost.code(), absl::StatusCode::kUnavailable) << lost;
  etcd.Restart();
  std::string text;
  do {  // gRPC connects again when it has waited
    text = Text(client->Get("/a"));
  } while (text.find("not reached") != std::string::npos);
  EXPECT_EQ(text, "/a=kept ");
}

TEST(EtcdClientErrorsTest, NobodyThereIsUnavailableAndNamed) {
  const SilentListener nobody(/*listening=*/false);
  const auto client = Connect(At(nobody));
  const absl::Status status = client->Put({"/some/key", "x", 0});
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()),
              StartsWith(absl::StrCat("etcd at ", At(nobody), ": Put /some/key: not reached")));
  EXPECT_TRUE(absl::IsUnavailable(client->List("/a").status()));
  EXPECT_TRUE(absl::IsUnavailable(client->GrantLease(absl::Seconds(5)).status()));
  EXPECT_TRUE(absl::IsUnavailable(client->KeepLeaseAlive(1, kLong).status()));
  EXPECT_TRUE(absl::IsUnavailable(client->Transact({{}, {{"/k", "", 0}}, {}}).status()));
  EXPECT_TRUE(absl::IsUnavailable(client->AwaitChange("/a", 1, kLong).status()));
}

TEST(EtcdClientErrorsTest, SomebodyElseThereIsAnErrorInTime) {
  const SilentListener stranger(/*listening=*/true);
  const auto client = Connect(At(stranger), absl::Milliseconds(300));
  const absl::Status status = client->Put({"/k", "x", 0});
  EXPECT_TRUE(absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(At(stranger)));
  EXPECT_FALSE(client->AwaitChange("/k", 1, absl::Milliseconds(300)).ok());
}

TEST(EtcdClientErrorsTest, EndpointsThatCannotBeAreRefused) {
  for (const char* endpoints : {"", "host", "host:", ":1", "host:0", "host:65536", "a:1,",
                                "a:1,,b:2", "http://a:1", "a:x"}) {
    const absl::Status status = EtcdClient::Create(endpoints).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << endpoints;
  }
}

TEST(EtcdClientErrorsTest, AnEmptyPrefixIsNotEverything) {
  const auto client = Connect("127.0.0.1:1");
  EXPECT_TRUE(absl::IsInvalidArgument(client->List("").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(client->DeletePrefix("").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(client->AwaitChange("", 1, kLong).status()));
}

}  // namespace
}  // namespace parley
