// A shard that writes its changes down (ShardOptions::log_folder), dies, and goes on.

#include <cstdint>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "base/testing/faulty_env.h"
#include "base/testing/temp_folder.h"
#include "glog/logging.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "net/checkpoint_folder.h"
#include "ps/log_format.h"
#include "ps/log_reader.h"
#include "ps/testing/one_shard.h"

namespace parley {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void WriteFile(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

TEST(ShardLogTest, AShardThatIsStartedAgainGoesOnWhereItWas) {
  for (const bool synchronous : {true, false}) {
    OneShard whole(OneShardSpec(1, synchronous));
    OneShard task(OneShardSpec(1, synchronous));
    ASSERT_FALSE(whole.Start().value());
    ASSERT_TRUE(whole.Declare().ok());
    ASSERT_TRUE(whole.Join(0).ok());
    ASSERT_FALSE(task.Start().value());
    ASSERT_TRUE(task.Declare().ok());
    ASSERT_TRUE(task.Join(0).ok());
    for (int step = 0; step < 6; ++step) {
      ASSERT_TRUE(whole.Push(0, step, step + 1, 0.25f * step).ok());
      ASSERT_TRUE(task.Push(0, step, step + 1, 0.25f * step).ok());
      if (step % 2 == 1) {  // and the worker need not join again
        ASSERT_TRUE(task.Start().value());
      }
    }
    EXPECT_EQ(task.Pull(6), whole.Pull(6));
  }
}

TEST(ShardLogTest, APushWhoseAnswerWasLostIsNotAppliedAgain) {
  for (const bool synchronous : {true, false}) {
    OneShard task(OneShardSpec(1, synchronous));
    ASSERT_TRUE(task.Start().ok());
    ASSERT_TRUE(task.Declare().ok());
    ASSERT_TRUE(task.Join(0).ok());
    ASSERT_TRUE(task.Push(0, 0, 1, 1).ok());
    ASSERT_TRUE(task.Push(0, 1, 2, 1).ok());
    const std::vector<float> values = task.Pull(2);
    ASSERT_TRUE(task.Start().value());
    EXPECT_TRUE(task.Push(0, 1, 2, 1).ok());
    EXPECT_EQ(task.Pull(2), values);
  }
}

TEST(ShardLogTest, AnOlderPushThatNeverCameIsStillTaken) {
  OneShard task(OneShardSpec(1, /*synchronous=*/false));
  ASSERT_TRUE(task.Start().ok());
  ASSERT_TRUE(task.Declare().ok());
  ASSERT_TRUE(task.Join(0).ok());
  ASSERT_TRUE(task.Push(0, 1, 2, 1).ok());
  ASSERT_TRUE(task.Start().value());
  const std::vector<float> before = task.Pull();
  EXPECT_TRUE(task.Push(0, 0, 1, 1).ok());
  EXPECT_NE(task.Pull(), before);
}

TEST(ShardLogTest, APushIsAcknowledgedWhenItsRoundIsWrittenDown) {
  OneShard task(OneShardSpec(2, /*synchronous=*/true));
  ASSERT_TRUE(task.Start().ok());
  ASSERT_TRUE(task.Declare().ok());
  ASSERT_TRUE(task.Join(0).ok());
  ASSERT_TRUE(task.Join(1).ok());
  // The round waits for the other worker, and so does the answer.
  EXPECT_TRUE(absl::IsDeadlineExceeded(task.Push(0, 0, 1, 1, {0, 1, 2}, /*wait_ms=*/1)));
  auto first = task.BeginPush(0, 0, 1, 1, {0, 1, 2});
  EXPECT_TRUE(task.Push(1, 0, 1, 2).ok());
  EXPECT_TRUE(first.get().ok());
  const std::vector<float> values = task.Pull(1);
  ASSERT_TRUE(task.Start().value());
  EXPECT_EQ(task.Pull(1), values);
  // Of a round that was open nothing was acknowledged: it comes again, from both.
  first = task.BeginPush(0, 1, 2, 1, {0});
  ASSERT_TRUE(task.Start().value());
  EXPECT_TRUE(absl::IsUnavailable(first.get().status()));
  first = task.BeginPush(0, 1, 2, 1, {0, 1, 2});
  EXPECT_TRUE(task.Push(1, 1, 2, 2).ok());
  EXPECT_TRUE(first.get().ok());
}

TEST(ShardLogTest, ARequestOfWhichAPartWasAppliedIsCompletedByItsRetry) {
  OneShard task(OneShardSpec(2, /*synchronous=*/true));
  ASSERT_TRUE(task.Start().ok());
  ASSERT_TRUE(task.Declare().ok());
  ASSERT_TRUE(task.Join(0).ok());
  ASSERT_TRUE(task.Join(1).ok());
  auto first = task.BeginPush(0, 0, 1, 1, {0, 1, 2});
  ASSERT_TRUE(task.Push(1, 0, 1, 2, {1}).ok());  // only this block's round is complete
  ASSERT_TRUE(task.Start().value());
  EXPECT_FALSE(first.get().ok());
  first = task.BeginPush(0, 0, 1, 1, {0, 1, 2});
  EXPECT_TRUE(task.Push(1, 0, 2, 2, {0, 2}).ok());
  EXPECT_TRUE(first.get().ok());

  OneShard whole(OneShardSpec(2, /*synchronous=*/true));
  ASSERT_TRUE(whole.Start().ok());
  ASSERT_TRUE(whole.Declare().ok());
  ASSERT_TRUE(whole.Join(0).ok());
  ASSERT_TRUE(whole.Join(1).ok());
  first = whole.BeginPush(0, 0, 1, 1, {0, 1, 2});
  ASSERT_TRUE(whole.Push(1, 0, 1, 2).ok());
  ASSERT_TRUE(first.get().ok());
  EXPECT_EQ(task.Pull(1), whole.Pull(1));
}

TEST(ShardLogTest, WhoHasLeftHasLeft) {
  OneShard task(OneShardSpec(2, /*synchronous=*/true));
  ASSERT_TRUE(task.Start().ok());
  ASSERT_TRUE(task.Declare().ok());
  ASSERT_TRUE(task.Join(0).ok());
  ASSERT_TRUE(task.Join(1).ok());
  ASSERT_TRUE(task.Leave(1).ok());
  ASSERT_TRUE(task.Start().value());
  EXPECT_TRUE(task.Push(0, 0, 1, 1).ok());  // nobody else is waited for
  EXPECT_TRUE(absl::IsFailedPrecondition(task.Push(1, 0, 1, 1)));
}

// Who goes on from the log would wait for the steps that it has not done, and it does not do them.
TEST(ShardLogTest, WhoCameBackToWhereTheOthersAreIsThere) {
  OneShard task(OneShardSpec(2, /*synchronous=*/false));
  ASSERT_TRUE(task.Start().ok());
  ASSERT_TRUE(task.Declare().ok());
  ASSERT_TRUE(task.Join(0).ok());
  ASSERT_TRUE(task.Join(1).ok());
  ASSERT_TRUE(task.Leave(1).ok());
  for (int64_t step = 0; step < 3; ++step) {
    ASSERT_TRUE(task.Push(0, step, static_cast<uint64_t>(step) + 1, 1).ok());
  }
  EXPECT_EQ(task.Join(1, /*incarnation=*/2).value(), 3);
  ASSERT_TRUE(task.Start().value());
  EXPECT_EQ(task.Join(1, /*incarnation=*/3).value(), 3);
}

TEST(ShardLogTest, ACheckpointTakesThePlaceOfWhatWasWrittenBefore) {
  OneShard task(OneShardSpec(1, /*synchronous=*/true));
  ASSERT_TRUE(task.Start().ok());
  ASSERT_TRUE(task.Declare().ok());
  ASSERT_TRUE(task.Join(0).ok());
  int64_t step = 0;
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(task.Push(0, step, step + 1, 1).ok());
    ++step;
    ASSERT_TRUE(task.Checkpoint(step).ok());
  }
  ASSERT_TRUE(task.Push(0, step, step + 1, 1).ok());
  ++step;
  // Those that the checkpoints before the last two needed are gone.
  EXPECT_GT(task.Segments().front(), LogSegmentName(1));
  const std::vector<float> values = task.Pull(step);
  ASSERT_TRUE(task.Start().value());
  EXPECT_EQ(task.Pull(step), values);

  // Without the newest checkpoint it goes on from the one before.
  task.Stop();
  const std::string newest = task.checkpoints() + "/" + ShardFileName(4, 0, 1);
  std::string bytes = ReadFile(newest);
  bytes[bytes.size() - 70] ^= 1;
  WriteFile(newest, bytes);
  ASSERT_TRUE(task.Start().value());
  EXPECT_EQ(task.Pull(step), values);
}

// Whose push was taken before the oldest segment that is left, the segment's books know.
TEST(ShardLogTest, WhatWasTakenBeforeACheckpointIsNotTakenAgain) {
  OneShard task(OneShardSpec(1, /*synchronous=*/false));
  ASSERT_TRUE(task.Start().ok());
  ASSERT_TRUE(task.Declare().ok());
  ASSERT_TRUE(task.Join(0).ok());
  ASSERT_TRUE(task.Push(0, 0, 1, 1).ok());
  for (int64_t step = 1; step <= 3; ++step) ASSERT_TRUE(task.Checkpoint(step).ok());
  ASSERT_TRUE(task.Push(0, 1, 2, 1, {0}).ok());
  EXPECT_GT(task.Segments().front(), LogSegmentName(1));
  const std::vector<float> values = task.Pull();
  ASSERT_TRUE(task.Start().value());
  EXPECT_TRUE(task.Push(0, 0, 1, 1).ok());
  EXPECT_EQ(task.Pull(), values);
}

TEST(ShardLogTest, AJobThatBeganFromACheckpointDoesSoAgain) {
  OneShard task(OneShardSpec(1, /*synchronous=*/true));
  ASSERT_TRUE(task.Start().ok());
  ASSERT_TRUE(task.Declare().ok());
  ASSERT_TRUE(task.Join(0).ok());
  ASSERT_TRUE(task.Push(0, 0, 1, 1).ok());
  ASSERT_TRUE(task.Checkpoint(1).ok());
  task.shard().RemoveLog();
  task.Stop();
  EXPECT_TRUE(task.Segments().empty());
  ASSERT_FALSE(task.Start().value());
  ASSERT_TRUE(task.Declare(ManifestFileName(1)).ok());
  ASSERT_EQ(task.Join(0).value(), 1);
  ASSERT_TRUE(task.Push(0, 1, 1, 2).ok());
  const std::vector<float> values = task.Pull(2);
  ASSERT_TRUE(task.Start().value());
  EXPECT_EQ(task.Pull(2), values);
}

TEST(ShardLogTest, AnotherJobIsRefusedWithWhereTheLogIs) {
  OneShard task(OneShardSpec(1, /*synchronous=*/true));
  ASSERT_TRUE(task.Start().ok());
  ASSERT_TRUE(task.Declare().ok());
  ASSERT_TRUE(task.Start().value());
  EXPECT_TRUE(task.Declare().ok());
  v1::DeclareRequest other;
  *other.mutable_spec() = OneShardSpec(2, /*synchronous=*/true);
  const auto refused = Begin<v1::DeclareResponse>([&](auto done) {
                         task.shard().Declare(other, std::move(done));
                       }).get();
  EXPECT_TRUE(absl::IsFailedPrecondition(refused.status()));
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr(task.log_folder()));
}

// The process dies at any change of the disk: what was acknowledged is there, and what is sent
// again after it counts once.
TEST(ShardLogTest, WhateverChangeIsTheLastNothingAcknowledgedIsLostOrTakenTwice) {
  const google::LogSeverity level = std::exchange(FLAGS_minloglevel, google::FATAL);
  for (const bool synchronous : {true, false}) {
    OneShard whole(OneShardSpec(1, synchronous));
    ASSERT_TRUE(whole.Start().ok());
    ASSERT_TRUE(whole.Declare().ok());
    ASSERT_TRUE(whole.Join(0).ok());
    for (int step = 0; step < 4; ++step) {
      ASSERT_TRUE(whole.Push(0, step, step + 1, 0.25f * step).ok());
    }
    const std::vector<float> expected = whole.Pull(4);

    bool crashed = true;
    for (int64_t change = 0; crashed; ++change) {
      FaultyEnv env(Env::Posix());
      OneShard task(OneShardSpec(1, synchronous), &env);
      env.FailAt(change, FaultyEnv::After::kCrashes, absl::InternalError("the process is dead"));
      int64_t acknowledged = 0;
      crashed = !task.Start().ok() || !task.Declare().ok() || !task.Join(0).ok();
      for (int step = 0; step < 4 && !crashed; ++step) {
        crashed = !task.Push(0, step, step + 1, 0.25f * step).ok();
        if (!crashed) ++acknowledged;
        if (!crashed && step == 1) crashed = !task.Checkpoint(2).ok();
      }
      task.Stop();
      env.FailAt(-1, FaultyEnv::After::kRecovers, absl::OkStatus());
      const absl::StatusOr<bool> recovered = task.Start();
      ASSERT_TRUE(recovered.ok()) << "change " << change << ": " << recovered.status();
      if (acknowledged > 0) {
        ASSERT_TRUE(*recovered) << "change " << change;
      }
      ASSERT_TRUE(task.Declare().ok());
      ASSERT_TRUE(task.Join(0).ok()) << "change " << change;  // its first Join may be lost
      // The one that was not acknowledged comes again, with its number.
      for (int64_t step = acknowledged; step < 4; ++step) {
        const absl::Status pushed = task.Push(0, step, step + 1, 0.25f * static_cast<float>(step));
        ASSERT_TRUE(pushed.ok()) << "change " << change << ": " << pushed;
      }
      EXPECT_EQ(task.Pull(4), expected) << "change " << change;
    }
  }
  FLAGS_minloglevel = level;
}

TEST(ShardLogTest, AFullDiskRefusesPushesUntilThereIsRoom) {
  FaultyEnv env(Env::Posix());
  OneShard task(OneShardSpec(1, /*synchronous=*/false), &env);
  ASSERT_TRUE(task.Start().ok());
  ASSERT_TRUE(task.Declare().ok());
  ASSERT_TRUE(task.Join(0).ok());
  ASSERT_TRUE(task.Push(0, 0, 1, 1).ok());
  const std::vector<float> before = task.Pull();
  env.FailAt(0, FaultyEnv::After::kCrashes, absl::ResourceExhaustedError("no space"));
  auto waits = task.BeginPush(0, 1, 2, 1, {0, 1, 2});
  // Until the log has found out, a push is taken, and waits.
  uint64_t sequence = 3;
  absl::Status refused;
  const absl::Time patience = Env::Posix()->Now() + absl::Seconds(30);
  do {
    ASSERT_LT(Env::Posix()->Now(), patience);
    refused = task.Push(0, 2, sequence++, 1, {0}, /*wait_ms=*/0);
    ASSERT_FALSE(refused.ok());
  } while (absl::IsDeadlineExceeded(refused));
  EXPECT_TRUE(absl::IsResourceExhausted(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("no space"));
  EXPECT_EQ(task.Pull().size(), before.size());
  env.FailAt(-1, FaultyEnv::After::kRecovers, absl::OkStatus());
  EXPECT_TRUE(waits.get().ok());
  absl::Status pushed;
  do {
    pushed = task.Push(0, 3, sequence++, 1);
  } while (absl::IsResourceExhausted(pushed));
  EXPECT_TRUE(pushed.ok()) << pushed;
  const std::vector<float> values = task.Pull();
  ASSERT_TRUE(task.Start().value());
  EXPECT_EQ(task.Pull(), values);
}

TEST(ShardLogTest, AFailedSyncIsFinal) {
  FaultyEnv env(Env::Posix());
  OneShard task(OneShardSpec(1, /*synchronous=*/false), &env);
  ASSERT_TRUE(task.Start().ok());
  ASSERT_TRUE(task.Declare().ok());
  ASSERT_TRUE(task.Join(0).ok());
  ASSERT_TRUE(task.Push(0, 0, 1, 1, {0}).ok());
  // A record's head, its payload, and then the sync.
  env.FailAt(2, FaultyEnv::After::kRecovers, absl::ResourceExhaustedError("no space"));
  const absl::Status failed = task.Push(0, 1, 2, 1, {0});
  EXPECT_TRUE(absl::IsDataLoss(failed)) << failed;
  EXPECT_FALSE(task.shard().durability_status().ok());
  EXPECT_FALSE(task.Push(0, 2, 3, 1, {0}).ok());
}

// Flips each bit of a log, and cuts it after each byte: what was acknowledged is there, or it is an
// error; but for the last record, which cannot be told from one that was being written.
// Of records that are written together any part may be on disk when the power fails, the later ones
// too; one that was acknowledged is followed by others that know it.
TEST(ShardLogTest, WhatWasBeingWrittenCountsAsNotThereAndWhatWasOnDiskAsDamaged) {
  const TempFolder folder;
  const auto member = [](int worker) {
    v1::LogRecord record;
    record.mutable_member()->set_worker(worker);
    return record;
  };
  v1::LogRecord begin;
  begin.mutable_begin()->set_segment(1);
  std::string bytes = EncodeLogRecord(begin, Payload(), 0);
  bytes += EncodeLogRecord(member(1), Payload(), static_cast<int64_t>(bytes.size()));
  const size_t durable = bytes.size();
  // Two that are written together, and one after them.
  bytes += EncodeLogRecord(member(2), Payload(), static_cast<int64_t>(durable));
  const size_t third = bytes.size();
  bytes += EncodeLogRecord(member(3), Payload(), static_cast<int64_t>(durable));
  const std::string later =
      EncodeLogRecord(member(4), Payload(), static_cast<int64_t>(bytes.size()));

  // The members, and where they end; the error when it is damaged.
  const auto read = [&](const std::string& content) -> absl::StatusOr<std::vector<int>> {
    WriteFile(folder.File(LogSegmentName(1)), content);
    PARLEY_ASSIGN_OR_RETURN(const LogReader log, LogReader::Open(Env::Posix(), folder.path()));
    std::vector<int> members;
    PARLEY_RETURN_IF_ERROR(log.Replay(1,
                                      [&](const ReadLogRecord& record) {
                                        members.push_back(record.record.member().worker());
                                        return absl::OkStatus();
                                      })
                               .status());
    return members;
  };
  EXPECT_THAT(read(bytes).value(), ElementsAre(1, 2, 3));
  for (const size_t size : {size_t{1}, size_t{24}, third - durable}) {
    std::string lost = bytes;
    lost.replace(durable, size, size, '\0');
    EXPECT_THAT(read(lost).value(), ElementsAre(1)) << size;
    EXPECT_TRUE(absl::IsDataLoss(read(lost + later).status())) << size;
  }
  std::string lost = bytes;
  lost.replace(third, 4, 4, '\0');
  EXPECT_THAT(read(lost).value(), ElementsAre(1, 2));
}

TEST(ShardLogTest, DamageIsFound) {
  const google::LogSeverity level = std::exchange(FLAGS_minloglevel, google::FATAL);
  OneShard task(OneShardSpec(1, /*synchronous=*/true));
  ASSERT_TRUE(task.Start().ok());
  ASSERT_TRUE(task.Declare().ok());
  ASSERT_TRUE(task.Join(0).ok());
  ASSERT_TRUE(task.Push(0, 0, 1, 1, {0}).ok());
  ASSERT_TRUE(task.Start().value());  // so that the first segment is followed by another
  ASSERT_TRUE(task.Push(0, 0, 2, 1, {1}).ok());
  ASSERT_TRUE(task.Push(0, 0, 3, 1, {2}).ok());
  task.Stop();
  ASSERT_EQ(task.Segments(), (std::vector<std::string>{LogSegmentName(1), LogSegmentName(2)}));

  const auto read = [&]() -> absl::StatusOr<std::vector<std::string>> {
    const absl::StatusOr<LogReader> log = LogReader::Open(Env::Posix(), task.log_folder());
    if (!log.ok()) return log.status();
    std::vector<std::string> records;
    const auto end = log->Replay(1, [&](const ReadLogRecord& each) {
      std::string payload(each.payload.size(), '\0');
      each.payload.CopyTo(&payload[0]);
      records.push_back(each.record.SerializeAsString() + payload);
      return absl::OkStatus();
    });
    if (!end.ok()) return end.status();
    return records;
  };
  const std::vector<std::string> all = read().value();
  ASSERT_EQ(all.size(), 4u);  // one Join, three rounds
  std::vector<std::string> all_but_last(all.begin(), all.end() - 1);

  int64_t cases = 0;
  for (const uint64_t segment : {1, 2}) {
    const std::string path = task.log_folder() + "/" + LogSegmentName(segment);
    const std::string bytes = ReadFile(path);
    const auto check = [&](const std::string& damaged, const std::string& what) {
      WriteFile(path, damaged);
      const auto records = read();
      ++cases;
      if (!records.ok()) return;
      if (*records == all) return;
      EXPECT_EQ(segment, 2u) << what;
      EXPECT_EQ(*records, all_but_last) << what;
    };
    for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
      std::string damaged = bytes;
      damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
      check(damaged, absl::StrCat("bit ", bit, " of segment ", segment));
    }
    // A shorter last segment is one of which less had been written.
    for (size_t size = 0; size < bytes.size() && segment == 1; ++size) {
      check(bytes.substr(0, size), absl::StrCat("segment ", segment, " cut after ", size));
    }
    WriteFile(path, bytes);
  }
  EXPECT_GT(cases, 1000);
  FLAGS_minloglevel = level;
}

}  // namespace
}  // namespace parley
