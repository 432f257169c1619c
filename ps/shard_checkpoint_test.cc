#include <algorithm>
#include <future>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "base/testing/temp_folder.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "net/checkpoint_folder.h"
#include "ps/shard.h"

namespace parley {
namespace {

using ::testing::HasSubstr;

constexpr size_t kElements = 10;

v1::JobSpec Spec(int shards, bool synchronous) {
  v1::JobSpec spec;
  spec.set_name("job");
  spec.set_num_workers(1);
  spec.set_num_shards(shards);
  spec.set_block_elements(3);
  v1::ParameterSpec* parameter = spec.add_parameters();
  parameter->set_name("w");
  parameter->add_shape(kElements);
  parameter->set_dtype(v1::FLOAT32);
  spec.mutable_optimizer()->set_learning_rate(1);
  spec.mutable_optimizer()->mutable_momentum()->set_momentum(0.5);
  if (synchronous) {
    spec.mutable_policy()->mutable_synchronous();
  } else {
    spec.mutable_policy()->mutable_asynchronous();
  }
  return spec;
}

// A job of one worker on some shards of this process, in one folder.
class Cluster {
 public:
  Cluster(const std::string& folder, int shards, bool synchronous, Env* env = Env::Posix())
      : spec_(Spec(shards, synchronous)), job_(Job::Create(spec_).value()), folder_(folder) {
    for (int i = 0; i < shards; ++i) {
      ShardOptions options;
      options.shard_index = i;
      options.checkpoint_folder = folder;
      options.env = env;
      shards_.push_back(std::make_unique<Shard>(options));
    }
  }

  // The step to go on with.
  absl::StatusOr<int64_t> Start(const std::string& checkpoint) {
    int64_t step = std::numeric_limits<int64_t>::max();
    for (size_t i = 0; i < shards_.size(); ++i) {
      v1::DeclareRequest declare;
      *declare.mutable_spec() = spec_;
      declare.set_shard_index(static_cast<int>(i));
      declare.set_checkpoint(checkpoint);
      const auto declared = Get<v1::DeclareResponse>(
          [&](auto done) { shards_[i]->Declare(declare, std::move(done)); });
      if (!declared.ok()) return declared.status();
      v1::JoinRequest join;
      *join.mutable_sender() = Sender();
      *join.mutable_spec() = spec_;
      const auto joined =
          Get<v1::JoinResponse>([&](auto done) { shards_[i]->Join(join, std::move(done)); });
      if (!joined.ok()) return joined.status();
      step = std::min(step, joined->step());
    }
    return step;
  }

  // Every element gets the gradient `gradient` + its index.
  void Push(int64_t step, float gradient) {
    for (size_t i = 0; i < shards_.size(); ++i) {
      v1::PushPullRequest request = Request(step);
      auto values = std::make_shared<std::vector<float>>();
      for (const uint32_t number : job_.BlocksOfShard(static_cast<int>(i))) {
        request.add_push(number);
        const BlockInfo& block = job_.blocks()[number];
        for (int64_t j = 0; j < block.size; ++j) {
          values->push_back(gradient + static_cast<float>(block.offset + j));
        }
      }
      Payload payload;
      payload.Append(values->data(), values->size() * sizeof(float), values);
      const auto reply = Get<ParameterServer::PushPullReply>(
          [&](auto done) { shards_[i]->PushPull(request, payload, std::move(done)); });
      ASSERT_TRUE(reply.ok()) << reply.status();
    }
  }

  std::vector<float> Values(int64_t step) {
    std::vector<float> values(kElements);
    for (size_t i = 0; i < shards_.size(); ++i) {
      v1::PushPullRequest request = Request(step);
      const std::vector<uint32_t> numbers = job_.BlocksOfShard(static_cast<int>(i));
      for (const uint32_t number : numbers) request.add_pull(number);
      const auto reply = Get<ParameterServer::PushPullReply>(
          [&](auto done) { shards_[i]->PushPull(request, Payload(), std::move(done)); });
      EXPECT_TRUE(reply.ok()) << reply.status();
      if (!reply.ok()) continue;
      std::vector<float> part(reply->payload.size() / sizeof(float));
      reply->payload.CopyTo(part.data());
      size_t at = 0;
      for (const uint32_t number : numbers) {
        const BlockInfo& block = job_.blocks()[number];
        for (int64_t j = 0; j < block.size; ++j) values[block.offset + j] = part[at++];
      }
    }
    return values;
  }

  // The manifest's name.
  absl::StatusOr<std::string> Save(int64_t step) {
    v1::Manifest manifest;
    *manifest.mutable_spec() = job_.spec();
    manifest.set_step(step);
    for (const auto& shard : shards_) {
      v1::CheckpointRequest request;
      *request.mutable_sender() = Sender();
      request.set_step(step);
      const auto saved = Get<v1::CheckpointResponse>(
          [&](auto done) { shard->Checkpoint(request, std::move(done)); });
      if (!saved.ok()) return saved.status();
      v1::Manifest::ShardFile* file = manifest.add_shards();
      file->set_file(saved->file());
      file->set_bytes(saved->bytes());
      file->set_crc32c(saved->crc32c());
    }
    const absl::Status written = WriteManifest(Env::Posix(), folder_, manifest);
    if (!written.ok()) return written;
    return ManifestFileName(step);
  }

 private:
  template <typename Response, typename Call>
  static absl::StatusOr<Response> Get(Call call) {
    auto promise = std::make_shared<std::promise<absl::StatusOr<Response>>>();
    auto future = promise->get_future();
    call([promise](absl::StatusOr<Response> response) { promise->set_value(std::move(response)); });
    if (future.wait_for(std::chrono::seconds(60)) != std::future_status::ready) {
      return absl::DeadlineExceededError("the shard never answered");
    }
    return future.get();
  }
  static v1::Sender Sender() {
    v1::Sender sender;
    sender.set_job("job");
    sender.set_incarnation(1);
    return sender;
  }
  v1::PushPullRequest Request(int64_t step) {
    v1::PushPullRequest request;
    *request.mutable_sender() = Sender();
    request.set_step(step);
    request.set_pull_step(step);
    request.set_sequence(++sequence_);
    request.set_wait_ms(30000);
    request.set_dtype(v1::FLOAT32);
    return request;
  }

  const v1::JobSpec spec_;
  const Job job_;
  const std::string folder_;
  uint64_t sequence_ = 0;
  std::vector<std::unique_ptr<Shard>> shards_;
};

TEST(ShardCheckpointTest, ARestoredJobGoesOnAsIfItHadNeverStopped) {
  for (const bool synchronous : {true, false}) {
    TempFolder folder;
    Cluster whole(folder.path(), 2, synchronous);
    ASSERT_TRUE(whole.Start("").ok());
    for (int64_t step = 0; step < 3; ++step) whole.Push(step, static_cast<float>(step));
    const auto manifest = whole.Save(3);
    ASSERT_TRUE(manifest.ok()) << manifest.status();
    const std::vector<float> cut = whole.Values(3);
    for (int64_t step = 3; step < 5; ++step) whole.Push(step, static_cast<float>(step));

    for (const int shards : {1, 2, 3, 6}) {  // with 6 shards and 4 blocks, two have none
      Cluster restored(folder.path(), shards, synchronous);
      const auto step = restored.Start(*manifest);
      ASSERT_TRUE(step.ok()) << step.status();
      EXPECT_EQ(*step, 3);
      EXPECT_EQ(restored.Values(3), cut) << shards << " shards";
      for (int64_t next = 3; next < 5; ++next) restored.Push(next, static_cast<float>(next));
      // Momentum's slots were restored too, or these would differ.
      EXPECT_EQ(restored.Values(5), whole.Values(5)) << shards << " shards";
    }
  }
}

TEST(ShardCheckpointTest, ASynchronousCutAtAnotherStepIsRefused) {
  TempFolder folder;
  Cluster cluster(folder.path(), 2, /*synchronous=*/true);
  ASSERT_TRUE(cluster.Start("").ok());
  cluster.Push(0, 1);
  EXPECT_EQ(cluster.Save(0).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(cluster.Save(1).ok());
}

TEST(ShardCheckpointTest, WithoutAFolderItIsRefused) {
  Cluster cluster("", 1, true);
  ASSERT_TRUE(cluster.Start("").ok());
  const absl::Status status = cluster.Save(0).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(status.message(), HasSubstr("ps:0 was started without a checkpoint folder"));
  EXPECT_EQ(Cluster("", 1, true).Start("step-000000001.manifest").status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST(ShardCheckpointTest, AMissingOrStrangeManifestIsRefused) {
  TempFolder folder;
  EXPECT_EQ(Cluster(folder.path(), 1, true).Start("step-000000001.manifest").status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(Cluster(folder.path(), 1, true).Start("../../etc/passwd").status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace parley
