#include "net/check_table.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "google/protobuf/text_format.h"
#include "net/job.h"

namespace parley {
namespace {

constexpr char kRows[] =
    "name: 'rows' width: 8 dtype: FLOAT32 optimizer { learning_rate: 0.1 adagrad {} } ";

// A job with one table for each of these, which say what of kRows is otherwise.
v1::JobSpec JobWith(const std::vector<std::string>& tables) {
  v1::JobSpec spec;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(
      "name: 'j' num_workers: 2 num_shards: 1 optimizer { learning_rate: 0.1 sgd {} } "
      "policy { synchronous {} }",
      &spec));
  for (const std::string& changes : tables) {
    v1::TableSpec* const table = spec.add_tables();
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(kRows, table));
    EXPECT_TRUE(google::protobuf::TextFormat::MergeFromString(changes, table)) << changes;
  }
  return spec;
}

TEST(CheckTableTest, FillsInTheDefault) {
  v1::JobSpec spec = JobWith({""});
  ASSERT_TRUE(CheckTables(&spec).ok());
  EXPECT_EQ(spec.tables(0).virtual_shards(), 1024);
}

TEST(CheckTableTest, AJobMayHaveNothingButTables) {
  const absl::StatusOr<Job> job =
      Job::Create(JobWith({"", "name: 'more' policy { asynchronous {} }"}));
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(*job->FindTable("more"), 1);
  EXPECT_TRUE(job->PolicyOfTable(0).has_synchronous());
  EXPECT_TRUE(job->PolicyOfTable(1).has_asynchronous());
  EXPECT_EQ(job->BlockOfTable(1), 1u);
  EXPECT_EQ(job->FindTable("none").status().message(), "job j has no table none");
}

TEST(CheckTableTest, RefusesNamingTheField) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
      {{"name: ''"}, "job j: a table has no name"},
      {{"", ""}, "job j, table rows: its name is used twice"},
      {{"width: 0"}, "job j, table rows: width is 0, allowed are whole numbers in [1, 1024]"},
      {{"width: 1025"}, "width is 1025"},
      {{"dtype: FLOAT16"}, "dtype is 3, allowed are FLOAT32 and BFLOAT16"},
      {{"dtype: DTYPE_UNSPECIFIED"}, "dtype is 0"},
      {{"virtual_shards: -1"}, "virtual_shards is -1"},
      {{"virtual_shards: 65537"}, "virtual_shards is 65537"},
      {{"expire_after_rounds: -1"}, "expire_after_rounds is -1"},
      {{"expire_after_rounds: 2147483649"}, "expire_after_rounds is 2147483649"},
      {{"admit_after_rounds: -1"}, "admit_after_rounds is -1"},
      {{"optimizer { learning_rate: nan }"}, "optimizer.learning_rate is nan"},
      {{"optimizer { learning_rate: -1 }"}, "optimizer.learning_rate is -1"},
      {{"optimizer { adagrad { rate_decay: 1 } }"}, "optimizer.adagrad.rate_decay is 1"},
      {{"optimizer { adagrad { epsilon: -1 } }"}, "optimizer.adagrad.epsilon is -1"},
      {{"optimizer { rowwise_adagrad { initial_accumulator: -1 } }"},
       "optimizer.rowwise_adagrad.initial_accumulator is -1"},
      {{"optimizer { adam { beta1: 1 } }"}, "optimizer.adam.beta1 is 1"},
      {{"optimizer { adam { amsgrad: true } }"}, "optimizer.adam.amsgrad is true"},
      {{"optimizer { lazy_adam { epsilon: inf } }"}, "optimizer.lazy_adam.epsilon is inf"},
      {{"optimizer { learning_rate: 0 ftrl {} }"}, "optimizer.learning_rate is 0"},
      {{"optimizer { ftrl { l1: -1 } }"}, "optimizer.ftrl.l1 is -1"},
      {{"policy { synchronous { replicas_to_aggregate: 1 } }"}, "is not for tables"},
      {{"policy { asynchronous {} rate_by_staleness: true }"}, "is not for tables"},
      {{"policy { bounded_staleness { limit: -1 } }"}, "is not for tables"},
      {{"policy { geo { every: 1 } }"}, "is not for tables"},
  };
  for (const auto& [tables, message] : cases) {
    v1::JobSpec spec = JobWith(tables);
    const absl::Status status = CheckTables(&spec);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << message;
    EXPECT_NE(std::string(status.message()).find(message), std::string::npos) << status.message();
    EXPECT_FALSE(Job::Create(spec).ok());
  }
}

TEST(CheckTableTest, ATableThatWaitsMayNotBeBesideRoundsThatDrop) {
  v1::JobSpec spec = JobWith({"policy { bounded_staleness { limit: 1 } }"});
  EXPECT_TRUE(Job::Create(spec).ok());
  spec.mutable_policy()->mutable_synchronous()->set_replicas_to_aggregate(1);
  EXPECT_NE(Job::Create(spec).status().message().find("policy of table rows is bounded"),
            absl::string_view::npos);
}

TEST(CheckTableTest, NoKindOfOptimizerIsRefused) {
  v1::JobSpec spec = JobWith({""});
  spec.mutable_tables(0)->mutable_optimizer()->clear_adagrad();
  EXPECT_FALSE(CheckTables(&spec).ok());
}

TEST(CheckTableTest, RefusesTooMany) {
  v1::JobSpec spec = JobWith({""});
  for (int i = 0; i < 256; ++i) {
    *spec.add_tables() = spec.tables(0);
    spec.mutable_tables(i + 1)->set_name("t" + std::to_string(i));
  }
  EXPECT_FALSE(CheckTables(&spec).ok());
}

}  // namespace
}  // namespace parley
