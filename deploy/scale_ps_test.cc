// What `parley scale --ps` says and waits for, with the job's tasks played by hand in a real etcd.

#include "deploy/scale_ps.h"

#include <future>
#include <memory>
#include <sstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "net/shard_records.h"
#include "net/testing/etcd_process.h"

namespace parley {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;

constexpr absl::Duration kLong = absl::Seconds(60);

class ScalePsTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { etcd_ = new EtcdProcess(); }
  static void TearDownTestSuite() {
    delete etcd_;
    etcd_ = nullptr;
  }
  void TearDown() override { EXPECT_TRUE(client_->DeletePrefix("/parley/").ok()); }

  static std::unique_ptr<EtcdClient> Connect() {
    EtcdClientOptions options;
    options.timeout = kLong;
    return *EtcdClient::Create(etcd_->address(), options);
  }
  void Put(const std::string& key, const std::string& value) {
    ASSERT_TRUE(client_->Put({key, value, 0}).ok());
  }
  void StartTask(int task) { Put(absl::StrCat(TaskFolder("job"), task), absl::StrCat("a:", task)); }
  void EndTask(int task) {
    ASSERT_TRUE(client_->Delete(absl::StrCat(TaskFolder("job"), task)).ok());
  }
  void Lead(int shard, int task) {
    ShardLeader leader;
    leader.address = absl::StrCat("a:", task);
    leader.who = {task, 1};
    leader.size = {3, 2};
    Put(LeaderKey("job", shard), FormatLeader(leader));
    ShardCopies copies;
    copies.leader = leader.who;
    Put(CopiesKey("job", shard), FormatCopies(copies));
  }
  // Three shards on two tasks.
  void StartJob() {
    for (int task = 0; task < 2; ++task) StartTask(task);
    Lead(0, 0);
    Lead(1, 1);
    Lead(2, 0);
  }
  absl::Status Scale(int tasks, absl::Duration wait = absl::ZeroDuration()) {
    std::ostringstream said;
    const std::unique_ptr<EtcdClient> client = Connect();
    const absl::Status status = ScalePsTasks(client.get(), "job", tasks, wait, &said);
    said_ = said.str();
    return status;
  }
  // Until etcd says so.
  void AwaitSaid(int tasks) {
    const absl::Time deadline = absl::Now() + kLong;
    while (absl::Now() < deadline) {
      const EtcdRange range = client_->Get(PsTasksKey("job")).value();
      if (!range.entries.empty() && range.entries[0].value == absl::StrCat(tasks)) return;
    }
    FAIL() << "it is not said";
  }

  static EtcdProcess* etcd_;
  const std::unique_ptr<EtcdClient> client_ = Connect();
  std::string said_;
};

EtcdProcess* ScalePsTest::etcd_ = nullptr;

TEST_F(ScalePsTest, ItWaitsUntilEachShardIsAtHome) {
  StartJob();
  auto scaled = std::async(std::launch::async, [&] { return Scale(3, kLong); });
  AwaitSaid(3);
  StartTask(2);
  Lead(2, 2);
  EXPECT_EQ(scaled.get(), absl::OkStatus());
  EXPECT_THAT(said_, EndsWith("3 of 3 shards are at home\n"));
}

TEST_F(ScalePsTest, ItWaitsUntilTheTasksThatAreToGoHaveGone) {
  StartJob();
  StartTask(2);
  Lead(2, 2);
  auto scaled = std::async(std::launch::async, [&] { return Scale(2, kLong); });
  AwaitSaid(2);
  Lead(2, 0);
  EndTask(2);
  EXPECT_EQ(scaled.get(), absl::OkStatus());
  EXPECT_THAT(said_, EndsWith("3 of 3 shards are at home\n"));
}

TEST_F(ScalePsTest, WhatIsNotDoneInTimeIsNamed) {
  StartJob();
  absl::Status status = Scale(3);
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  EXPECT_EQ(
      std::string(status.message()),
      "after 0: shard 2 is at ps:0, not at ps:2, which is not there; it goes on all the same");
  EXPECT_EQ(said_, "2 of 3 shards are at home; to be started: ps:2\n");
  StartTask(2);
  Lead(2, 2);
  status = Scale(2);
  EXPECT_EQ(said_, "2 of 3 shards are at home; ps:2 is still there\n");
  EXPECT_EQ(
      std::string(status.message()),
      "after 0: shard 2 is at ps:2, not at ps:0, and 1 more like it; it goes on all the same");
}

TEST_F(ScalePsTest, MoreTasksThanShardsAreAllowed) {
  StartJob();
  for (int task = 2; task < 4; ++task) StartTask(task);
  Lead(2, 2);
  EXPECT_EQ(Scale(4), absl::OkStatus());
  EXPECT_THAT(said_, HasSubstr("job job has 3 shards: ps tasks from ps:3 on speak for none\n"));
}

TEST_F(ScalePsTest, WhatCannotBeIsRefused) {
  absl::Status status = Scale(2);
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  EXPECT_EQ(std::string(status.message()), "etcd knows no ps task of job job");
  StartTask(0);
  status = Scale(2);
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("they need --replicas=1 and --etcd"));
  StartJob();
  status = Scale(1);
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_TRUE(absl::IsInvalidArgument(Scale(1 << 20)));
  for (int shard = 0; shard < 3; ++shard) {
    ASSERT_TRUE(client_->Delete(LeaderKey("job", shard)).ok());
  }
  status = Scale(2);
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_TRUE(client_->Get(PsTasksKey("job"))->entries.empty());
}

TEST_F(ScalePsTest, AJobThatEndsMeanwhileIsNotWaitedFor) {
  StartJob();
  auto scaled = std::async(std::launch::async, [&] { return Scale(3, kLong); });
  AwaitSaid(3);
  ASSERT_TRUE(client_->DeletePrefix("/parley/job/").ok());
  const absl::Status status = scaled.get();
  EXPECT_TRUE(absl::IsAborted(status)) << status;
}

}  // namespace
}  // namespace parley
