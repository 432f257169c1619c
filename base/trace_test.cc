#include "base/trace.h"

#include <thread>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "base/testing/faulty_env.h"
#include "base/testing/temp_folder.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace parley {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

absl::Time At(int64_t microseconds) { return absl::UnixEpoch() + absl::Microseconds(microseconds); }

TraceOptions Named(const std::string& task) {
  TraceOptions options;
  options.task = task;
  options.clock = "a clock";
  return options;
}

Trace::Span Span(const char* name, int64_t begin, int64_t end, int track, uint64_t request = 0) {
  Trace::Span span = {};
  span.name = name;
  span.begin = At(begin);
  span.end = At(end);
  span.track = track;
  span.request = request;
  return span;
}

// The line of the span with this name.
std::string LineOf(const std::string& json, const std::string& name) {
  const size_t at = json.find("\"name\": \"" + name + "\"");
  if (at == std::string::npos) return "";
  const size_t begin = json.rfind('\n', at) + 1;
  return json.substr(begin, json.find('\n', at) - begin);
}

TEST(TraceTest, SaysWhoseItIsAndWhatHappenedWhen) {
  Trace trace(Named("worker:1"));
  Trace::Span span = Span("push-pull", 1000, 3500, trace.Track("to ps:0"), 0xabc);
  span.step = 7;
  span.pushed_bytes = 64;
  span.pulled_bytes = 0;
  trace.Add(span);
  const std::string json = trace.ToJson();
  EXPECT_THAT(json,
              HasSubstr("\"task\": \"worker:1\", \"clock\": \"a clock\", \"left_out\": \"0\""));
  EXPECT_THAT(json, HasSubstr("\"thread_name\", \"args\": {\"name\": \"to ps:0\"}"));
  EXPECT_THAT(LineOf(json, "push-pull"),
              HasSubstr("\"ts\": 1000.000, \"dur\": 2500.000, \"args\": {\"step\": 7, "
                        "\"pushed_bytes\": 64, \"pulled_bytes\": 0, \"request\": \"abc\"}"));
}

TEST(TraceTest, WhatOverlapsIsShownInRowsOfItsOwnAndARequestStaysTogether) {
  Trace trace(Named("ps:0"));
  const int track = trace.Track("worker:0");
  trace.Add(Span("first", 10, 50, track, 1));
  trace.Add(Span("second", 20, 40, track, 2));
  trace.Add(Span("part of first", 25, 30, track, 1));
  trace.Add(Span("third", 50, 60, track, 3));
  const std::string json = trace.ToJson();
  EXPECT_THAT(LineOf(json, "first"), HasSubstr("\"tid\": 1"));
  EXPECT_THAT(LineOf(json, "part of first"), HasSubstr("\"tid\": 1"));
  EXPECT_THAT(LineOf(json, "second"), HasSubstr("\"tid\": 2"));
  EXPECT_THAT(LineOf(json, "third"), HasSubstr("\"tid\": 1"));
  EXPECT_THAT(json, HasSubstr("worker:0 (2)"));
}

TEST(TraceTest, ScopesNestOnTheTrackOfTheirThread) {
  Trace trace(Named("worker:0"));
  std::thread([&trace] {
    trace.NameThread("trainer");
    const TraceScope outer(&trace, "step", 3);
    const TraceScope inner(&trace, "compute", 3);
  }).join();
  const std::string json = trace.ToJson();
  EXPECT_THAT(json, HasSubstr("\"name\": \"trainer\""));
  EXPECT_LT(json.find("\"step\", \"ts\""), json.find("\"compute\", \"ts\""));
}

TEST(TraceTest, KeepsTheNewestSpansOfTheStepsThatAreWanted) {
  TraceOptions options = Named("worker:0");
  options.max_spans = 2;
  options.first_step = 10;
  options.last_step = 20;
  Trace trace(options);
  const char* const names[] = {"too early", "old", "new", "newest", "too late"};
  const int64_t steps[] = {9, 10, 15, 20, 21};
  for (int i = 0; i < 5; ++i) {
    Trace::Span span = Span(names[i], i, i + 1, trace.Track("a"));
    span.step = steps[i];
    trace.Add(span);
  }
  const std::string json = trace.ToJson();
  for (const char* name : {"too early", "old", "too late"}) {
    EXPECT_THAT(json, Not(HasSubstr(name)));
  }
  EXPECT_NE(LineOf(json, "new"), "");
  EXPECT_NE(LineOf(json, "newest"), "");
  EXPECT_THAT(json, HasSubstr("\"left_out\": \"1\""));
}

TEST(TraceTest, AScopeOfNoTraceDoesNothing) { const TraceScope scope(nullptr, "nothing"); }

TEST(TraceTest, NoTwoRequestsHaveTheSameNumber) {
  Trace a(Named("worker:0")), b(Named("worker:1"));
  const uint64_t first = a.NewRequest();
  EXPECT_NE(first, 0u);
  EXPECT_NE(first, a.NewRequest());
  EXPECT_NE(first, b.NewRequest());
}

TEST(TraceTest, AFullDiskIsAnErrorAndLeavesNoFile) {
  const TempFolder folder;
  FaultyEnv env(Env::Posix());
  TraceOptions options = Named("ps:0");
  options.env = &env;
  Trace trace(options);
  const std::string path = folder.path() + "/traces";
  ASSERT_TRUE(trace.Write(path).ok());
  ASSERT_TRUE(env.RemoveFile(path + "/ps-0.trace.json").ok());
  env.FailAt(2, FaultyEnv::After::kRecovers, absl::ResourceExhaustedError("disk full"));
  EXPECT_TRUE(absl::IsResourceExhausted(trace.Write(path)));
  const auto files = env.ListFolder(path);
  ASSERT_TRUE(files.ok());
  EXPECT_TRUE(files->empty());
}

}  // namespace
}  // namespace parley
