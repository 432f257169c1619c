#ifndef PARLEY_PS_TESTING_TABLE_JOB_H_
#define PARLEY_PS_TESTING_TABLE_JOB_H_

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/testing/temp_folder.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "ps/testing/one_shard.h"

namespace parley {

// OneShardSpec of one worker, with a table of width TableJob::kWidth; `more` is of the table.
inline v1::JobSpec TableJobSpec(bool synchronous, const std::string& more = "") {
  v1::JobSpec spec = OneShardSpec(/*workers=*/1, synchronous);
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(
      absl::StrCat("name: 'rows' width: 2 dtype: FLOAT32 virtual_shards: 8 initializer { normal { "
                   "stddev: 1 } } optimizer { learning_rate: 0.5 adam {} } ",
                   more),
      spec.add_tables()));
  return spec;
}

// A job of one worker with a table beside its parameter, whose one shard is started again and
// again.
class TableJob {
 public:
  static constexpr uint64_t kKeys = 400;
  static constexpr uint64_t kWidth = 2;

  explicit TableJob(v1::JobSpec spec, Env* env = Env::Posix()) : task_(std::move(spec), env) {}

  // With a folder for rows that have no room.
  void StartWith(ShardOptions options) {
    options.spill_folder = spilled_.path();
    task_.StartWith(std::move(options));
  }
  // Declares the job, and has its worker join.
  void Declare() {
    const absl::Status declared = task_.Declare();
    ASSERT_TRUE(declared.ok()) << declared;
    ASSERT_TRUE(task_.Join(0).ok());
  }
  absl::Status PushRows(int64_t step, uint64_t sequence, const std::vector<uint64_t>& keys,
                        const std::vector<float>& gradients) {
    v1::PushPullRequest request = Request();
    request.set_step(step);
    request.set_sequence(sequence);
    request.add_push_rows()->mutable_keys()->Add(keys.begin(), keys.end());
    const auto values = std::make_shared<std::vector<float>>(gradients);
    Payload payload;
    payload.Append(values->data(), values->size() * sizeof(float), values);
    return Begin<ParameterServer::PushPullReply>([&](auto done) {
             task_.shard().PushPull(request, std::move(payload), std::move(done));
           })
        .get()
        .status();
  }
  // Keys and gradients that follow from `number`, which is the sequence number, too; some keys come
  // twice.
  absl::Status PushSome(int64_t step, uint64_t number) {
    std::mt19937_64 random(number);
    std::vector<uint64_t> keys(random() % 60);
    for (uint64_t& key : keys) key = random() % (1 + random() % kKeys);
    std::vector<float> gradients(keys.size() * kWidth);
    for (float& value : gradients) value = static_cast<float>(random() % 2001) * 1e-3f - 1;
    return PushRows(step, number, keys, gradients);
  }
  // Those of all keys below kKeys.
  std::vector<float> Rows(int64_t step) {
    v1::PushPullRequest request = Request();
    request.set_pull_step(step);
    request.add_pull_rows();
    for (uint64_t key = 0; key < kKeys; ++key) request.mutable_pull_rows(0)->add_keys(key);
    const auto reply = Begin<ParameterServer::PushPullReply>([&](auto done) {
                         task_.shard().PushPull(request, Payload(), std::move(done));
                       }).get();
    EXPECT_TRUE(reply.ok()) << reply.status();
    std::vector<float> rows(kKeys * kWidth);
    if (reply.ok()) reply->payload.CopyTo(rows.data());
    return rows;
  }
  OneShard& task() { return task_; }
  const std::string& spill_folder() const { return spilled_.path(); }

 private:
  static v1::PushPullRequest Request() {
    v1::PushPullRequest request;
    request.mutable_sender()->set_job("job");
    request.mutable_sender()->set_incarnation(1);
    request.set_wait_ms(30000);
    request.set_dtype(v1::FLOAT32);
    return request;
  }

  TempFolder spilled_;
  OneShard task_;
};

}  // namespace parley

#endif  // PARLEY_PS_TESTING_TABLE_JOB_H_
