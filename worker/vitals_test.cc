#include "worker/vitals.h"

#include "gtest/gtest.h"

namespace parley {
namespace {

v1::HeartbeatResponse AnswerWith(uint64_t ticket) {
  v1::HeartbeatResponse answer;
  answer.set_checkpoint_ticket(ticket);
  return answer;
}

v1::CheckpointReport ReportOf(uint64_t ticket) {
  v1::CheckpointReport report;
  report.set_ticket(ticket);
  report.set_manifest("manifest");
  return report;
}

TEST(VitalsTest, ACheckpointIsAskedForUntilItIsReported) {
  Vitals vitals;
  EXPECT_EQ(vitals.checkpoint_ticket(), 0u);
  vitals.Answered(0, AnswerWith(7));
  vitals.Answered(1, AnswerWith(0));
  EXPECT_EQ(vitals.checkpoint_ticket(), 7u);
  vitals.ReportCheckpoint(ReportOf(7));
  EXPECT_EQ(vitals.checkpoint_ticket(), 0u);
  vitals.Answered(0, AnswerWith(7));  // it was under way
  EXPECT_EQ(vitals.checkpoint_ticket(), 0u);
  vitals.Answered(0, AnswerWith(9));
  EXPECT_EQ(vitals.checkpoint_ticket(), 9u);
}

TEST(VitalsTest, ALaterCheckpointStillAnswersTheTicket) {
  Vitals vitals;
  vitals.Answered(0, AnswerWith(7));
  vitals.ReportCheckpoint(ReportOf(7));
  vitals.ReportCheckpoint(ReportOf(0));
  EXPECT_EQ(vitals.report().checkpoint().ticket(), 7u);
  EXPECT_EQ(vitals.checkpoint_ticket(), 0u);
}

TEST(VitalsTest, StepsDoNotHideTheCheckpoint) {
  Vitals vitals;
  EXPECT_FALSE(vitals.report().has_step());
  vitals.ReportCheckpoint(ReportOf(0));
  v1::WorkerReport report;
  report.set_step(3);
  report.set_loss(0.5);
  vitals.Report(report);
  report.set_step(4);
  vitals.Report(report);
  EXPECT_EQ(vitals.report().step(), 4);
  EXPECT_EQ(vitals.report().loss(), 0.5);
  EXPECT_EQ(vitals.report().checkpoint().manifest(), "manifest");
}

TEST(VitalsTest, WhoWasAskedToStopOnceIs) {
  Vitals vitals;
  v1::HeartbeatResponse answer;
  answer.set_draining(true);
  vitals.Answered(1, answer);
  EXPECT_TRUE(vitals.draining());
  EXPECT_FALSE(vitals.stopping());
  answer.set_stopping(true);
  vitals.Answered(0, answer);
  vitals.Answered(0, v1::HeartbeatResponse());  // by the shard's next leader
  EXPECT_TRUE(vitals.draining());
  EXPECT_TRUE(vitals.stopping());
}

}  // namespace
}  // namespace parley
