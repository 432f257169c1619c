// Tables from workers to shards and back, over each transport.

#include <algorithm>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "net/channel.h"
#include "net/row_wire.h"
#include "net/shared_arena.h"
#include "net/wire_dtype.h"
#include "ps/server.h"
#include "ps/shard.h"
#include "worker/client.h"

namespace parley {
namespace {

using testing::Each;
using testing::HasSubstr;

// How workers reach shards; kInProcess: they call them.
enum class Way { kInProcess, kGrpc, kSharedMemory };

v1::JobSpec SpecOf(const std::string& text, int workers, int shards) {
  v1::JobSpec spec;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(
      absl::StrCat("name: 'tables' seed: 3 optimizer { learning_rate: 1 sgd {} } num_workers: ",
                   workers, " num_shards: ", shards, " ", text),
      &spec))
      << text;
  return spec;
}

// A job's shards, and who connects to them.
class TableJob {
 public:
  TableJob(v1::JobSpec spec, Way way) : spec_(std::move(spec)), way_(way) {
    for (int i = 0; i < spec_.num_shards(); ++i) {
      if (way_ == Way::kInProcess) {
        ShardOptions options;
        options.shard_index = i;
        options.threads = 2;
        shards_.push_back(std::make_shared<Shard>(std::move(options)));
        continue;
      }
      ServerOptions options;
      options.shard.shard_index = i;
      options.shard.threads = 2;
      options.address = "localhost:0";
      servers_.push_back(Server::Start(options).value());
    }
  }

  std::unique_ptr<Client> Connect(ClientOptions options) {
    options.arena = SharedArena::Create();
    std::vector<std::shared_ptr<ParameterServer>> shards = shards_;
    for (size_t i = 0; i < servers_.size(); ++i) {
      ChannelOptions channel;
      channel.transport = way_ == Way::kGrpc ? Transport::kGrpc : Transport::kSharedMemory;
      channel.arena = options.arena;
      shards.push_back(NewChannel(absl::StrCat("ps:", i),
                                  absl::StrCat("localhost:", servers_[i]->port()), channel));
    }
    absl::StatusOr<std::unique_ptr<Client>> client =
        Client::Connect(spec_, std::move(shards), std::move(options));
    EXPECT_TRUE(client.ok()) << client.status();
    return *std::move(client);
  }
  std::unique_ptr<Client> Connect(int worker = 0) {
    ClientOptions options;
    options.worker = worker;
    return Connect(std::move(options));
  }

 private:
  const v1::JobSpec spec_;
  const Way way_;
  std::vector<std::shared_ptr<ParameterServer>> shards_;
  std::vector<std::unique_ptr<Server>> servers_;
};

class TablesTest : public testing::TestWithParam<Way> {};

// Random pushes and pulls of one worker, with doubled, missing and no keys, against a map.
TEST_P(TablesTest, RowsAreWhatAMapSays) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  std::mt19937_64 random(seed);
  constexpr size_t kWidth = 3;
  const int shards = 1 + static_cast<int>(random() % 3);
  TableJob job(SpecOf("tables { name: 'rows' width: 3 dtype: FLOAT32 virtual_shards: 16 "
                      "  initializer { constant { value: 0.5 } } "
                      "  optimizer { learning_rate: 0.25 sgd {} } } policy { asynchronous {} }",
                      1, shards),
               GetParam());
  ClientOptions options;
  options.request_bytes = 1 + random() % 3000;  // a pull takes several
  // Of what nobody else pushes the cache shows nothing old, unless it is told to.
  options.row_cache.bytes = random() % 2 == 0 ? 0 : random() % 20000;
  options.row_cache.staleness = static_cast<int64_t>(random() % 5);
  const std::unique_ptr<Client> client = job.Connect(options);
  std::map<uint64_t, std::vector<float>> map;
  for (int64_t step = 0; step < 60; ++step) {
    std::vector<uint64_t> keys(random() % 3 == 0 ? 0 : random() % 600);
    for (uint64_t& key : keys) key = random() % 500 * 0x123456789abcdef;
    std::vector<float> gradients(keys.size() * kWidth);
    for (float& value : gradients) value = static_cast<float>(random() % 9) - 4;
    ASSERT_TRUE(client->PushRows(0, step, keys, gradients).ok());
    for (size_t i = 0; i < keys.size(); ++i) {
      std::vector<float>& row = map.try_emplace(keys[i], kWidth, 0.5f).first->second;
      // Sums of small whole numbers: no order of additions rounds.
      for (size_t j = 0; j < kWidth; ++j) row[j] -= 0.25f * gradients[i * kWidth + j];
    }
    std::vector<uint64_t> asked(random() % 3 == 0 ? 0 : random() % 900);
    for (uint64_t& key : asked) key = random() % 700 * 0x123456789abcdef;
    std::vector<float> rows(asked.size() * kWidth, -1);
    ASSERT_TRUE(client->PullRows(0, step + 1, asked, absl::MakeSpan(rows)).ok());
    for (size_t i = 0; i < asked.size(); ++i) {
      const auto known = map.find(asked[i]);
      for (size_t j = 0; j < kWidth; ++j) {
        ASSERT_EQ(rows[i * kWidth + j], known == map.end() ? 0.5f : known->second[j])
            << "step " << step << " key " << asked[i];
      }
    }
  }
  EXPECT_TRUE(client->Leave(absl::OkStatus()).ok());
}

TEST_P(TablesTest, RowsTravelIn16Bits) {
  TableJob job(SpecOf("tables { name: 'rows' width: 5 dtype: FLOAT32 "
                      "  optimizer { learning_rate: 1 sgd {} } } policy { asynchronous {} }",
                      1, 2),
               GetParam());
  ClientOptions options;
  options.push_dtype = v1::BFLOAT16;
  options.pull_dtype = v1::FLOAT16;
  const std::unique_ptr<Client> client = job.Connect(options);
  const std::vector<uint64_t> keys = {1, 2, 3, 4, 5};
  const std::vector<float> gradients(25, -1.2345678f);
  ASSERT_TRUE(client->PushRows(0, 0, keys, gradients).ok());
  std::vector<float> rows(25);
  ASSERT_TRUE(client->PullRows(0, 1, keys, absl::MakeSpan(rows)).ok());
  float expected = 1.2345678f;
  for (const v1::DType dtype : {v1::BFLOAT16, v1::FLOAT16}) {
    std::byte bytes[sizeof(float)];
    ToWire(dtype, &expected, 1, bytes);
    FromWire(dtype, bytes, 1, &expected);
  }
  EXPECT_THAT(rows, Each(expected));
}

TEST_P(TablesTest, RowsTravelIn8BitsWithAScale) {
  TableJob job(SpecOf("tables { name: 'rows' width: 5 dtype: FLOAT32 "
                      "  optimizer { learning_rate: 1 sgd {} } } policy { asynchronous {} }",
                      1, 2),
               GetParam());
  ClientOptions options;
  options.push_dtype = v1::FLOAT16;
  options.push_rows_dtype = v1::INT8;
  options.pull_rows_dtype = v1::INT8;
  options.request_bytes = 50;  // several requests
  const std::unique_ptr<Client> client = job.Connect(options);
  std::vector<uint64_t> keys(20);
  std::vector<float> gradients;
  for (size_t i = 0; i < keys.size(); ++i) {
    keys[i] = i * 77;
    for (const float x : {1.0f, -0.3f, 0.01f, 0.0f, 0.77f}) {
      gradients.push_back(-x * static_cast<float>(i));
    }
  }
  ASSERT_TRUE(client->PushRows(0, 0, keys, gradients).ok());
  std::vector<float> rows(keys.size() * 5);
  ASSERT_TRUE(client->PullRows(0, 1, keys, absl::MakeSpan(rows)).ok());
  for (size_t i = 0; i < keys.size(); ++i) {
    float expected[5];
    for (size_t j = 0; j < 5; ++j) expected[j] = gradients[i * 5 + j];
    for (const float sign : {-1.0f, 1.0f}) {
      std::byte bytes[64];
      RowToWire(v1::INT8, expected, 5, bytes);
      RowFromWire(v1::INT8, bytes, 5, expected);
      for (float& x : expected) x *= sign;
    }
    for (size_t j = 0; j < 5; ++j) ASSERT_EQ(rows[i * 5 + j], expected[j]) << i << " " << j;
  }
  gradients[7] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(client->PushRows(0, 1, keys, gradients).code(), absl::StatusCode::kInvalidArgument);
}

TEST_P(TablesTest, CachedRowsDoNotTravelUntilTheyAreTooOld) {
  TableJob job(SpecOf("tables { name: 'rows' width: 1 dtype: FLOAT32 "
                      "  optimizer { learning_rate: 1 sgd {} } } policy { asynchronous {} }",
                      2, 2),
               GetParam());
  ClientOptions options;
  options.row_cache.bytes = 1 << 20;
  options.row_cache.staleness = 2;
  const std::unique_ptr<Client> reader = job.Connect(options);
  const std::unique_ptr<Client> writer = job.Connect(1);
  const std::vector<uint64_t> keys = {1, 2, 1, 3};
  const auto pull = [&](int64_t step) {
    std::vector<float> rows(keys.size());
    EXPECT_TRUE(reader->PullRows(0, step, keys, absl::MakeSpan(rows)).ok());
    return rows;
  };
  EXPECT_THAT(pull(5), Each(0));
  ASSERT_TRUE(writer->PushRows(0, 0, {1, 2, 3}, {-1, -1, -1}).ok());
  const int64_t bytes = reader->bytes_pulled();
  EXPECT_THAT(pull(6), Each(0));
  EXPECT_THAT(pull(7), Each(0));
  EXPECT_EQ(reader->bytes_pulled(), bytes);
  EXPECT_THAT(pull(8), Each(1));
  EXPECT_EQ(reader->row_cache().hits, 6);
  EXPECT_EQ(reader->row_cache().misses, 6);
}

INSTANTIATE_TEST_SUITE_P(Ways, TablesTest,
                         testing::Values(Way::kInProcess, Way::kGrpc, Way::kSharedMemory),
                         [](const testing::TestParamInfo<Way>& info) {
                           return info.param == Way::kInProcess ? "InProcess"
                                  : info.param == Way::kGrpc    ? "Grpc"
                                                                : "SharedMemory";
                         });

constexpr char kSynchronous[] =
    "policy { synchronous {} } tables { name: 'rows' width: 6 dtype: FLOAT32 "
    "  initializer { normal { stddev: 0.3 } } optimizer { learning_rate: 0.1 adagrad {} } } "
    "parameters { name: 'w' shape: 100 dtype: FLOAT32 } ";

// What a worker does in `steps` steps: its keys and gradients depend on the step and itself.
void Work(Client* client, int64_t steps, size_t width) {
  std::vector<float> dense(100), dense_gradient(100);
  for (int64_t step = 0; step < steps; ++step) {
    std::mt19937_64 random(static_cast<uint64_t>(step * 100 + client->worker()));
    std::vector<uint64_t> keys(random() % 200);  // at times few or none
    for (uint64_t& key : keys) key = random() % 150;
    std::vector<float> rows(keys.size() * width);
    ASSERT_TRUE(client->PullRows(0, step, keys, absl::MakeSpan(rows)).ok());
    for (float& value : rows) value = 0.1f * value + static_cast<float>(random() % 1000) * 1e-3f;
    ASSERT_TRUE(client->PushRows(0, step, keys, rows).ok());
    for (float& value : dense_gradient) value = static_cast<float>(random() % 1000) * 1e-3f;
    const absl::Status pushed =
        client->PushPull(step, {{0, dense_gradient}}, {{0, absl::MakeSpan(dense)}});
    ASSERT_TRUE(pushed.ok()) << pushed;
  }
}

TEST(SynchronousTablesTest, TheSameBitsWhateverTheShards) {
  constexpr int kWorkers = 3;
  constexpr int64_t kSteps = 12;
  constexpr size_t kWidth = 6;
  std::vector<uint64_t> keys(160);
  for (size_t i = 0; i < keys.size(); ++i) keys[i] = i;
  std::vector<float> first;
  for (const auto& [shards, way] :
       {std::make_pair(1, Way::kInProcess), std::make_pair(2, Way::kSharedMemory),
        std::make_pair(5, Way::kInProcess), std::make_pair(3, Way::kGrpc)}) {
    TableJob job(SpecOf(kSynchronous, kWorkers, shards), way);
    std::vector<float> rows(keys.size() * kWidth);
    std::vector<std::thread> threads;
    for (int worker = 0; worker < kWorkers; ++worker) {
      threads.emplace_back([&, worker] {
        const std::unique_ptr<Client> client = job.Connect(worker);
        Work(client.get(), kSteps, kWidth);
        if (worker == 0) {
          ASSERT_TRUE(client->PullRows(0, kSteps, keys, absl::MakeSpan(rows)).ok());
        }
        ASSERT_TRUE(client->Leave(absl::OkStatus()).ok());
      });
    }
    for (std::thread& thread : threads) thread.join();
    if (first.empty()) first = rows;
    EXPECT_EQ(rows, first) << shards << " shards";
  }
}

TEST(SynchronousTablesTest, APullWaitsForTheRound) {
  TableJob job(SpecOf(kSynchronous, 2, 2), Way::kInProcess);
  const std::unique_ptr<Client> chief = job.Connect(0);
  const std::unique_ptr<Client> other = job.Connect(1);
  ASSERT_TRUE(chief->PushRows(0, 0, {}, {}).ok());  // counts, at every shard
  // Twice in a step is out of turn.
  EXPECT_EQ(chief->PushRows(0, 0, {}, {}).code(), absl::StatusCode::kFailedPrecondition);
  const std::vector<uint64_t> keys = {1, 2, 3, 4, 5, 6};
  std::vector<float> rows(36);
  std::future<absl::Status> pull = chief->PullRowsAsync(0, 1, keys, absl::MakeSpan(rows));
  ASSERT_TRUE(other->PushRows(0, 0, keys, rows).ok());
  EXPECT_TRUE(pull.get().ok());
  // What comes when its round is complete changes nothing.
  std::vector<float> after(36);
  EXPECT_TRUE(chief->PushRows(0, 0, keys, std::vector<float>(36, 1.0f)).ok());
  ASSERT_TRUE(chief->PullRows(0, 1, keys, absl::MakeSpan(after)).ok());
  EXPECT_EQ(after, rows);
}

TEST(SynchronousTablesTest, AsynchronousTablesStandBesideSynchronousParameters) {
  v1::JobSpec spec = SpecOf(kSynchronous, 2, 2);
  spec.mutable_tables(0)->mutable_policy()->mutable_asynchronous();
  TableJob job(spec, Way::kInProcess);
  const std::unique_ptr<Client> chief = job.Connect(0);
  const std::unique_ptr<Client> other = job.Connect(1);
  const std::vector<uint64_t> keys = {1};
  std::vector<float> before(6), after(6);
  ASSERT_TRUE(chief->PullRows(0, 0, keys, absl::MakeSpan(before)).ok());
  ASSERT_TRUE(chief->PushRows(0, 0, keys, std::vector<float>(6, 1.0f)).ok());
  ASSERT_TRUE(other->PullRows(0, 0, keys, absl::MakeSpan(after)).ok());
  EXPECT_NE(before, after);
}

TEST(TableCallsTest, AreRefusedWithWhatIsWrong) {
  TableJob job(SpecOf(kSynchronous, 1, 2), Way::kInProcess);
  const std::unique_ptr<Client> client = job.Connect();
  std::vector<float> rows(6);
  const auto message = [](const absl::Status& status) {
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  EXPECT_THAT(message(client->PullRows(1, 0, {7}, absl::MakeSpan(rows))),
              HasSubstr("no table 1; job tables has 1"));
  EXPECT_THAT(message(client->PullRows(0, 0, {7, 8}, absl::MakeSpan(rows))),
              HasSubstr("table rows: 2 rows of width 6 have 12 elements, not 6"));
  EXPECT_THAT(message(client->PushRows(0, -1, {7}, rows)), HasSubstr("no such step"));
  rows[3] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(message(client->PushRows(0, 0, {7}, rows)),
              HasSubstr("table rows: a row's gradient has a NaN or an infinity"));
  EXPECT_TRUE(client->PullRows(0, 0, {}, {}).ok());
}

}  // namespace
}  // namespace parley
