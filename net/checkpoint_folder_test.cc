#include "net/checkpoint_folder.h"

#include <gtest/gtest.h>

#include <set>

#include "absl/strings/match.h"
#include "base/crc32c.h"
#include "base/file.h"
#include "base/testing/faulty_env.h"
#include "base/testing/temp_folder.h"

namespace parley {
namespace {

// A folder with checkpoints whose shard files are plain text.
class CheckpointFolderTest : public testing::Test {
 protected:
  void Write(const std::string& name, const std::string& bytes) {
    ASSERT_TRUE(WriteFileAtomically(env_, folder_.File(name), bytes).ok()) << name;
  }
  std::string Read(const std::string& name) {
    return ReadWholeFile(env_, folder_.File(name), 1 << 20).value();
  }
  std::set<std::string> List() {
    const std::vector<std::string> names = env_->ListFolder(path()).value();
    return {names.begin(), names.end()};
  }
  const std::string& path() const { return folder_.path(); }

  // Writes two shard files and returns the manifest that names them.
  v1::Manifest WriteShards(int64_t step) {
    v1::Manifest manifest;
    manifest.set_step(step);
    manifest.mutable_spec()->set_name("job");
    manifest.mutable_spec()->set_num_shards(2);
    for (int shard = 0; shard < 2; ++shard) {
      const std::string bytes = "shard " + std::to_string(shard) + " of " + std::to_string(step);
      v1::Manifest::ShardFile* file = manifest.add_shards();
      file->set_file(ShardFileName(step, shard, 2));
      file->set_bytes(static_cast<int64_t>(bytes.size()));
      file->set_crc32c(Crc32c(bytes.data(), bytes.size()));
      Write(file->file(), bytes);
    }
    return manifest;
  }
  void WriteCheckpoint(int64_t step) {
    const absl::Status status = WriteManifest(env_, path(), WriteShards(step));
    ASSERT_TRUE(status.ok()) << status;
  }
  std::set<std::string> FilesOf(int64_t step) {
    return {ShardFileName(step, 0, 2), ShardFileName(step, 1, 2), ManifestFileName(step)};
  }
  std::set<std::string> FilesOf(const std::vector<int64_t>& steps) {
    std::set<std::string> result;
    for (const int64_t step : steps) result.merge(FilesOf(step));
    return result;
  }
  void FlipBit(const std::string& name, size_t bit) {
    std::string bytes = Read(name);
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
    Write(name, bytes);
  }

  TempFolder folder_;
  Env* const env_ = Env::Posix();
};

TEST_F(CheckpointFolderTest, NamesSortByStepWithinNineDigits) {
  EXPECT_EQ(ShardFileName(123, 0, 2), "step-000000123.shard-0-of-2");
  EXPECT_EQ(ManifestFileName(123), "step-000000123.manifest");
  EXPECT_EQ(ManifestFileName(12345678901), "step-12345678901.manifest");
}

TEST_F(CheckpointFolderTest, FindsTheNewest) {
  EXPECT_TRUE(absl::IsNotFound(FindNewestValid(env_, path()).status()));
  EXPECT_TRUE(absl::IsNotFound(FindNewestValid(env_, folder_.File("missing")).status()));
  WriteCheckpoint(5);
  WriteCheckpoint(1000000000);  // as text, before 5
  WriteCheckpoint(70);
  EXPECT_EQ(ListCheckpoints(env_, path()).value(),
            (std::vector<std::string>{ManifestFileName(1000000000), ManifestFileName(70),
                                      ManifestFileName(5)}));
  const Checkpoint newest = FindNewestValid(env_, path()).value();
  EXPECT_EQ(newest.manifest_file, ManifestFileName(1000000000));
  EXPECT_EQ(newest.manifest.step(), 1000000000);
  EXPECT_EQ(newest.manifest.spec().name(), "job");
}

TEST_F(CheckpointFolderTest, IgnoresNamesThatAreNotItsOwn) {
  WriteCheckpoint(5);
  for (const char* name :
       {"step-6.manifest", "step-000000006.manifest.tmp", "step-+00000006.manifest",
        "step-000000006.manifest.old", "step--00000006.manifest", "xstep-000000006.manifest",
        "step-0000000006.manifest", "step-99999999999999999999.manifest", "step-.manifest"}) {
    Write(name, "x");
  }
  EXPECT_EQ(ListCheckpoints(env_, path()).value(), std::vector<std::string>{ManifestFileName(5)});
}

TEST_F(CheckpointFolderTest, AManifestWithoutItsFilesIsNotWritten) {
  v1::Manifest manifest = WriteShards(5);
  Write(ShardFileName(5, 1, 2), "longer than the manifest says");
  EXPECT_TRUE(absl::IsDataLoss(WriteManifest(env_, path(), manifest)));
  ASSERT_TRUE(env_->RemoveFile(folder_.File(ShardFileName(5, 1, 2))).ok());
  const absl::Status status = WriteManifest(env_, path(), manifest);
  EXPECT_TRUE(absl::IsDataLoss(status));
  EXPECT_TRUE(absl::StrContains(status.message(), ShardFileName(5, 1, 2))) << status;
  EXPECT_TRUE(ListCheckpoints(env_, path())->empty());
}

TEST_F(CheckpointFolderTest, AManifestNamesOnlyItsOwnFiles) {
  v1::Manifest manifest = WriteShards(5);
  Write("elsewhere", "shard 1 of 5");
  for (const std::string name :
       {"elsewhere", "../elsewhere", "/etc/passwd", "", "step-000000004.shard-1-of-2"}) {
    manifest.mutable_shards(1)->set_file(name);
    EXPECT_TRUE(absl::IsDataLoss(WriteManifest(env_, path(), manifest))) << name;
    EXPECT_TRUE(absl::IsDataLoss(VerifyCheckpoint(env_, path(), manifest))) << name;
  }
  manifest.mutable_shards()->RemoveLast();
  EXPECT_TRUE(absl::IsDataLoss(WriteManifest(env_, path(), manifest)));
}

TEST_F(CheckpointFolderTest, RefusesNamesThatAreNoManifests) {
  WriteCheckpoint(5);
  for (const std::string name :
       {"", "..", "../x/step-000000005.manifest", "/step-000000005.manifest",
        "step-000000005.shard-0-of-2", "step-000000005.manifest.tmp", "step-5.manifest"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ReadManifest(env_, path(), name).status())) << name;
  }
  EXPECT_TRUE(absl::IsNotFound(ReadManifest(env_, path(), ManifestFileName(6)).status()));
  EXPECT_TRUE(ReadManifest(env_, path(), ManifestFileName(5)).ok());
}

TEST_F(CheckpointFolderTest, AManifestUnderAnotherStepsNameIsRefused) {
  WriteCheckpoint(5);
  Write(ManifestFileName(6), Read(ManifestFileName(5)));
  EXPECT_TRUE(absl::IsDataLoss(ReadManifest(env_, path(), ManifestFileName(6)).status()));
}

TEST_F(CheckpointFolderTest, EveryFlippedBitIsFound) {
  WriteCheckpoint(4);
  WriteCheckpoint(5);
  for (const std::string& name : FilesOf(5)) {
    const std::string intact = Read(name);
    for (size_t bit = 0; bit < intact.size() * 8; ++bit) {
      FlipBit(name, bit);
      ASSERT_EQ(FindNewestValid(env_, path())->manifest.step(), 4) << name << " bit " << bit;
      Write(name, intact);
    }
  }
  EXPECT_EQ(FindNewestValid(env_, path())->manifest.step(), 5);
}

TEST_F(CheckpointFolderTest, EveryTruncationIsFound) {
  WriteCheckpoint(4);
  WriteCheckpoint(5);
  for (const std::string& name : FilesOf(5)) {
    const std::string intact = Read(name);
    for (size_t size = 0; size < intact.size(); ++size) {
      Write(name, intact.substr(0, size));
      ASSERT_EQ(FindNewestValid(env_, path())->manifest.step(), 4) << name << " cut to " << size;
    }
    Write(name, intact + '\0');
    ASSERT_EQ(FindNewestValid(env_, path())->manifest.step(), 4) << name << " with a byte more";
    ASSERT_TRUE(env_->RemoveFile(folder_.File(name)).ok());
    ASSERT_EQ(FindNewestValid(env_, path())->manifest.step(), 4) << name << " removed";
    Write(name, intact);
  }
}

TEST_F(CheckpointFolderTest, WhenAllAreDamagedTheErrorNamesTheFiles) {
  WriteCheckpoint(4);
  FlipBit(ShardFileName(4, 1, 2), 3);
  const absl::Status status = FindNewestValid(env_, path()).status();
  EXPECT_TRUE(absl::IsDataLoss(status));
  EXPECT_TRUE(absl::StrContains(status.message(), ShardFileName(4, 1, 2))) << status;
}

TEST_F(CheckpointFolderTest, KeepsTheNewest) {
  for (int64_t step = 1; step <= 5; ++step) WriteCheckpoint(step);
  ASSERT_TRUE(RemoveOldCheckpoints(env_, path(), 3).ok());
  EXPECT_EQ(List(), FilesOf({3, 4, 5}));
  ASSERT_TRUE(RemoveOldCheckpoints(env_, path(), 0).ok());  // never fewer than two
  EXPECT_EQ(List(), FilesOf({4, 5}));
  ASSERT_TRUE(RemoveOldCheckpoints(env_, path(), 2).ok());
  EXPECT_EQ(List(), FilesOf({4, 5}));
}

// Steps 1 (whole), 2 on 1, 3 on 2; 4 (whole), 5 on 4.
TEST_F(CheckpointFolderTest, WhatAKeptCheckpointIsBasedOnStays) {
  v1::Manifest before;
  const auto write = [&](int64_t step, bool whole) {
    v1::Manifest manifest = WriteShards(step);
    for (int i = 0; i < 2 && !whole; ++i) {
      v1::Manifest::ShardFile base = before.shards(i);
      base.clear_bases();
      *manifest.mutable_shards(i)->add_bases() = base;
      manifest.mutable_shards(i)->mutable_bases()->MergeFrom(before.shards(i).bases());
    }
    const absl::Status status = WriteManifest(env_, path(), manifest);
    ASSERT_TRUE(status.ok()) << status;
    before = manifest;
  };
  VerifiedFiles verified;
  for (int64_t step = 1; step <= 3; ++step) {
    write(step, step == 1);
    ASSERT_TRUE(RemoveOldCheckpoints(env_, path(), 2, &verified).ok());
  }
  std::set<std::string> expected = FilesOf({1, 2, 3});
  expected.erase(ManifestFileName(1));
  EXPECT_EQ(List(), expected);
  // Of the chain only the newest is kept, with all that it needs.
  write(4, true);
  ASSERT_TRUE(RemoveOldCheckpoints(env_, path(), 2, &verified).ok());
  expected = FilesOf({1, 2, 3, 4});
  expected.erase(ManifestFileName(1));
  expected.erase(ManifestFileName(2));
  EXPECT_EQ(List(), expected);
  // A base that is damaged, or gone, is found.
  const std::string base = ShardFileName(2, 1, 2);
  const std::string intact = Read(base);
  const v1::Manifest third = ReadManifest(env_, path(), ManifestFileName(3)).value();
  for (size_t bit = 0; bit < intact.size() * 8; bit += 11) {
    FlipBit(base, bit);
    ASSERT_TRUE(absl::IsDataLoss(VerifyCheckpoint(env_, path(), third))) << bit;
    Write(base, intact);
  }
  ASSERT_TRUE(VerifyCheckpoint(env_, path(), third).ok());
  ASSERT_TRUE(env_->RemoveFile(folder_.File(base)).ok());
  EXPECT_TRUE(absl::IsDataLoss(VerifyCheckpoint(env_, path(), third)));
  Write(base, intact);
  // The chain goes when nobody needs it.
  write(5, false);
  ASSERT_TRUE(RemoveOldCheckpoints(env_, path(), 2, &verified).ok());
  EXPECT_EQ(List(), FilesOf({4, 5}));
  EXPECT_EQ(verified.size(), 4u);
}

TEST_F(CheckpointFolderTest, ABaseIsOfTheSameShardAndAnEarlierStep) {
  WriteShards(4);
  const v1::Manifest intact = WriteShards(5);
  for (const std::string name :
       {"../step-000000004.shard-1-of-2", "step-000000004.shard-0-of-2", "", "elsewhere",
        "step-000000005.shard-1-of-2", "step-000000006.shard-1-of-2", "step-000000004.shard-1-of-3",
        "step-000000004.manifest"}) {
    v1::Manifest manifest = intact;
    v1::Manifest::ShardFile* const base = manifest.mutable_shards(1)->add_bases();
    *base = intact.shards(1);
    base->set_file(name);
    EXPECT_TRUE(absl::IsDataLoss(WriteManifest(env_, path(), manifest))) << name;
    EXPECT_TRUE(absl::IsDataLoss(VerifyCheckpoint(env_, path(), manifest))) << name;
  }
}

TEST_F(CheckpointFolderTest, DamagedCheckpointsDoNotCountAsKept) {
  for (int64_t step = 1; step <= 5; ++step) WriteCheckpoint(step);
  FlipBit(ShardFileName(5, 0, 2), 9);
  FlipBit(ManifestFileName(3), 99);
  ASSERT_TRUE(RemoveOldCheckpoints(env_, path(), 2).ok());
  EXPECT_EQ(List(), FilesOf({2, 3, 4, 5}));
  FlipBit(ShardFileName(2, 0, 2), 9);
  ASSERT_TRUE(RemoveOldCheckpoints(env_, path(), 4).ok());
  EXPECT_EQ(List(), FilesOf({2, 3, 4, 5}));
}

TEST_F(CheckpointFolderTest, RemovesOnlyOldOrphans) {
  WriteCheckpoint(10);
  WriteCheckpoint(20);
  WriteShards(5);
  WriteShards(15);
  WriteShards(25);
  Write("step-000000020.manifest.tmp", "x");
  Write("step-000000015.shard-1-of-2.tmp", "x");
  Write("step-000000010.shard-1-of-2.tmp", "x");
  Write("step-000000025.shard-1-of-2.tmp", "x");
  Write("notes.txt", "x");
  Write("step-000000001.shard-0-of-02", "x");
  ASSERT_TRUE(RemoveOldCheckpoints(env_, path(), 2).ok());
  std::set<std::string> expected = FilesOf({10, 20});
  expected.insert({ShardFileName(25, 0, 2), ShardFileName(25, 1, 2), "notes.txt",
                   "step-000000020.manifest.tmp", "step-000000025.shard-1-of-2.tmp",
                   "step-000000001.shard-0-of-02"});
  EXPECT_EQ(List(), expected);
}

// Wherever the chief dies while it removes, what is kept stays valid, and the next time finishes.
TEST_F(CheckpointFolderTest, ACrashWhileRemovingLeavesTheKeptOnesValid) {
  for (int64_t crash = 0;; ++crash) {
    SCOPED_TRACE(crash);
    for (int64_t step = 1; step <= 4; ++step) WriteCheckpoint(step);
    FaultyEnv faulty(env_);
    faulty.FailAt(crash, FaultyEnv::After::kCrashes, absl::UnavailableError("crashed"));
    const bool finished = RemoveOldCheckpoints(&faulty, path(), 2).ok();
    const std::vector<std::string> left = ListCheckpoints(env_, path()).value();
    for (const std::string& file : left) {
      const auto manifest = ReadManifest(env_, path(), file);
      ASSERT_TRUE(manifest.ok());
      EXPECT_TRUE(VerifyCheckpoint(env_, path(), *manifest).ok()) << file;
    }
    EXPECT_EQ(FindNewestValid(env_, path())->manifest.step(), 4);
    ASSERT_TRUE(RemoveOldCheckpoints(env_, path(), 2).ok());
    EXPECT_EQ(List(), FilesOf({3, 4}));
    if (finished) {
      EXPECT_EQ(crash, 7);  // two manifests, the folder's sync, four shard files
      break;
    }
  }
}

}  // namespace
}  // namespace parley
