// Checkpoints that have only what changed since the one before.

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <numeric>
#include <random>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "base/env.h"
#include "base/file.h"
#include "base/testing/temp_folder.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "net/checkpoint_folder.h"
#include "ps/checkpoint_export.h"
#include "ps/checkpoint_inspect.h"
#include "ps/checkpoint_reader.h"
#include "ps/table_checkpoint.h"
#include "ps/testing/one_shard.h"

namespace parley {
namespace {

constexpr uint64_t kWidth = 2;

v1::JobSpec Spec(const std::string& more) {
  v1::JobSpec spec = OneShardSpec(/*workers=*/1, /*synchronous=*/false);
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(
      "name: 'rows' width: 2 dtype: FLOAT32 virtual_shards: 8 "
      "optimizer { learning_rate: 1 adagrad {} }" +
          more,
      spec.add_tables()));
  return spec;
}

class IncrementalCheckpointTest : public testing::Test {
 protected:
  void Start(const std::string& more = "") {
    spec_ = Spec(more);
    shard_ = std::make_unique<OneShard>(spec_);
    StartAgain("");
  }
  void StartAgain(const std::string& manifest) {
    ShardOptions options;
    options.checkpoint_folder = shard_->checkpoints();
    options.spill_folder = spilled_.path();
    shard_->StartWith(options);
    const absl::Status declared = shard_->Declare(manifest);
    ASSERT_TRUE(declared.ok()) << declared;
    ASSERT_TRUE(shard_->Join(0, ++incarnation_).ok());
    sequence_ = 0;
  }
  // A gradient of 1, 2 for each.
  void PushRows(const std::vector<uint64_t>& keys) {
    v1::PushPullRequest request;
    request.mutable_sender()->set_job("job");
    request.mutable_sender()->set_incarnation(incarnation_);
    request.set_sequence(++sequence_);
    request.set_wait_ms(30000);
    request.set_dtype(v1::FLOAT32);
    request.add_push_rows()->mutable_keys()->Add(keys.begin(), keys.end());
    const auto values = std::make_shared<std::vector<float>>();
    for (size_t i = 0; i < keys.size(); ++i) values->insert(values->end(), {1, 2});
    Payload payload;
    payload.Append(values->data(), values->size() * sizeof(float), values);
    const auto reply = Begin<ParameterServer::PushPullReply>([&](auto done) {
                         shard_->shard().PushPull(request, std::move(payload), std::move(done));
                       }).get();
    ASSERT_TRUE(reply.ok()) << reply.status();
  }
  void PushBlock(uint32_t block) {
    ASSERT_TRUE(shard_->BeginPush(0, 0, ++sequence_, 1, {block}, 30000, incarnation_).get().ok());
  }
  // All rows to 1000, and the parameter.
  std::vector<float> Values() {
    v1::PushPullRequest request;
    request.mutable_sender()->set_job("job");
    request.mutable_sender()->set_incarnation(incarnation_);
    request.set_wait_ms(30000);
    request.set_dtype(v1::FLOAT32);
    for (uint64_t key = 0; key < 1000; ++key) {
      if (key == 0) request.add_pull_rows();
      request.mutable_pull_rows(0)->add_keys(key);
    }
    const auto reply = Begin<ParameterServer::PushPullReply>([&](auto done) {
                         shard_->shard().PushPull(request, Payload(), std::move(done));
                       }).get();
    EXPECT_TRUE(reply.ok()) << reply.status();
    std::vector<float> values(1000 * kWidth);
    if (reply.ok()) reply->payload.CopyTo(values.data());
    const std::vector<float> dense = shard_->Pull(0, incarnation_);
    values.insert(values.end(), dense.begin(), dense.end());
    return values;
  }
  void Save(int64_t step, int expected_bases) {
    const absl::Status saved = shard_->CheckpointOnTheLast(step, incarnation_);
    ASSERT_TRUE(saved.ok()) << saved;
    EXPECT_EQ(shard_->last().bases_size(), expected_bases) << step;
  }
  // What is in memory when the checkpoint of `step` is gone back to, and after the same pushes.
  std::vector<float> Restored(int64_t step) {
    StartAgain(ManifestFileName(step));
    return Values();
  }

  v1::JobSpec spec_;
  std::unique_ptr<OneShard> shard_;
  TempFolder spilled_;
  uint64_t incarnation_ = 0;
  uint64_t sequence_ = 0;
};

std::vector<uint64_t> Range(uint64_t begin, uint64_t end) {
  std::vector<uint64_t> keys(end - begin);
  std::iota(keys.begin(), keys.end(), begin);
  return keys;
}

TEST_F(IncrementalCheckpointTest, HasWhatAWholeOneWouldHave) {
  for (const char* more : {"", "memory_limit: 20000", "expire_after_rounds: 5",
                           "memory_limit: 20000 expire_after_rounds: 5"}) {
    SCOPED_TRACE(more);
    const unsigned seed = std::random_device()();
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937 random(seed);
    incarnation_ = 0;
    Start(more);
    std::vector<std::vector<float>> expected;
    for (int step = 0; step < 6; ++step) {
      for (int i = 0; i < 4; ++i) {
        const uint64_t begin = random() % 990;
        PushRows(Range(begin, begin + 1 + random() % (step == 0 ? 990 - begin : 10)));
      }
      if (step % 2 == 1) PushBlock(random() % kBlocks);
      Save(step, step);
      expected.push_back(Values());
    }
    for (const size_t step : {size_t{5}, size_t{3}, size_t{0}}) {
      ASSERT_EQ(Restored(static_cast<int64_t>(step)), expected[step]) << step;
    }
    // What the optimizers keep is restored, too: the same pushes come to the same.
    StartAgain(ManifestFileName(4));
    PushRows(Range(0, 1000));
    PushBlock(0);
    const std::vector<float> on = Values();
    ASSERT_TRUE(shard_->Checkpoint(40, incarnation_).ok());  // a whole one
    StartAgain(ManifestFileName(4));
    ASSERT_TRUE(shard_->Checkpoint(41, incarnation_).ok());
    StartAgain(ManifestFileName(41));
    PushRows(Range(0, 1000));
    PushBlock(0);
    EXPECT_EQ(Values(), on);
    if (HasFatalFailure()) return;
  }
}

TEST_F(IncrementalCheckpointTest, IsSmallWhereLittleChanged) {
  Start();
  PushRows(Range(0, 1000));
  PushBlock(0);
  Save(1, 0);
  const int64_t whole = shard_->last().bytes();
  PushRows({7});
  Save(2, 1);
  EXPECT_LT(shard_->last().bytes(), whole / 10);
  std::ostringstream inspected;
  ASSERT_TRUE(InspectCheckpoint(Env::Posix(), shard_->checkpoints(), inspected).ok());
  EXPECT_NE(inspected.str().find("rows   2      FLOAT32  1000"), std::string::npos)
      << inspected.str();
  EXPECT_NE(inspected.str().find("incremental, on 1 before it"), std::string::npos);
}

TEST_F(IncrementalCheckpointTest, IsExportedAsAWholeOne) {
  Start();
  PushRows(Range(0, 600));
  Save(1, 0);
  PushRows(Range(500, 700));
  Save(2, 1);
  ASSERT_TRUE(shard_->Checkpoint(3, incarnation_).ok());
  const auto exported = [&](int64_t step) {
    const std::string folder = spilled_.File(std::to_string(step));
    std::ostringstream out;
    const absl::Status done = ExportCheckpoint(
        Env::Posix(), JoinPath(shard_->checkpoints(), ManifestFileName(step)), folder, {}, out);
    EXPECT_TRUE(done.ok()) << done;
    std::string rows =
        ReadWholeFile(Env::Posix(), JoinPath(folder, "rows-00001-of-00001.safetensors"), 1 << 20)
            .value();
    return rows.substr(rows.size() - 700 * (sizeof(uint64_t) + kWidth * sizeof(float)));
  };
  EXPECT_EQ(exported(2), exported(3));
}

TEST_F(IncrementalCheckpointTest, IsWholeWhenTheShardDoesNotKnowWhatChanged) {
  Start();
  PushRows(Range(0, 10));
  Save(1, 0);
  PushRows(Range(5, 20));
  Save(2, 1);
  // Started again.
  StartAgain(ManifestFileName(2));
  PushRows({3});
  Save(3, 0);
  PushRows({4});
  // Another one came between, which is based on nothing.
  const v1::Manifest::ShardFile third = shard_->last();
  ASSERT_TRUE(shard_->Checkpoint(4, incarnation_).ok());
  PushRows({6});
  Save(5, 0);
  PushRows({7});
  Save(6, 1);
  const std::vector<float> now = Values();
  EXPECT_EQ(Restored(6), now);
}

// Flips a bit of each byte of each file of a chain, and cuts it, and expects that nothing is made
// of it.
TEST_F(IncrementalCheckpointTest, NoDamageOfAnyFileGetsThrough) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  Start();
  PushRows(Range(0, 30));
  PushBlock(0);
  Save(1, 0);
  PushRows(Range(20, 35));
  Save(2, 1);
  PushRows({1, 2});
  PushBlock(1);
  Save(3, 2);
  shard_->Stop();
  const Job job = Job::Create(spec_).value();
  const auto restore = [&]() -> absl::Status {
    const auto blocks = RestoreBlocks(Env::Posix(), shard_->checkpoints(), ManifestFileName(3), job,
                                      /*shard=*/0);
    if (!blocks.ok()) return blocks.status();
    return RestoreTables(Env::Posix(), shard_->checkpoints(), ManifestFileName(3), job, /*shard=*/0,
                         /*num_parts=*/2, "")
        .status();
  };
  ASSERT_TRUE(restore().ok());
  for (const std::string& name : {ShardFileName(1, 0, 1), ShardFileName(2, 0, 1),
                                  ShardFileName(3, 0, 1), ManifestFileName(3)}) {
    const std::string path = JoinPath(shard_->checkpoints(), name);
    const std::string intact = ReadWholeFile(Env::Posix(), path, 1 << 20).value();
    const auto put = [&](const std::string& bytes) {
      std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
    };
    for (size_t byte = 0; byte < intact.size(); ++byte) {
      std::string damaged = intact;
      damaged[byte] = static_cast<char>(damaged[byte] ^ (1 << random() % 8));
      put(damaged);
      const absl::Status status = restore();
      ASSERT_TRUE(absl::IsDataLoss(status)) << name << " byte " << byte << ": " << status;
    }
    for (size_t size = 0; size < intact.size(); size += 3) {
      put(intact.substr(0, size));
      const absl::Status status = restore();
      ASSERT_TRUE(absl::IsDataLoss(status)) << name << " cut to " << size << ": " << status;
    }
    put(intact + '\0');
    ASSERT_TRUE(absl::IsDataLoss(restore())) << name;
    put(intact);
  }
  // A file of the chain in another's place, with its true checksum, is found by what it says.
  v1::Manifest manifest =
      ReadManifest(Env::Posix(), shard_->checkpoints(), ManifestFileName(3)).value();
  v1::Manifest::ShardFile* const newest = manifest.mutable_shards(0);
  newest->mutable_bases()->DeleteSubrange(0, 1);  // 3 on 1
  ASSERT_TRUE(WriteManifest(Env::Posix(), shard_->checkpoints(), manifest).ok());
  EXPECT_TRUE(absl::IsDataLoss(restore())) << restore();
  newest->clear_bases();  // 3 on nothing
  ASSERT_TRUE(WriteManifest(Env::Posix(), shard_->checkpoints(), manifest).ok());
  EXPECT_TRUE(absl::IsDataLoss(restore())) << restore();
}

}  // namespace
}  // namespace parley
