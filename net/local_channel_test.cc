#include "net/local_channel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "base/mutex.h"
#include "net/forwarding_parameter_server.h"
#include "net/local_connection.h"
#include "net/local_server.h"
#include "net/shared_ring.h"
#include "net/testing/parameter_server_suite.h"
#include "net/testing/payloads.h"
#include "net/testing/pending_answer.h"
#include "net/testing/puppet_parameter_server.h"

namespace parley {
namespace {

using testing::HasSubstr;
using PushPullReply = ParameterServer::PushPullReply;

// The way for all but PushPull: a call. Its first Join is answered here, with the socket.
class Control : public ForwardingParameterServer {
 public:
  Control(ParameterServer* target, std::string local_socket)
      : ForwardingParameterServer(target), local_socket_(std::move(local_socket)) {}

  void Join(v1::JoinRequest request, Done<v1::JoinResponse> done) override {
    if (joined_) return ForwardingParameterServer::Join(std::move(request), std::move(done));
    joined_ = true;
    v1::JoinResponse response;
    response.set_local_socket(local_socket_);
    done(response);
  }
  void Heartbeat(v1::HeartbeatRequest request, Done<v1::HeartbeatResponse> done) override {
    if (!answers_heartbeats) {
      return ForwardingParameterServer::Heartbeat(std::move(request), std::move(done));
    }
    v1::HeartbeatResponse response;
    response.set_local_socket(local_socket_);
    done(response);
  }
  void PushPull(v1::PushPullRequest request, Payload payload, Done<PushPullReply> done) override {
    ++remote_push_pulls;
    ForwardingParameterServer::PushPull(std::move(request), std::move(payload), std::move(done));
  }

  int remote_push_pulls = 0;
  bool answers_heartbeats = false;  // here, with the socket

 private:
  const std::string local_socket_;
  bool joined_ = false;
};

// A worker's channel and a shard's server in one process, each with its own mappings.
class Local : public TestTransport {
 public:
  explicit Local(ParameterServer* server, LocalChannelOptions options = {})
      : name_(LocalServer::NewName()), theirs(SharedArena::Create()), ours(SharedArena::Create()) {
    Start(server);
    auto owned = std::make_unique<Control>(server, name_);
    control = owned.get();
    channel_ = NewLocalChannel("ps:1", std::move(owned), ours, options);
    PendingAnswer<v1::JoinResponse> joined;
    channel_->Join({}, joined.Done());
    EXPECT_TRUE(joined.Wait().ok());
  }
  ~Local() override { channel_.reset(); }

  void Start(ParameterServer* server) {
    absl::StatusOr<std::unique_ptr<LocalServer>> started =
        LocalServer::Start(name_, server, theirs);
    EXPECT_TRUE(started.ok()) << started.status();
    server_ = *std::move(started);
  }
  void StopServer() { server_.reset(); }
  void CloseChannel() { channel_.reset(); }

  ParameterServer* client() override { return channel_.get(); }
  const std::string& name() const { return name_; }

  absl::StatusOr<PushPullReply> PushPull(const Payload& payload, int64_t wait_ms = 30'000) {
    v1::PushPullRequest request;
    request.set_wait_ms(wait_ms);
    PendingAnswer<PushPullReply> answer;
    channel_->PushPull(request, payload, answer.Done());
    return answer.Wait();
  }

 private:
  const std::string name_;

 public:
  const std::shared_ptr<SharedArena> theirs, ours;
  Control* control;

 private:
  std::unique_ptr<LocalServer> server_;
  std::unique_ptr<ParameterServer> channel_;
};

INSTANTIATE_TEST_SUITE_P(SharedMemory, ParameterServerSuite,
                         testing::Values([](ParameterServer* server) {
                           return std::make_unique<Local>(server);
                         }));

TEST(LocalChannelTest, PayloadsTakeTheShortWay) {
  PuppetParameterServer server;
  Local local(&server);
  const auto reply = local.PushPull(MakePayload(RandomBytes(1, 100'000)));
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(BytesOf(reply->payload), RandomBytes(1, 100'000));
  EXPECT_EQ(local.control->remote_push_pulls, 0);
}

TEST(LocalChannelTest, AnErrorThatNamesAFileOfAnyBytesDoesNotEndTheConnection) {
  PuppetParameterServer server;
  Local local(&server);
  server.FailWith(absl::DataLossError("no \xff"));
  const absl::Status failed = local.PushPull(MakePayload("1234")).status();
  EXPECT_EQ(failed, absl::DataLossError("no \xff"));
  server.FailWith(absl::OkStatus());
  EXPECT_TRUE(local.PushPull(MakePayload("1234")).ok());
  EXPECT_EQ(local.control->remote_push_pulls, 0);
}

TEST(LocalChannelTest, MemoryOfTheArenaIsLentAndNotCopied) {
  PuppetParameterServer server;
  server.Hold();
  Local local(&server);
  const std::shared_ptr<std::byte> buffer = local.ours->Allocate(100'000).value();
  std::memset(buffer.get(), 1, 100'000);
  auto probe = std::make_shared<int>(0);
  Payload payload;
  payload.Append(buffer.get(), 100'000, probe);
  PendingAnswer<PushPullReply> answer;
  v1::PushPullRequest request;
  request.set_wait_ms(30'000);
  local.client()->PushPull(request, std::move(payload), answer.Done());
  ASSERT_TRUE(server.AwaitCalls(1));
  EXPECT_GT(probe.use_count(), 1);  // held until the shard has read it
  std::memset(buffer.get(), 2, 100'000);
  server.Release();
  const auto reply = answer.Wait();
  ASSERT_TRUE(reply.ok()) << reply.status();
  // The shard read it only now.
  EXPECT_EQ(BytesOf(reply->payload), std::string(100'000, '\2'));
}

TEST(LocalChannelTest, EachSidesMemoryMayGrowByNewSegments) {
  PuppetParameterServer server;
  Local local(&server);
  ASSERT_TRUE(local.PushPull(MakePayload(RandomBytes(1, 1000))).ok());
  // No page of it is written, so it takes room in the segment only.
  const auto fill = [](SharedArena* arena) { return arena->Allocate(size_t{1} << 30).value(); };
  std::vector<std::shared_ptr<std::byte>> full;
  for (int i = 0; i < 3; ++i) {
    full.push_back(fill(local.theirs.get()));
    full.push_back(fill(local.ours.get()));
    const auto reply = local.PushPull(MakePayload(RandomBytes(i, 300'000 + i)));
    ASSERT_TRUE(reply.ok()) << reply.status();
    EXPECT_EQ(BytesOf(reply->payload), RandomBytes(i, 300'000 + i));
  }
  EXPECT_EQ(local.control->remote_push_pulls, 0);
}

TEST(LocalChannelTest, OrdinaryMemoryIsFreeWhenTheCallHasBegun) {
  PuppetParameterServer server;
  server.Hold();
  Local local(&server);
  std::string bytes = RandomBytes(3, 50'000);
  Payload payload;
  payload.Append(bytes.data(), bytes.size(), nullptr);
  PendingAnswer<PushPullReply> answer;
  v1::PushPullRequest request;
  request.set_wait_ms(30'000);
  local.client()->PushPull(request, std::move(payload), answer.Done());
  bytes.assign(bytes.size(), 'x');
  ASSERT_TRUE(server.AwaitCalls(1));
  server.Release();
  const auto reply = answer.Wait();
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(BytesOf(reply->payload), RandomBytes(3, 50'000));
}

TEST(LocalChannelTest, ATaskThatHasGoneIsUnavailableAndThenTheOtherWayIsTaken) {
  PuppetParameterServer server;
  server.Hold();
  Local local(&server);
  v1::PushPullRequest request;
  request.set_wait_ms(30'000);
  PendingAnswer<PushPullReply> answer;
  local.client()->PushPull(request, MakePayload(RandomBytes(1, 1000)), answer.Done());
  ASSERT_TRUE(server.AwaitCalls(1));
  local.StopServer();
  const absl::Status status = answer.Wait().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("ps:1 on this host: PushPull: lost"));
  server.Release();  // to nobody
  EXPECT_TRUE(local.PushPull(MakePayload(RandomBytes(1, 1000))).ok());
  EXPECT_EQ(local.control->remote_push_pulls, 1);
}

TEST(LocalChannelTest, ATaskThatIsStartedAgainIsReachedThroughSharedMemoryAgain) {
  PuppetParameterServer server;
  Local local(&server);
  local.control->answers_heartbeats = true;
  const Payload payload = MakePayload(RandomBytes(1, 1000));
  const auto heartbeat = [&] {
    PendingAnswer<v1::HeartbeatResponse> answer;
    local.client()->Heartbeat({}, answer.Done());
    EXPECT_TRUE(answer.Wait().ok());
  };
  local.StopServer();
  while (!local.PushPull(payload).ok()) {  // until the end of the connection is noticed
  }
  heartbeat();  // nobody listens yet
  int the_other_way = local.control->remote_push_pulls;
  EXPECT_TRUE(local.PushPull(payload).ok());
  EXPECT_EQ(local.control->remote_push_pulls, the_other_way + 1);
  local.Start(&server);
  heartbeat();
  the_other_way = local.control->remote_push_pulls;
  EXPECT_TRUE(local.PushPull(payload).ok());
  EXPECT_EQ(local.control->remote_push_pulls, the_other_way);
}

// Answers each PushPull at a random time, and remembers who brought the pushes of each block, and
// in which order.
class LateParameterServer : public PuppetParameterServer {
 public:
  explicit LateParameterServer(uint32_t seed) : random_(seed), thread_([this] { Answer(); }) {}
  ~LateParameterServer() override {
    {
      MutexLock lock(&mutex_);
      stopping_ = true;
    }
    changed_.NotifyAll();
    thread_.join();
  }

  void PushPull(v1::PushPullRequest request, Payload, Done<PushPullReply> done) override {
    MutexLock lock(&mutex_);
    for (const uint32_t block : request.push()) steps_[block].push_back(request.step());
    threads_.insert(std::this_thread::get_id());
    ++count_;
    waiting_.push_back(std::move(done));
    changed_.NotifyAll();
  }

  // Nothing is answered from Hold to Release.
  void Hold() {
    MutexLock lock(&mutex_);
    holding_ = true;
  }
  void Release() {
    MutexLock lock(&mutex_);
    holding_ = false;
    changed_.NotifyAll();
  }
  // Who has brought PushPulls, once so many have come; after a minute anyway.
  std::set<std::thread::id> ThreadsOf(int count) {
    const absl::Time end = absl::Now() + absl::Minutes(1);
    MutexLock lock(&mutex_);
    while (count_ < count && absl::Now() < end) changed_.WaitFor(&mutex_, end - absl::Now());
    return threads_;
  }
  std::map<uint32_t, std::vector<int64_t>> steps() {
    MutexLock lock(&mutex_);
    return steps_;
  }

 private:
  void Answer() {
    for (;;) {
      Done<PushPullReply> done;
      {
        MutexLock lock(&mutex_);
        while ((waiting_.empty() || holding_) && !stopping_) changed_.Wait(&mutex_);
        if (waiting_.empty()) return;
        std::swap(waiting_[random_() % waiting_.size()], waiting_.back());
        done = std::move(waiting_.back());
        waiting_.pop_back();
      }
      done(PushPullReply());
    }
  }

  Mutex mutex_;
  CondVar changed_;
  std::mt19937 random_ ABSL_GUARDED_BY(mutex_);
  std::map<uint32_t, std::vector<int64_t>> steps_ ABSL_GUARDED_BY(mutex_);
  std::set<std::thread::id> threads_ ABSL_GUARDED_BY(mutex_);
  std::vector<Done<PushPullReply>> waiting_ ABSL_GUARDED_BY(mutex_);
  int count_ ABSL_GUARDED_BY(mutex_) = 0;  // PushPulls
  bool holding_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

TEST(LocalChannelTest, PushesOfDifferentBlocksAreTakenByDifferentThreads) {
  LateParameterServer server(1);
  server.Hold();
  Local local(&server);
  std::deque<PendingAnswer<PushPullReply>> answers;
  for (uint32_t block = 0; block < 6; ++block) {
    v1::PushPullRequest request;
    request.set_wait_ms(60'000);
    request.add_push(block);
    answers.emplace_back();
    local.client()->PushPull(request, MakePayload(RandomBytes(1, 1000)), answers.back().Done());
  }
  const size_t links = std::thread::hardware_concurrency() > 1 ? 2 : 1;
  EXPECT_EQ(server.ThreadsOf(6).size(), links);
  server.Release();
  for (PendingAnswer<PushPullReply>& answer : answers) EXPECT_TRUE(answer.Wait().ok());
}

TEST(LocalChannelTest, PushesOfABlockArriveInTheirOrderOnWhicheverLink) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  constexpr int kPushes = 3000;
  constexpr uint32_t kBlocks = 12;
  LateParameterServer server(seed);
  Local local(&server);
  const std::shared_ptr<std::byte> memory = local.ours->Allocate(1000).value();
  std::map<uint32_t, std::vector<int64_t>> sent;
  std::deque<PendingAnswer<PushPullReply>> answers;
  for (int64_t step = 0; step < kPushes; ++step) {
    v1::PushPullRequest request;
    request.set_wait_ms(30'000);
    request.set_step(step);
    const uint32_t first = static_cast<uint32_t>(random() % kBlocks);
    const uint32_t last = std::min(kBlocks, first + 1 + static_cast<uint32_t>(random() % 3));
    for (uint32_t block = first; block < last; ++block) {
      request.add_push(block);
      sent[block].push_back(step);
    }
    Payload payload;
    payload.Append(memory.get(), 1 + random() % 1000, memory);
    answers.emplace_back();
    local.client()->PushPull(request, payload, answers.back().Done());
  }
  for (PendingAnswer<PushPullReply>& answer : answers) EXPECT_TRUE(answer.Wait().ok());
  EXPECT_EQ(server.steps(), sent);
  EXPECT_EQ(local.control->remote_push_pulls, 0);
}

TEST(LocalChannelTest, WhatWaitsForAnotherPushEndsWithTheTask) {
  PuppetParameterServer server;
  server.Hold();
  Local local(&server);
  std::deque<PendingAnswer<PushPullReply>> answers;
  for (const std::vector<uint32_t>& blocks :
       std::vector<std::vector<uint32_t>>{{0, 1}, {2, 3}, {1, 2}, {2}}) {
    v1::PushPullRequest request;
    request.set_wait_ms(30'000);
    for (const uint32_t block : blocks) request.add_push(block);
    answers.emplace_back();
    local.client()->PushPull(request, MakePayload(RandomBytes(1, 1000)), answers.back().Done());
  }
  local.StopServer();
  for (PendingAnswer<PushPullReply>& answer : answers) {
    EXPECT_EQ(answer.Wait().status().code(), absl::StatusCode::kUnavailable);
  }
  server.Release();
}

TEST(LocalChannelTest, ASilentTaskIsAnErrorAfterTheWaitAndTheGrace) {
  PuppetParameterServer server;
  server.Hold();
  LocalChannelOptions options;
  options.grace = absl::Milliseconds(50);
  Local local(&server, options);
  EXPECT_EQ(local.PushPull(MakePayload(RandomBytes(1, 1000)), 100).status().code(),
            absl::StatusCode::kDeadlineExceeded);
}

TEST(LocalChannelTest, ClosingEndsWhatWaits) {
  PuppetParameterServer server;
  server.Hold();
  Local local(&server);
  v1::PushPullRequest request;
  request.set_wait_ms(30'000);
  PendingAnswer<PushPullReply> answer;
  local.client()->PushPull(request, MakePayload(RandomBytes(1, 1000)), answer.Done());
  ASSERT_TRUE(server.AwaitCalls(1));
  local.CloseChannel();
  EXPECT_EQ(answer.Wait().status().code(), absl::StatusCode::kCancelled);
}

TEST(LocalChannelTest, MemoryLentToATaskThatIsAbandonedComesBackThoughItLives) {
  for (const bool abandoned : {false, true}) {
    PuppetParameterServer server;
    server.Hold();
    Local local(&server);
    const std::shared_ptr<std::byte> buffer = local.ours->Allocate(1000).value();
    std::memset(buffer.get(), 1, 1000);
    const auto probe = std::make_shared<int>(0);
    Payload payload;
    payload.Append(buffer.get(), 1000, probe);
    v1::PushPullRequest request;
    request.set_wait_ms(30'000);
    PendingAnswer<PushPullReply> answer;
    local.client()->PushPull(request, std::move(payload), answer.Done());
    ASSERT_TRUE(server.AwaitCalls(1));
    if (abandoned) local.client()->Abandon();
    local.CloseChannel();
    EXPECT_EQ(answer.Wait().status().code(), absl::StatusCode::kCancelled);
    EXPECT_EQ(probe.use_count() == 1, abandoned);
  }
}

TEST(LocalChannelTest, ATaskElsewhereIsReachedTheOtherWayUnlessSharedMemoryIsRequired) {
  PuppetParameterServer server;
  for (const bool required : {false, true}) {
    LocalChannelOptions options;
    options.required = required;
    auto control = std::make_unique<Control>(&server, LocalServer::NewName());
    const auto channel =
        NewLocalChannel("ps:1", std::move(control), SharedArena::Create(), options);
    PendingAnswer<v1::JoinResponse> joined;
    channel->Join({}, joined.Done());
    const absl::Status status = joined.Wait().status();
    EXPECT_EQ(status.code(),
              required ? absl::StatusCode::kFailedPrecondition : absl::StatusCode::kOk)
        << status;
  }
}

// A connection without a LocalConnection at this end.
struct RawLine {
  explicit RawLine(const std::string& name, UniqueFd fd = UniqueFd())
      : socket(*LocalConnection::Connect(name)), ring(*SharedRing::Create()) {
    EXPECT_TRUE(LocalConnection::SendFd(socket.get(), fd.valid() ? fd.get() : ring->fd()));
  }
  void Send(const std::string& bytes) {
    EXPECT_EQ(*ring->Write(bytes.data(), bytes.size()), bytes.size());
  }

  const UniqueFd socket;
  const std::unique_ptr<SharedRing> ring;
};

// Frames by hand.
class HostileWorkerTest : public testing::Test {
 protected:
  HostileWorkerTest() : local_(&server_), line_(local_.name()) {}

  void SendBytes(const std::string& bytes) { line_.Send(bytes); }
  void SendFrame(const v1::LocalFrame& frame) {
    std::string bytes = frame.SerializeAsString();
    const uint32_t size = static_cast<uint32_t>(bytes.size());
    SendBytes(std::string(reinterpret_cast<const char*>(&size), sizeof(size)) + bytes);
  }
  // The server ends the connection, and goes on serving others.
  void ExpectThrownOut() {
    const timeval minute = {60, 0};
    setsockopt(line_.socket.get(), SOL_SOCKET, SO_RCVTIMEO, &minute, sizeof(minute));
    char bytes[4096];
    ssize_t size;
    while ((size = recv(line_.socket.get(), bytes, sizeof(bytes), 0)) > 0) {
    }
    ASSERT_TRUE(size == 0 || errno == ECONNRESET) << strerror(errno);
    EXPECT_TRUE(local_.PushPull(MakePayload(RandomBytes(1, 1000))).ok());
    EXPECT_EQ(server_.calls().size(), 1u);
    EXPECT_EQ(local_.control->remote_push_pulls, 0);
  }

  PuppetParameterServer server_;
  Local local_;
  RawLine line_;
};

TEST_F(HostileWorkerTest, ARingThatIsNoneIsRefused) {
  RawLine other(local_.name(), UniqueFd(memfd_create("small", MFD_CLOEXEC | MFD_ALLOW_SEALING)));
  char byte;
  const timeval minute = {60, 0};
  setsockopt(other.socket.get(), SOL_SOCKET, SO_RCVTIMEO, &minute, sizeof(minute));
  EXPECT_EQ(recv(other.socket.get(), &byte, 1, 0), 0);
  EXPECT_TRUE(local_.PushPull(MakePayload(RandomBytes(1, 1000))).ok());
}

TEST_F(HostileWorkerTest, ARingThatClaimsToHoldMoreThanItCanIsRefused) {
  // The first number in it is how much its maker has written.
  void* const memory = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, line_.ring->fd(), 0);
  ASSERT_NE(memory, MAP_FAILED);
  static_cast<std::atomic<uint64_t>*>(memory)->store(uint64_t{1} << 40);
  munmap(memory, 4096);
  line_.ring->WakePeer();
  ExpectThrownOut();
}

TEST_F(HostileWorkerTest, APieceOfNoSegmentIsRefused) {
  v1::LocalFrame frame;
  frame.mutable_request()->add_payload()->set_size(100);
  SendFrame(frame);
  ExpectThrownOut();
}

TEST_F(HostileWorkerTest, ASegmentWithoutADescriptorIsRefused) {
  v1::LocalFrame frame;
  frame.mutable_segment()->set_size(4096);
  SendFrame(frame);
  ExpectThrownOut();
}

TEST_F(HostileWorkerTest, AFrameOfTheOtherSideIsRefused) {
  v1::LocalFrame frame;
  frame.mutable_answer()->set_id(1);
  SendFrame(frame);
  ExpectThrownOut();
}

TEST_F(HostileWorkerTest, AnEndlessFrameIsRefused) {
  SendBytes("\xff\xff\xff\xff");
  ExpectThrownOut();
}

TEST_F(HostileWorkerTest, AReleaseOfNothingIsIgnored) {
  v1::LocalFrame frame;
  frame.mutable_release()->set_id(77);
  SendFrame(frame);
  SendBytes("\xff\xff\xff\xff");
  ExpectThrownOut();
}

TEST(HostileBytesTest, NothingThatIsSentBringsTheServerDown) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  PuppetParameterServer server;
  Local local(&server);
  for (int i = 0; i < 200; ++i) {
    RawLine line(local.name());
    std::string bytes;
    for (int frames = 0; frames < 4; ++frames) {
      v1::LocalFrame frame;
      frame.mutable_request()->set_id(random());
      v1::LocalPiece* piece = frame.mutable_request()->add_payload();
      piece->set_segment(random() % 3);
      piece->set_offset(random());
      piece->set_size(random());
      std::string body = frame.SerializeAsString();
      for (int flips = static_cast<int>(random() % 4); flips > 0; --flips) {
        body[random() % body.size()] = static_cast<char>(random());
      }
      const uint32_t size = static_cast<uint32_t>(body.size());
      bytes += std::string(reinterpret_cast<const char*>(&size), sizeof(size)) + body;
    }
    line.Send(bytes);
  }
  EXPECT_TRUE(local.PushPull(MakePayload(RandomBytes(1, 1000))).ok());
}

}  // namespace
}  // namespace parley
