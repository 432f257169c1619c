#include "ps/schedule.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "google/protobuf/text_format.h"

namespace parley {
namespace {

v1::Schedule Parse(const std::string& text) {
  v1::Schedule schedule;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &schedule)) << text;
  return schedule;
}

TEST(ScheduleFactor, AgreesWithPyTorchsSchedules) {
  std::ifstream file("ps/recorded/schedules.txt");
  std::string line;
  std::getline(file, line);  // says what it is
  int cases = 0;
  while (std::getline(file, line)) {
    ASSERT_EQ(line.substr(0, 5), "case ");
    SCOPED_TRACE(line);
    const v1::Schedule schedule = Parse(line.substr(5));
    ASSERT_TRUE(std::getline(file, line));
    std::istringstream factors(line);
    double expected;
    int64_t update = 0;
    while (factors >> expected) {
      ++update;
      EXPECT_NEAR(ScheduleFactor(schedule, update), expected, 1e-12) << "update " << update;
    }
    EXPECT_GE(update, 30);
    ++cases;
  }
  EXPECT_EQ(cases, 13);
}

TEST(ScheduleFactor, WithoutAKindIsOne) {
  for (const int64_t update : {int64_t{1}, int64_t{2}, int64_t{1} << 62}) {
    EXPECT_EQ(ScheduleFactor(Parse(""), update), 1);
  }
}

TEST(ScheduleFactor, StaysWhereAScheduleEnds) {
  const auto expect_end = [](const std::string& text, int64_t end, double factor) {
    SCOPED_TRACE(text);
    const v1::Schedule schedule = Parse(text);
    EXPECT_GT(ScheduleFactor(schedule, end - 1), factor + 1e-9);
    for (const int64_t update : {end, end + 1, 7 * end, int64_t{1} << 62}) {
      EXPECT_NEAR(ScheduleFactor(schedule, update), factor, 1e-15) << update;
    }
  };
  expect_end("polynomial { updates: 10 end: 0.25 }", 11, 0.25);
  expect_end("cosine { updates: 10 end: 0.25 }", 11, 0.25);
  expect_end("one_cycle { updates: 10 start_divisor: 2 end_divisor: 4 }", 10, 0.125);
  expect_end("warmup_updates: 5 polynomial { updates: 10 }", 16, 0);
}

TEST(ScheduleFactor, StaysBetweenZeroAndOneHoweverOddTheNumbers) {
  for (const char* const text :
       {"step { every: 1 gamma: 0.5 }", "step { every: 281474976710656 gamma: 1e-38 }",
        "exponential { gamma: 1e-38 }", "exponential { gamma: 1 }",
        "polynomial { updates: 1 power: 64 }",
        "polynomial { updates: 281474976710656 power: 1e-38 }", "cosine { updates: 1 }",
        "cosine { updates: 1 period_factor: 1 }", "cosine { updates: 1 period_factor: 2 }",
        "cosine { updates: 281474976710656 period_factor: 1024 }", "one_cycle { updates: 1 }",
        "one_cycle { updates: 2 }", "one_cycle { updates: 3 rising: 0.999 }",
        "one_cycle { updates: 281474976710656 rising: 1e-38 }",
        "one_cycle { updates: 10 rising: 0.5 start_divisor: 1 end_divisor: 1 }",
        "warmup_updates: 281474976710656 warmup_start: 1",
        "warmup_updates: 1 cosine { updates: 3 }"}) {
    const v1::Schedule schedule = Parse(text);
    for (int64_t update = 1; update > 0 && update <= int64_t{1} << 62; update += update / 3 + 1) {
      const double factor = ScheduleFactor(schedule, update);
      ASSERT_TRUE(factor >= -1e-15 && factor <= 1 + 1e-15)
          << text << " gives " << factor << " at update " << update;
    }
  }
}

TEST(ScheduleFactor, FollowsTheCosine) {
  const v1::Schedule schedule = Parse("cosine { updates: 1000 }");
  const double pi = std::acos(-1.0);
  for (int u = 0; u <= 1000; ++u) {
    EXPECT_NEAR(ScheduleFactor(schedule, u + 1), (1 + std::cos(pi * u / 1000)) / 2, 1e-14) << u;
  }
}

// The bits themselves: the shards of one job may run on different machines.
TEST(ScheduleFactor, HasTheSameBitsEverywhere) {
  EXPECT_EQ(ScheduleFactor(Parse("cosine { updates: 7 end: 0.1 }"), 4), 0x1.4cde6b37311c4p-1);
  EXPECT_EQ(ScheduleFactor(Parse("polynomial { updates: 7 power: 0.9 }"), 4), 0x1.3569360f62001p-1);
  EXPECT_EQ(ScheduleFactor(Parse("exponential { gamma: 0.9 }"), 1000), 0x1.1bd3e2a4373f1p-152);
  EXPECT_EQ(ScheduleFactor(Parse("one_cycle { updates: 100 }"), 57), 0x1.59f3df5d83e85p-1);
}

}  // namespace
}  // namespace parley
