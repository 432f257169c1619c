#include "deploy/trace_merge.h"

#include <cmath>
#include <random>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/testing/temp_folder.h"
#include "base/trace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace parley {
namespace {

using ::testing::HasSubstr;

TEST(EstimateOffsetTest, OneRoundTripIsHalvedAsNtpDoes) {
  // The shard's clock is 1000 ahead; 10 each way, 5 there.
  const ClockOffset offset = EstimateOffset({{0, 1010, 1015, 25}});
  EXPECT_DOUBLE_EQ(offset.offset, 1000);
  EXPECT_DOUBLE_EQ(offset.error, 10);
}

TEST(EstimateOffsetTest, TheTruthIsWithinTheErrorAndEachRequestCoversItsHandling) {
  const unsigned seed = std::random_device()();
  std::cout << "seed " << seed << std::endl;
  std::mt19937 random(seed);
  std::exponential_distribution<double> delay(1.0 / 50);
  for (int run = 0; run < 200; ++run) {
    const double truth = std::uniform_real_distribution<double>(-1e6, 1e6)(random);
    std::vector<RoundTrip> trips;
    for (int i = 0; i < 50; ++i) {
      RoundTrip trip;
      trip.sent = i * 1000.0;
      trip.came = trip.sent + 3 + delay(random) + truth;
      trip.answered = trip.came + delay(random);
      trip.received = trip.answered - truth + 3 + delay(random);
      trips.push_back(trip);
    }
    const ClockOffset offset = EstimateOffset(trips);
    EXPECT_LE(std::abs(offset.offset - truth), offset.error + 1e-6);
    for (const RoundTrip& trip : trips) {
      EXPECT_LE(trip.sent + offset.offset, trip.came + 1e-6);
      EXPECT_GE(trip.received + offset.offset, trip.answered - 1e-6);
    }
  }
}

TEST(EstimateOffsetTest, ClocksThatDriftHaveALargerError) {
  // 1000 ahead, and later 1100; 10 each way.
  const ClockOffset offset = EstimateOffset({{0, 1010, 1015, 25}, {1000, 2110, 2115, 1025}});
  EXPECT_DOUBLE_EQ(offset.offset, 1050);
  EXPECT_GE(offset.error, 50);
}

TEST(EstimateOffsetTest, NothingIsKnownWithoutRequests) {
  EXPECT_TRUE(std::isinf(EstimateOffset({}).error));
}

class MergeTracesTest : public ::testing::Test {
 protected:
  static absl::Time At(double microseconds) {
    return absl::UnixEpoch() + absl::Nanoseconds(std::llround(microseconds * 1000));
  }
  // A task with one span, in its own clock.
  void Write(const std::string& task, const std::string& clock,
             const std::vector<Trace::Span>& spans) {
    TraceOptions options;
    options.task = task;
    options.clock = clock;
    Trace trace(options);
    for (Trace::Span span : spans) {
      span.track = trace.Track("a track");
      trace.Add(span);
    }
    ASSERT_TRUE(trace.Write(folder_.path()).ok());
  }
  static Trace::Span Span(const char* name, double begin, double end, uint64_t request) {
    Trace::Span span = {};
    span.name = name;
    span.begin = At(begin);
    span.end = At(end);
    span.request = request;
    return span;
  }

  const TempFolder folder_;
};

TEST_F(MergeTracesTest, ClocksOfOtherMachinesAreAlignedOverTheTasksBetween) {
  // worker:0 is at t, ps:0 at t + 5000, worker:1 at t - 700.
  Write("worker:0", "a", {Span("push-pull", 100, 200, 1)});
  Write("ps:0", "b", {Span("handle", 5110, 5190, 1), Span("handle", 5320, 5380, 2)});
  Write("worker:1", "c", {Span("push-pull", -400, -300, 2)});
  const absl::StatusOr<std::string> merged = MergeTraces(Env::Posix(), folder_.path());
  ASSERT_TRUE(merged.ok()) << merged.status();
  EXPECT_THAT(*merged, HasSubstr("\"worker:0\": \"offset_us 0.000, error_us 0.000"));
  EXPECT_THAT(*merged, HasSubstr("\"ps:0\": \"offset_us -5000.000, error_us 10.000"));
  EXPECT_THAT(*merged, HasSubstr("\"worker:1\": \"offset_us 700.000, error_us 30.000"));
  // From the first span on: worker:0's request at 0, its handling at 10; worker:1's at 200.
  EXPECT_THAT(*merged, HasSubstr("\"name\": \"push-pull\", \"ts\": 0.000, \"dur\": 100.000"));
  EXPECT_THAT(*merged, HasSubstr("\"name\": \"handle\", \"ts\": 10.000, \"dur\": 80.000"));
  EXPECT_THAT(*merged, HasSubstr("\"name\": \"push-pull\", \"ts\": 200.000, \"dur\": 100.000"));
  // The arrow.
  EXPECT_THAT(*merged, HasSubstr("\"ph\": \"s\", \"id\": \"1\""));
  EXPECT_THAT(*merged, HasSubstr("\"ph\": \"f\", \"id\": \"1\""));
}

TEST_F(MergeTracesTest, TasksOfOneMachineAreNotMoved) {
  Write("worker:0", "a", {Span("push-pull", 100, 200, 1)});
  Write("ps:0", "a", {Span("handle", 105, 110, 1)});
  const absl::StatusOr<std::string> merged = MergeTraces(Env::Posix(), folder_.path());
  ASSERT_TRUE(merged.ok()) << merged.status();
  EXPECT_THAT(*merged, HasSubstr("\"name\": \"handle\", \"ts\": 5.000, \"dur\": 5.000"));
}

TEST_F(MergeTracesTest, ATaskThatNoRequestConnectsIsSaidToBeUnaligned) {
  Write("worker:0", "a", {Span("push-pull", 100, 200, 1)});
  Write("ps:0", "b", {});
  const absl::StatusOr<std::string> merged = MergeTraces(Env::Posix(), folder_.path());
  ASSERT_TRUE(merged.ok()) << merged.status();
  EXPECT_THAT(*merged, HasSubstr("\"ps:0\": \"offset_us 0.000, error_us unknown"));
}

TEST_F(MergeTracesTest, AFolderWithoutTracesAndAFileThatIsNoneAreErrors) {
  EXPECT_TRUE(absl::IsNotFound(MergeTraces(Env::Posix(), folder_.path()).status()));
  EXPECT_TRUE(absl::IsNotFound(MergeTraces(Env::Posix(), folder_.File("nowhere")).status()));
  for (const char* text : {"", "{", "[]", "{\"traceEvents\": [{\"ts\": \"x\"}]}", "{}",
                           "{\"otherData\": {\"task\": \"ps:0\"},"
                           " \"traceEvents\": [{\"ph\": \"X\", \"ts\": \"NaN\"}]}",
                           "{\"otherData\": {\"task\": \"ps:0\"},"
                           " \"traceEvents\": [{\"ph\": \"X\", \"dur\": 1e300}]}"}) {
    ASSERT_TRUE(WriteFileAtomically(Env::Posix(), folder_.File("ps-0.trace.json"), text).ok());
    const absl::Status status = MergeTraces(Env::Posix(), folder_.path()).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << text;
    EXPECT_THAT(std::string(status.message()), HasSubstr("ps-0.trace.json"));
  }
  // Of more bytes than there is memory for.
  absl::StatusOr<std::unique_ptr<WritableFile>> huge =
      Env::Posix()->NewWritableFile(folder_.File("ps-0.trace.json"));
  ASSERT_TRUE(huge.ok()) << huge.status();
  ASSERT_TRUE((*huge)->Truncate(int64_t{1} << 42).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(MergeTraces(Env::Posix(), folder_.path()).status()));
}

}  // namespace
}  // namespace parley
