#include "net/cluster.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace parley {
namespace {

using ::testing::HasSubstr;
using Hosts = std::vector<std::string>;

constexpr char kConfig[] =
    R"({"cluster": {"ps": ["a:1", "b:2"], "worker": ["c:3", "d:4"]}, "task": {"type": "worker", "index": 1}})";

TEST(ClusterTest, ReadsTheFlags) {
  const auto cluster = ReadCluster({"a:1,b:2", "c:3", 1, ""}, TaskType::kPs);
  ASSERT_TRUE(cluster.ok()) << cluster.status();
  EXPECT_EQ(cluster->ps, (Hosts{"a:1", "b:2"}));
  EXPECT_EQ(cluster->workers, (Hosts{"c:3"}));
  EXPECT_EQ(cluster->task_index, 1);
}

TEST(ClusterTest, ReadsTfConfig) {
  const auto cluster = ReadCluster({"", "", -1, kConfig}, TaskType::kWorker);
  ASSERT_TRUE(cluster.ok()) << cluster.status();
  EXPECT_EQ(cluster->ps, (Hosts{"a:1", "b:2"}));
  EXPECT_EQ(cluster->workers, (Hosts{"c:3", "d:4"}));
  EXPECT_EQ(cluster->task_index, 1);
  EXPECT_TRUE(ReadCluster({"a:1,b:2", "c:3,d:4", 1, kConfig}, TaskType::kWorker).ok());
}

TEST(ClusterTest, AChiefIsWorkerZero) {
  const std::string cluster_json =
      R"({"cluster": {"chief": ["x:9"], "ps": ["a:1"], "worker": ["c:3"]}, "task": )";
  const auto chief = ReadCluster({"", "", -1, cluster_json + R"({"type": "chief", "index": 0}})"},
                                 TaskType::kWorker);
  ASSERT_TRUE(chief.ok()) << chief.status();
  EXPECT_EQ(chief->workers, (Hosts{"x:9", "c:3"}));
  EXPECT_EQ(chief->task_index, 0);
  const auto worker = ReadCluster(
      {"", "", -1, cluster_json + R"({"type": "worker", "index": "0"}})"}, TaskType::kWorker);
  ASSERT_TRUE(worker.ok()) << worker.status();
  EXPECT_EQ(worker->task_index, 1);
}

TEST(ClusterTest, RefusesWhatMakesNoSenseInOneLine) {
  const std::string cluster = R"({"cluster": {"ps": ["a:1"], "worker": ["c:3"]}, "task": )";
  const struct {
    ClusterFlags flags;
    const char* words;
  } kCases[] = {
      {{"", "c:3", 0, ""}, "--ps_hosts is missing"},
      {{"a:1", "", 0, ""}, "--worker_hosts is missing"},
      {{"a:1", "c:3", -1, ""}, "--task_index is missing"},
      {{"a:1", "c:3", -7, ""}, "negative"},
      {{"a:1", "c:3", 1, ""}, "only 1 worker tasks"},
      {{"a", "c:3", 0, ""}, "\"a\" is not host:port"},
      {{"a:b", "c:3", 0, ""}, "not host:port"},
      {{"a:70000", "c:3", 0, ""}, "not host:port"},
      {{":1", "c:3", 0, ""}, "not host:port"},
      {{"a:1,,b:2", "c:3", 0, ""}, "\"\" is not host:port"},
      {{"a:1,a:1", "c:3", 0, ""}, "a:1 is there twice"},
      {{"", "", -1, "{"}, "TF_CONFIG is not as it should be"},
      {{"", "", -1, "[1]"}, "TF_CONFIG is not as it should be"},
      {{"", "", -1, "{}"}, "needs the objects"},
      {{"", "", -1, R"({"cluster": {"ps": 3}, "task": {}})"}, "TF_CONFIG is not as it should be"},
      {{"", "", -1, R"({"cluster": {"ps": [{}]}, "task": {}})"},
       "TF_CONFIG is not as it should be"},
      {{"", "", -1, cluster + "{}}"}, "task.type is \"\""},
      {{"", "", -1, cluster + R"({"type": "ps", "index": 0}})"}, "but this is a worker"},
      {{"", "", -1, cluster + R"({"type": "chief", "index": 0}})"}, "but this is a worker"},
      {{"", "", -1, cluster + R"({"type": "worker", "index": 0.5}})"},
       "TF_CONFIG is not as it should be"},
      {{"", "", -1, cluster + R"({"type": "worker", "index": "x"}})"},
       "TF_CONFIG is not as it should be"},
      {{"", "", -1, cluster + R"({"type": "worker", "index": 5}})"}, "only 1 worker tasks"},
      {{"z:1", "", -1, kConfig}, "--ps_hosts=z:1 contradicts TF_CONFIG"},
      {{"", "z:1", -1, kConfig}, "--worker_hosts=z:1 contradicts TF_CONFIG"},
      {{"", "", 0, kConfig}, "--task_index=0 contradicts TF_CONFIG"},
  };
  for (const auto& c : kCases) {
    const absl::Status status = ReadCluster(c.flags, TaskType::kWorker).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << c.words;
    EXPECT_THAT(status.message(), HasSubstr(c.words));
    EXPECT_EQ(status.message().find('\n'), absl::string_view::npos) << status;
  }
}

}  // namespace
}  // namespace parley
