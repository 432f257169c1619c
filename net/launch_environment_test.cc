#include "net/launch_environment.h"

#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace parley {
namespace {

using ::testing::HasSubstr;
using Hosts = std::vector<std::string>;

Environment Srun(const std::string& rank) {
  return {{"SLURM_PROCID", rank},
          {"SLURM_STEP_NUM_TASKS", "3"},
          {"SLURM_STEP_NODELIST", "n[1-2]"},
          {"SLURM_STEP_TASKS_PER_NODE", "2,1"}};
}

LaunchEnvironment Read(const Environment& environment) {
  const auto launch = ReadLaunchEnvironment(environment);
  EXPECT_TRUE(launch.ok() && launch->has_value()) << launch.status();
  return launch.ok() && launch->has_value() ? **launch : LaunchEnvironment();
}

TEST(LaunchEnvironmentTest, NothingIsNothing) {
  for (const Environment& environment :
       {Environment(), Environment{{"OMPI_COMM_WORLD_RANK", "1"}},
        // A batch script, which is no task.
        Environment{{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "4"}, {"SLURM_JOB_NODELIST", "a"}}}) {
    const auto launch = ReadLaunchEnvironment(environment);
    ASSERT_TRUE(launch.ok()) << launch.status();
    EXPECT_FALSE(launch->has_value());
  }
}

TEST(LaunchEnvironmentTest, SrunSaysWhereEachTaskIs) {
  const LaunchEnvironment launch = Read(Srun("2"));
  EXPECT_EQ(launch.rank, 2);
  EXPECT_EQ(launch.size, 3);
  EXPECT_EQ(launch.hosts, (Hosts{"n1", "n1", "n2"}));
  EXPECT_EQ(launch.rank_variable, "SLURM_PROCID");
}

TEST(LaunchEnvironmentTest, TasksThatAreNotInBlocksHaveNoKnownHosts) {
  Environment environment = Srun("2");
  environment["SLURM_DISTRIBUTION"] = "cyclic";
  EXPECT_EQ(Read(environment).hosts, Hosts());
  environment["SLURM_DISTRIBUTION"] = "block:cyclic";
  EXPECT_EQ(Read(environment).hosts.size(), 3u);
}

TEST(LaunchEnvironmentTest, MpirunOnOneHost) {
  const LaunchEnvironment launch = Read({{"OMPI_COMM_WORLD_RANK", "1"},
                                         {"OMPI_COMM_WORLD_SIZE", "2"},
                                         {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"}});
  EXPECT_EQ(launch.rank, 1);
  EXPECT_EQ(launch.hosts, (Hosts{"localhost", "localhost"}));
}

TEST(LaunchEnvironmentTest, MpirunOnSeveralDoesNotSayWhere) {
  EXPECT_EQ(Read({{"PMI_RANK", "1"}, {"PMI_SIZE", "2"}, {"MPI_LOCALNRANKS", "1"}}).hosts, Hosts());
}

TEST(LaunchEnvironmentTest, AnMpirunThatSrunStartedIsTheLauncher) {
  Environment environment = Srun("0");
  environment["OMPI_COMM_WORLD_RANK"] = "5";
  environment["OMPI_COMM_WORLD_SIZE"] = "8";
  const LaunchEnvironment launch = Read(environment);
  EXPECT_EQ(launch.rank, 5);
  EXPECT_EQ(launch.size, 8);
  EXPECT_EQ(launch.hosts, Hosts());
  // With srun --mpi=pmi2 both speak of the same tasks.
  environment = Srun("1");
  environment["PMI_RANK"] = "1";
  environment["PMI_SIZE"] = "3";
  EXPECT_EQ(Read(environment).hosts, (Hosts{"n1", "n1", "n2"}));
}

TEST(LaunchEnvironmentTest, WhatMakesNoSenseIsNamed) {
  Environment uncounted = Srun("0");
  uncounted["SLURM_STEP_TASKS_PER_NODE"] = "1,1";
  Environment unlisted = Srun("0");
  unlisted["SLURM_STEP_NODELIST"] = "n[1-";
  const std::vector<std::pair<Environment, const char*>> kCases = {
      {{{"PMI_RANK", "x"}, {"PMI_SIZE", "2"}}, "PMI_RANK=x"},
      {{{"PMI_RANK", "2"}, {"PMI_SIZE", "2"}}, "PMI_RANK=2 is no rank below PMI_SIZE=2"},
      {{{"PMI_RANK", "-1"}, {"PMI_SIZE", "2"}}, "PMI_RANK=-1"},
      {{{"PMI_RANK", "0"}, {"PMI_SIZE", "0"}}, "PMI_SIZE=0"},
      {{{"PMI_RANK", "0"}, {"PMI_SIZE", "99999999999"}}, "PMI_SIZE=99999999999"},
      {uncounted, "counts 2 tasks, but SLURM_STEP_NUM_TASKS=3"},
      {unlisted, "SLURM_STEP_NODELIST=n[1-"},
  };
  for (const auto& [environment, words] : kCases) {
    const absl::Status status = ReadLaunchEnvironment(environment).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << words;
    EXPECT_THAT(status.message(), HasSubstr(words));
  }
}

}  // namespace
}  // namespace parley
