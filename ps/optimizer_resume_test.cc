// What an optimizer keeps beside the parameters goes through a checkpoint: a run that is
// interrupted ends with the bits of one that is not.

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/testing/temp_folder.h"
#include "google/protobuf/text_format.h"
#include "net/checkpoint_folder.h"
#include "ps/block.h"
#include "ps/checkpoint_reader.h"
#include "ps/checkpoint_writer.h"

namespace parley {
namespace {

v1::JobSpec Spec(const std::string& optimizer, int num_shards, int64_t block_elements) {
  v1::JobSpec spec;
  spec.set_name("job");
  spec.set_seed(3);
  spec.set_num_workers(1);
  spec.set_num_shards(num_shards);
  spec.set_block_elements(block_elements);
  spec.mutable_policy()->mutable_synchronous();
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(optimizer, spec.mutable_optimizer()));
  v1::ParameterSpec* const parameter = spec.add_parameters();
  parameter->set_name("w");
  parameter->add_shape(1000);
  parameter->set_dtype(v1::FLOAT32);
  parameter->mutable_initializer()->mutable_normal()->set_stddev(1);
  return spec;
}

// The blocks of all shards of a job, and its rounds.
struct Training {
  explicit Training(const v1::JobSpec& spec)
      : job(Job::Create(spec).value()), optimizer(NewOptimizer(spec.optimizer()).value()) {
    for (uint32_t i = 0; i < job.blocks().size(); ++i) {
      blocks.push_back(Block::Initialized(job, i, *optimizer));
    }
  }

  // Rounds (first, last]; a gradient depends on the element and the round alone.
  void Continue(int64_t first, int64_t last) {
    for (int64_t round = first + 1; round <= last; ++round) {
      for (size_t i = 0; i < blocks.size(); ++i) {
        const auto gradient = std::make_shared<std::vector<float>>(blocks[i]->size());
        for (size_t j = 0; j < gradient->size(); ++j) {
          const int64_t element = job.blocks()[i].offset + static_cast<int64_t>(j);
          (*gradient)[j] = static_cast<float>((element * 31 + round * 17) % 101 - 50) / 64;
        }
        Payload payload;
        payload.Append(gradient->data(), gradient->size() * sizeof(float), gradient);
        blocks[i]->Apply(*optimizer, {payload});
      }
    }
  }

  std::vector<float> Values() const {
    std::vector<float> values;
    for (const auto& block : blocks) {
      const BlockSnapshot snapshot = block->Snapshot();
      values.insert(values.end(), snapshot.span().begin(), snapshot.span().end());
    }
    return values;
  }

  const Job job;
  const std::unique_ptr<Optimizer> optimizer;
  std::vector<std::unique_ptr<Block>> blocks;
};

void Save(const Training& training, const std::string& folder, int64_t step) {
  v1::Manifest manifest;
  *manifest.mutable_spec() = training.job.spec();
  manifest.set_step(step);
  for (int shard = 0; shard < training.job.spec().num_shards(); ++shard) {
    std::vector<SavedBlock> saved;
    for (const uint32_t number : training.job.BlocksOfShard(shard)) {
      saved.push_back({number, training.blocks[number]->Cut(), {}});
    }
    const auto file = WriteShard(Env::Posix(), folder, training.job, shard, step, saved);
    ASSERT_TRUE(file.ok()) << file.status();
    *manifest.add_shards() = *file;
  }
  const absl::Status written = WriteManifest(Env::Posix(), folder, manifest);
  ASSERT_TRUE(written.ok()) << written;
}

void Load(Training* training, const std::string& folder, int64_t step) {
  for (int shard = 0; shard < training->job.spec().num_shards(); ++shard) {
    auto restored =
        RestoreBlocks(Env::Posix(), folder, ManifestFileName(step), training->job, shard);
    ASSERT_TRUE(restored.ok()) << restored.status();
    for (RestoredBlock& block : *restored) {
      training->blocks[block.number] =
          std::make_unique<Block>(std::move(block.values), std::move(block.slots), block.version);
    }
  }
}

class OptimizerResume : public testing::TestWithParam<const char*> {};

TEST_P(OptimizerResume, EndsWithTheBitsOfAnUninterruptedRun) {
  TempFolder folder;
  constexpr int64_t kSaved = 13;  // in the middle of an accumulation
  constexpr int64_t kEnd = 31;
  Training whole(Spec(GetParam(), 1, 1000));
  whole.Continue(0, kEnd);

  Training first(Spec(GetParam(), 2, 300));
  first.Continue(0, kSaved);
  Save(first, folder.path(), kSaved);
  Training second(Spec(GetParam(), 5, 70));
  Load(&second, folder.path(), kSaved);
  EXPECT_EQ(second.Values(), first.Values());
  second.Continue(kSaved, kEnd);

  const std::vector<float> expected = whole.Values(), actual = second.Values();
  ASSERT_EQ(actual.size(), expected.size());
  EXPECT_EQ(std::memcmp(actual.data(), expected.data(), expected.size() * sizeof(float)), 0);
  EXPECT_NE(actual, first.Values());
}

INSTANTIATE_TEST_SUITE_P(
    All, OptimizerResume,
    testing::Values("learning_rate: 0.05 rmsprop { momentum: 0.9 centered: true }",
                    "learning_rate: 0.05 nadam {} accumulate_rounds: 4 weight_decay: 0.1 "
                    "schedule { warmup_updates: 2 warmup_start: 0.5 cosine { updates: 6 } }",
                    "learning_rate: 0.05 momentum { momentum: 0.9 } ema_decay: 0.9",
                    "learning_rate: 0.5 ftrl { l1: 0.01 }"));

}  // namespace
}  // namespace parley
