#include "deploy/job_text.h"

#include "absl/time/clock.h"
#include "gtest/gtest.h"

namespace parley {
namespace {

using Worker = v1::GetStatusResponse::Worker;

JobView SomeView() {
  JobView view;
  ShardView shard;
  shard.address = "a:2222";
  shard.answer.set_job("mine");
  shard.answer.set_task("ps:0");
  shard.answer.set_blocks(2);
  shard.answer.set_bytes(1'500'000);
  shard.answer.set_min_version(40);
  shard.answer.set_max_version(41);
  shard.answer.set_bytes_pushed(2'000'000'000);
  shard.answer.set_uptime_ms(310'000);
  shard.answer.set_num_workers(2);
  Worker* const worker = shard.answer.add_workers();
  worker->set_state(Worker::LIVE);
  worker->set_clock(40);
  worker->mutable_report()->set_step(41);
  worker->mutable_report()->set_steps(100);
  worker->mutable_report()->set_loss(0.25);
  worker->mutable_report()->set_samples_per_second(5000);
  shard.answer.add_workers()->set_state(Worker::ABSENT);
  view.shards = {shard, shard};
  view.shards[1].shard = 1;
  view.shards[1].status = absl::UnavailableError("ps:1 at a:2222: not reached");
  view.shards[1].answer.Clear();
  return view;
}

TEST(JobTextTest, EachShardAndWorkerHasALine) {
  EXPECT_EQ(FormatJobText(SomeView(), nullptr, absl::Now(), false),
            "job mine: 1 of 2 shards, 2 workers, version 40-41, loss 0.2500, 5000 samples/s\n"
            "\n"
            "shard  task  address  state        version  parameters  workers           waiting"
            "  pushed  pulled     up\n"
            "    0  ps:0  a:2222   serving        40-41      1.5 MB  1 live, 1 absent        0"
            "  2.0 GB     0 B  5m10s\n"
            "    1        a:2222   unreachable                                                "
            "                         ps:1 at a:2222: not reached\n"
            "\n"
            "worker  state     step  clock  silence  waited for    loss  samples/s\n"
            "     0  live    41/100     40    0.0 s       0.0 s  0.2500       5000\n"
            "     1  absent       -      0        -       0.0 s       -          -\n");
}

TEST(JobTextTest, WhatIsWrongStandsInRed) {
  const std::string text = FormatJobText(SomeView(), nullptr, absl::Now(), true);
  EXPECT_NE(text.find("\033[31m    1        a:2222   unreachable"), std::string::npos) << text;
  EXPECT_NE(text.find("\033[33m     1  absent"), std::string::npos) << text;
}

TEST(JobTextTest, TheCheckpointHasAnAge) {
  JobView view = SomeView();
  v1::CheckpointReport* const checkpoint = view.shards[0].answer.mutable_checkpoint();
  checkpoint->set_step(30);
  checkpoint->set_folder("/runs");
  checkpoint->set_manifest("m-30");
  checkpoint->set_unix_ms(1'000'000);
  const std::string text = FormatJobText(view, nullptr, absl::FromUnixSeconds(1012), false);
  EXPECT_NE(text.find("\ncheckpoint of step 30 in /runs: m-30, 12 s ago\n"), std::string::npos)
      << text;
}

TEST(JobTextTest, NobodyTellsTheTerminalAnything) {
  JobView view = SomeView();
  view.shards[0].answer.set_job("a\033[2Jb");
  view.shards[1].status = absl::UnavailableError("not\nreached\033[0m");
  v1::CheckpointReport* const checkpoint = view.shards[0].answer.mutable_checkpoint();
  checkpoint->set_error("\033]0;title\a");
  const std::string text = FormatJobText(view, nullptr, absl::Now(), false);
  EXPECT_EQ(text.find('\033'), std::string::npos) << text;
  EXPECT_NE(text.find("not reached"), std::string::npos) << text;
}

TEST(JobTextTest, RatesFitInALine) {
  const JobRates rates = {12.34, 2.5e6, 1e9};
  EXPECT_EQ(FormatJobLine(SomeView(), rates),
            "version 40-41, 12.3 rounds/s, pushed 2.5 MB/s, pulled 1.0 GB/s, loss 0.2500, "
            "5000 samples/s, 1 of 2 workers, 1 of 2 shards");
}

TEST(JobTextTest, AJobThatNobodyDeclaredIsNone) {
  JobView view = SomeView();
  view.shards[0].answer.Clear();
  EXPECT_EQ(FormatJobText(view, nullptr, absl::Now(), false).find("no job is declared\n"), 0u);
}

TEST(JobTextTest, WhereNobodyAnswersItIsNotSaidThatThereIsNoJob) {
  JobView view = SomeView();
  view.shards[0] = view.shards[1];
  EXPECT_EQ(FormatJobText(view, nullptr, absl::Now(), false).find("no shard answered\n"), 0u);
}

TEST(JobTextTest, AddressesThatAreNotThoseOfTheJobAreNoticed) {
  JobView view = SomeView();
  view.shards[0].answer.set_num_shards(2);
  EXPECT_EQ(FormatJobText(view, nullptr, absl::Now(), false).find("--ps_hosts"), std::string::npos);
  view.shards[0].answer.set_shard(1);
  EXPECT_NE(FormatJobText(view, nullptr, absl::Now(), false).find(" has shard 1, not 0: "),
            std::string::npos);
  view.shards[0].answer.set_num_shards(3);
  EXPECT_NE(FormatJobText(view, nullptr, absl::Now(), false)
                .find("\nthe job has 3 shards, and only 2 of them asked: "),
            std::string::npos);
}

}  // namespace
}  // namespace parley
