#include "ps/job_watch.h"

#include <string>

#include "gtest/gtest.h"

namespace parley {
namespace {

v1::HeartbeatResponse AnswerTo(const JobWatch& watch, int worker) {
  v1::HeartbeatResponse response;
  watch.FillAnswer(worker, &response);
  return response;
}

v1::GetStatusResponse StatusOf(const JobWatch& watch, int workers) {
  v1::GetStatusResponse response;
  for (int i = 0; i < workers; ++i) response.add_workers();
  watch.FillStatus(&response);
  return response;
}

v1::WorkerReport ReportOf(uint64_t ticket, const std::string& manifest) {
  v1::WorkerReport report;
  report.mutable_checkpoint()->set_ticket(ticket);
  report.mutable_checkpoint()->set_manifest(manifest);
  return report;
}

TEST(JobWatchTest, TheChiefIsToldOfACheckpointUntilItHasReportedIt) {
  JobWatch watch;
  EXPECT_EQ(AnswerTo(watch, 0).checkpoint_ticket(), 0u);
  const uint64_t ticket = watch.AskCheckpoint();
  EXPECT_NE(ticket, 0u);
  EXPECT_EQ(watch.AskCheckpoint(), ticket);  // another operator waits for the same
  EXPECT_EQ(AnswerTo(watch, 0).checkpoint_ticket(), ticket);
  EXPECT_EQ(AnswerTo(watch, 1).checkpoint_ticket(), 0u);
  watch.Heard(0, ReportOf(0, "an older one"));
  EXPECT_EQ(AnswerTo(watch, 0).checkpoint_ticket(), ticket);
  watch.Heard(0, ReportOf(ticket, "manifest-5"));
  EXPECT_EQ(AnswerTo(watch, 0).checkpoint_ticket(), 0u);
  EXPECT_EQ(StatusOf(watch, 1).checkpoint().manifest(), "manifest-5");
  EXPECT_NE(watch.AskCheckpoint(), ticket);
}

TEST(JobWatchTest, OnlyTheChiefReportsCheckpoints) {
  JobWatch watch;
  const uint64_t ticket = watch.AskCheckpoint();
  watch.Heard(1, ReportOf(ticket, "forged"));
  EXPECT_EQ(AnswerTo(watch, 0).checkpoint_ticket(), ticket);
  EXPECT_FALSE(StatusOf(watch, 2).has_checkpoint());
  EXPECT_FALSE(StatusOf(watch, 2).workers(1).report().has_checkpoint());
}

TEST(JobWatchTest, WhatIsKeptOfAReportIsShortAndCanBeSentOn) {
  JobWatch watch;
  v1::WorkerReport report;
  // The 1024th byte is in the middle of a character.
  std::string folder = "x";
  for (int i = 0; i < 2000; ++i) folder += "\xc3\xa9";
  report.mutable_checkpoint()->set_folder(folder);
  report.mutable_checkpoint()->set_error("\033[2J");
  // Fields that are not known here.
  const std::string more(1 << 20, 'x');
  report.GetReflection()->MutableUnknownFields(&report)->AddLengthDelimited(1000, more);
  v1::CheckpointReport* const checkpoint = report.mutable_checkpoint();
  checkpoint->GetReflection()->MutableUnknownFields(checkpoint)->AddLengthDelimited(1000, more);
  watch.Heard(0, report);
  const std::string sent = StatusOf(watch, 1).SerializeAsString();
  EXPECT_LT(sent.size(), 5000u);
  v1::GetStatusResponse got;
  ASSERT_TRUE(got.ParseFromString(sent));
  EXPECT_EQ(got.checkpoint().folder(), folder.substr(0, 1023));
  EXPECT_EQ(got.checkpoint().error(), " [2J");
}

TEST(JobWatchTest, StatusHasEachWorkersLastReport) {
  JobWatch watch;
  v1::WorkerReport report;
  report.set_loss(0.5);
  watch.Heard(1, report);
  report.set_loss(0.25);
  watch.Heard(1, report);
  watch.Heard(7, report);  // the status has no such worker
  const v1::GetStatusResponse status = StatusOf(watch, 2);
  EXPECT_FALSE(status.workers(0).has_report());
  EXPECT_EQ(status.workers(1).report().loss(), 0.25);
}

TEST(JobWatchTest, TextsFromOutsideAreKeptShort) {
  JobWatch watch;
  watch.Heard(0, ReportOf(0, std::string(1 << 20, 'x')));
  EXPECT_EQ(StatusOf(watch, 1).checkpoint().manifest().size(), 1024u);
}

TEST(JobWatchTest, AStoppedJobIsDrainedForGood) {
  JobWatch watch;
  watch.SetDraining();
  EXPECT_TRUE(AnswerTo(watch, 1).draining());
  EXPECT_FALSE(AnswerTo(watch, 1).stopping());
  EXPECT_FALSE(watch.stopping());
  JobWatch other;
  other.Stop();
  EXPECT_TRUE(AnswerTo(other, 1).draining());
  EXPECT_TRUE(AnswerTo(other, 1).stopping());
  EXPECT_TRUE(other.stopping());
  EXPECT_TRUE(StatusOf(other, 0).stopping());
}

}  // namespace
}  // namespace parley
