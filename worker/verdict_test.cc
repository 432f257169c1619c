#include "worker/verdict.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace parley {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// 100 steps of 10 ms, of which these are percents.
StepShares Make(int compute, int wire, int shards, std::map<int, int> workers = {}) {
  StepShares shares;
  shares.steps = 100;
  shares.whole = absl::Seconds(1);
  shares.compute = absl::Milliseconds(10 * compute);
  shares.wire = absl::Milliseconds(10 * wire);
  shares.shards = absl::Milliseconds(10 * shards);
  shares.bytes_per_step = 3e6;
  shares.alone_bytes_per_second = 1e9;
  for (const auto& [worker, percent] : workers) {
    shares.workers[worker] = absl::Milliseconds(10 * percent);
  }
  return shares;
}

JobShape Shape() {
  JobShape shape;
  shape.workers = 4;
  shape.shards = 2;
  shape.batch_size = 64;
  return shape;
}

TEST(AdviseTest, EachBoundHasAFlagOfItsOwn) {
  EXPECT_THAT(Advise(Make(90, 5, 3), Shape()), HasSubstr("--workers=5"));
  EXPECT_THAT(Advise(Make(40, 45, 10), Shape()), HasSubstr("--push_dtype=bfloat16"));
  EXPECT_THAT(Advise(Make(40, 10, 45), Shape()), HasSubstr("--ps=4"));
  const std::string advice = Advise(Make(40, 10, 5, {{-1, 3}, {1, 2}, {3, 40}}), Shape());
  EXPECT_THAT(advice, HasSubstr("waiting for worker:3"));
  EXPECT_THAT(advice, HasSubstr("--replicas_to_aggregate=3"));
  EXPECT_THAT(Advise(Make(40, 10, 10, {{1, 5}}), Shape()), HasSubstr("no single part"));
}

TEST(AdviseTest, FlagsThatAreSetAreNotAdvised) {
  JobShape shape = Shape();
  shape.is_half = true;
  EXPECT_THAT(Advise(Make(40, 45, 10), shape), HasSubstr("--batch_size=128"));
  shape.batch_size = 0;
  EXPECT_THAT(Advise(Make(40, 45, 10), shape), HasSubstr("--ps=4"));
  shape.policy = "bounded";
  const std::string advice = Advise(Make(40, 10, 5, {{1, 45}}), shape);
  EXPECT_THAT(advice, HasSubstr("--staleness"));
  EXPECT_THAT(advice, Not(HasSubstr("--replicas_to_aggregate")));
}

TEST(AdviseTest, HalfTheBytesAreAdvisedOnlyWhereBytesMatter) {
  StepShares shares = Make(40, 50, 5);  // 5 ms of the wire a step
  shares.bytes_per_step = 1e6;
  shares.alone_bytes_per_second = 1e9;  // 1 ms, and four workers
  EXPECT_THAT(Advise(shares, Shape()), HasSubstr("bfloat16"));
  shares.bytes_per_step = 1e5;
  EXPECT_THAT(Advise(shares, Shape()), HasSubstr("messages bound it"));
  shares.bytes_per_step = 1e7;
  shares.alone_bytes_per_second = 4e9;  // of shared memory
  EXPECT_THAT(Advise(shares, Shape()), HasSubstr("--batch_size=128"));
}

TEST(FormatVerdictTest, SaysTheSharesTheBoundAndTheAdvice) {
  const StepShares shares = Make(50, 20, 5, {{1, 15}});
  EXPECT_EQ(FormatVerdict(shares, Shape()),
            "| a step                    10.00 ms, mean of 100\n"
            "|   computing                  50.0%\n"
            "|   wire                       20.0%  3.0 MB a step, which take 3.00 ms at the "
            "1.00 GB/s of a last pull alone\n"
            "|   shards                      5.0%\n"
            "|   other workers              15.0%  worker:1 15.0%\n"
            "|   the rest                   10.0%\n"
            "| the wire bounds it: --push_dtype=bfloat16 and --pull_dtype=bfloat16 halve the "
            "bytes\n");
  EXPECT_THAT(FormatVerdictLine(shares, Shape()),
              HasSubstr("a step took 10.00 ms: computing 50.0%, wire 20.0%, shards 5.0%, other "
                        "workers 15.0%; the wire"));
}

TEST(FormatVerdictTest, OfNoStepsThereIsNone) {
  EXPECT_EQ(FormatVerdict(StepShares(), Shape()), "");
  EXPECT_EQ(FormatVerdictLine(StepShares(), Shape()), "");
}

TEST(FormatVerdictTest, WithoutALastPullThereIsNoBound) {
  StepShares shares = Make(50, 20, 5);
  shares.alone_bytes_per_second = 0;  // a worker that is not the chief
  EXPECT_THAT(FormatVerdict(shares, Shape()), Not(HasSubstr("last pull")));
  EXPECT_THAT(FormatVerdictLine(shares, Shape()), HasSubstr("the chief's table says more"));
}

}  // namespace
}  // namespace parley
