// What a shard says to requests about tables, as they come over the wire.

#include <unistd.h>

#include <cmath>
#include <cstdint>
#include <fstream>
#include <limits>
#include <memory>
#include <numeric>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "base/env.h"
#include "base/file.h"
#include "base/testing/temp_folder.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "net/checkpoint_folder.h"
#include "net/table_placement.h"
#include "ps/checkpoint_inspect.h"
#include "ps/testing/one_shard.h"

namespace parley {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr int kWidth = 2;

// Beside the parameter a table of rows of 0, whose values are the sum of their gradients.
v1::JobSpec SpecWithTable(int workers, bool synchronous, int shards = 1) {
  v1::JobSpec spec = OneShardSpec(workers, synchronous);
  spec.set_num_shards(shards);
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(
      "name: 'rows' width: 2 dtype: FLOAT32 optimizer { learning_rate: 1 sgd {} }",
      spec.add_tables()));
  return spec;
}

class ShardTablesTest : public testing::Test {
 protected:
  using Reply = ParameterServer::PushPullReply;

  void Start(v1::JobSpec spec, int workers) {
    shard_ = std::make_unique<OneShard>(spec);
    ShardOptions options;
    options.checkpoint_folder = shard_->checkpoints();
    shard_->StartWith(options);
    ASSERT_TRUE(shard_->Declare().ok());
    for (int i = 0; i < workers; ++i) ASSERT_TRUE(shard_->Join(i).ok());
  }

  v1::PushPullRequest Request(int worker, int64_t step) {
    v1::PushPullRequest request;
    request.mutable_sender()->set_job("job");
    request.mutable_sender()->set_worker(worker);
    request.mutable_sender()->set_incarnation(incarnation_);
    request.set_step(step);
    request.set_pull_step(step);
    request.set_wait_ms(30000);
    request.set_dtype(v1::FLOAT32);
    return request;
  }
  v1::PushPullRequest PushRequest(int worker, int64_t step, uint64_t sequence,
                                  const std::vector<uint64_t>& keys, uint32_t table = 0) {
    v1::PushPullRequest request = Request(worker, step);
    request.set_sequence(sequence);
    v1::TableRows* const rows = request.add_push_rows();
    rows->set_table(table);
    for (const uint64_t key : keys) rows->add_keys(key);
    return request;
  }
  std::future<absl::StatusOr<Reply>> Send(const v1::PushPullRequest& request,
                                          const std::vector<float>& floats = {}) {
    const auto values = std::make_shared<std::vector<float>>(floats);
    Payload payload;
    payload.Append(values->data(), values->size() * sizeof(float), values);
    return Begin<Reply>(
        [&](auto done) { shard_->shard().PushPull(request, std::move(payload), std::move(done)); });
  }
  absl::Status Push(int worker, int64_t step, uint64_t sequence, const std::vector<uint64_t>& keys,
                    const std::vector<float>& gradients, uint32_t table = 0) {
    return Send(PushRequest(worker, step, sequence, keys, table), gradients).get().status();
  }
  std::vector<float> Pull(const std::vector<uint64_t>& keys, int64_t step = 0) {
    v1::PushPullRequest request = Request(0, step);
    request.add_pull_rows()->mutable_keys()->Add(keys.begin(), keys.end());
    const absl::StatusOr<Reply> reply = Send(request).get();
    EXPECT_TRUE(reply.ok()) << reply.status();
    std::vector<float> rows(keys.size() * kWidth);
    if (reply.ok() && reply->payload.size() == rows.size() * sizeof(float)) {
      reply->payload.CopyTo(rows.data());
    }
    return rows;
  }

  std::unique_ptr<OneShard> shard_;
  uint64_t incarnation_ = 1;
};

void ExpectInvalid(const absl::Status& status, const std::string& message) {
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(message));
}

TEST_F(ShardTablesTest, WhoLooksSeesBytesOfParametersAlone) {
  v1::JobSpec spec = SpecWithTable(1, false);
  Start(spec, 1);
  EXPECT_EQ(shard_->shard().Numbers()->bytes, kElements * int64_t{sizeof(float)});
  spec.clear_parameters();
  Start(spec, 1);
  ASSERT_TRUE(Push(0, 0, 1, {5}, {1, 2}).ok());
  EXPECT_EQ(shard_->shard().Numbers()->bytes, 0);
}

TEST_F(ShardTablesTest, APushThatComesAgainIsAppliedOnce) {
  Start(SpecWithTable(1, false), 1);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Push(0, 0, 1, {7, 8}, {-1, -2, -3, -4}).ok());
  EXPECT_THAT(Pull({8, 7, 8}), ElementsAre(3, 4, 1, 2, 3, 4));
  ASSERT_TRUE(Push(0, 1, 2, {7}, {-1, -1}).ok());
  EXPECT_THAT(Pull({7}), ElementsAre(2, 3));
}

TEST_F(ShardTablesTest, AKeyThatIsPushedTwiceHasTheSum) {
  Start(SpecWithTable(1, false), 1);
  ASSERT_TRUE(Push(0, 0, 1, {7, 8, 7}, {-1, -2, -3, -4, -5, -6}).ok());
  EXPECT_THAT(Pull({7, 8}), ElementsAre(6, 8, 3, 4));
}

TEST_F(ShardTablesTest, BlocksAndRowsTravelTogether) {
  Start(SpecWithTable(1, true), 1);
  v1::PushPullRequest request = PushRequest(0, 0, 1, {7});
  request.set_pull_step(1);
  request.add_push(2);
  request.add_pull(2);
  request.add_pull_rows()->add_keys(7);
  const absl::StatusOr<Reply> reply = Send(request, {-1, -2, -3, -4}).get();
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->response.staleness_size(), 2);
  EXPECT_THAT(reply->response.version(), ElementsAre(1, 1));
  std::vector<float> values(4);
  ASSERT_EQ(reply->payload.size(), values.size() * sizeof(float));
  reply->payload.CopyTo(values.data());
  EXPECT_THAT(values, ElementsAre(1, 2, 3, 4));
}

TEST_F(ShardTablesTest, ASynchronousRoundIsTheMeanOfAllWorkers) {
  Start(SpecWithTable(3, true), 3);
  ASSERT_TRUE(Push(2, 0, 1, {7}, {-3, -6}).ok());
  ASSERT_TRUE(Push(0, 0, 1, {}, {}).ok());
  ASSERT_TRUE(Push(1, 0, 1, {7, 9}, {-6, -3, -9, -9}).ok());
  EXPECT_THAT(Pull({7, 9}, 1), ElementsAre(3, 3, 3, 3));
}

TEST_F(ShardTablesTest, APullThatWaitsInVainSaysForWhom) {
  Start(SpecWithTable(2, true), 2);
  ASSERT_TRUE(Push(0, 0, 1, {7}, {-1, -1}).ok());
  v1::PushPullRequest request = Request(0, 1);
  request.set_wait_ms(10);
  request.add_pull_rows()->add_keys(7);
  const absl::Status overdue = Send(request).get().status();
  EXPECT_EQ(overdue.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(overdue.message()),
              HasSubstr("table rows, at round 0, waited for worker:1"));
}

TEST_F(ShardTablesTest, NobodyWaitsForAWorkerThatHasLeft) {
  Start(SpecWithTable(2, true), 2);
  ASSERT_TRUE(Push(0, 0, 1, {7}, {-1, -1}).ok());
  ASSERT_TRUE(shard_->Leave(1).ok());
  EXPECT_THAT(Pull({7}, 1), ElementsAre(1, 1));
}

TEST_F(ShardTablesTest, ASkippedStepChangesNothing) {
  Start(SpecWithTable(2, true), 2);
  ASSERT_TRUE(Push(0, 0, 1, {7}, {-1, -1}).ok());
  v1::PushPullRequest skip = PushRequest(1, 0, 1, {});
  skip.set_skip(true);
  ASSERT_TRUE(Send(skip).get().ok());
  EXPECT_THAT(Pull({7}, 1), ElementsAre(0, 0));
  skip = PushRequest(1, 1, 2, {7});
  skip.set_skip(true);
  ExpectInvalid(Send(skip).get().status(), "a step that is skipped pushes no rows");
}

TEST_F(ShardTablesTest, WhatIsWrongIsRefusedWhole) {
  Start(SpecWithTable(1, false), 1);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  ExpectInvalid(Push(0, 0, 1, {7, 8}, {-1, -2, -3, nan}), "table rows: a row's gradient has a NaN");
  ExpectInvalid(Push(0, 0, 2, {7, 8}, {-1, infinity, 1, 1}), "NaN or an infinity");
  ExpectInvalid(Push(0, 0, 3, {7, 8}, {-1, -2, -3}),
                "table rows: 2 rows of width 2 have 16 bytes, the payload only 12 more");
  ExpectInvalid(Push(0, 0, 4, {7, 8}, {-1, -2, -3, -4, -5}), "the payload has 20 bytes");
  v1::PushPullRequest narrow = PushRequest(0, 0, 7, {7, 8});
  narrow.set_rows_dtype(v1::INT8);
  ExpectInvalid(Send(narrow, {1, 0, nan, 0}).get().status(), "NaN or an infinity");
  ExpectInvalid(Send(narrow, {1, 0, 1}).get().status(), "2 rows of width 2 have 16 bytes");
  narrow.set_rows_dtype(static_cast<v1::DType>(77));
  ExpectInvalid(Send(narrow, {1, 0, 1, 0}).get().status(), "of rows is none of FLOAT32");
  v1::PushPullRequest block = Request(0, 0);
  block.set_dtype(v1::INT8);
  ExpectInvalid(Send(block).get().status(), "is none of FLOAT32, BFLOAT16, FLOAT16");
  const absl::Status unknown = Push(0, 0, 5, {7}, {-1, -2}, /*table=*/1);
  EXPECT_EQ(unknown.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(unknown.message()), HasSubstr("there is no table 1; job job has 1"));
  v1::PushPullRequest twice = PushRequest(0, 0, 6, {7});
  *twice.add_push_rows() = twice.push_rows(0);
  ExpectInvalid(Send(twice, {1, 1, 1, 1}).get().status(), "more tables than there are");
  v1::PushPullRequest average = Request(0, 0);
  average.set_average(true);
  average.add_pull_rows()->add_keys(7);
  ExpectInvalid(Send(average).get().status(), "rows have no averages");
  v1::PushPullRequest many = Request(0, 0);
  many.add_pull_rows()->mutable_keys()->Resize(ShardTable::kMaxKeys + 1, 7);
  ExpectInvalid(Send(many).get().status(), "it has 1048577 keys, allowed are 1048576");
  EXPECT_THAT(Pull({7, 8}), ElementsAre(0, 0, 0, 0));
}

TEST_F(ShardTablesTest, AKeyOfAnotherShardIsRefused) {
  Start(SpecWithTable(1, false, /*shards=*/2), 1);
  uint64_t elsewhere = 0;
  while (ShardOfVirtual(VirtualShardOf(MixKey(elsewhere), 1024), 1024, 2) == 0) ++elsewhere;
  ExpectInvalid(Push(0, 0, 1, {elsewhere}, {-1, -2}), "belongs to another shard");
}

TEST_F(ShardTablesTest, GradientsMayComeInSlicesThatCutThem) {
  Start(SpecWithTable(1, false), 1);
  const auto bytes = std::make_shared<std::vector<char>>(17);
  const float gradients[] = {-1, -2, -3, -4};
  std::memcpy(bytes->data() + 1, gradients, 16);
  Payload payload;
  payload.Append(bytes->data() + 1, 5, bytes);
  payload.Append(bytes->data() + 6, 11, bytes);
  ASSERT_TRUE(
      Begin<Reply>([&](auto done) {
        shard_->shard().PushPull(PushRequest(0, 0, 1, {7, 8}), std::move(payload), std::move(done));
      })
          .get()
          .ok());
  EXPECT_THAT(Pull({7, 8}), ElementsAre(1, 2, 3, 4));
}

TEST_F(ShardTablesTest, NoRowsAreAddedOverTheMemoryLimit) {
  shard_ = std::make_unique<OneShard>(SpecWithTable(1, false));
  ShardOptions options;
  options.memory_limit = 20000;
  shard_->StartWith(options);
  ASSERT_TRUE(shard_->Declare().ok());
  ASSERT_TRUE(shard_->Join(0).ok());
  uint64_t sequence = 0;
  absl::Status status;
  while (status.ok() && sequence < 100) {
    const std::vector<uint64_t> keys = {2 * sequence, 2 * sequence + 1};
    ++sequence;
    status = Push(0, 0, sequence, keys, {1, 1, 1, 1});
    shard_->shard().Settle();
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("table rows: tables take"));
  EXPECT_THAT(Pull({0, 1}), ElementsAre(-1, -1, -1, -1));
}

// Of this process, with and without a name.
int OpenFilesIn(const std::string& folder) {
  int count = 0;
  const std::unique_ptr<char, decltype(&free)> real(realpath(folder.c_str(), nullptr), &free);
  const auto names = Env::Posix()->ListFolder("/proc/self/fd");
  for (const std::string& name : *names) {
    char target[4096] = {};
    if (readlink(("/proc/self/fd/" + name).c_str(), target, sizeof(target) - 1) < 0) continue;
    if (std::string(target).rfind(std::string(real.get()) + "/", 0) == 0) ++count;
  }
  return count;
}

// Rows that outgrow their memory are the same as if they had not, also in a checkpoint.
TEST_F(ShardTablesTest, RowsBeyondTheirMemoryAreOnTheDisk) {
  constexpr uint64_t kKeys = 12000;
  v1::JobSpec spec = SpecWithTable(1, false);
  spec.mutable_tables(0)->set_memory_limit(300000);
  spec.mutable_tables(0)->set_virtual_shards(16);
  shard_ = std::make_unique<OneShard>(spec);
  TempFolder spilled;
  ShardOptions options;
  options.checkpoint_folder = shard_->checkpoints();
  options.spill_folder = spilled.path();
  shard_->StartWith(options);
  ASSERT_TRUE(shard_->Declare().ok());
  ASSERT_TRUE(shard_->Join(0).ok());
  const auto keys_from = [](uint64_t begin, uint64_t size) {
    std::vector<uint64_t> keys(size);
    std::iota(keys.begin(), keys.end(), begin);
    return keys;
  };
  uint64_t sequence = 0;
  for (int times = 1; times <= 2; ++times) {
    for (uint64_t begin = 0; begin < kKeys; begin += 3000) {
      std::vector<float> gradients;
      for (uint64_t key = begin; key < begin + 3000; ++key) {
        gradients.push_back(-1);
        gradients.push_back(-static_cast<float>(key));
      }
      ++sequence;
      ASSERT_TRUE(Push(0, 0, sequence, keys_from(begin, 3000), gradients).ok());
    }
  }
  const auto check = [&] {
    for (uint64_t begin = 0; begin < kKeys; begin += 4000) {
      const std::vector<float> rows = Pull(keys_from(begin, 4000));
      for (uint64_t i = 0; i < 4000; ++i) {
        ASSERT_EQ(rows[2 * i], 2) << begin + i;
        ASSERT_EQ(rows[2 * i + 1], static_cast<float>(2 * (begin + i)));
      }
    }
  };
  check();
  EXPECT_GT(OpenFilesIn(spilled.path()), 0);
  // Nothing would be left behind, whatever ended the process.
  EXPECT_TRUE(Env::Posix()->ListFolder(spilled.path())->empty());
  ASSERT_TRUE(shard_->Checkpoint(3).ok());
  shard_->Stop();
  EXPECT_EQ(OpenFilesIn(spilled.path()), 0);
  shard_->StartWith(options);
  ASSERT_TRUE(shard_->Declare(ManifestFileName(3)).ok());
  ASSERT_TRUE(shard_->Join(0, 2).ok());
  incarnation_ = 2;
  check();
}

TEST_F(ShardTablesTest, AMemoryLimitNeedsAPlaceForWhatIsBeyondIt) {
  v1::JobSpec spec = SpecWithTable(1, false);
  spec.mutable_tables(0)->set_memory_limit(500000);
  OneShard shard(spec);
  ShardOptions options;
  shard.StartWith(options);
  const absl::Status nowhere = shard.Declare();
  EXPECT_EQ(nowhere.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(nowhere.message()), HasSubstr("table rows has a memory_limit of 500000"));
  options.spill_folder = "/proc/nowhere";
  shard.StartWith(options);
  const absl::Status wrong = shard.Declare();
  EXPECT_FALSE(wrong.ok());
  EXPECT_THAT(std::string(wrong.message()), HasSubstr("/proc/nowhere"));
}

TEST_F(ShardTablesTest, ADamagedCheckpointIsNotRestored) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  Start(SpecWithTable(1, false), 1);
  std::vector<uint64_t> keys(40);
  std::iota(keys.begin(), keys.end(), 1);
  ASSERT_TRUE(Push(0, 0, 1, keys, std::vector<float>(80, -1.0f)).ok());
  ASSERT_TRUE(shard_->Checkpoint(3).ok());
  std::ostringstream contents;
  ASSERT_TRUE(InspectCheckpoint(Env::Posix(), shard_->checkpoints(), contents).ok());
  EXPECT_THAT(contents.str(), HasSubstr("rows   2      FLOAT32  40      320"));

  const std::string path = JoinPath(shard_->checkpoints(), ShardFileName(3, 0, 1));
  std::string intact;
  {
    std::ifstream in(path, std::ios::binary);
    intact.assign(std::istreambuf_iterator<char>(in), {});
  }
  const auto declare = [&](const std::string& bytes) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
    ShardOptions options;
    options.checkpoint_folder = shard_->checkpoints();
    shard_->StartWith(options);
    return shard_->Declare(ManifestFileName(3));
  };
  for (int i = 0; i < 60; ++i) {
    std::string damaged = intact;
    damaged[random() % damaged.size()] ^= static_cast<char>(1 << random() % 8);
    EXPECT_EQ(declare(damaged).code(), absl::StatusCode::kDataLoss);
  }
  EXPECT_EQ(declare(intact.substr(0, intact.size() - 64)).code(), absl::StatusCode::kDataLoss);
  ASSERT_TRUE(declare(intact).ok());
  ASSERT_TRUE(shard_->Join(0).ok());
  EXPECT_THAT(Pull({1, 40, 41}), ElementsAre(1, 1, 1, 1, 0, 0));
}

}  // namespace
}  // namespace parley
