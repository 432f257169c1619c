// A job of real ps tasks trains, and a parley_serve follows its checkpoints: what it answers is of
// one version, dense and sparse, whatever happens to it and to the job.

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <fstream>
#include <future>
#include <memory>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/testing/temp_folder.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "net/channel.h"
#include "net/checkpoint_folder.h"
#include "worker/client.h"

namespace parley {
namespace {

constexpr uint64_t kKeys = 3000;
constexpr size_t kWidth = 4;
constexpr size_t kDense = 1000;

// After step s each element of the parameter, and of each row, is -s.
v1::JobSpec Spec(int shards) {
  v1::JobSpec spec;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(
      absl::StrCat(
          "name: 'served' optimizer { learning_rate: 1 sgd {} } num_workers: 1 num_shards: ",
          shards,
          " block_elements: 300 policy { synchronous {} } "
          "parameters { name: 'w' shape: 1000 dtype: FLOAT32 } "
          "tables { name: 'rows' width: 4 dtype: FLOAT32 virtual_shards: 32 "
          "optimizer { learning_rate: 1 sgd {} } }"),
      &spec));
  return spec;
}

// A program of the job, whose output goes to a file.
class Process {
 public:
  Process(std::string program, std::vector<std::string> flags, std::string log)
      : log_(std::move(log)) {
    const char* const folder = std::getenv("TEST_SRCDIR");
    program = absl::StrCat(folder, "/parley/", program);
    std::vector<char*> arguments = {program.data()};
    for (std::string& flag : flags) arguments.push_back(flag.data());
    arguments.push_back(nullptr);
    unlink(log_.c_str());  // that of an earlier start says nothing
    pid_ = fork();
    if (pid_ != 0) return;
    const int out = open(log_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    execv(program.c_str(), arguments.data());
    _exit(127);
  }
  ~Process() { Kill(); }

  void Kill() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }
  // "host:port", once it listens.
  std::string Address() const {
    constexpr char kWords[] = " listening on ";
    for (const absl::Time end = absl::Now() + absl::Seconds(60); absl::Now() < end;) {
      const std::string said = Log();
      const size_t at = said.find(kWords);
      const size_t line = at == std::string::npos ? at : said.find('\n', at);
      if (line != std::string::npos) {
        return said.substr(at + sizeof(kWords) - 1, line - at - sizeof(kWords) + 1);
      }
      absl::SleepFor(absl::Milliseconds(5));
    }
    ADD_FAILURE() << Log();
    return "";
  }
  std::string Log() const {
    std::ifstream in(log_);
    return {std::istreambuf_iterator<char>(in), {}};
  }

 private:
  const std::string log_;
  pid_t pid_ = 0;
};

class ServingTest : public testing::Test {
 protected:
  std::string Folder() { return folder_.File("checkpoints"); }

  void StartJob() {
    ps_.clear();
    std::vector<std::shared_ptr<ParameterServer>> shards;
    for (int i = 0; i < 2; ++i) {
      ps_.push_back(std::make_unique<Process>(
          "ps/parley_ps",
          std::vector<std::string>{"--ps_hosts=localhost:0,localhost:0",
                                   "--worker_hosts=localhost:0", absl::StrCat("--task_index=", i),
                                   absl::StrCat("--checkpoint_dir=", Folder())},
          folder_.File(absl::StrCat("ps-", i))));
    }
    for (int i = 0; i < 2; ++i) {
      shards.push_back(NewChannel(absl::StrCat("ps:", i), ps_[static_cast<size_t>(i)]->Address()));
    }
    ClientOptions options;
    options.checkpoint_full_every = 4;
    if (const auto newest = FindNewestValid(Env::Posix(), Folder()); newest.ok()) {
      options.checkpoint = newest->manifest_file;
    }
    auto client = Client::Connect(Spec(2), std::move(shards), options);
    ASSERT_TRUE(client.ok()) << client.status();
    chief_ = *std::move(client);
    step_ = chief_->first_step();
  }
  // One step, and a checkpoint behind it.
  void Train() {
    std::vector<uint64_t> keys(kKeys);
    std::iota(keys.begin(), keys.end(), 0);
    const std::vector<float> ones(kKeys * kWidth, 1.0f);
    std::vector<float> dense(kDense, 1.0f);
    const absl::Status rows = chief_->PushRows(0, step_, keys, ones);
    ASSERT_TRUE(rows.ok()) << rows;
    const absl::Status pushed = chief_->PushPull(step_, {{0, dense}}, {});
    ASSERT_TRUE(pushed.ok()) << pushed;
    ++step_;
    const auto saved = chief_->SaveCheckpoint(step_, Folder(), 2);
    ASSERT_TRUE(saved.ok()) << saved.status();
  }
  void StartServing() {
    serving_ = std::make_unique<Process>(
        "ps/parley_serve",
        std::vector<std::string>{"--listen=localhost:0", "--poll=10ms",
                                 absl::StrCat("--checkpoint_dir=", Folder())},
        folder_.File("serve"));
    channel_ = NewChannel("serve", serving_->Address(), {Transport::kGrpc, {}, {}, {}});
  }
  v1::GetStatusResponse::Serving Status() {
    v1::GetStatusRequest request;
    std::promise<absl::StatusOr<v1::GetStatusResponse>> promise;
    channel_->GetStatus(request, [&](auto answer) { promise.set_value(std::move(answer)); });
    const auto answer = promise.get_future().get();
    EXPECT_TRUE(answer.ok()) << answer.status();
    return answer.ok() ? answer->serving() : v1::GetStatusResponse::Serving();
  }
  void AwaitStep(int64_t step) {
    for (const absl::Time end = absl::Now() + absl::Seconds(60); Status().step() != step;) {
      ASSERT_LT(absl::Now(), end) << Status().DebugString() << serving_->Log();
      absl::SleepFor(absl::Milliseconds(5));
    }
  }
  void AwaitAtLeast(int64_t step) {
    for (const absl::Time end = absl::Now() + absl::Seconds(60); Status().step() < step;) {
      ASSERT_LT(absl::Now(), end) << Status().DebugString() << serving_->Log();
      absl::SleepFor(absl::Milliseconds(5));
    }
  }
  absl::StatusOr<int64_t> Ask(v1::AskRequest::What what) {
    v1::AskRequest request;
    request.set_what(what);
    std::promise<absl::StatusOr<v1::AskResponse>> promise;
    channel_->Ask(request, [&](auto answer) { promise.set_value(std::move(answer)); });
    const auto answer = promise.get_future().get();
    if (!answer.ok()) return answer.status();
    return answer->step();
  }
  // What one request gets: all that there is, sparse and dense. The step that every element says.
  absl::StatusOr<int64_t> PullOnce(ParameterServer* channel, int64_t step) {
    v1::PushPullRequest request;
    request.set_wait_ms(60000);
    request.set_pull_step(step);
    for (uint32_t block = 0; block < 4; ++block) request.add_pull(block);
    request.add_pull_rows();
    for (uint64_t key = 0; key < kKeys; ++key) request.mutable_pull_rows(0)->add_keys(key);
    std::promise<absl::StatusOr<ParameterServer::PushPullReply>> promise;
    channel->PushPull(request, Payload(),
                      [&](auto answer) { promise.set_value(std::move(answer)); });
    const auto answer = promise.get_future().get();
    if (!answer.ok()) return answer.status();
    std::vector<float> values(kDense + kKeys * kWidth);
    EXPECT_EQ(answer->payload.size(), values.size() * sizeof(float));
    answer->payload.CopyTo(values.data());
    for (const float value : values) {
      if (value == -static_cast<float>(answer->response.served_step())) continue;
      return absl::DataLossError(absl::StrCat("a value of ", value, " in an answer of step ",
                                              answer->response.served_step()));
    }
    return answer->response.served_step();
  }

  TempFolder folder_;
  std::vector<std::unique_ptr<Process>> ps_;
  std::unique_ptr<Client> chief_;
  int64_t step_ = 0;
  std::unique_ptr<Process> serving_;
  std::unique_ptr<ParameterServer> channel_;
};

TEST_F(ServingTest, FollowsAJobAndNeverMixesItsVersions) {
  StartServing();
  EXPECT_TRUE(absl::IsUnavailable(PullOnce(channel_.get(), 0).status()));
  StartJob();
  Train();
  AwaitStep(1);
  std::atomic<bool> done{false};
  std::atomic<int64_t> newest{0};
  absl::Status failure;
  const std::string address = serving_->Address();
  std::thread reader([&] {
    const auto channel = NewChannel("serve", address, {Transport::kGrpc, {}, {}, {}});
    while (!done) {
      const auto step = PullOnce(channel.get(), 0);
      failure.Update(step.status());
      if (!step.ok()) return;
      if (*step < newest) failure.Update(absl::InternalError("a version came back"));
      newest = *step;
    }
  });
  for (int i = 0; i < 12; ++i) Train();
  AwaitStep(13);
  for (const absl::Time end = absl::Now() + absl::Seconds(60);
       newest < 13 && failure.ok() && absl::Now() < end;) {
    absl::SleepFor(absl::Milliseconds(5));
  }
  done = true;
  reader.join();
  EXPECT_TRUE(failure.ok()) << failure;
  EXPECT_EQ(newest, 13);

  // The ordinary client, which needs several requests, names the step.
  const auto connect = [&] {
    ClientOptions options;
    options.request_bytes = 4096;
    std::vector<std::shared_ptr<ParameterServer>> shards;
    shards.push_back(NewChannel("serve", address, {Transport::kGrpc, {}, {}, {}}));
    return Client::Connect(Spec(1), std::move(shards), options);
  };
  auto one = connect();
  ASSERT_TRUE(one.ok()) << one.status();
  auto another = connect();  // as many as want to
  ASSERT_TRUE(another.ok()) << another.status();
  const int64_t seen = (*one)->first_step();
  EXPECT_EQ(seen, 13);
  Train();
  AwaitStep(14);
  std::vector<uint64_t> keys(kKeys);
  std::iota(keys.begin(), keys.end(), 0);
  std::vector<float> rows(kKeys * kWidth), dense(kDense);
  ASSERT_TRUE((*one)->PullRows(0, seen, keys, absl::MakeSpan(rows)).ok());
  ASSERT_TRUE((*one)->Pull(seen, {{0, absl::MakeSpan(dense)}}).ok());
  for (const float value : rows) ASSERT_EQ(value, -13);
  for (const float value : dense) ASSERT_EQ(value, -13);
  const absl::Status pushed = (*one)->PushRows(0, seen, keys, rows);
  EXPECT_TRUE(absl::StrContains(pushed.message(), "only answers pulls")) << pushed;
}

TEST_F(ServingTest, RollsBackAndStaysThereUntilItIsToldToFollow) {
  StartJob();
  Train();
  StartServing();
  AwaitStep(1);
  const auto none = Ask(v1::AskRequest::ROLL_BACK);
  EXPECT_TRUE(absl::IsFailedPrecondition(none.status())) << none.status();
  Train();
  AwaitStep(2);
  const auto back = Ask(v1::AskRequest::ROLL_BACK);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(*back, 1);
  EXPECT_EQ(*PullOnce(channel_.get(), 0), 1);
  EXPECT_FALSE(PullOnce(channel_.get(), 2).ok());
  Train();
  // It sees that there is a newer one, and stays.
  for (const absl::Time end = absl::Now() + absl::Seconds(60); Status().newest_step() != 3;) {
    ASSERT_LT(absl::Now(), end) << Status().DebugString();
    absl::SleepFor(absl::Milliseconds(5));
  }
  EXPECT_EQ(Status().step(), 1);
  EXPECT_TRUE(Status().held());
  EXPECT_EQ(Status().versions_behind(), 2);
  EXPECT_EQ(*PullOnce(channel_.get(), 0), 1);
  const auto on = Ask(v1::AskRequest::FOLLOW);
  ASSERT_TRUE(on.ok()) << on.status();
  EXPECT_EQ(*on, 3);
  EXPECT_EQ(*PullOnce(channel_.get(), 0), 3);
  EXPECT_EQ(Status().versions_behind(), 0);
  EXPECT_EQ(Status().lag_ms(), 0);
}

TEST_F(ServingTest, IsKilledAtAnyMomentAndServesAWholeVersionAgain) {
  StartJob();
  Train();
  for (int i = 0; i < 8; ++i) {
    StartServing();
    // While it loads, or when it has loaded, and the job goes on meanwhile.
    const int64_t before = step_;
    std::thread trainer([&] { Train(); });
    if (i % 2 == 1) AwaitAtLeast(before);
    serving_->Kill();
    trainer.join();
  }
  StartServing();
  AwaitStep(step_);
  EXPECT_EQ(*PullOnce(channel_.get(), 0), step_);
}

TEST_F(ServingTest, WhatItCannotLoadItPassesOver) {
  StartJob();
  Train();
  StartServing();
  AwaitStep(1);
  // The job dies in the middle of a checkpoint: there are files without a manifest.
  ps_[0]->Kill();
  std::ofstream(folder_.File("checkpoints/step-000000002.shard-0-of-2")) << "half a file";
  // And one is damaged, with a manifest.
  ps_.clear();
  chief_ = nullptr;
  v1::Manifest manifest = ReadManifest(Env::Posix(), Folder(), ManifestFileName(1)).value();
  manifest.set_step(2);
  for (int i = 0; i < 2; ++i) {
    v1::Manifest::ShardFile* const file = manifest.mutable_shards(i);
    file->set_file(ShardFileName(2, i, 2));
    ASSERT_TRUE(WriteFileAtomically(Env::Posix(), JoinPath(Folder(), file->file()),
                                    std::string(static_cast<size_t>(file->bytes()), 'x'))
                    .ok());
  }
  ASSERT_TRUE(WriteManifest(Env::Posix(), Folder(), manifest).ok());
  for (const absl::Time end = absl::Now() + absl::Seconds(60); Status().error().empty();) {
    ASSERT_LT(absl::Now(), end) << Status().DebugString();
    absl::SleepFor(absl::Milliseconds(5));
  }
  EXPECT_TRUE(absl::StrContains(Status().error(), "step-000000002")) << Status().DebugString();
  EXPECT_EQ(*PullOnce(channel_.get(), 0), 1);
  EXPECT_EQ(Status().versions_behind(), 1);
  // The job goes on from the one before, and it follows again.
  StartJob();
  EXPECT_EQ(step_, 1);
  Train();
  Train();
  AwaitStep(3);
  EXPECT_EQ(*PullOnce(channel_.get(), 0), 3);
}

}  // namespace
}  // namespace parley
