#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/crc32c.h"
#include "base/file.h"
#include "base/testing/faulty_env.h"
#include "base/testing/temp_folder.h"
#include "net/checkpoint_folder.h"
#include "net/worker_counts.h"
#include "ps/block.h"
#include "ps/checkpoint_inspect.h"
#include "ps/checkpoint_reader.h"
#include "ps/checkpoint_writer.h"

namespace parley {
namespace {

// Names that sort otherwise than they stand.
v1::JobSpec Spec(int num_shards, int64_t block_elements) {
  v1::JobSpec spec;
  spec.set_name("job");
  spec.set_num_workers(2);
  spec.set_num_shards(num_shards);
  spec.set_block_elements(block_elements);
  spec.mutable_policy()->mutable_asynchronous();
  spec.mutable_optimizer()->set_learning_rate(0.1f);
  spec.mutable_optimizer()->mutable_adam();
  const std::vector<std::pair<std::string, std::vector<int>>> parameters = {
      {"w2", {7, 11}}, {"b", {5}}, {"w1", {3, 50}}, {"scalar", {}}};
  for (const auto& [name, shape] : parameters) {
    v1::ParameterSpec* parameter = spec.add_parameters();
    parameter->set_name(name);
    parameter->set_dtype(v1::FLOAT32);
    for (const int dimension : shape) parameter->add_shape(dimension);
  }
  return spec;
}

// Element `i` of a parameter's values (array 0) or slots, as these tests save them.
float Element(const std::string& parameter, int array, int64_t i, int64_t step) {
  return static_cast<float>(Crc32c(parameter.data(), parameter.size()) % 1000) +
         0.25f * static_cast<float>(array) + 10.0f * static_cast<float>(i) -
         static_cast<float>(step);
}

FloatBuffer Piece(const Job& job, const BlockInfo& info, int array, int64_t step) {
  FloatBuffer buffer(static_cast<size_t>(info.size));
  for (int64_t i = 0; i < info.size; ++i) {
    buffer.data()[i] = Element(job.parameters()[info.parameter].name, array, info.offset + i, step);
  }
  return buffer;
}

int NumSlots(const Job& job, int parameter) {
  return NewOptimizer(job.OptimizerOf(parameter)).value()->num_slots();
}

class CheckpointTest : public testing::Test {
 protected:
  using Clocks = std::vector<int64_t>;

  const std::string& path() const { return folder_.path(); }

  // By block: its version and clocks. The rest of a saved block follows from (parameter, element,
  // step).
  int64_t VersionOf(uint32_t block) const { return 20 + block % 3; }
  Clocks ClocksOf(uint32_t block) const { return {10 + block % 4, 12 - block % 5}; }

  absl::StatusOr<v1::Manifest> WriteShards(Env* env, const v1::JobSpec& spec, int64_t step) {
    const Job job = Job::Create(spec).value();
    v1::Manifest manifest;
    *manifest.mutable_spec() = job.spec();
    manifest.set_step(step);
    const bool synchronous = spec.policy().has_synchronous();
    for (int shard = 0; shard < spec.num_shards(); ++shard) {
      std::vector<SavedBlock> saved;
      for (const uint32_t number : job.BlocksOfShard(shard)) {
        const BlockInfo& info = job.blocks()[number];
        std::vector<FloatBuffer> slots;
        const int num_slots = NumSlots(job, info.parameter);
        for (int i = 1; i <= num_slots; ++i) slots.push_back(Piece(job, info, i, step));
        const Block block(Piece(job, info, 0, step), std::move(slots),
                          synchronous ? step : VersionOf(number));
        saved.push_back({number, block.Cut(), synchronous ? Clocks() : ClocksOf(number)});
      }
      auto file = WriteShard(env, path(), job, shard, step, saved);
      if (!file.ok()) return file.status();
      *manifest.add_shards() = *file;
    }
    return manifest;
  }
  absl::Status Write(Env* env, const v1::JobSpec& spec, int64_t step) {
    const auto manifest = WriteShards(env, spec, step);
    if (!manifest.ok()) return manifest.status();
    return WriteManifest(env, path(), *manifest);
  }
  void MustWrite(const v1::JobSpec& spec, int64_t step) {
    const absl::Status status = Write(env_, spec, step);
    ASSERT_TRUE(status.ok()) << status;
  }

  absl::StatusOr<std::vector<RestoredBlock>> Restore(const v1::JobSpec& spec, int64_t step,
                                                     int shard) {
    return RestoreBlocks(env_, path(), ManifestFileName(step), Job::Create(spec).value(), shard);
  }
  // The first error of restoring all shards.
  absl::Status RestoreAll(const v1::JobSpec& spec, int64_t step) {
    for (int shard = 0; shard < spec.num_shards(); ++shard) {
      const auto blocks = Restore(spec, step, shard);
      if (!blocks.ok()) return blocks.status();
    }
    return absl::OkStatus();
  }

  // Restores every shard of `spec` and expects the elements that step `step` saved.
  void ExpectRestores(const v1::JobSpec& spec, int64_t step) {
    const Job job = Job::Create(spec).value();
    size_t restored = 0;
    for (int shard = 0; shard < spec.num_shards(); ++shard) {
      const auto blocks = Restore(spec, step, shard);
      ASSERT_TRUE(blocks.ok()) << blocks.status();
      const std::vector<uint32_t> numbers = job.BlocksOfShard(shard);
      ASSERT_EQ(blocks->size(), numbers.size());
      for (size_t i = 0; i < numbers.size(); ++i) {
        const RestoredBlock& block = (*blocks)[i];
        const BlockInfo& info = job.blocks()[numbers[i]];
        ASSERT_EQ(block.number, numbers[i]);
        ASSERT_EQ(block.values.span(), Piece(job, info, 0, step).span());
        const int num_slots = NumSlots(job, info.parameter);
        ASSERT_EQ(block.slots.size(), static_cast<size_t>(num_slots));
        for (int slot = 0; slot < num_slots; ++slot) {
          ASSERT_EQ(block.slots[slot].span(), Piece(job, info, 1 + slot, step).span());
        }
        ASSERT_EQ(block.clocks.size(), static_cast<size_t>(spec.num_workers()));
        ++restored;
      }
    }
    EXPECT_EQ(restored, job.blocks().size());
  }

  std::string Read(const std::string& name) {
    return ReadWholeFile(env_, folder_.File(name), 1 << 24).value();
  }
  // In place and not synced: the tests that damage files byte by byte would wait for the disk.
  void Put(const std::string& name, const std::string& bytes) {
    const std::string path = folder_.File(name);
    std::ofstream(path, std::ios::app).close();  // makes it where it is not
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    file.close();
    ASSERT_TRUE(file) << path;
    std::filesystem::resize_file(path, bytes.size());
  }

  TempFolder folder_;
  Env* const env_ = Env::Posix();
};

TEST_F(CheckpointTest, RestoresIntoAnyNumberOfShardsAndAnyBlocks) {
  int64_t step = 0;
  for (const int saved_shards : {1, 2, 5}) {
    for (const int64_t saved_elements : {64, 1000}) {
      MustWrite(Spec(saved_shards, saved_elements), ++step);
      for (const int shards : {1, 2, 3, 5}) {
        for (const int64_t elements : {1, 10, 64, 1000}) {
          SCOPED_TRACE(absl::StrCat(saved_shards, " shards, blocks of ", saved_elements, " into ",
                                    shards, ", ", elements));
          ExpectRestores(Spec(shards, elements), step);
        }
      }
    }
  }
}

TEST_F(CheckpointTest, ParametersMayHaveOptimizersOfTheirOwn) {
  v1::JobSpec spec = Spec(2, 64);
  spec.mutable_parameters(0)->mutable_optimizer()->mutable_sgd();
  spec.mutable_parameters(2)->mutable_optimizer()->mutable_momentum();
  MustWrite(spec, 1);
  ExpectRestores(spec, 1);
  spec.set_num_shards(3);
  spec.set_block_elements(10);
  ExpectRestores(spec, 1);
  spec.mutable_parameters(2)->clear_optimizer();
  const absl::Status other = RestoreAll(spec, 1);
  EXPECT_TRUE(absl::IsFailedPrecondition(other)) << other;
  EXPECT_TRUE(absl::StrContains(other.message(), "w1")) << other;
}

TEST_F(CheckpointTest, RestoresArraysLongerThanOneRead) {
  v1::JobSpec spec = Spec(2, 1 << 20);
  spec.mutable_parameters(0)->set_shape(0, 70001);  // 70001 * 11 elements, 3 MB
  MustWrite(spec, 1);
  ExpectRestores(spec, 1);
  spec.set_num_shards(3);
  spec.set_block_elements(99999);
  ExpectRestores(spec, 1);
}

TEST_F(CheckpointTest, ABlockGetsItsVersionAndClocksBack) {
  const v1::JobSpec spec = Spec(2, 16);
  MustWrite(spec, 7);
  for (int shard = 0; shard < 2; ++shard) {
    const std::vector<RestoredBlock> blocks = Restore(spec, 7, shard).value();
    for (const RestoredBlock& block : blocks) {
      EXPECT_EQ(block.version, VersionOf(block.number));
      EXPECT_EQ(block.clocks, ClocksOf(block.number));
    }
  }
}

TEST_F(CheckpointTest, ABlockOfSeveralTakesTheHighestVersionAndTheLowestClocks) {
  MustWrite(Spec(2, 16), 7);  // w2 has 77 elements: blocks 0 to 4
  int64_t version = 0;
  Clocks clocks = {99, 99};
  for (uint32_t block = 0; block < 5; ++block) {
    version = std::max(version, VersionOf(block));
    for (int i = 0; i < 2; ++i) clocks[i] = std::min(clocks[i], ClocksOf(block)[i]);
  }
  v1::JobSpec spec = Spec(1, 1000);
  EXPECT_EQ(Restore(spec, 7, 0).value()[0].version, version);
  EXPECT_EQ(Restore(spec, 7, 0).value()[0].clocks, clocks);
  spec.set_num_workers(3);
  const int64_t least = std::min(clocks[0], clocks[1]);
  EXPECT_EQ(Restore(spec, 7, 0).value()[0].clocks, Clocks({least, least, least}));
}

TEST_F(CheckpointTest, ASynchronousJobIsSavedAndGoesOnFromOneCut) {
  v1::JobSpec spec = Spec(2, 16);
  MustWrite(spec, 7);  // asynchronous: at several versions
  spec.mutable_policy()->mutable_synchronous();
  EXPECT_TRUE(absl::IsFailedPrecondition(RestoreAll(spec, 7)));
  MustWrite(spec, 8);
  const std::vector<RestoredBlock> blocks = Restore(spec, 8, 0).value();
  for (const RestoredBlock& block : blocks) {
    EXPECT_EQ(block.version, 8);
    EXPECT_EQ(block.clocks, Clocks({8, 8}));
  }
  spec.set_num_workers(5);
  ExpectRestores(spec, 8);

  const Job job = Job::Create(spec).value();
  const Block block(Piece(job, job.blocks()[0], 0, 1), {}, /*version=*/8);
  const SavedBlock saved[] = {{0, block.Cut(), {}}};
  const absl::Status refused = WriteShard(env_, path(), job, 0, /*step=*/9, saved).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
}

TEST_F(CheckpointTest, ErrorsNameTheParameterThatDoesNotFit) {
  MustWrite(Spec(2, 16), 7);
  v1::JobSpec spec = Spec(1, 16);
  spec.mutable_parameters(2)->set_shape(0, 50);
  spec.mutable_parameters(2)->set_shape(1, 3);  // as many elements as before
  absl::Status status = RestoreAll(spec, 7);
  EXPECT_TRUE(absl::IsFailedPrecondition(status));
  EXPECT_TRUE(absl::StrContains(status.message(), "parameter w1 has shape [50,3]")) << status;

  spec = Spec(1, 16);
  spec.mutable_parameters(1)->set_name("unheard_of");
  status = RestoreAll(spec, 7);
  EXPECT_TRUE(absl::IsFailedPrecondition(status));
  EXPECT_TRUE(absl::StrContains(status.message(), "unheard_of")) << status;

  spec = Spec(1, 16);
  spec.mutable_optimizer()->mutable_momentum();
  EXPECT_TRUE(absl::IsFailedPrecondition(RestoreAll(spec, 7)));

  spec = Spec(1, 16);
  spec.mutable_optimizer()->mutable_adam()->set_amsgrad(true);
  status = RestoreAll(spec, 7);
  EXPECT_TRUE(absl::IsFailedPrecondition(status));
  EXPECT_TRUE(absl::StrContains(status.message(), "[m,v,largest_v], in the checkpoint [m,v]"))
      << status;

  // A subset of the parameters, and other hyperparameters, are no hindrance.
  spec = Spec(2, 16);
  spec.mutable_parameters()->RemoveLast();
  spec.mutable_optimizer()->set_learning_rate(0.7f);
  ExpectRestores(spec, 7);
}

TEST_F(CheckpointTest, OnlyAManifestsBareNameIsRead) {
  MustWrite(Spec(1, 16), 7);
  const Job job = Job::Create(Spec(1, 16)).value();
  for (const std::string name : {"../step-000000007.manifest", "step-000000007.shard-0-of-1", ""}) {
    EXPECT_TRUE(absl::IsInvalidArgument(RestoreBlocks(env_, path(), name, job, 0).status()));
  }
  EXPECT_TRUE(absl::IsNotFound(Restore(Spec(1, 16), 8, 0).status()));
}

// Flips one bit, at random, of each byte of each file, and expects that neither finding nor
// restoring takes the checkpoint, which is step 2, and that step 1 serves.
TEST_F(CheckpointTest, NoFlippedBitGetsThrough) {
  const v1::JobSpec spec = Spec(2, 64);
  MustWrite(spec, 1);
  MustWrite(spec, 2);
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  for (const std::string& name :
       {ShardFileName(2, 0, 2), ShardFileName(2, 1, 2), ManifestFileName(2)}) {
    const std::string intact = Read(name);
    for (size_t byte = 0; byte < intact.size(); ++byte) {
      std::string damaged = intact;
      const int bit = static_cast<int>(random() % 8);
      damaged[byte] = static_cast<char>(damaged[byte] ^ (1 << bit));
      Put(name, damaged);
      const absl::Status status = RestoreAll(spec, 2);
      ASSERT_TRUE(absl::IsDataLoss(status)) << name << " byte " << byte << ": " << status;
      ASSERT_TRUE(absl::StrContains(status.message(), name)) << status;
      if (byte % 16 == 0) {
        ASSERT_EQ(FindNewestValid(env_, path())->manifest.step(), 1);
      }
    }
    Put(name, intact);
  }
  ExpectRestores(spec, 1);
  ExpectRestores(spec, 2);
}

TEST_F(CheckpointTest, NoTruncationGetsThrough) {
  const v1::JobSpec spec = Spec(2, 64);
  MustWrite(spec, 2);
  for (const std::string& name : {ShardFileName(2, 0, 2), ManifestFileName(2)}) {
    const std::string intact = Read(name);
    for (size_t size = 0; size < intact.size(); size += 3) {
      Put(name, intact.substr(0, size));
      const absl::Status status = RestoreAll(spec, 2);
      ASSERT_TRUE(absl::IsDataLoss(status)) << size << ": " << status;
    }
    Put(name, intact + "x");
    ASSERT_TRUE(absl::IsDataLoss(RestoreAll(spec, 2)));
    Put(name, intact);
  }
  ASSERT_TRUE(env_->RemoveFile(folder_.File(ShardFileName(2, 1, 2))).ok());
  ASSERT_TRUE(absl::IsDataLoss(RestoreAll(spec, 2)));
}

// Checksums that agree make no header true: what it says is checked against the manifest, the job
// and the file. The headers here are written by the writer itself, with wrong contents.
class WrongHeaderTest : public CheckpointTest {
 protected:
  // Puts `header`, with checksums that agree, and `arrays` bytes after it, in the place of shard
  // 0's file.
  absl::Status RestoreWith(const v1::ShardHeader& header, size_t arrays) {
    const std::string message = header.SerializeAsString();
    std::string bytes = "PRLYSHRD";
    for (const uint32_t number : {1u, static_cast<uint32_t>(message.size())}) {
      bytes.append(reinterpret_cast<const char*>(&number), 4);
    }
    const uint32_t crc =
        ExtendCrc32c(Crc32c(bytes.data(), bytes.size()), message.data(), message.size());
    bytes.append(reinterpret_cast<const char*>(&crc), 4);
    bytes += message;
    bytes.resize((bytes.size() + 63) / 64 * 64 + arrays);
    v1::Manifest manifest = manifest_;
    Put(manifest.shards(0).file(), bytes);
    manifest.mutable_shards(0)->set_bytes(static_cast<int64_t>(bytes.size()));
    manifest.mutable_shards(0)->set_crc32c(Crc32c(bytes.data(), bytes.size()));
    const absl::Status written = WriteManifest(env_, path(), manifest);
    EXPECT_TRUE(written.ok()) << written;
    return RestoreAll(spec_, 2);
  }

  void SetUp() override {
    spec_ = Spec(1, 16);  // w2 has blocks 0 to 4
    MustWrite(spec_, 2);
    manifest_ = ReadManifest(env_, path(), ManifestFileName(2)).value();
    const std::string bytes = Read(manifest_.shards(0).file());
    uint32_t length;
    std::memcpy(&length, bytes.data() + 12, 4);
    ASSERT_TRUE(header_.ParseFromString(bytes.substr(20, length)));
    arrays_ = bytes.size() - (20 + length + 63) / 64 * 64;
  }

  v1::JobSpec spec_;
  v1::Manifest manifest_;
  v1::ShardHeader header_;
  size_t arrays_ = 0;
};

TEST_F(WrongHeaderTest, IsRefused) {
  ASSERT_TRUE(RestoreWith(header_, arrays_).ok());
  EXPECT_TRUE(absl::IsDataLoss(RestoreWith(header_, arrays_ + 64)));
  EXPECT_TRUE(absl::IsDataLoss(RestoreWith(header_, arrays_ - 64)));
  using Change = void (*)(v1::ShardHeader*);
  const std::map<std::string, Change> changes = {
      {"step", [](v1::ShardHeader* h) { h->set_step(3); }},
      {"shard", [](v1::ShardHeader* h) { h->set_shard_index(1); }},
      {"job", [](v1::ShardHeader* h) { h->mutable_spec()->set_seed(77); }},
      {"no slots", [](v1::ShardHeader* h) { h->mutable_blocks(0)->set_num_slots(0); }},
      {"absurd slots", [](v1::ShardHeader* h) { h->mutable_blocks(0)->set_num_slots(2147483647); }},
      {"negative slots", [](v1::ShardHeader* h) { h->mutable_blocks(0)->set_num_slots(-1); }},
      {"unknown parameter", [](v1::ShardHeader* h) { h->mutable_blocks(0)->set_parameter("x"); }},
      {"huge block", [](v1::ShardHeader* h) { h->mutable_blocks(0)->set_size(int64_t{1} << 62); }},
      {"largest block", [](v1::ShardHeader* h) { h->mutable_blocks(0)->set_size(INT64_MAX); }},
      {"empty block", [](v1::ShardHeader* h) { h->mutable_blocks(0)->set_size(0); }},
      {"negative block", [](v1::ShardHeader* h) { h->mutable_blocks(0)->set_size(-5); }},
      {"negative offset", [](v1::ShardHeader* h) { h->mutable_blocks(0)->set_offset(-1); }},
      {"offset beyond", [](v1::ShardHeader* h) { h->mutable_blocks(4)->set_offset(65); }},
      {"offset far", [](v1::ShardHeader* h) { h->mutable_blocks(0)->set_offset(INT64_MAX); }},
      {"overlap", [](v1::ShardHeader* h) { h->mutable_blocks(2)->set_offset(16); }},
      {"a block less", [](v1::ShardHeader* h) { h->mutable_blocks()->RemoveLast(); }},
      {"a block twice", [](v1::ShardHeader* h) { *h->mutable_blocks(1) = h->blocks(3); }},
      {"clocks", [](v1::ShardHeader* h) { h->mutable_blocks(0)->add_clocks(1); }},
      {"negative clock", [](v1::ShardHeader* h) { h->mutable_blocks(0)->set_clocks(0, -1); }},
      {"negative version", [](v1::ShardHeader* h) { h->mutable_blocks(0)->set_version(-1); }},
  };
  for (const auto& [name, change] : changes) {
    v1::ShardHeader header = header_;
    change(&header);
    // Whatever the header now promises, some file that could hold it.
    for (const size_t arrays : {arrays_, arrays_ - 64 * 3, size_t{64}}) {
      const absl::Status status = RestoreWith(header, arrays);
      EXPECT_TRUE(absl::IsDataLoss(status)) << name << ": " << status;
    }
  }
}

// Wherever the writer dies, the checkpoint before is whole; and once the last rename is done, the
// new one is.
TEST_F(CheckpointTest, ACrashAtAnyChangeLeavesAWholeCheckpoint) {
  const v1::JobSpec spec = Spec(2, 64);
  MustWrite(spec, 1);
  FaultyEnv faulty(env_);
  for (int64_t crash = 0;; ++crash) {
    SCOPED_TRACE(crash);
    faulty.FailAt(crash, FaultyEnv::After::kCrashes, absl::UnavailableError("crashed"));
    const absl::Status status = Write(&faulty, spec, 2);
    const int64_t newest = FindNewestValid(env_, path())->manifest.step();
    ExpectRestores(spec, newest);
    if (status.ok()) {
      EXPECT_EQ(newest, 2);
      EXPECT_GT(crash, 30);
      break;
    }
    // Only the sync after the rename may fail with the manifest in place.
    if (newest == 2) {
      ASSERT_TRUE(env_->RemoveFile(folder_.File(ManifestFileName(2))).ok());
    }
  }
}

TEST_F(CheckpointTest, AFullDiskIsAnErrorAndTheNextTryServes) {
  const v1::JobSpec spec = Spec(2, 64);
  MustWrite(spec, 1);
  FaultyEnv faulty(env_);
  ASSERT_TRUE(Write(&faulty, spec, 2).ok());
  const int64_t changes = faulty.changes();
  for (int64_t change = 0; change < changes; ++change) {
    SCOPED_TRACE(change);
    faulty.FailAt(change, FaultyEnv::After::kRecovers, absl::ResourceExhaustedError("no space"));
    EXPECT_TRUE(absl::IsResourceExhausted(Write(&faulty, spec, 3)));
    faulty.FailAt(-1, FaultyEnv::After::kRecovers, absl::OkStatus());
    ASSERT_TRUE(Write(&faulty, spec, 3).ok());
    ExpectRestores(spec, 3);
  }
}

TEST_F(CheckpointTest, TheDigestIsOfTheParametersAlone) {
  uint32_t expected = 0;
  const std::map<std::string, int64_t> sizes = {{"b", 5}, {"scalar", 1}, {"w1", 150}, {"w2", 77}};
  for (const auto& [name, size] : sizes) {
    for (int64_t i = 0; i < size; ++i) {
      const float value = Element(name, 0, i, 1);
      expected = ExtendCrc32c(expected, &value, sizeof(value));
    }
  }
  for (const int shards : {1, 2, 3, 5}) {
    for (const int64_t elements : {7, 1000}) {
      MustWrite(Spec(shards, elements), 1);
      const v1::Manifest manifest = ReadManifest(env_, path(), ManifestFileName(1)).value();
      EXPECT_EQ(CheckpointDigest(env_, path(), manifest).value(), expected);
    }
  }
  MustWrite(Spec(1, 1000), 2);  // other values
  const v1::Manifest manifest = ReadManifest(env_, path(), ManifestFileName(2)).value();
  EXPECT_NE(CheckpointDigest(env_, path(), manifest).value(), expected);
}

TEST_F(CheckpointTest, InspectShowsWhatIsInside) {
  MustWrite(Spec(2, 64), 1);
  MustWrite(Spec(2, 64), 12);
  const v1::Manifest manifest = ReadManifest(env_, path(), ManifestFileName(12)).value();
  const uint32_t digest = CheckpointDigest(env_, path(), manifest).value();
  std::ostringstream of_folder, of_file;
  ASSERT_TRUE(InspectCheckpoint(env_, path(), of_folder).ok());
  EXPECT_EQ(of_folder.str(), absl::StrFormat("checkpoint step-000000012.manifest of job job\n\n"
                                             "parameter  shape   dtype    bytes\n"
                                             "w2         [7,11]  FLOAT32    308\n"
                                             "b          [5]     FLOAT32     20\n"
                                             "w1         [3,50]  FLOAT32    600\n"
                                             "scalar     []      FLOAT32      4\n\n"
                                             "parameters: 4, 932 bytes; slots: 2, 1864 bytes\n"
                                             "step: 12; round: 20 to 22\n"
                                             "optimizer: adam with learning rate 0.1\n"
                                             "policy: asynchronous\n"
                                             "workers: 2; shards: 2\n"
                                             "digest: crc32c 0x%08x\n",
                                             digest));
  ASSERT_TRUE(InspectCheckpoint(env_, folder_.File(ManifestFileName(12)), of_file).ok());
  EXPECT_EQ(of_file.str(), of_folder.str());
}

TEST_F(CheckpointTest, InspectShowsHowManyWorkersThereWereFromWhichStepOn) {
  MustWrite(Spec(1, 64), 9);
  v1::Manifest manifest = ReadManifest(env_, path(), ManifestFileName(9)).value();
  WorkerCounts counts(2);
  ASSERT_TRUE(counts.Add(4, 3).ok());
  ASSERT_TRUE(counts.Add(7, 2).ok());  // whose clocks it has
  counts.ToProto(manifest.mutable_worker_counts());
  ASSERT_TRUE(WriteManifest(env_, path(), manifest).ok());
  std::ostringstream out;
  ASSERT_TRUE(InspectCheckpoint(env_, path(), out).ok());
  EXPECT_TRUE(
      absl::StrContains(out.str(), "\nworkers by step: 2 from 0 on, 3 from 4 on, 2 from 7 on\n"))
      << out.str();
}

TEST_F(CheckpointTest, InspectRefusesWhatIsDamagedOrNone) {
  std::ostringstream out;
  EXPECT_TRUE(absl::IsNotFound(InspectCheckpoint(env_, path(), out)));
  EXPECT_TRUE(absl::IsNotFound(InspectCheckpoint(env_, folder_.File("missing"), out)));
  Put("notes.txt", "x");
  EXPECT_TRUE(absl::IsInvalidArgument(InspectCheckpoint(env_, folder_.File("notes.txt"), out)));
  MustWrite(Spec(1, 64), 1);
  const std::string name = ShardFileName(1, 0, 1);
  std::string bytes = Read(name);
  bytes.back() ^= 1;
  Put(name, bytes);
  const std::string manifest = folder_.File(ManifestFileName(1));
  EXPECT_TRUE(absl::IsDataLoss(InspectCheckpoint(env_, manifest, out)));
  EXPECT_TRUE(absl::IsDataLoss(InspectCheckpoint(env_, path(), out)));
  EXPECT_EQ(out.str(), "");
}

}  // namespace
}  // namespace parley
