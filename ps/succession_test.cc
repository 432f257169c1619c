// ps tasks in one process that settle in a real etcd who speaks for the job's one shard. A task
// that is cut off can still reach etcd, but nobody reaches it: connections to it are refused.

#include "ps/succession.h"

#include <atomic>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/random_id.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "net/forwarding_parameter_server.h"
#include "net/testing/etcd_process.h"
#include "ps/testing/one_shard.h"

namespace parley {
namespace {

using ::testing::HasSubstr;

constexpr int kTasks = 3;
constexpr absl::Duration kLong = absl::Seconds(60);

// Who is where, and whether others reach him.
class Network {
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
class Way final : public ForwardingParameterServer {
 public:
  Way(Network* network, std::string address)
      : ForwardingParameterServer(nullptr), network_(network), address_(std::move(address)) {}
  void Replicate(v1::ReplicateRequest request, Payload payload,
                 Done<v1::ReplicateResponse> done) override {
    ParameterServer* const there = network_->At(address_);
    if (there == nullptr || network_->loses()) return done(absl::UnavailableError("not reached"));
    there->Replicate(std::move(request), std::move(payload), std::move(done));
  }

 private:
  Network* const network_;
  const std::string address_;
};

// An etcd whose answers may be lost.
class LossyEtcd final : public EtcdClient {
 public:
  explicit LossyEtcd(std::unique_ptr<EtcdClient> etcd) : etcd_(std::move(etcd)) {}

  // That to the next transaction, which is done.
  void LoseNextAnswer() { loses_ = true; }
  bool has_lost() const { return !loses_; }
  // That to the next which removes something, likewise.
  void LoseNextRemoval() { loses_removal_ = true; }
  bool has_lost_removal() const { return !loses_removal_; }
  // No transaction arrives.
  void Refuse(bool all) { refuses_ = all; }

  absl::StatusOr<EtcdRange> List(const std::string& prefix) override { return etcd_->List(prefix); }
  absl::StatusOr<EtcdRange> Get(const std::string& key) override { return etcd_->Get(key); }
  absl::Status Put(const EtcdWrite& write) override { return etcd_->Put(write); }
  absl::StatusOr<int64_t> Delete(const std::string& key) override { return etcd_->Delete(key); }
  absl::StatusOr<int64_t> DeletePrefix(const std::string& prefix) override {
    return etcd_->DeletePrefix(prefix);
  }
  absl::StatusOr<EtcdTransactionResult> Transact(const EtcdTransaction& transaction) override {
    if (refuses_) return absl::UnavailableError("not reached");
    auto result = etcd_->Transact(transaction);
    if (!transaction.deletes.empty() && loses_removal_.exchange(false)) {
      return absl::UnavailableError("the answer was lost");
    }
    if (loses_.exchange(false)) return absl::UnavailableError("the answer was lost");
    return result;
  }
  absl::StatusOr<bool> AwaitChange(const std::string& prefix, int64_t revision,
                                   absl::Duration timeout) override {
    return etcd_->AwaitChange(prefix, revision, timeout);
  }
  absl::StatusOr<EtcdGrant> GrantLease(absl::Duration ttl) override {
    return etcd_->GrantLease(ttl);
  }
  absl::StatusOr<absl::Duration> KeepLeaseAlive(int64_t id, absl::Duration timeout) override {
    return etcd_->KeepLeaseAlive(id, timeout);
  }
  absl::Status RevokeLease(int64_t id) override { return etcd_->RevokeLease(id); }
  void Cancel() override { etcd_->Cancel(); }

 private:
  const std::unique_ptr<EtcdClient> etcd_;
  std::atomic<bool> loses_{false};
  std::atomic<bool> loses_removal_{false};
  std::atomic<bool> refuses_{false};
};

class Task {
 public:
  Task(int index, const std::string& etcd, Network* network, absl::Duration patience,
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
      return std::make_shared<Way>(network, address);
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
  ~Task() {
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
  Network* const network_;
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
    tasks_[index] = std::make_unique<Task>(index, etcd_->address(), &network_, patience, settling);
  }
  // Shards come home to it at once.
  void StartWithoutSettling(int index) { Start(index, kLong, absl::ZeroDuration()); }
  void End(int index) { tasks_[index] = nullptr; }

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

  static EtcdProcess* etcd_;
  std::shared_ptr<EtcdClient> client_;
  Network network_;
  std::vector<std::unique_ptr<Task>> before_;
  std::unique_ptr<Task> tasks_[kTasks];
};

EtcdProcess* SuccessionTest::etcd_ = nullptr;

TEST_F(SuccessionTest, WhoHasTheCopyGoesOnWhereTheLeaderWas) {
  const auto expected = Undisturbed(6);
  for (int i = 0; i < kTasks; ++i) Start(i);
  ASSERT_TRUE(Declare().ok());
  ASSERT_TRUE(Join().ok());
  EXPECT_EQ(*Push(0), expected[0]);
  EXPECT_EQ(*Push(1), expected[1]);
  AwaitCopy(1);
  tasks_[0]->CutOff();
  EXPECT_EQ(*Push(1), expected[1]);  // its answer was lost, for all the worker knows
  EXPECT_EQ(*Push(2), expected[2]);
  EXPECT_EQ(AwaitLeader(1).leader->term, 2);
  // A copy is filled anew: at the shard's own task, when that is there.
  AwaitCopy(2);
  Start(0);
  tasks_[2]->CutOff();
  EXPECT_EQ(*Push(3), expected[3]);
  AwaitCopy(0);
  tasks_[1]->CutOff();
  EXPECT_EQ(*Push(4), expected[4]);
  AwaitLeader(0);
  EXPECT_EQ(*Push(5), expected[5]);  // alone
}

TEST_F(SuccessionTest, ALeaderThatWentOnAloneIsFollowedByNobodyWithAnOldCopy) {
  Start(0, absl::Milliseconds(50));
  Start(1, absl::Milliseconds(50));
  ASSERT_TRUE(Declare().ok());
  ASSERT_TRUE(Join().ok());
  ASSERT_TRUE(Push(0).ok());
  AwaitCopy(1);
  network_.Lose(true);  // the leader does not reach the copy, which is there
  EXPECT_TRUE(Push(1).ok());
  EXPECT_FALSE(Await([](const ShardRecords& now) {
                 return !now.copies->copy.has_value();
               }).copies->copy.has_value());
  End(0);
  Start(0);
  // Its task begins anew, and nothing that was acknowledged is silently taken back.
  EXPECT_EQ(AwaitLeader(0).leader->term, 2);
  const absl::Status lost = Push(2).status();
  EXPECT_TRUE(absl::IsNotFound(lost)) << lost;
  EXPECT_THAT(std::string(lost.message()), HasSubstr("is not declared here"));
}

TEST_F(SuccessionTest, AShardThatNobodyHasBeginsAnewAfterAWhile) {
  // An earlier run of the job, all of whose tasks are gone.
  ShardCopies copies;
  copies.term = 4;
  copies.leader = {1, 11};
  copies.copy = TaskStart{2, 12};
  ASSERT_TRUE(client_->Put({CopiesKey("job", 0), FormatCopies(copies), 0}).ok());
  for (int i = 0; i < kTasks; ++i) Start(i, absl::Milliseconds(300));
  EXPECT_EQ(AwaitLeader(0).leader->term, 5);
  ASSERT_TRUE(Declare().ok());
  ASSERT_TRUE(Join().ok());
  EXPECT_TRUE(Push(0).ok());
}

TEST_F(SuccessionTest, ALeaderThatLostItsLeaseSpeaksAgainWhenNobodyHasTakenOver) {
  Start(0);
  ASSERT_TRUE(client_->Put({"/parley/job/ps/1", "task-1:1", 0}).ok());
  const ShardRecords before = AwaitLeader(0);
  ASSERT_TRUE(client_->RevokeLease(before.leader->lease).ok());
  const ShardRecords after = Await([&](const ShardRecords& now) {
    return now.leader.has_value() && now.leader->lease != before.leader->lease;
  });
  EXPECT_EQ(after.leader->term, 1);
  EXPECT_TRUE(Declare().ok());
}

TEST_F(SuccessionTest, OneThatWasTakenOverFromWhileItStoodStillLetsGo) {
  for (int i = 0; i < 2; ++i) Start(i);
  ASSERT_TRUE(Declare().ok());
  ASSERT_TRUE(Join().ok());
  ASSERT_TRUE(Push(0).ok());
  const ShardRecords seen = AwaitCopy(1);
  tasks_[0]->CutOff();
  AwaitLeader(1);
  // It can reach others, and etcd. What it is asked from now on others answer.
  const absl::Time deadline = Env::Posix()->Now() + kLong;
  while (!tasks_[0]->host()->shards().empty() && Env::Posix()->Now() < deadline) {
  }
  v1::HeartbeatRequest request;
  *request.mutable_sender() = Sender();
  const absl::Status heard = Begin<v1::HeartbeatResponse>([&](auto done) {
                               tasks_[0]->host()->Heartbeat(request, std::move(done));
                             })
                                 .get()
                                 .status();
  EXPECT_TRUE(absl::IsUnavailable(heard)) << heard;
  EXPECT_THAT(std::string(heard.message()), HasSubstr("task ps:0 does not speak for it now"));
}

TEST_F(SuccessionTest, WhenTheJobIsDoneNothingIsLeft) {
  for (int i = 0; i < kTasks; ++i) Start(i);
  ASSERT_TRUE(Declare().ok());
  ASSERT_TRUE(Join().ok());
  AwaitCopy(1);
  tasks_[0]->CutOff();
  AwaitLeader(1);
  EXPECT_FALSE(tasks_[2]->succession().IsOver());
  ASSERT_TRUE(Leave().ok());
  tasks_[1]->succession().Close();
  Await([](const ShardRecords& now) { return !now.leader.has_value() && !now.copies.has_value(); });
}

// Etcd then says that it leads, and it has to find out.
TEST_F(SuccessionTest, ALeaderWhoseAnswerIsLostWhenItHoldsItsShardAgainSpeaksForItAllTheSame) {
  for (int i = 0; i < kTasks; ++i) Start(i);
  const int64_t lease = AwaitLeader(0).leader->lease;
  tasks_[0]->etcd().LoseNextAnswer();
  ASSERT_TRUE(client_->RevokeLease(lease).ok());
  const absl::Time deadline = Env::Posix()->Now() + kLong;
  while (!tasks_[0]->etcd().has_lost() && Env::Posix()->Now() < deadline) {
  }
  ASSERT_TRUE(tasks_[0]->etcd().has_lost());
  EXPECT_TRUE(Declare().ok());
  EXPECT_TRUE(Join().ok());
}

// One that is started again when the job is over knows nothing of it, and waits for another. That
// is no reason for the others to stay.
TEST_F(SuccessionTest, AJobThatIsOverStaysOverWhenATaskBeginsAnew) {
  for (int i = 0; i < kTasks; ++i) Start(i);
  for (int shard = 0; shard < kTasks; ++shard) {
    while (!ReadShardRecords(client_.get(), "job", kTasks)->shards[shard].leader.has_value()) {
    }
  }
  // As each leader does with its own when the job is done. The records come back until the task has
  // seen each.
  const auto is_over = [&] { return tasks_[1]->succession().IsOver(); };
  const absl::Time deadline = Env::Posix()->Now() + kLong;
  EXPECT_FALSE(is_over());
  const EtcdRange records = client_->List("/parley/job/shard/").value();
  End(0);
  End(2);
  while (!is_over() && Env::Posix()->Now() < deadline) {
    for (const EtcdEntry& record : records.entries) {
      if (record.key != LeaderKey("job", 1) && record.key != CopiesKey("job", 1)) {
        ASSERT_TRUE(client_->Put({record.key, record.value, 0}).ok());
      }
    }
    absl::SleepFor(absl::Milliseconds(150));  // it looks ten times a second
    ASSERT_TRUE(client_->DeletePrefix("/parley/job/shard/").ok());
    absl::SleepFor(absl::Milliseconds(150));
  }
  ASSERT_TRUE(is_over());
  Start(0);
  AwaitLeader(0);
  for (int i = 0; i < 50; ++i) {
    EXPECT_TRUE(is_over());
    absl::SleepFor(absl::Milliseconds(10));  // it looks ten times a second
  }
}

TEST_F(SuccessionTest, AShardGoesHomeWhenItsTaskIsThereAgain) {
  const auto expected = Undisturbed(4);
  for (int i = 0; i < kTasks; ++i) StartWithoutSettling(i);
  ASSERT_TRUE(Declare().ok());
  ASSERT_TRUE(Join().ok());
  EXPECT_EQ(*Push(0), expected[0]);
  AwaitCopy(1);
  tasks_[0]->CutOff();
  EXPECT_EQ(*Push(1), expected[1]);
  AwaitLeader(1);
  AwaitCopy(2);
  StartWithoutSettling(0);
  const ShardRecords home = AwaitLeader(0);
  EXPECT_EQ(home.leader->term, 3);
  EXPECT_EQ(*Push(2), expected[2]);
  // And what it has is at another task again.
  Await([](const ShardRecords& now) { return now.copies->copy.has_value(); });
  EXPECT_EQ(*Push(3), expected[3]);
}

TEST_F(SuccessionTest, AShardThatIsHandedOverIsItsLastLeadersUntilItIsTaken) {
  const auto expected = Undisturbed(3);
  for (int i = 1; i >= 0; --i) StartWithoutSettling(i);
  ASSERT_TRUE(Declare().ok());
  ASSERT_TRUE(Join().ok());
  AwaitCopy(1);
  tasks_[0]->CutOff();
  EXPECT_EQ(*Push(0), expected[0]);
  AwaitLeader(1);
  StartWithoutSettling(0);
  tasks_[0]->etcd().Refuse(true);  // so that it cannot take over
  Await([](const ShardRecords& now) { return !now.leader.has_value(); });
  EXPECT_EQ(*Push(1), expected[1]);
  EXPECT_EQ(AwaitLeader(1).leader->term, 2);
  EXPECT_EQ(*Push(2), expected[2]);
}

TEST_F(SuccessionTest, WhoHasTheCopyGoesOnWhenTheLeaderDiesHandingItOver) {
  const auto expected = Undisturbed(2);
  for (int i = 1; i >= 0; --i) StartWithoutSettling(i);
  ASSERT_TRUE(Declare().ok());
  ASSERT_TRUE(Join().ok());
  AwaitCopy(1);
  tasks_[0]->CutOff();
  EXPECT_EQ(*Push(0), expected[0]);
  AwaitLeader(1);
  StartWithoutSettling(0);
  tasks_[0]->etcd().Refuse(true);
  Await([](const ShardRecords& now) { return !now.leader.has_value(); });
  End(1);
  tasks_[0]->etcd().Refuse(false);
  AwaitLeader(0);
  EXPECT_EQ(*Push(1), expected[1]);
}

TEST_F(SuccessionTest, AShardGoesHomeThoughTheAnswerIsLostWhenItIsHandedOver) {
  const auto expected = Undisturbed(2);
  for (int i = 1; i >= 0; --i) StartWithoutSettling(i);
  ASSERT_TRUE(Declare().ok());
  ASSERT_TRUE(Join().ok());
  AwaitCopy(1);
  tasks_[0]->CutOff();
  EXPECT_EQ(*Push(0), expected[0]);
  AwaitLeader(1);
  tasks_[1]->etcd().LoseNextRemoval();
  StartWithoutSettling(0);
  AwaitLeader(0);
  EXPECT_TRUE(tasks_[1]->etcd().has_lost_removal());
  EXPECT_EQ(*Push(1), expected[1]);
}

// The last of three tasks goes, with the shard that it leads, and those that it has copies of.
TEST_F(SuccessionTest, ATaskThatIsToGoIsSurplusWhenOthersHaveAllItHad) {
  for (int i = 0; i < kTasks; ++i) StartWithoutSettling(i);
  v1::JobSpec spec = OneShardSpec(1, /*synchronous=*/true);
  spec.set_num_shards(kTasks);
  for (int shard = 0; shard < kTasks; ++shard) {
    v1::DeclareRequest declare;
    *declare.mutable_spec() = spec;
    declare.set_shard_index(shard);
    ASSERT_TRUE(Ask(&ParameterServer::Declare, declare).ok());
    Await([](const ShardRecords& now) { return now.copies->copy.has_value(); },
          static_cast<size_t>(shard));
  }
  EXPECT_FALSE(tasks_[2]->succession().IsSurplus());
  ASSERT_TRUE(client_->Put({PsTasksKey("job"), "2", 0}).ok());
  AwaitLeader(0, 2);
  const absl::Time deadline = Env::Posix()->Now() + kLong;
  while (!tasks_[2]->succession().IsSurplus() && Env::Posix()->Now() < deadline) {
  }
  EXPECT_TRUE(tasks_[2]->succession().IsSurplus());
  EXPECT_FALSE(tasks_[0]->succession().IsSurplus());
  EXPECT_FALSE(tasks_[1]->succession().IsSurplus());
  for (size_t shard = 0; shard < kTasks; ++shard) {
    Await(
        [&](const ShardRecords& now) {
          return now.copies->leader.task < 2 && now.copies->copy.has_value() &&
                 now.copies->copy->task < 2;
        },
        shard);
  }
  // One that is started now waits to be asked for.
  StartWithoutSettling(2);
  ASSERT_TRUE(client_->Put({PsTasksKey("job"), "3", 0}).ok());
  AwaitLeader(2, 2);
}

TEST_F(SuccessionTest, WhatWasSaidOfAnEarlierRunIsForgotten) {
  ASSERT_TRUE(client_->Put({PsTasksKey("job"), "1", 0}).ok());
  for (int i = 0; i < kTasks; ++i) Start(i);
  for (int i = 0; i < kTasks; ++i) {
    Await([](const ShardRecords& now) { return now.leader.has_value(); }, static_cast<size_t>(i));
  }
  EXPECT_FALSE(ReadShardRecords(client_.get(), "job", kTasks)->ps_tasks.has_value());
}

}  // namespace
}  // namespace parley
