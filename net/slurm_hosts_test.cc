#include "net/slurm_hosts.h"

#include <string>

#include "absl/strings/str_join.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace parley {
namespace {

using ::testing::HasSubstr;

std::string Hosts(const std::string& nodes, const std::string& counts) {
  const auto hosts = SlurmHosts(nodes, counts);
  return hosts.ok() ? absl::StrJoin(*hosts, " ") : std::string(hosts.status().message());
}

TEST(SlurmHostsTest, EachTaskHasAHost) {
  EXPECT_EQ(Hosts("vm", "1"), "vm");
  EXPECT_EQ(Hosts("vm", "3"), "vm vm vm");
  EXPECT_EQ(Hosts("gpu[01-03,7],login", "2(x3),1,1"),
            "gpu01 gpu01 gpu02 gpu02 gpu03 gpu03 gpu7 login");
  EXPECT_EQ(Hosts("n[9-11]", "1(x3)"), "n9 n10 n11");
  EXPECT_EQ(Hosts("n[099-101].site", "1(x3)"), "n099.site n100.site n101.site");
  EXPECT_EQ(Hosts("r[1-2]n[1-2],x", "1(x5)"), "r1n1 r1n2 r2n1 r2n2 x");
}

TEST(SlurmHostsTest, WhatIsNoListIsRefusedAndNamed) {
  for (const char* nodes :
       {"", ",", "a,", "n[", "n]", "n[]", "n[a]", "n[1-]", "n[-1]", "n[3-1]", "n[1-2-3]", "n[1,,2]",
        "n[+1]", "n[0-99999999]", "n[0-4294967296]", "n[0-999]x[0-999]"}) {
    EXPECT_THAT(Hosts(nodes, "1"), HasSubstr("SLURM_STEP_NODELIST=")) << nodes;
  }
  for (const char* counts : {"", "x", "-1", "1(x", "1(x)", "1(x2", "1(xy)", "1()", "1,", "70000",
                             "1(x70000)", "1(x99999999999)"}) {
    EXPECT_THAT(Hosts("a", counts), HasSubstr("SLURM_STEP_TASKS_PER_NODE=")) << counts;
  }
  EXPECT_THAT(Hosts("a,b", "1"), HasSubstr("2 nodes"));
  EXPECT_THAT(Hosts("a,b", "60000(x2)"), HasSubstr("cannot be read"));
}

}  // namespace
}  // namespace parley
