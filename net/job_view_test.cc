#include "net/job_view.h"

#include <limits>

#include "gtest/gtest.h"

namespace parley {
namespace {

using Worker = v1::GetStatusResponse::Worker;

ShardView ShardOf(int index, int64_t version, int64_t clock) {
  ShardView shard;
  shard.shard = index;
  shard.address = "a:1";
  shard.answer.set_job("mine");
  shard.answer.set_task("ps:0");
  shard.answer.set_blocks(2);
  shard.answer.set_min_version(version);
  shard.answer.set_max_version(version + 1);
  shard.answer.set_bytes_pushed(1000 * version);
  shard.answer.set_bytes_pulled(3000 * version);
  Worker* const worker = shard.answer.add_workers();
  worker->set_state(Worker::LIVE);
  worker->set_clock(clock);
  worker->set_silence_ms(100 * version);
  worker->set_waited_for_ms(50);
  return shard;
}

TEST(JobViewTest, AWorkerIsAsTheShardFurthestBehindSeesIt) {
  JobView view;
  view.shards = {ShardOf(0, 5, 7), ShardOf(1, 4, 6)};
  const std::vector<WorkerView> workers = view.workers();
  ASSERT_EQ(workers.size(), 1u);
  EXPECT_EQ(workers[0].clock, 6);
  EXPECT_EQ(workers[0].silence, absl::Milliseconds(500));
  EXPECT_EQ(workers[0].waited_for, absl::Milliseconds(100));
  EXPECT_EQ(view.min_version(), 4);
  EXPECT_EQ(view.max_version(), 6);
  EXPECT_EQ(view.job(), "mine");
}

TEST(JobViewTest, AShardWithoutBlocksHasNoClockAndNoVersion) {
  JobView view;
  view.shards = {ShardOf(0, 0, 0), ShardOf(1, 4, 6)};
  view.shards[0].answer.set_blocks(0);
  EXPECT_EQ(view.workers()[0].clock, 6);
  EXPECT_EQ(view.min_version(), 4);
}

TEST(JobViewTest, LiveIsWhoIsLiveEverywhere) {
  JobView view;
  view.shards = {ShardOf(0, 1, 1), ShardOf(1, 1, 1)};
  view.shards[1].answer.mutable_workers(0)->set_state(Worker::LEFT);
  EXPECT_EQ(StateOf(view.workers()[0]), "left");
}

TEST(JobViewTest, SilentIsWhoseLeaseHasEndedAnywhere) {
  JobView view;
  view.shards = {ShardOf(0, 1, 1), ShardOf(1, 1, 1)};
  for (const size_t shard : {0, 1}) {
    view.shards[shard].answer.mutable_workers(0)->set_state(Worker::SILENT);
    EXPECT_EQ(StateOf(view.workers()[0]), "silent") << shard;
    view.shards[shard].answer.mutable_workers(0)->set_state(Worker::LIVE);
  }
  view.shards[0].answer.mutable_workers(0)->set_state(Worker::SILENT);
  view.shards[1].answer.mutable_workers(0)->set_state(Worker::LEFT);
  EXPECT_EQ(StateOf(view.workers()[0]), "left");
}

TEST(JobViewTest, ShardsThatSayNothingAreLeftOut) {
  JobView view;
  view.shards = {ShardOf(0, 5, 7), ShardOf(1, 4, 6)};
  view.shards[1].status = absl::UnavailableError("ps:1 at a:1: not reached");
  view.shards[1].answer.Clear();
  EXPECT_EQ(view.answered(), 1);
  EXPECT_EQ(view.min_version(), 5);
  EXPECT_EQ(StateOf(view.shards[0]), "serving");
  EXPECT_EQ(StateOf(view.shards[1]), "unreachable");
  view.shards[1].status = absl::DeadlineExceededError("silent");
  EXPECT_EQ(StateOf(view.shards[1]), "silent");
  view.shards[1].status = absl::OkStatus();
  EXPECT_EQ(StateOf(view.shards[1]), "waiting");
  EXPECT_EQ(view.declared(), 1);
}

TEST(JobViewTest, TheNewestCheckpointAndReportCount) {
  JobView view;
  view.shards = {ShardOf(0, 5, 7), ShardOf(1, 4, 6)};
  EXPECT_FALSE(view.checkpoint().has_value());
  for (int i = 0; i < 2; ++i) {
    v1::GetStatusResponse& answer = view.shards[static_cast<size_t>(i)].answer;
    answer.mutable_checkpoint()->set_unix_ms(10 - i);
    answer.mutable_checkpoint()->set_step(10 - i);
    answer.mutable_workers(0)->mutable_report()->set_step(3 + i);
  }
  EXPECT_EQ(view.checkpoint()->step(), 10);
  EXPECT_EQ(view.workers()[0].report.step(), 4);
}

TEST(JobViewTest, RatesAreOfShardsThatAnsweredTwice) {
  JobView before;
  before.at = absl::FromUnixSeconds(100);
  before.shards = {ShardOf(0, 5, 5), ShardOf(1, 5, 5)};
  JobView after = before;
  after.at = absl::FromUnixSeconds(102);
  after.shards = {ShardOf(0, 9, 9), ShardOf(1, 9, 9)};
  after.shards[1].status = absl::UnavailableError("");
  const JobRates rates = RatesBetween(before, after);
  EXPECT_EQ(rates.rounds_per_second, 2);
  EXPECT_EQ(rates.bytes_pushed_per_second, 2000);
  EXPECT_EQ(rates.bytes_pulled_per_second, 6000);
  EXPECT_EQ(RatesBetween(after, before).rounds_per_second, 0);
  JobView anew = after;  // a shard that was started again
  anew.at = absl::FromUnixSeconds(104);
  anew.shards = {ShardOf(0, 1, 1), ShardOf(1, 1, 1)};
  EXPECT_EQ(RatesBetween(after, anew).bytes_pushed_per_second, 0);
}

TEST(JobViewTest, JsonHasWhatWasSaidAndNullForTheRest) {
  JobView view;
  view.shards = {ShardOf(0, 5, 7), ShardOf(1, 4, 6)};
  view.shards[1].status = absl::UnavailableError("ps:1 at \"b\": not reached");
  v1::WorkerReport* const report = view.shards[0].answer.mutable_workers(0)->mutable_report();
  report->set_step(8);
  report->set_loss(std::numeric_limits<double>::infinity());
  EXPECT_EQ(
      FormatJobJson(view),
      R"({"job": "mine", "version": 5, "max_version": 6, "bytes": 0, "shards": [)"
      R"({"shard": 0, "task": "ps:0", "address": "a:1", "state": "serving", "error": null, )"
      R"("version": 5, "max_version": 6, "blocks": 2, "bytes": 0, "rounds": 0, )"
      R"("rounds_queued": 0, "requests_waiting": 0, "bytes_pushed": 5000, )"
      R"("bytes_pulled": 15000, "staleness_mean": 0, "staleness_max": 0, "dropped": 0, )"
      R"("uptime_seconds": 0.000, "replica": null}, )"
      R"({"shard": 1, "task": "ps:0", "address": "a:1", "state": "unreachable", )"
      R"("error": "ps:1 at \"b\": not reached"}], )"
      R"("num_workers": 0, "workers": [{"worker": 0, "state": "live", "clock": 7, "silence_seconds": 0.500, )"
      R"("waited_for_seconds": 0.050, "step": 8, "steps": null, "loss": null, )"
      R"("samples_per_second": null}], "checkpoint": null})");
}

}  // namespace
}  // namespace parley
