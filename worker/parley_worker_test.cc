// The program's flags, by running it. Whole jobs of it are in tests/.

#include <algorithm>
#include <fstream>
#include <string>

#include "base/testing/run_program.h"
#include "base/testing/temp_folder.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace parley {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr char kCluster[] = "--ps_hosts=localhost:1 --worker_hosts=localhost:2 --task_index=0 ";
constexpr char kWithData[] =
    "--ps_hosts=localhost:1 --worker_hosts=localhost:2 --task_index=0 --data_dir=nowhere ";

ProgramResult Worker(const std::string& arguments, const std::string& tf_config = "") {
  return RunProgram("TF_CONFIG='" + tf_config + "' worker/parley_worker " + arguments);
}

int LinesOf(const std::string& text) {
  return static_cast<int>(std::count(text.begin(), text.end(), '\n'));
}

TEST(ParleyWorkerTest, HelpListsItsFlags) {
  const ProgramResult help = Worker("--help");
  EXPECT_EQ(help.exit_code, 0);
  for (const char* words : {"usage: parley_worker", "--data_dir", "--policy", "--[no]resume",
                            "--summary_json", "default: 64"}) {
    EXPECT_THAT(help.output, HasSubstr(words));
  }
}

TEST(ParleyWorkerTest, FlagsThatMakeNoSenseEndItWithOneLine) {
  const std::string cluster = kCluster;
  const std::string with_data = kWithData;
  const struct {
    std::string arguments;
    const char* words;
  } kCases[] = {
      {"", "--ps_hosts is missing"},
      {cluster, "--data_dir is missing"},
      {with_data + "--epoch=3", "--epoch; did you mean --epochs?"},
      {with_data + "--epochs=3 --steps=7", "--epochs and --steps contradict each other"},
      {with_data + "--epochs=0", "--epochs is not positive"},
      {with_data + "--steps=-1", "--steps is not positive"},
      {with_data + "--steps=many", "--steps=many"},
      {with_data + "--batch_size=0", "--batch_size is not positive"},
      {with_data + "--model=cnn --layers=2", "--layers is not for --model=cnn"},
      {with_data + "--model=lstm --heads=2", "--heads is not for --model=lstm"},
      {with_data + "--model=lstm --regression", "--regression is not for --model=lstm"},
      {with_data + "--model=transformer --width=0", "--width is not in [1, 65536]"},
      {with_data + "--model=transformer --time=-1", "--time is not in [1, 65536]"},
      {with_data + "--model=transformer --dropout=1", "--dropout is not in [0, 1)"},
      {with_data + "--model=transformer --dropout=nan", "--dropout is not in [0, 1)"},
      {with_data + "--model=mlp --categorical_columns=a", "--categorical_columns is not for"},
      {with_data + "--model=wide_deep --categorical_columns=a,,b", "an empty name of a column"},
      {with_data + "--max_train_examples=-1", "--max_train_examples is negative"},
      {with_data + "--max_test_examples=-1", "--max_test_examples is negative"},
      {with_data + "--device=gpu", "--device=gpu is none of cpu, cuda, cuda:N"},
      {with_data + "--device=cuda:-1", "--device=cuda:-1 is none of"},
      {with_data + "--dtype=float64", "--dtype=float64 is none of float32, bfloat16, float16"},
      {with_data + "--optimizer=adamm", "--optimizer=adamm is none of"},
      {with_data + "--momentum=0.5", "--momentum is not for --optimizer=adam"},
      {with_data + "--optimizer=nesterov --momentum=1", "--momentum is not in [0, 1)"},
      {with_data + "--optimizer=nesterov --momentum=nan", "--momentum is not in [0, 1)"},
      {with_data + "--learning_rate=-1", "--learning_rate is not a finite number"},
      {with_data + "--learning_rate=nan", "--learning_rate is not a finite number"},
      {with_data + "--learning_rate=1e300", "--learning_rate is not a finite number"},
      {with_data + "--policy=eventual", "--policy=eventual is none of"},
      {with_data + "--staleness=2", "--staleness is for --policy=bounded, not sync"},
      {with_data + "--policy=bounded --staleness=-2", "policy.bounded_staleness.limit is -2"},
      {with_data + "--exchange_every=4",
       "--exchange_every is for --policy=local_sgd, elastic, geo"},
      {with_data + "--moving_rate=0.5 --policy=geo", "--moving_rate is for --policy=elastic"},
      {with_data + "--policy=geo --optimizer=sgd --exchange_every=0",
       "--exchange_every is not in [1, 1048576]"},
      {with_data + "--policy=elastic --optimizer=sgd --moving_rate=nan", "--moving_rate is not in"},
      {with_data + "--policy=local_sgd", "needs --optimizer=sgd, momentum or nesterov"},
      {with_data + "--policy=geo --optimizer=sgd --push_dtype=bfloat16",
       "--push_dtype is not for --policy=geo"},
      {with_data + "--resume", "--resume needs --checkpoint_dir"},
      {with_data + "--checkpoint_every=5", "--checkpoint_every needs --checkpoint_dir"},
      {with_data + "--checkpoint_dir=x --checkpoint_every=-5", "--checkpoint_every is negative"},
      {with_data + "--checkpoint_dir=x --keep_checkpoints=1", "--keep_checkpoints is less than 2"},
      {with_data + "--timeout=soon", "--timeout=soon is not a duration"},
      {with_data + "--timeout=-3s", "--timeout=-3s is not a duration"},
      {with_data + "--startup_timeout=inf", "--startup_timeout=inf is longer than a year"},
      {with_data + "surprise", "unexpected argument 'surprise'"},
  };
  for (const auto& c : kCases) {
    SCOPED_TRACE(c.arguments);
    const ProgramResult result = Worker(c.arguments);
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_THAT(result.output, StartsWith("parley_worker: "));
    EXPECT_THAT(result.output, HasSubstr(c.words));
    EXPECT_EQ(LinesOf(result.output), 1) << result.output;
  }
}

TEST(ParleyWorkerTest, FlagsMayNotContradictTfConfig) {
  const char kConfig[] =
      R"({"cluster": {"ps": ["a:1"], "worker": ["b:2", "c:3"]}, "task": {"type": "worker", "index": 1}})";
  const ProgramResult refused = Worker("--task_index=0 --data_dir=nowhere", kConfig);
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.output, HasSubstr("--task_index=0 contradicts TF_CONFIG"));
  const ProgramResult taken = Worker("--data_dir=nowhere", kConfig);
  EXPECT_EQ(taken.exit_code, 1);
  EXPECT_THAT(taken.output, StartsWith("parley_worker: worker:1: nowhere: "));
}

TEST(ParleyWorkerTest, WhatGoesWrongLaterEndsItWithOneLine) {
  TempFolder folder;
  std::ofstream(folder.File("good.csv")) << "0,0\n1,1\n2,0\n3,1\n4,0\n5,1\n6,0\n7,1\n8,0\n9,1\n";
  std::ofstream(folder.File("bad.csv")) << "0,0\n1,1\n2,zero\n";
  const std::string cluster = kCluster;
  const std::string good = cluster + "--data_dir=" + folder.File("good.csv") + " ";
  const struct {
    std::string arguments;
    std::string words;
  } kCases[] = {
      {cluster + "--data_dir=" + folder.path(), "train-images-idx3-ubyte"},
      {cluster + "--data_dir=" + folder.File("bad.csv"), "bad.csv:3:2"},
      {cluster + "--model=lstm --data_dir=" + folder.File("good.csv"), "too few to train and test"},
      {good + "--batch_size=4 --model=mystery", "mystery"},
      {good + "--batch_size=4 --model=wide_deep --categorical_columns=z", "no column z"},
      {good + "--model=linear --batch_size=4 --device=cuda:99", "--device=cuda:99: "},
      {good + "--batch_size=4 --model=cnn", "cnn"},
      {good + "--model=linear", "a batch of 64 for each of 1 workers is more than the 8 examples"},
      {good + "--model=linear --batch_size=4 --startup_timeout=1s", "ps:0"},
      {good + "--model=linear --batch_size=4 --checkpoint_dir=" + folder.File("bad.csv") +
           " --resume",
       "bad.csv"},
  };
  for (const auto& c : kCases) {
    SCOPED_TRACE(c.arguments);
    const ProgramResult result = Worker(c.arguments);
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_THAT(result.output, StartsWith("parley_worker: worker:0: "));
    EXPECT_THAT(result.output, HasSubstr(c.words));
    EXPECT_EQ(LinesOf(result.output), 1) << result.output;
  }
}

}  // namespace
}  // namespace parley
