#include "examples/factorization.h"

#include <cmath>
#include <vector>

#include "base/philox.h"
#include "base/status.h"
#include "examples/table_workers.h"
#include "proto/job.pb.h"
#include "worker/client.h"

namespace parley {
namespace {

// What the streams of random numbers are for.
constexpr uint64_t kWho = 1, kWhat = 2, kNoiseStream = 3, kUsers = 1000, kItems = uint64_t{1} << 40;
constexpr uint64_t kRank = 4;
constexpr double kBiasDeviation = 0.3;
constexpr double kFactorDeviation = 0.5;
constexpr float kMean = 3.5f;  // what a user says whom nobody knows, of an item that nobody knows
constexpr uint64_t kTestRatings = 20000;  // the first ones

// Their rows, errors and gradients, all in the order of the ratings.
struct Batch {
  absl::Status Pull(const Ratings& ratings, uint64_t first, size_t size, size_t width, int64_t step,
                    Client* client) {
    users.clear();
    items.clear();
    values.clear();
    for (uint64_t i = first; i < first + size; ++i) {
      const Ratings::Rating rating = ratings.Get(i);
      users.push_back(rating.user);
      items.push_back(rating.item);
      values.push_back(rating.value);
    }
    user_rows.resize(size * width);
    item_rows.resize(size * width);
    auto pulled = client->PullRowsAsync(0, step, users, absl::MakeSpan(user_rows));
    const absl::Status other = client->PullRows(1, step, items, absl::MakeSpan(item_rows));
    PARLEY_RETURN_IF_ERROR(pulled.get());
    return other;
  }
  float Error(size_t i, size_t width) const {
    const float* const user = user_rows.data() + i * width;
    const float* const item = item_rows.data() + i * width;
    float predicted = kMean + user[0] + item[0];
    for (size_t j = 1; j < width; ++j) predicted += user[j] * item[j];
    return predicted - values[i];
  }

  std::vector<uint64_t> users, items;
  std::vector<float> values, user_rows, item_rows;
};

absl::Status Train(const FactorizationOptions& options, Client* client, double* error) {
  const Ratings ratings(options.users, options.items, options.seed);
  const size_t width = 1 + static_cast<size_t>(options.rank);
  const size_t size = static_cast<size_t>(options.batch_size);
  Batch batch;
  for (int64_t step = 0; step < options.steps; ++step) {
    const uint64_t number = static_cast<uint64_t>(step * options.workers + client->worker());
    PARLEY_RETURN_IF_ERROR(
        batch.Pull(ratings, kTestRatings + number * size, size, width, step, client));
    for (size_t i = 0; i < size; ++i) {
      const float gradient = batch.Error(i, width);  // of error^2 / 2
      float* const user = batch.user_rows.data() + i * width;
      float* const item = batch.item_rows.data() + i * width;
      user[0] = item[0] = gradient;
      for (size_t j = 1; j < width; ++j) {
        const float factor = user[j];
        user[j] = gradient * item[j];
        item[j] = gradient * factor;
      }
    }
    auto pushed = client->PushRowsAsync(0, step, batch.users, batch.user_rows);
    const absl::Status other = client->PushRows(1, step, batch.items, batch.item_rows);
    PARLEY_RETURN_IF_ERROR(pushed.get());
    PARLEY_RETURN_IF_ERROR(other);
  }
  PARLEY_RETURN_IF_ERROR(client->Barrier("trained", absl::Minutes(10)));
  if (client->worker() != 0) return absl::OkStatus();
  PARLEY_RETURN_IF_ERROR(batch.Pull(ratings, 0, kTestRatings, width, options.steps, client));
  double sum = 0;
  for (size_t i = 0; i < kTestRatings; ++i) {
    const double each = static_cast<double>(batch.Error(i, width));
    sum += each * each;
  }
  *error = std::sqrt(sum / static_cast<double>(kTestRatings));
  return absl::OkStatus();
}

}  // namespace

Ratings::Rating Ratings::Get(uint64_t i) const {
  Rating rating;
  rating.user = PhiloxBelow(seed_, kWho, i, users_);
  rating.item = PhiloxBelow(seed_, kWhat, i, items_);
  const auto normal = [this](uint64_t stream, uint64_t index) {
    return static_cast<double>(PhiloxNormal(seed_, stream, index));
  };
  const uint64_t user = kUsers + rating.user;
  const uint64_t item = kItems + rating.item;
  double value = static_cast<double>(kMean) + kBiasDeviation * (normal(user, 0) + normal(item, 0)) +
                 kNoise * normal(kNoiseStream, i);
  for (uint64_t j = 1; j <= kRank; ++j) {
    value += kFactorDeviation * normal(user, j) * kFactorDeviation * normal(item, j);
  }
  rating.value = static_cast<float>(value);
  return rating;
}

absl::StatusOr<double> LearnRatings(const FactorizationOptions& options) {
  if (options.users < 1 || options.items < 1 || options.rank < 1 || options.rank > 1023 ||
      options.steps < 1 || options.batch_size < 1 || options.batch_size > 1 << 20) {
    return absl::InvalidArgumentError(
        "users, items, the rank (to 1023), steps and the batch size (to 2^20) are at least 1");
  }
  v1::JobSpec spec;
  spec.set_name("matrix_factorization");
  spec.set_seed(options.seed);
  spec.set_num_workers(options.workers);
  spec.set_num_shards(options.shards);
  spec.mutable_optimizer()->mutable_sgd();
  spec.mutable_policy()->mutable_asynchronous();
  for (const char* name : {"users", "items"}) {
    v1::TableSpec* const table = spec.add_tables();
    table->set_name(name);
    table->set_width(1 + options.rank);
    table->set_dtype(v1::FLOAT32);
    table->mutable_initializer()->mutable_normal()->set_stddev(0.1f);
    table->mutable_optimizer()->set_learning_rate(options.learning_rate);
    table->mutable_optimizer()->mutable_adagrad();
  }
  double error = 0;
  PARLEY_RETURN_IF_ERROR(
      RunTableWorkers(spec, [&](Client* client) { return Train(options, client, &error); }));
  return error;
}

}  // namespace parley
