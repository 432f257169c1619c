#ifndef PARLEY_PS_TESTING_SUCCESSION_FIXTURE_H_
#define PARLEY_PS_TESTING_SUCCESSION_FIXTURE_H_

#include <atomic>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/random_id.h"
#include "gtest/gtest.h"
#include "net/forwarding_parameter_server.h"
#include "net/testing/etcd_process.h"
#include "net/testing/lossy_etcd.h"
#include "ps/succession.h"
#include "ps/testing/one_shard.h"

namespace parley {

// ps tasks in one process that settle in a real etcd who speaks for the job's shards. A task that
// is cut off can still reach etcd, but nobody reaches it: connections to it are refused.

constexpr int kTasks = 3;
constexpr absl::Duration kLong = absl::Seconds(60);

// Who is where, and whether others reach him.
class TaskNetwork {
 public:
  void Put(const std::string& address, ParameterServer* server) {
    MutexLock lock(&mutex_);
    servers_[address] = server;
  }
  // Null: nobody is there.
  ParameterServer* At(const std::string& address) {
    MutexLock lock(&mutex_);
    return servers_[address];
  }
  void Lose(bool answers) {
    MutexLock lock(&mutex_);
    loses_ = answers;
  }
  bool loses() {
    MutexLock lock(&mutex_);
    return loses_;
  }

 private:
  Mutex mutex_;
  std::map<std::string, ParameterServer*> servers_ ABSL_GUARDED_BY(mutex_);
  bool loses_ ABSL_GUARDED_BY(mutex_) = false;
};

// The way of a leader to the task with the copy.
class WayToCopy final : public ForwardingParameterServer {
 public:
  WayToCopy(TaskNetwork* network, std::string address)
      : ForwardingParameterServer(nullptr), network_(network), address_(std::move(address)) {}
  void Replicate(v1::ReplicateRequest request, Payload payload,
                 Done<v1::ReplicateResponse> done) override {
    ParameterServer* const there = network_->At(address_);
    if (there == nullptr || network_->loses()) return done(absl::UnavailableError("not reached"));
    there->Replicate(std::move(request), std::move(payload), std::move(done));
  }

 private:
  TaskNetwork* const network_;
  const std::string address_;
};

class SettlingTask {
 public:
  SettlingTask(int index, const std::string& etcd, TaskNetwork* network, absl::Duration patience,
               absl::Duration settling)
      : client_(Connect(etcd)),
        address_(absl::StrCat("task-", index, ":1")),
        network_(network),
        standby_(StandbyOptions(index)),
        host_(index, &standby_) {
    EXPECT_TRUE(client_->Put({absl::StrCat("/parley/job/ps/", index), address_, 0}).ok());
    network_->Put(address_, &host_);
    Succession::Options options;
    options.etcd = client_;
    options.job = "job";
    options.self = {index, start_};
    options.address = address_;
    options.num_shards = kTasks;
    options.num_tasks = kTasks;
    options.patience = patience;
    options.settling = settling;
    options.channel = [network](const std::string&, const std::string& address) {
      return std::make_shared<WayToCopy>(network, address);
    };
    options.is_refused = [network](const std::string& address) {
      return network->At(address) == nullptr;
    };
    options.new_shard = [patience](int shard, std::shared_ptr<CopyPlace> place) {
      ShardOptions made;
      made.shard_index = shard;
      made.threads = 1;
      made.copy_place = std::move(place);
      made.standby_patience = patience;
      return std::make_shared<Shard>(std::move(made));
    };
    succession_ = std::make_unique<Succession>(std::move(options), &standby_, &host_);
  }
  ~SettlingTask() {
    CutOff();
    succession_ = nullptr;
  }

  void CutOff() { network_->Put(address_, nullptr); }

  Succession& succession() { return *succession_; }
  ShardHost* host() { return &host_; }
  LossyEtcd& etcd() { return *client_; }
  TaskStart start() const { return {index(), start_}; }

 private:
  static std::shared_ptr<LossyEtcd> Connect(const std::string& address) {
    EtcdClientOptions options;
    options.timeout = kLong;
    return std::make_shared<LossyEtcd>(*EtcdClient::Create(address, options));
  }
  Standby::Options StandbyOptions(int index) {
    Standby::Options options;
    options.task = absl::StrCat("ps:", index);
    options.start = start_;
    return options;
  }
  int index() const { return address_[5] - '0'; }

  const uint64_t start_ = RandomId();
  const std::shared_ptr<LossyEtcd> client_;
  const std::string address_;
  TaskNetwork* const network_;
  Standby standby_;
  ShardHost host_;
  std::unique_ptr<Succession> succession_;
};

class SuccessionTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { etcd_ = new EtcdProcess(); }
  static void TearDownTestSuite() {
    delete etcd_;
    etcd_ = nullptr;
  }
  void SetUp() override {
    EtcdClientOptions options;
    options.timeout = kLong;
    client_ = *EtcdClient::Create(etcd_->address(), options);
  }
  void TearDown() override {
    for (auto& task : tasks_) task = nullptr;
    before_.clear();
    EXPECT_TRUE(client_->DeletePrefix("/parley/").ok());
  }

  // A task begins, or begins again, where an earlier start of it may still think that it lives.
  void Start(int index, absl::Duration patience = kLong,
             absl::Duration settling = absl::InfiniteDuration()) {
    if (tasks_[index] != nullptr) before_.push_back(std::move(tasks_[index]));
    tasks_[index] =
        std::make_unique<SettlingTask>(index, etcd_->address(), &network_, patience, settling);
  }
  // Shards come home to it at once.
  void StartWithoutSettling(int index) { Start(index, kLong, absl::ZeroDuration()); }
  void End(int index) {
    tasks_[index] = nullptr;
    EXPECT_TRUE(client_->Delete(absl::StrCat("/parley/job/ps/", index)).ok());
  }

  // The shard's records, once `is` says so.
  template <typename Is>
  ShardRecords Await(Is is, size_t shard = 0) {
    const absl::Time deadline = Env::Posix()->Now() + kLong;
    for (;;) {
      const AllShardRecords all = ReadShardRecords(client_.get(), "job", kTasks).value();
      if (is(all.shards[shard])) return all.shards[shard];
      if (Env::Posix()->Now() >= deadline) {
        ADD_FAILURE() << "it does not come about";
        return all.shards[shard];
      }
      client_->AwaitChange("/parley/job/shard/", all.revision, absl::Seconds(1))
          .status()
          .IgnoreError();
    }
  }
  ShardRecords AwaitLeader(int task, size_t shard = 0) {
    return Await(
        [&](const ShardRecords& now) {
          return now.leader.has_value() && now.copies->leader == tasks_[task]->start() &&
                 now.leader->who == now.copies->leader;
        },
        shard);
  }
  ShardRecords AwaitCopy(int task) {
    return Await([&](const ShardRecords& now) {
      return now.copies.has_value() && now.copies->copy == tasks_[task]->start();
    });
  }

  // A job begins whose shard is at task 0 with its copy at task 1, the only others.
  void StartJob() {
    for (int i = 1; i >= 0; --i) StartWithoutSettling(i);
    ASSERT_TRUE(Declare().ok());
    ASSERT_TRUE(Join().ok());
    AwaitCopy(1);
  }
  // Likewise, and task 1 has taken it over, with one push, as task 0 has gone.
  void StartJobAwayFromHome() {
    StartJob();
    tasks_[0]->CutOff();
    ASSERT_TRUE(Push(0).ok());
    AwaitLeader(1);
    End(0);
  }
  template <typename Is>
  static bool Becomes(Is is) {
    const absl::Time deadline = Env::Posix()->Now() + kLong;
    while (!is() && Env::Posix()->Now() < deadline) absl::SleepFor(absl::Milliseconds(1));
    return is();
  }

  // Asks one task after another, until one speaks for the shard.
  template <typename Response, typename Request>
  absl::StatusOr<Response> Ask(void (ParameterServer::*method)(Request,
                                                               ParameterServer::Done<Response>),
                               const Request& request) {
    const absl::Time deadline = Env::Posix()->Now() + kLong;
    for (int i = 0;; i = (i + 1) % kTasks) {
      absl::StatusOr<Response> answer = absl::UnavailableError("nobody speaks for it");
      if (tasks_[i] != nullptr && network_.At(absl::StrCat("task-", i, ":1")) != nullptr) {
        answer = Begin<Response>([&](auto done) {
                   (tasks_[i]->host()->*method)(request, std::move(done));
                 }).get();
      }
      if (!absl::IsUnavailable(answer.status()) || Env::Posix()->Now() >= deadline) return answer;
    }
  }
  static v1::Sender Sender() {
    v1::Sender sender;
    sender.set_job("job");
    sender.set_incarnation(1);
    sender.set_shard(0);
    return sender;
  }
  absl::Status Declare() {
    v1::DeclareRequest request;
    *request.mutable_spec() = OneShardSpec(1, /*synchronous=*/true);
    return Ask(&ParameterServer::Declare, request).status();
  }
  absl::Status Join() {
    v1::JoinRequest request;
    *request.mutable_sender() = Sender();
    *request.mutable_spec() = OneShardSpec(1, /*synchronous=*/true);
    request.set_wait_ms(60000);
    return Ask(&ParameterServer::Join, request).status();
  }
  absl::Status Leave() {
    v1::LeaveRequest request;
    *request.mutable_sender() = Sender();
    return Ask(&ParameterServer::Leave, request).status();
  }
  // Pushes ones; returns the values before the next step.
  absl::StatusOr<std::vector<float>> Push(int64_t step) {
    const auto ones = std::make_shared<std::vector<float>>(kElements, 1.0f);
    const absl::Time deadline = Env::Posix()->Now() + kLong;
    for (int i = 0;; i = (i + 1) % kTasks) {
      v1::PushPullRequest request;
      *request.mutable_sender() = Sender();
      request.set_step(step);
      request.set_sequence(static_cast<uint64_t>(step) + 1);
      request.set_pull_step(step + 1);
      request.set_wait_ms(60000);
      request.set_dtype(v1::FLOAT32);
      for (uint32_t block = 0; block < kBlocks; ++block) {
        request.add_push(block);
        request.add_base_version(0);
        request.add_pull(block);
      }
      Payload payload;
      payload.Append(ones->data(), ones->size() * sizeof(float), ones);
      using Reply = ParameterServer::PushPullReply;
      absl::StatusOr<Reply> reply = absl::UnavailableError("nobody speaks for it");
      if (tasks_[i] != nullptr && network_.At(absl::StrCat("task-", i, ":1")) != nullptr) {
        reply = Begin<Reply>([&](auto done) {
                  tasks_[i]->host()->PushPull(request, std::move(payload), std::move(done));
                }).get();
      }
      if (reply.ok()) {
        std::vector<float> values(kElements);
        reply->payload.CopyTo(values.data());
        return values;
      }
      if (!absl::IsUnavailable(reply.status()) || Env::Posix()->Now() >= deadline) {
        return reply.status();
      }
    }
  }

  // What a shard that nobody disturbs has after each step.
  std::vector<std::vector<float>> Undisturbed(int64_t steps) {
    OneShard whole(OneShardSpec(1, /*synchronous=*/true));
    whole.StartWith(ShardOptions());
    EXPECT_TRUE(whole.Declare().ok());
    EXPECT_TRUE(whole.Join(0).ok());
    std::vector<std::vector<float>> values;
    for (int64_t step = 0; step < steps; ++step) {
      const auto ones = std::make_shared<std::vector<float>>(kElements, 1.0f);
      v1::PushPullRequest request;
      *request.mutable_sender() = Sender();
      request.set_step(step);
      request.set_sequence(static_cast<uint64_t>(step) + 1);
      request.set_wait_ms(60000);
      request.set_dtype(v1::FLOAT32);
      for (uint32_t block = 0; block < kBlocks; ++block) {
        request.add_push(block);
        request.add_base_version(0);
      }
      Payload payload;
      payload.Append(ones->data(), ones->size() * sizeof(float), ones);
      EXPECT_TRUE(Begin<ParameterServer::PushPullReply>([&](auto done) {
                    whole.shard().PushPull(request, std::move(payload), std::move(done));
                  })
                      .get()
                      .ok());
      values.push_back(whole.Pull(step + 1));
    }
    return values;
  }

  inline static EtcdProcess* etcd_ = nullptr;
  std::shared_ptr<EtcdClient> client_;
  TaskNetwork network_;
  std::vector<std::unique_ptr<SettlingTask>> before_;
  std::unique_ptr<SettlingTask> tasks_[kTasks];
};

}  // namespace parley

#endif  // PARLEY_PS_TESTING_SUCCESSION_FIXTURE_H_
