#include "ps/status_history.h"

#include "gtest/gtest.h"

namespace parley {
namespace {

JobView ViewAt(int64_t second, int64_t version) {
  JobView view;
  view.at = absl::FromUnixSeconds(second);
  ShardView& shard = view.shards.emplace_back();
  shard.answer.set_job("mine");
  shard.answer.set_blocks(1);
  shard.answer.set_min_version(version);
  shard.answer.set_bytes_pushed(100 * version);
  for (const double loss : {1.0, 2.0}) {
    v1::GetStatusResponse::Worker* const worker = shard.answer.add_workers();
    worker->set_state(v1::GetStatusResponse::Worker::LIVE);
    worker->mutable_report()->set_loss(loss);
    worker->mutable_report()->set_samples_per_second(10);
  }
  return view;
}

TEST(StatusHistoryTest, CurvesHaveRatesSinceThePointBefore) {
  StatusHistory history(absl::Seconds(1), 10);
  history.Add(ViewAt(100, 5));
  history.Add(ViewAt(102, 9));
  history.Add(ViewAt(103, 3));  // begins anew
  EXPECT_EQ(history.FormatJson(absl::FromUnixSeconds(104)),
            "{\"age_seconds\": [4,2,1], \"version\": [5,9,3], \"loss\": [1.5,1.5,1.5], "
            "\"samples_per_second\": [20,20,20], \"rounds_per_second\": [null,2,null], "
            "\"bytes_pushed_per_second\": [null,200,null], "
            "\"bytes_pulled_per_second\": [null,0,0]}");
}

TEST(StatusHistoryTest, AWholeRunFitsInAFewPoints) {
  StatusHistory history(absl::Seconds(1), 8);
  for (int64_t second = 0; second < 1000; ++second) history.Add(ViewAt(second, second));
  const std::vector<StatusHistory::Point>& points = history.points();
  ASSERT_GE(points.size(), 4u);
  ASSERT_LE(points.size(), 8u);
  EXPECT_LT(points.front().version, 300);
  EXPECT_GT(points.back().version, 700);
  for (size_t i = 1; i < points.size(); ++i) EXPECT_GT(points[i].at, points[i - 1].at);
}

TEST(StatusHistoryTest, WhoHasLeftAndWhoIsSilentHaveNoLoss) {
  StatusHistory history(absl::Seconds(1), 8);
  JobView view = ViewAt(1, 1);
  view.shards[0].answer.mutable_workers(0)->set_state(v1::GetStatusResponse::Worker::LEFT);
  history.Add(view);
  view = ViewAt(2, 2);
  for (auto& worker : *view.shards[0].answer.mutable_workers()) worker.clear_report();
  history.Add(view);
  history.Add(JobView());
  ASSERT_EQ(history.points().size(), 2u);
  EXPECT_EQ(history.points()[0].loss, 2.0);
  EXPECT_EQ(history.points()[0].samples_per_second, 10);
  EXPECT_EQ(history.points()[1].loss, absl::nullopt);
  EXPECT_EQ(history.points()[1].samples_per_second, absl::nullopt);
}

}  // namespace
}  // namespace parley
