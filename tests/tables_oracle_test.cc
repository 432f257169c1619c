// Random operations on a table against a plain map: pulls, pushes with doubled keys, checkpoints,
// and returns to them with other numbers of shards, shards that die and go on from their logs or
// from their copies, copies that move, while rows expire, are counted before they are admitted, are
// spilled to the disk and come back, and the worker keeps some.
// --operations=1000000 does more of them.

#include <cmath>
#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/testing/temp_folder.h"
#include "gflags/gflags.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "net/table_placement.h"
#include "ps/shard.h"
#include "ps/testing/replicated_shard.h"
#include "ps/testing/restarted_shard.h"
#include "worker/client.h"

DEFINE_int64(operations, 600, "against the map");

namespace parley {
namespace {

constexpr size_t kWidth = 4;

v1::JobSpec SpecOf(int workers, int shards, int virtual_shards) {
  v1::JobSpec spec;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(
      absl::StrCat("name: 'oracle' seed: 5 optimizer { learning_rate: 1 sgd {} } num_workers: ",
                   workers, " num_shards: ", shards,
                   " policy { asynchronous {} } tables { name: 'rows' width: 4 dtype: FLOAT32 "
                   "initializer { constant { value: 0.25 } } virtual_shards: ",
                   virtual_shards,
                   " optimizer { learning_rate: 0.125 adagrad { initial_accumulator: 0.1 } } }"),
      &spec));
  return spec;
}

struct Row {
  float values[kWidth] = {0.25f, 0.25f, 0.25f, 0.25f};
  float n[kWidth] = {};
  int64_t round = 0;  // of its last update

  void Update(const float* gradient) {
    for (size_t i = 0; i < kWidth; ++i) {
      const float sum = n[i] + gradient[i] * gradient[i];
      n[i] = sum;
      values[i] -= 0.125f * (gradient[i] / (std::sqrt(0.1f + sum) + 1e-10f));
    }
  }
};

// How often a key without a row was named, and in which round last.
struct Sighted {
  int times = 0;
  int64_t round = 0;
};

using Map = std::map<uint64_t, Row>;

class Oracle {
 public:
  explicit Oracle(uint64_t seed) : random_(seed) {
    if (random_() % 2 == 0) expire_after_ = 5 + static_cast<int64_t>(random_() % 60);
  }

  void Run(int64_t operations) {
    Restart("");
    for (int64_t i = 0; i < operations && !testing::Test::HasFatalFailure(); ++i) {
      const uint64_t choice = random_() % 100;
      if (choice < 45) {
        Push();
      } else if (choice < 94) {
        Pull();
      } else if (choice < 97) {
        Save();
      } else if (choice < 99 && logs_) {
        Die();
      } else if (choice < 99 && !copied_.empty()) {
        MoveOrDie();
      } else {
        Return();
      }
    }
    std::vector<uint64_t> all;
    for (const auto& each : map_) all.push_back(each.first);
    Compare(all);
  }

 private:
  std::vector<uint64_t> Keys() {
    // Few and many, so that some come twice; at times from everywhere, but always the same ones,
    // for a long run is to have no more rows than a short one.
    const bool everywhere = random_() % 4 == 0;
    const uint64_t range = 1 + random_() % (everywhere ? 5000 : 3000);
    std::vector<uint64_t> keys(random_() % 5 == 0 ? random_() % 3 : random_() % 400);
    for (uint64_t& key : keys) key = random_() % range * (everywhere ? 0x9e3779b97f4a7c15 : 1);
    return keys;
  }

  void Push() {
    const std::vector<uint64_t> keys = Keys();
    std::vector<float> gradients(keys.size() * kWidth);
    for (float& value : gradients) value = static_cast<float>(random_() % 2001) * 1e-3f - 1;
    ASSERT_TRUE(client_->PushRows(0, step_++, keys, gradients).ok());
    std::map<uint64_t, std::vector<float>> sums;
    for (size_t i = 0; i < keys.size(); ++i) {
      const float* const row = gradients.data() + i * kWidth;
      const auto [sum, is_new] = sums.try_emplace(keys[i], row, row + kWidth);
      for (size_t j = 0; j < kWidth && !is_new; ++j) sum->second[j] += row[j];
    }
    ++round_;
    for (const auto& [key, sum] : sums) {
      const auto known = map_.find(key);
      const bool there = known != map_.end() && !HasExpired(known->second, round_ - 1);
      if (!there && !Admit(key)) continue;
      Row& row = map_[key];
      if (!there) row = Row();
      row.Update(sum.data());
      row.round = round_;
    }
  }

  // Whether a key without a row gets one in this round.
  bool Admit(uint64_t key) {
    if (admit_after_ <= 1) return true;
    Sighted& sighted = sighted_[key];
    const int64_t virtual_shard = VirtualShardOf(MixKey(key), virtual_shards_);
    const auto clearings = [&](int64_t round) {  // of its virtual shard's counts, by then
      return expire_after_ == 0 ? 0 : (round + virtual_shard) / expire_after_;
    };
    if (clearings(round_ - 1) > clearings(sighted.round - 1)) sighted.times = 0;
    sighted.round = round_;
    if (++sighted.times < admit_after_) return false;
    sighted_.erase(key);
    return true;
  }

  bool HasExpired(const Row& row, int64_t round) const {
    return expire_after_ > 0 && round - row.round >= expire_after_;
  }

  void Pull() { Compare(Keys()); }

  void Compare(const std::vector<uint64_t>& keys) {
    std::vector<float> rows(keys.size() * kWidth);
    ASSERT_TRUE(client_->PullRows(0, step_, keys, absl::MakeSpan(rows)).ok());
    const Row fresh;
    for (size_t i = 0; i < keys.size(); ++i) {
      const auto known = map_.find(keys[i]);
      const bool there = known != map_.end() && !HasExpired(known->second, round_);
      const Row& row = there ? known->second : fresh;
      for (size_t j = 0; j < kWidth; ++j) ASSERT_EQ(rows[i * kWidth + j], row.values[j]);
    }
  }

  void Save() {
    const auto saved = client_->SaveCheckpoint(step_, folder_.path(), 2);
    ASSERT_TRUE(saved.ok()) << saved.status();
    saved_ = *saved;
    saved_map_ = map_;
    saved_step_ = step_;
    saved_round_ = round_;
  }

  void Return() {
    if (saved_.empty()) return;
    Restart(saved_);
    map_ = saved_map_;
    step_ = saved_step_;
    round_ = saved_round_;
    ASSERT_GE(client_->first_step(), 0);
  }

  // One shard or all at once.
  void Die() {
    const size_t one = random_() % tasks_.size();
    const bool all = random_() % 2 == 0;
    for (size_t i = 0; i < tasks_.size(); ++i) {
      if (all || i == one) tasks_[i]->Die();
    }
    for (size_t i = 0; i < tasks_.size(); ++i) {
      if (!all && i != one) continue;
      const absl::StatusOr<bool> recovered = tasks_[i]->Start();
      ASSERT_TRUE(recovered.ok()) << recovered.status();
      ASSERT_TRUE(*recovered);
    }
  }

  // A copy moves while its shard dies, or does not.
  void MoveOrDie() {
    for (const std::shared_ptr<ReplicatedShard>& shard : copied_) {
      if (random_() % 2 == 0) shard->Move();
      if (random_() % 3 != 0) continue;
      const absl::Status taken = shard->Die();
      ASSERT_TRUE(taken.ok()) << taken;
    }
  }

  void Restart(const std::string& checkpoint) {
    client_ = nullptr;
    tasks_.clear();
    copied_.clear();
    const uint64_t kept = random_() % 4;
    logs_ = kept == 0;
    const bool copies = kept == 1;
    log_folder_ = logs_ ? std::make_unique<TempFolder>() : nullptr;
    const int shards = 1 + static_cast<int>(random_() % 5);
    virtual_shards_ = random_() % 2 == 0 ? 64 : 1 + static_cast<uint32_t>(random_() % 100);
    // Logs and checkpoints have no counts.
    admit_after_ = logs_ || random_() % 2 == 0 ? 1 : 2 + static_cast<int>(random_() % 2);
    sighted_.clear();
    std::vector<std::shared_ptr<ParameterServer>> servers;
    for (int i = 0; i < shards; ++i) {
      ShardOptions options;
      options.shard_index = i;
      options.checkpoint_folder = folder_.path();
      options.threads = 1 + static_cast<int>(random_() % 3);
      options.spill_folder = spilled_.path();
      if (copies) {
        copied_.push_back(std::make_shared<ReplicatedShard>(std::move(options), 1 + random_() % 3));
        copied_.back()->Start();
        servers.push_back(copied_.back());
        continue;
      }
      if (logs_) options.log_folder = log_folder_->File(absl::StrCat(i));
      tasks_.push_back(std::make_shared<RestartedShard>(std::move(options)));
      servers.push_back(tasks_.back());
      ASSERT_TRUE(tasks_.back()->Start().ok());
    }
    ClientOptions options;
    options.checkpoint = checkpoint;
    options.checkpoint_full_every = 1 + static_cast<int>(random_() % 4);
    // Of what nobody else pushes the cache shows nothing old. Rows that expire are another matter.
    if (expire_after_ == 0 && random_() % 2 == 0) options.row_cache.bytes = random_() % 30000;
    options.row_cache.staleness = static_cast<int64_t>(random_() % 10);
    v1::JobSpec spec = SpecOf(1, shards, static_cast<int>(virtual_shards_));
    spec.mutable_tables(0)->set_admit_after_rounds(admit_after_);
    spec.mutable_tables(0)->set_expire_after_rounds(expire_after_);
    if (random_() % 2 == 0) {
      spec.mutable_tables(0)->set_memory_limit(static_cast<int64_t>(random_() % 300000) + 1);
    }
    auto client = Client::Connect(std::move(spec), std::move(servers), options);
    ASSERT_TRUE(client.ok()) << client.status();
    client_ = *std::move(client);
  }

  std::mt19937_64 random_;
  int64_t expire_after_ = 0;  // rounds; 0: rows stay
  int admit_after_ = 1;       // rounds
  uint32_t virtual_shards_ = 0;
  TempFolder folder_;
  TempFolder spilled_;
  bool logs_ = false;
  std::unique_ptr<TempFolder> log_folder_;
  std::vector<std::shared_ptr<RestartedShard>> tasks_;
  std::vector<std::shared_ptr<ReplicatedShard>> copied_;  // instead of these
  std::unique_ptr<Client> client_;
  int64_t step_ = 0;
  int64_t round_ = 0;
  Map map_;
  std::map<uint64_t, Sighted> sighted_;
  std::string saved_;
  Map saved_map_;
  int64_t saved_step_ = 0;
  int64_t saved_round_ = 0;
};

TEST(TablesOracleTest, DoesWhatAMapDoes) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  Oracle(seed).Run(FLAGS_operations);
}

// Several workers at once: with whole numbers and SGD no order matters.
TEST(TablesOracleTest, NothingIsLostOrTwiceAmongManyWorkers) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  constexpr int kWorkers = 4;
  constexpr int64_t kSteps = 40;
  constexpr uint64_t kKeys = 300;
  v1::JobSpec spec = SpecOf(kWorkers, 2, 64);
  spec.mutable_tables(0)->clear_initializer();
  spec.mutable_tables(0)->mutable_optimizer()->set_learning_rate(1);
  spec.mutable_tables(0)->mutable_optimizer()->mutable_sgd();
  std::vector<std::shared_ptr<ParameterServer>> shards;
  for (int i = 0; i < 2; ++i) {
    ShardOptions options;
    options.shard_index = i;
    options.threads = 2;
    shards.push_back(std::make_shared<Shard>(std::move(options)));
  }
  std::vector<std::vector<float>> sums(kWorkers, std::vector<float>(kKeys * kWidth, 0.0f));
  std::vector<std::thread> threads;
  for (int worker = 0; worker < kWorkers; ++worker) {
    threads.emplace_back([&, worker] {
      std::mt19937_64 random(seed + static_cast<uint64_t>(worker));
      ClientOptions options;
      options.worker = worker;
      auto client = Client::Connect(spec, shards, options);
      ASSERT_TRUE(client.ok()) << client.status();
      std::vector<std::future<absl::Status>> pushes;
      for (int64_t step = 0; step < kSteps; ++step) {
        std::vector<uint64_t> keys(random() % 200);
        for (uint64_t& key : keys) key = random() % kKeys;
        std::vector<float> gradients(keys.size() * kWidth);
        for (float& value : gradients) value = static_cast<float>(random() % 9) - 4;
        for (size_t i = 0; i < gradients.size(); ++i) {
          sums[static_cast<size_t>(worker)][keys[i / kWidth] * kWidth + i % kWidth] -= gradients[i];
        }
        pushes.push_back((*client)->PushRowsAsync(0, step, keys, gradients));
      }
      for (std::future<absl::Status>& push : pushes) ASSERT_TRUE(push.get().ok());
      ASSERT_TRUE((*client)->Barrier("pushed", absl::Seconds(30)).ok());
      std::vector<uint64_t> all(kKeys);
      for (uint64_t key = 0; key < kKeys; ++key) all[key] = key;
      std::vector<float> rows(kKeys * kWidth);
      ASSERT_TRUE((*client)->PullRows(0, kSteps, all, absl::MakeSpan(rows)).ok());
      ASSERT_TRUE((*client)->Barrier("pulled", absl::Seconds(30)).ok());
      for (size_t i = 0; i < rows.size(); ++i) {
        float sum = 0;
        for (const std::vector<float>& one : sums) sum += one[i];
        ASSERT_EQ(rows[i], sum) << "element " << i;
      }
      ASSERT_TRUE((*client)->Leave(absl::OkStatus()).ok());
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// A synchronous job with a dense parameter goes on from a checkpoint, with another number of
// shards, to the same bits.
TEST(TablesOracleTest, AResumedSynchronousJobHasTheSameBits) {
  TempFolder folder;
  v1::JobSpec spec = SpecOf(1, 2, 64);
  spec.mutable_policy()->mutable_synchronous();
  spec.mutable_tables(0)->mutable_optimizer()->mutable_adam();
  v1::ParameterSpec* const parameter = spec.add_parameters();
  parameter->set_name("w");
  parameter->add_shape(10);
  parameter->set_dtype(v1::FLOAT32);
  const auto connect = [&](int shards, const std::string& checkpoint) {
    std::vector<std::shared_ptr<ParameterServer>> servers;
    for (int i = 0; i < shards; ++i) {
      ShardOptions options;
      options.shard_index = i;
      options.checkpoint_folder = folder.path();
      servers.push_back(std::make_shared<Shard>(std::move(options)));
    }
    spec.set_num_shards(shards);
    ClientOptions options;
    options.checkpoint = checkpoint;
    return Client::Connect(spec, std::move(servers), options);
  };
  const auto work = [](Client* client, int64_t begin, int64_t end) {
    std::vector<float> dense(10);
    for (int64_t step = begin; step < end; ++step) {
      std::mt19937_64 random(static_cast<uint64_t>(step));
      std::vector<uint64_t> keys(50);
      for (uint64_t& key : keys) key = random() % 80;
      std::vector<float> rows(keys.size() * kWidth);
      ASSERT_TRUE(client->PullRows(0, step, keys, absl::MakeSpan(rows)).ok());
      ASSERT_TRUE(client->PushRows(0, step, keys, rows).ok());
      ASSERT_TRUE(client->PushPull(step, {{0, dense}}, {{0, absl::MakeSpan(dense)}}).ok());
    }
  };
  std::vector<uint64_t> all(80);
  for (size_t i = 0; i < all.size(); ++i) all[i] = i;
  std::vector<float> straight(all.size() * kWidth), resumed(straight.size());
  std::string checkpoint;
  {
    auto client = connect(2, "");
    ASSERT_TRUE(client.ok()) << client.status();
    work(client->get(), 0, 5);
    const auto saved = (*client)->SaveCheckpoint(5, folder.path(), 2);
    ASSERT_TRUE(saved.ok()) << saved.status();
    checkpoint = *saved;
    work(client->get(), 5, 9);
    ASSERT_TRUE((*client)->PullRows(0, 9, all, absl::MakeSpan(straight)).ok());
  }
  {
    auto client = connect(3, checkpoint);
    ASSERT_TRUE(client.ok()) << client.status();
    EXPECT_EQ((*client)->first_step(), 5);
    work(client->get(), 5, 9);
    ASSERT_TRUE((*client)->PullRows(0, 9, all, absl::MakeSpan(resumed)).ok());
  }
  EXPECT_EQ(resumed, straight);
  const auto refused = [&](const std::string& why) {
    const absl::Status status = connect(1, checkpoint).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
    EXPECT_NE(std::string(status.message()).find(why), std::string::npos) << status;
  };
  spec.mutable_tables(0)->set_width(5);
  refused("table rows has another width than in the checkpoint");
  spec.mutable_tables(0)->set_width(4);
  spec.mutable_tables(0)->mutable_optimizer()->mutable_sgd();
  refused("table rows has another kind of optimizer than in the checkpoint");
  spec.mutable_tables(0)->set_name("other");
  refused("table other is not in the checkpoint");
}

}  // namespace
}  // namespace parley

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  gflags::ParseCommandLineFlags(&argc, &argv, true);
  return RUN_ALL_TESTS();
}
