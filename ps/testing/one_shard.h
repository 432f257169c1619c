#ifndef PARLEY_PS_TESTING_ONE_SHARD_H_
#define PARLEY_PS_TESTING_ONE_SHARD_H_

#include <algorithm>
#include <cstdint>
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/testing/temp_folder.h"
#include "gtest/gtest.h"
#include "net/checkpoint_folder.h"
#include "ps/shard.h"

namespace parley {

// A job of one parameter, whose three blocks are all in one shard.
constexpr int kElements = 10;
constexpr int kBlockElements = 4;
constexpr int kBlocks = 3;

inline v1::JobSpec OneShardSpec(int workers, bool synchronous) {
  v1::JobSpec spec;
  spec.set_name("job");
  spec.set_num_workers(workers);
  spec.set_num_shards(1);
  spec.set_block_elements(kBlockElements);
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

template <typename Response, typename Call>
std::future<absl::StatusOr<Response>> Begin(Call call) {
  auto promise = std::make_shared<std::promise<absl::StatusOr<Response>>>();
  std::future<absl::StatusOr<Response>> future = promise->get_future();
  call([promise](absl::StatusOr<Response> answer) { promise->set_value(std::move(answer)); });
  return future;
}

// One shard, which is started again and again over the same folder.
class OneShard {
 public:
  explicit OneShard(v1::JobSpec spec, Env* env = Env::Posix())
      : spec_(std::move(spec)), env_(env) {}

  // With the log folder. Returns whether it goes on from one.
  absl::StatusOr<bool> Start() {
    ShardOptions options;
    options.checkpoint_folder = checkpoints();
    options.log_folder = log_folder();
    StartWith(options);
    return shard_->Recover();
  }
  void StartWith(ShardOptions options) {
    shard_ = nullptr;
    options.threads = 2;
    options.env = env_;
    shard_ = std::make_unique<Shard>(std::move(options));
  }

  absl::Status Declare(const std::string& checkpoint = "") {
    v1::DeclareRequest request;
    *request.mutable_spec() = spec_;
    request.set_checkpoint(checkpoint);
    return Begin<v1::DeclareResponse>([&](auto done) { shard_->Declare(request, std::move(done)); })
        .get()
        .status();
  }
  absl::StatusOr<int64_t> Join(int worker, uint64_t incarnation = 1,
                               absl::Duration wait = absl::Seconds(30)) {
    v1::JoinRequest request;
    *request.mutable_sender() = Sender(worker, incarnation);
    *request.mutable_spec() = spec_;
    request.set_wait_ms(absl::ToInt64Milliseconds(wait));
    const auto joined =
        Begin<v1::JoinResponse>([&](auto done) { shard_->Join(request, std::move(done)); }).get();
    if (!joined.ok()) return joined.status();
    return joined->step();
  }
  absl::Status Leave(int worker) {
    v1::LeaveRequest request;
    *request.mutable_sender() = Sender(worker, 1);
    return Begin<v1::LeaveResponse>([&](auto done) { shard_->Leave(request, std::move(done)); })
        .get()
        .status();
  }

  using Reply = ParameterServer::PushPullReply;
  // Element i of the blocks gets the gradient `gradient` + i.
  std::future<absl::StatusOr<Reply>> BeginPush(int worker, int64_t step, uint64_t sequence,
                                               float gradient, std::vector<uint32_t> blocks,
                                               int64_t wait_ms = 30000, uint64_t incarnation = 1) {
    v1::PushPullRequest request;
    *request.mutable_sender() = Sender(worker, incarnation);
    request.set_step(step);
    request.set_sequence(sequence);
    request.set_wait_ms(wait_ms);
    request.set_dtype(v1::FLOAT32);
    Payload payload;
    for (const uint32_t block : blocks) {
      request.add_push(block);
      request.add_base_version(0);
      const int begin = static_cast<int>(block) * kBlockElements;
      const int size = std::min(kBlockElements, kElements - begin);
      const auto values = std::make_shared<std::vector<float>>();
      for (int i = 0; i < size; ++i) values->push_back(gradient + static_cast<float>(begin + i));
      payload.Append(values->data(), values->size() * sizeof(float), values);
    }
    return Begin<Reply>(
        [&](auto done) { shard_->PushPull(request, std::move(payload), std::move(done)); });
  }
  absl::Status Push(int worker, int64_t step, uint64_t sequence, float gradient,
                    std::vector<uint32_t> blocks = {0, 1, 2}, int64_t wait_ms = 30000) {
    return BeginPush(worker, step, sequence, gradient, std::move(blocks), wait_ms).get().status();
  }
  std::vector<float> Pull(int64_t step = 0, uint64_t incarnation = 1) {
    v1::PushPullRequest request;
    *request.mutable_sender() = Sender(0, incarnation);
    request.set_pull_step(step);
    request.set_dtype(v1::FLOAT32);
    request.set_wait_ms(30000);
    for (uint32_t block = 0; block < kBlocks; ++block) request.add_pull(block);
    const auto reply = Begin<Reply>([&](auto done) {
                         shard_->PushPull(request, Payload(), std::move(done));
                       }).get();
    EXPECT_TRUE(reply.ok()) << reply.status();
    std::vector<float> values(reply.ok() ? kElements : 0);
    if (reply.ok()) reply->payload.CopyTo(values.data());
    return values;
  }
  absl::Status Checkpoint(int64_t step, uint64_t incarnation = 1) {
    return Save(step, /*incremental=*/false, incarnation);
  }
  // One that is based on the last one of these, if the shard can do that.
  absl::Status CheckpointOnTheLast(int64_t step, uint64_t incarnation = 1) {
    return Save(step, /*incremental=*/true, incarnation);
  }
  // Of the last checkpoint.
  const v1::Manifest::ShardFile& last() const { return last_; }

  Shard& shard() { return *shard_; }
  void Stop() { shard_ = nullptr; }
  std::string checkpoints() const { return folder_.File("checkpoints"); }
  std::string log_folder() const { return folder_.File("log"); }
  std::vector<std::string> Segments() const {
    const auto names = Env::Posix()->ListFolder(log_folder());
    return names.ok() ? *names : std::vector<std::string>();
  }

 private:
  static v1::Sender Sender(int worker, uint64_t incarnation) {
    v1::Sender sender;
    sender.set_job("job");
    sender.set_worker(worker);
    sender.set_incarnation(incarnation);
    return sender;
  }

  absl::Status Save(int64_t step, bool incremental, uint64_t incarnation) {
    v1::CheckpointRequest request;
    *request.mutable_sender() = Sender(0, incarnation);
    request.set_step(step);
    request.set_tracks(incremental);
    if (incremental && !last_.file().empty()) {
      request.mutable_base()->set_file(last_.file());
      request.mutable_base()->set_bytes(last_.bytes());
      request.mutable_base()->set_crc32c(last_.crc32c());
    }
    const auto file = Begin<v1::CheckpointResponse>([&](auto done) {
                        shard_->Checkpoint(request, std::move(done));
                      }).get();
    if (!file.ok()) return file.status();
    v1::Manifest manifest;
    *manifest.mutable_spec() = spec_;
    manifest.set_step(step);
    v1::Manifest::ShardFile* const shard = manifest.add_shards();
    shard->set_file(file->file());
    shard->set_bytes(file->bytes());
    shard->set_crc32c(file->crc32c());
    if (file->incremental()) {
      v1::Manifest::ShardFile base = last_;
      base.clear_bases();
      *shard->add_bases() = base;
      shard->mutable_bases()->MergeFrom(last_.bases());
    }
    last_ = *shard;
    return WriteManifest(env_, checkpoints(), manifest);
  }

  v1::Manifest::ShardFile last_;
  TempFolder folder_;
  const v1::JobSpec spec_;
  Env* const env_;
  std::unique_ptr<Shard> shard_;
};

}  // namespace parley

#endif  // PARLEY_PS_TESTING_ONE_SHARD_H_
