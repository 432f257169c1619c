#include "net/cluster.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace parley {
namespace {

using ::testing::HasSubstr;
using Hosts = std::vector<std::string>;

constexpr char kConfig[] =
    R"({"cluster": {"ps": ["a:1", "b:2"], "worker": ["c:3", "d:4"]}, "task": {"type": "worker", "index": 1}})";

ClusterFlags Flags(const std::string& ps_hosts, const std::string& worker_hosts, int task_index,
                   const std::string& tf_config) {
  ClusterFlags flags;
  flags.ps_hosts = ps_hosts;
  flags.worker_hosts = worker_hosts;
  flags.task_index = task_index;
  if (!tf_config.empty()) flags.environment["TF_CONFIG"] = tf_config;
  return flags;
}

// Task `rank` of four, of which `ps` are ps tasks, all on one host or nobody knows where.
ClusterFlags Mpirun(int rank, int ps, bool one_host = true) {
  ClusterFlags flags;
  flags.ps = ps;
  flags.environment = {{"OMPI_COMM_WORLD_RANK", absl::StrCat(rank)},
                       {"OMPI_COMM_WORLD_SIZE", "4"},
                       {"OMPI_COMM_WORLD_LOCAL_SIZE", one_host ? "4" : "2"}};
  return flags;
}

std::string ErrorOf(const ClusterFlags& flags, TaskType type = TaskType::kWorker) {
  const absl::Status status = ReadCluster(flags, type).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_EQ(status.message().find('\n'), absl::string_view::npos) << status;
  return std::string(status.message());
}

TEST(ClusterTest, ReadsTheFlags) {
  const auto cluster = ReadCluster(Flags("a:1,b:2", "c:3", 1, ""), TaskType::kPs);
  ASSERT_TRUE(cluster.ok()) << cluster.status();
  EXPECT_EQ(cluster->ps, (Hosts{"a:1", "b:2"}));
  EXPECT_EQ(cluster->num_ps, 2);
  EXPECT_EQ(cluster->num_workers, 1);
  EXPECT_EQ(cluster->task_index, 1);
}

TEST(ClusterTest, ReadsTfConfig) {
  const auto cluster = ReadCluster(Flags("", "", -1, kConfig), TaskType::kWorker);
  ASSERT_TRUE(cluster.ok()) << cluster.status();
  EXPECT_EQ(cluster->ps, (Hosts{"a:1", "b:2"}));
  EXPECT_EQ(cluster->num_workers, 2);
  EXPECT_EQ(cluster->task_index, 1);
  EXPECT_TRUE(ReadCluster(Flags("a:1,b:2", "c:3,d:4", 1, kConfig), TaskType::kWorker).ok());
}

TEST(ClusterTest, AChiefIsWorkerZero) {
  const std::string cluster_json =
      R"({"cluster": {"chief": ["x:9"], "ps": ["a:1"], "worker": ["c:3"]}, "task": )";
  const auto chief = ReadCluster(
      Flags("", "", -1, cluster_json + R"({"type": "chief", "index": 0}})"), TaskType::kWorker);
  ASSERT_TRUE(chief.ok()) << chief.status();
  EXPECT_EQ(chief->num_workers, 2);
  EXPECT_EQ(chief->task_index, 0);
  const auto worker = ReadCluster(
      Flags("", "", -1, cluster_json + R"({"type": "worker", "index": "0"}})"), TaskType::kWorker);
  ASSERT_TRUE(worker.ok()) << worker.status();
  EXPECT_EQ(worker->task_index, 1);
}

TEST(ClusterTest, WorkersMayBeCounted) {
  ClusterFlags flags = Flags("a:1,b:2", "", 2, "");
  flags.workers = 3;
  const auto cluster = ReadCluster(flags, TaskType::kWorker);
  ASSERT_TRUE(cluster.ok()) << cluster.status();
  EXPECT_EQ(cluster->num_workers, 3);
  flags.worker_hosts = "c:3";
  EXPECT_THAT(ErrorOf(flags), HasSubstr("--workers=3 contradicts --worker_hosts=c:3, which has 1"));
  flags.worker_hosts = "";
  flags.ps = 1;
  EXPECT_THAT(ErrorOf(flags), HasSubstr("--ps=1 contradicts --ps_hosts=a:1,b:2, which has 2"));
}

TEST(ClusterTest, WithEtcdThereMayBeMoreShardsAndLaterMoreTasks) {
  ClusterFlags flags;
  flags.etcd = true;
  flags.ps = 2;
  flags.workers = 1;
  flags.shards = 6;
  flags.task_index = 3;
  const auto cluster = ReadCluster(flags, TaskType::kPs);
  ASSERT_TRUE(cluster.ok()) << cluster.status();
  EXPECT_EQ(cluster->num_ps, 2);
  EXPECT_EQ(cluster->num_shards, 6);
  EXPECT_TRUE(cluster->shards_told);
  EXPECT_EQ(cluster->task_index, 3);
  EXPECT_THAT(ErrorOf(flags), HasSubstr("task index 3"));  // of a worker
  flags.shards = 1;
  EXPECT_THAT(ErrorOf(flags, TaskType::kPs), HasSubstr("--shards=1: there are 2 ps tasks"));
  flags.shards = 1 << 20;
  EXPECT_THAT(ErrorOf(flags, TaskType::kPs), HasSubstr("--shards=1048576 is more than 65536"));
  ClusterFlags hosts = Flags("a:1", "c:3", 0, "");
  hosts.shards = 2;
  EXPECT_THAT(ErrorOf(hosts, TaskType::kPs), HasSubstr("--shards needs --etcd"));
}

TEST(ClusterTest, WithEtcdNobodySaysWhereThePsTasksAre) {
  ClusterFlags flags;
  flags.etcd = true;
  flags.ps = 2;
  flags.workers = 3;
  flags.task_index = 1;
  const auto cluster = ReadCluster(flags, TaskType::kPs);
  ASSERT_TRUE(cluster.ok()) << cluster.status();
  EXPECT_EQ(cluster->ps, Hosts());
  EXPECT_EQ(cluster->num_ps, 2);
  EXPECT_EQ(cluster->num_workers, 3);
  EXPECT_EQ(cluster->task_index, 1);
  EXPECT_EQ(cluster->num_shards, 2);
  EXPECT_FALSE(cluster->shards_told);
  flags.ps = 0;
  EXPECT_THAT(ErrorOf(flags), HasSubstr("--ps is missing"));
  flags.ps_hosts = "a:1";
  EXPECT_THAT(ErrorOf(flags), HasSubstr("--ps_hosts and --etcd contradict each other"));
  flags = Flags("", "", -1, kConfig);
  flags.etcd = true;
  const auto of_config = ReadCluster(flags, TaskType::kWorker);
  ASSERT_TRUE(of_config.ok()) << of_config.status();
  EXPECT_EQ(of_config->ps, Hosts());
  EXPECT_EQ(of_config->num_ps, 2);
}

TEST(ClusterTest, TheFirstRanksAreThePsTasks) {
  for (int rank = 0; rank < 4; ++rank) {
    const auto cluster = ReadCluster(Mpirun(rank, 1), rank < 1 ? TaskType::kPs : TaskType::kWorker);
    ASSERT_TRUE(cluster.ok()) << cluster.status();
    EXPECT_EQ(cluster->ps, (Hosts{"localhost:2222"}));
    EXPECT_EQ(cluster->num_workers, 3);
    EXPECT_EQ(cluster->task_index, rank < 1 ? 0 : rank - 1);
  }
  ClusterFlags flags;
  flags.ps = 2;
  flags.port = 7000;
  flags.environment = {{"SLURM_PROCID", "2"},
                       {"SLURM_STEP_NUM_TASKS", "3"},
                       {"SLURM_STEP_NODELIST", "n[1-2]"},
                       {"SLURM_STEP_TASKS_PER_NODE", "1,2"}};
  const auto cluster = ReadCluster(flags, TaskType::kWorker);
  ASSERT_TRUE(cluster.ok()) << cluster.status();
  EXPECT_EQ(cluster->ps, (Hosts{"n1:7000", "n2:7001"}));
  EXPECT_EQ(cluster->num_workers, 1);
}

TEST(ClusterTest, ALauncherThatDoesNotSayWhereNeedsEtcdOrAddresses) {
  ClusterFlags flags = Mpirun(1, 1, /*one_host=*/false);
  EXPECT_THAT(ErrorOf(flags), HasSubstr("--etcd or --ps_hosts is missing"));
  flags.ps_hosts = "a:1";
  EXPECT_TRUE(ReadCluster(flags, TaskType::kWorker).ok());
  flags.ps_hosts = "";
  flags.etcd = true;
  EXPECT_TRUE(ReadCluster(flags, TaskType::kWorker).ok());
}

TEST(ClusterTest, FlagsThatSayAllKeepTheLauncherOut) {
  ClusterFlags flags = Mpirun(3, 0);
  flags.ps_hosts = "a:1,b:2";
  flags.workers = 1;
  flags.task_index = 1;
  const auto cluster = ReadCluster(flags, TaskType::kPs);
  ASSERT_TRUE(cluster.ok()) << cluster.status();
  EXPECT_EQ(cluster->task_index, 1);
}

TEST(ClusterTest, FlagsThatContradictTheLauncherAreNamedWithIt) {
  const std::string launcher = "OMPI_COMM_WORLD_RANK=1";
  EXPECT_THAT(ErrorOf(Mpirun(1, 0)), HasSubstr("--ps is missing"));
  EXPECT_THAT(ErrorOf(Mpirun(1, 4)),
              HasSubstr("--ps=4 contradicts OMPI_COMM_WORLD_SIZE=4: no worker"));
  EXPECT_THAT(ErrorOf(Mpirun(1, 2)), HasSubstr("--ps=2 contradicts " + launcher));
  EXPECT_THAT(ErrorOf(Mpirun(1, 1), TaskType::kPs), HasSubstr("--ps=1 contradicts " + launcher));
  ClusterFlags flags = Mpirun(1, 1);
  flags.task_index = 2;
  EXPECT_THAT(ErrorOf(flags), HasSubstr("--task_index=2 contradicts " + launcher));
  flags = Mpirun(1, 1);
  flags.workers = 9;
  EXPECT_THAT(ErrorOf(flags), HasSubstr("--workers=9 contradicts " + launcher));
  flags = Mpirun(1, 1);
  flags.port = 65536;
  EXPECT_THAT(ErrorOf(flags), HasSubstr("--port=65536 is not in [1, 65535]"));
}

TEST(ClusterTest, RefusesWhatMakesNoSenseInOneLine) {
  const std::string cluster = R"({"cluster": {"ps": ["a:1"], "worker": ["c:3"]}, "task": )";
  const struct {
    ClusterFlags flags;
    const char* words;
  } kCases[] = {
      {Flags("", "c:3", 0, ""), "--ps_hosts is missing"},
      {Flags("a:1", "", 0, ""), "--worker_hosts is missing"},
      {Flags("a:1", "c:3", -1, ""), "--task_index is missing"},
      {Flags("a:1", "c:3", -7, ""), "negative"},
      {Flags("a:1", "c:3", 1, ""), "only 1 worker tasks"},
      {Flags("a", "c:3", 0, ""), "\"a\" is not host:port"},
      {Flags("a:b", "c:3", 0, ""), "not host:port"},
      {Flags("a:70000", "c:3", 0, ""), "not host:port"},
      {Flags(":1", "c:3", 0, ""), "not host:port"},
      {Flags("a:1,,b:2", "c:3", 0, ""), "\"\" is not host:port"},
      {Flags("a:1,a:1", "c:3", 0, ""), "a:1 is there twice"},
      {Flags("", "", -1, "{"), "TF_CONFIG is not as it should be"},
      {Flags("", "", -1, "[1]"), "TF_CONFIG is not as it should be"},
      {Flags("", "", -1, "{}"), "needs the objects"},
      {Flags("", "", -1, R"({"cluster": {"ps": 3}, "task": {}})"),
       "TF_CONFIG is not as it should be"},
      {Flags("", "", -1, R"({"cluster": {"ps": [{}]}, "task": {}})"),
       "TF_CONFIG is not as it should be"},
      {Flags("", "", -1, cluster + "{}}"), "task.type is \"\""},
      {Flags("", "", -1, cluster + R"({"type": "ps", "index": 0}})"), "but this is a worker"},
      {Flags("", "", -1, cluster + R"({"type": "chief", "index": 0}})"), "but this is a worker"},
      {Flags("", "", -1, cluster + R"({"type": "worker", "index": 0.5}})"),
       "TF_CONFIG is not as it should be"},
      {Flags("", "", -1, cluster + R"({"type": "worker", "index": "x"}})"),
       "TF_CONFIG is not as it should be"},
      {Flags("", "", -1, cluster + R"({"type": "worker", "index": 5}})"), "only 1 worker tasks"},
      {Flags("z:1", "", -1, kConfig), "--ps_hosts=z:1 contradicts TF_CONFIG"},
      {Flags("", "z:1", -1, kConfig), "--worker_hosts=z:1 contradicts TF_CONFIG"},
      {Flags("", "", 0, kConfig), "--task_index=0 contradicts TF_CONFIG"},
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
