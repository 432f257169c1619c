#include "deploy/host_list.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace parley {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(ParseHostsTest, ReadsOpenMpisForm) {
  const auto hosts = ParseHosts(
      "# my cluster\n"
      "a slots=2 max_slots=4\n"
      "\n"
      "user@b\tworker   # fast\r\n"
      "c ps slots=3\n"
      "a slots=1\n");
  ASSERT_TRUE(hosts.ok()) << hosts.status();
  ASSERT_EQ(hosts->size(), 3u);
  EXPECT_EQ((*hosts)[0].name, "a");
  EXPECT_EQ((*hosts)[0].slots, 3);
  EXPECT_TRUE((*hosts)[0].takes_ps && (*hosts)[0].takes_workers);
  EXPECT_EQ((*hosts)[1].name, "user@b");
  EXPECT_EQ((*hosts)[1].slots, 1);
  EXPECT_FALSE((*hosts)[1].takes_ps);
  EXPECT_FALSE((*hosts)[2].takes_workers);
}

TEST(ParseHostsTest, NamesTheLineThatIsWrong) {
  const auto message = [](const char* text) {
    return std::string(ParseHosts(text).status().message());
  };
  EXPECT_THAT(message(""), HasSubstr("no host"));
  EXPECT_THAT(message("a\nb slots=0"), HasSubstr("line 2: slots=0 is not in"));
  EXPECT_THAT(message("a slots=x"), HasSubstr("line 1: slots=x"));
  EXPECT_THAT(message("a gpu"), HasSubstr("line 1: \"gpu\" is none of slots=N, ps, worker"));
  EXPECT_THAT(message("a ps worker"), HasSubstr("line 1: a takes either"));
  EXPECT_THAT(message("a,b"), HasSubstr("line 1: \"a,b\" is no host"));
  EXPECT_THAT(message("-oProxyCommand=x"), HasSubstr("line 1: \"-oProxyCommand=x\" is no host"));
}

TEST(PlaceTasksTest, FillsSlotsWithWorkersAndDealsPsTasksOut) {
  const auto placed = PlaceTasks(*ParseHosts("a slots=2\nb slots=2 worker\nc ps"), 3, 3);
  ASSERT_TRUE(placed.ok()) << placed.status();
  EXPECT_THAT(placed->workers, ElementsAre("a", "a", "b"));
  EXPECT_THAT(placed->ps, ElementsAre("a", "c", "a"));
}

TEST(PlaceTasksTest, TooFewSlotsAndNoHostOfAKindAreErrors) {
  EXPECT_THAT(std::string(PlaceTasks(*ParseHosts("a\nb"), 1, 3).status().message()),
              HasSubstr("3 workers, and slots for 2"));
  EXPECT_THAT(std::string(PlaceTasks(*ParseHosts("a worker"), 1, 1).status().message()),
              HasSubstr("no host takes ps"));
  EXPECT_FALSE(PlaceTasks(*ParseHosts("a ps"), 1, 1).ok());
}

}  // namespace
}  // namespace parley
