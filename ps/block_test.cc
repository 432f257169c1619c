#include "ps/block.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <set>
#include <thread>
#include <vector>

#include "base/initializer.h"
#include "net/job.h"
#include "net/shared_arena.h"
#include "net/wire_dtype.h"

namespace parley {
namespace {

v1::Optimizer Momentum() {
  v1::Optimizer spec;
  spec.set_learning_rate(1);
  spec.mutable_momentum()->set_momentum(0.5f);
  return spec;
}

Job MakeJob() {
  v1::JobSpec spec;
  spec.set_name("job");
  spec.set_seed(9);
  spec.set_num_workers(1);
  spec.set_num_shards(1);
  spec.set_block_elements(100);
  *spec.mutable_optimizer() = Momentum();
  spec.mutable_policy()->mutable_synchronous();
  v1::ParameterSpec* parameter = spec.add_parameters();
  parameter->set_name("w");
  parameter->add_shape(250);
  parameter->set_dtype(v1::FLOAT32);
  parameter->mutable_initializer()->mutable_normal()->set_stddev(1);
  return Job::Create(spec).value();
}

// A gradient that is `value` everywhere.
Payload Constant(size_t size, float value) {
  const auto bytes = std::make_shared<std::vector<float>>(size, value);
  Payload payload;
  payload.Append(bytes->data(), size * sizeof(float), bytes);
  return payload;
}

FloatBuffer Filled(size_t size, float value) {
  FloatBuffer buffer(size);
  for (float& element : buffer.span()) element = value;
  return buffer;
}

class BlockTest : public testing::Test {
 protected:
  const std::unique_ptr<Optimizer> optimizer_ = NewOptimizer(Momentum()).value();
};

TEST_F(BlockTest, BeginsWithItsPieceOfTheParameter) {
  const Job job = MakeJob();
  std::vector<float> whole(250);
  Initialize(Initializer::Normal(0, 1), 9, "w", 0, absl::MakeSpan(whole));
  for (uint32_t number = 0; number < 3; ++number) {
    const auto block = Block::Initialized(job, number, *optimizer_);
    const BlockCut cut = block->Cut();
    EXPECT_EQ(cut.values.version, 0);
    const size_t size = number == 2 ? 50 : 100;
    EXPECT_EQ(cut.values.span(), absl::MakeConstSpan(whole).subspan(number * 100, size));
    ASSERT_EQ(cut.slots.size(), 1u);
    EXPECT_EQ(cut.slots[0].span(), absl::MakeConstSpan(std::vector<float>(size, 0)));
  }
}

TEST_F(BlockTest, FirstValuesStandInTheArenaAtOnce) {
  v1::JobSpec spec;
  spec.set_name("arena");
  spec.set_num_workers(1);
  spec.set_num_shards(1);
  v1::ParameterSpec* const parameter = spec.add_parameters();
  parameter->set_name("w");
  parameter->add_shape(1 << 18);
  parameter->set_dtype(v1::FLOAT32);
  spec.mutable_optimizer()->set_learning_rate(1);
  spec.mutable_optimizer()->mutable_sgd();
  spec.mutable_policy()->mutable_synchronous();
  const auto arena = SharedArena::Create();
  const auto block = Block::Initialized(Job::Create(spec).value(), 0, *optimizer_, arena);
  const auto values = arena->Find(block->Snapshot().values.get(), 1 << 20);
  ASSERT_TRUE(values.has_value());
  const auto next = arena->Allocate(1 << 20).value();
  EXPECT_EQ(arena->Find(next.get(), 1)->offset, values->offset + (1 << 20));  // nothing between
}

TEST_F(BlockTest, WhatIsWrittenAroundTheCachesIsTheSame) {
  v1::Optimizer spec;
  spec.set_learning_rate(0.1f);
  spec.mutable_sgd();
  const std::unique_ptr<Optimizer> sgd = NewOptimizer(spec).value();
  constexpr size_t kSize = 10003;
  Block through(Filled(kSize, 3), {}, 0), around(Filled(kSize, 3), {}, 0);
  around.WriteAroundCaches();
  for (int round = 1; round <= 3; ++round) {
    // A gradient of one, which is used where it is, and of several, which are summed.
    const std::vector<Gradient> gradients(static_cast<size_t>(round),
                                          Gradient(Constant(kSize, 0.3f * round)));
    through.Apply(*sgd, gradients);
    around.Apply(*sgd, gradients);
    EXPECT_NE(through.Snapshot().span()[kSize - 1], 3);
    ASSERT_EQ(around.Snapshot().span(), through.Snapshot().span()) << round;
    // 16-bit copies are made in the same pass.
    Payload copies[2];
    through.Encode(through.Snapshot(), v1::BFLOAT16, &copies[0]);
    around.Encode(around.Snapshot(), v1::BFLOAT16, &copies[1]);
    std::vector<char> bytes[2];
    for (int i = 0; i < 2; ++i) {
      bytes[i].resize(copies[i].size());
      copies[i].CopyTo(bytes[i].data());
    }
    ASSERT_EQ(bytes[0], bytes[1]) << round;
  }
}

TEST_F(BlockTest, AppliesTheMeanAndCountsVersions) {
  std::vector<FloatBuffer> slots;
  slots.push_back(Filled(3, 2));
  Block block(Filled(3, 10), std::move(slots), /*version=*/41);
  const std::vector<Gradient> gradients = {Constant(3, 1), Constant(3, 3)};
  block.Apply(*optimizer_, gradients);
  const BlockCut cut = block.Cut();
  EXPECT_EQ(cut.values.version, 42);
  EXPECT_EQ(cut.slots[0].span(), absl::MakeConstSpan({3.0f, 3.0f, 3.0f}));  // 0.5 * 2 + 2
  EXPECT_EQ(cut.values.span(), absl::MakeConstSpan({7.0f, 7.0f, 7.0f}));
}

// What the chief pushes is for its gradient's round and those after it, and goes into a checkpoint.
TEST_F(BlockTest, APushedRateFactorHolds) {
  v1::Optimizer spec;
  spec.set_learning_rate(1);
  spec.mutable_sgd();
  spec.mutable_schedule()->mutable_pushed();
  const auto sgd = NewOptimizer(spec).value();
  Block block(Filled(3, 10), {}, 0);
  block.Apply(*sgd, {Gradient(Constant(3, 1))});
  EXPECT_EQ(block.Snapshot().span()[0], 9);
  EXPECT_EQ(block.Cut().rate_factor, 1);
  Gradient chief(Constant(3, 1));
  chief.rate_factor = 0.5f;
  block.Apply(*sgd, {chief, Gradient(Constant(3, 3))});
  EXPECT_EQ(block.Snapshot().span()[0], 8);
  block.Skip();
  block.Apply(*sgd, {Gradient(Constant(3, 2))});
  EXPECT_EQ(block.Snapshot().span()[0], 7);
  EXPECT_EQ(block.Cut().rate_factor, 0.5f);
  Block restored(Filled(3, 10), {}, 7, nullptr, block.Cut().rate_factor);
  restored.Apply(*sgd, {Gradient(Constant(3, 2))});
  EXPECT_EQ(restored.Snapshot().span()[0], 9);
}

TEST_F(BlockTest, ARoundInTwoHalvesIsSeenWhenItIsFinished) {
  v1::Optimizer spec;
  spec.set_learning_rate(1);
  spec.mutable_sgd();
  spec.set_clip_norm(5);
  const auto sgd = NewOptimizer(spec).value();
  constexpr size_t kSize = 5000;  // more than one tile
  Block block(Filled(kSize, 10), {}, 3);
  std::vector<double> sums = {0};
  block.Prepare(*sgd, {Gradient(Constant(kSize, 1)), Gradient(Constant(kSize, 3))},
                absl::MakeSpan(sums));
  EXPECT_EQ(sums[0], 4.0 * kSize);
  EXPECT_EQ(block.Snapshot().version, 3);
  EXPECT_EQ(block.Snapshot().span()[0], 10);
  const double norm = 10;
  block.Finish(*sgd, {&norm, 1});
  const BlockSnapshot after = block.Snapshot();
  EXPECT_EQ(after.version, 4);
  for (const float value : after.span()) ASSERT_NEAR(value, 9, 1e-6);
  EXPECT_EQ(block.SnapshotAt(3).span()[kSize - 1], 10);
}

// Adam's first step is its learning rate, whatever the gradient's size; that of a later round, with
// fresh slots, is not.
TEST_F(BlockTest, TheOptimizerSeesTheRoundThatBegins) {
  v1::Optimizer spec;
  spec.set_learning_rate(0.5f);
  spec.mutable_adam();
  const auto adam = NewOptimizer(spec).value();
  const std::vector<Gradient> gradients = {Constant(3, 20)};
  for (const int64_t version : {0, 4}) {
    std::vector<FloatBuffer> slots;
    for (int i = 0; i < 2; ++i) slots.push_back(FloatBuffer::Zeros(3));
    Block block(Filled(3, 1), std::move(slots), version);
    block.Apply(*adam, gradients);

    const std::vector<float> gradient(3, 20), values(3, 1);
    std::vector<float> expected(3), m(3), v(3);
    float* const fresh[] = {m.data(), v.data()};
    adam->Update({version + 1}, gradient, values, absl::MakeSpan(expected), fresh);
    EXPECT_EQ(block.Snapshot().span(), absl::MakeConstSpan(expected));
    if (version == 0) {
      EXPECT_NEAR(block.Snapshot().span()[0], 0.5f, 1e-5);
    } else {
      EXPECT_GT(std::abs(block.Snapshot().span()[0] - 0.5f), 0.1f);
    }
  }
}

TEST_F(BlockTest, ASnapshotKeepsItsValuesEvenWithoutTheBlock) {
  auto block = std::make_unique<Block>(Filled(3, 1), std::vector<FloatBuffer>(), 0);
  v1::Optimizer spec;
  spec.set_learning_rate(1);
  spec.mutable_sgd();
  const auto sgd = NewOptimizer(spec).value();
  std::vector<BlockSnapshot> snapshots = {block->Snapshot()};
  for (int round = 1; round <= 4; ++round) {
    const std::vector<Gradient> gradients = {Constant(3, 1)};
    block->Apply(*sgd, gradients);
    snapshots.push_back(block->Snapshot());
  }
  block.reset();
  for (int round = 0; round <= 4; ++round) {
    EXPECT_EQ(snapshots[round].version, round);
    EXPECT_EQ(snapshots[round].span(), absl::MakeConstSpan(std::vector<float>(3, 1.0f - round)));
  }
}

TEST_F(BlockTest, WithoutReadersTwoBuffersServe) {
  std::vector<FloatBuffer> slots;
  slots.push_back(Filled(1000, 0));
  Block block(Filled(1000, 0), std::move(slots), 0);
  const std::vector<Gradient> gradients = {Constant(1000, 1)};
  std::set<const float*> buffers;
  for (int round = 0; round < 20; ++round) {
    buffers.insert(block.Snapshot().values.get());
    block.Apply(*optimizer_, gradients);
  }
  EXPECT_EQ(buffers.size(), 2u);
}

// As a pull sees it, whether the copy was made in the round's pass or when it was asked for.
TEST_F(BlockTest, SixteenBitsOfEachVersionAreItsValuesRounded) {
  constexpr size_t kSize = 5001;
  std::vector<FloatBuffer> slots;
  slots.push_back(Filled(kSize, 0));
  Block block(Filled(kSize, 1.2345f), std::move(slots), 0);
  const std::vector<Gradient> gradients = {Constant(kSize, 0.1357f)};
  const auto expect = [&](const BlockSnapshot& snapshot, v1::DType dtype) {
    std::vector<uint16_t> expected(kSize), found(kSize);
    ToWire(dtype, snapshot.values.get(), kSize, expected.data());
    Payload payload;
    block.Encode(snapshot, dtype, &payload);
    ASSERT_EQ(payload.size(), 2 * kSize);
    payload.CopyTo(found.data());
    ASSERT_EQ(found, expected) << "version " << snapshot.version;
  };
  // Asked for: not at all, once, twice, in another type, after a pause, of the version before.
  const std::vector<std::vector<v1::DType>> asked = {
      {}, {v1::BFLOAT16}, {v1::BFLOAT16, v1::BFLOAT16}, {v1::BFLOAT16, v1::FLOAT16}, {v1::FLOAT16},
      {}, {v1::FLOAT16}};
  for (const std::vector<v1::DType>& dtypes : asked) {
    const BlockSnapshot before = block.Snapshot();
    block.Apply(*optimizer_, gradients);
    for (const v1::DType dtype : dtypes) {
      expect(block.Snapshot(), dtype);
      expect(before, dtype);
    }
  }
}

// Readers on other threads see whole versions, in order, while the owner writes.
TEST_F(BlockTest, ReadersSeeWholeVersions) {
  constexpr size_t kSize = 3000;
  constexpr int kRounds = 2000;
  v1::Optimizer spec;
  spec.set_learning_rate(1);
  spec.mutable_sgd();
  const auto sgd = NewOptimizer(spec).value();
  Block block(Filled(kSize, 0), {}, 0);
  std::atomic<bool> done{false};
  std::atomic<int> wrong{0};
  std::vector<std::thread> readers;
  for (int i = 0; i < 2; ++i) {
    readers.emplace_back([&] {
      int64_t last = 0;
      while (!done.load()) {
        const BlockSnapshot snapshot = block.Snapshot();
        if (snapshot.version < last) ++wrong;
        last = snapshot.version;
        for (const float value : snapshot.span()) {
          if (value != static_cast<float>(snapshot.version)) ++wrong;
        }
      }
    });
  }
  const std::vector<Gradient> gradients = {Constant(kSize, -1)};
  for (int round = 0; round < kRounds; ++round) block.Apply(*sgd, gradients);
  done = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(block.Snapshot().version, kRounds);
}

}  // namespace
}  // namespace parley
