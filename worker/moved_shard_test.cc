// A shard that goes on elsewhere, as a worker's session sees it: its retry reaches the new place.

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/mutex.h"
#include "gtest/gtest.h"
#include "net/channel.h"
#include "net/grpc_server.h"
#include "net/testing/pending_answer.h"
#include "net/testing/puppet_parameter_server.h"
#include "worker/session.h"
#include "worker/timer.h"

namespace parley {
namespace {

// A shard at one place.
struct Place {
  Place() {
    PuppetAnswers answers;
    answers.push_pull.add_staleness(0);
    puppet.SetAnswers(answers);
  }
  PuppetParameterServer puppet;
  std::unique_ptr<GrpcServer> server = *GrpcServer::Start("127.0.0.1:0", &puppet);
  std::string address() const { return absl::StrCat("127.0.0.1:", server->port()); }
};

TEST(MovedShardTest, ARetryReachesTheNewPlace) {
  Mutex mutex;
  Place before, after;
  std::string where = before.address();
  ChannelOptions options;
  options.transport = Transport::kGrpc;
  options.resolver = [&]() -> absl::StatusOr<std::string> {
    MutexLock lock(&mutex);
    return where;
  };
  const auto timer = std::make_shared<Timer>();
  const auto session = std::make_shared<Session>(
      SessionOptions(), NewChannel("ps:0", before.address(), options), timer);
  const auto push = [&](int64_t step) {
    v1::PushPullRequest request;
    request.set_step(step);
    request.add_push(0);
    PendingAnswer<ParameterServer::PushPullReply> answer;
    session->PushPull(
        1, std::move(request), [] { return Payload(); }, {}, Timer::After(absl::Minutes(1)),
        answer.Done());
    return answer;
  };
  ASSERT_TRUE(push(0).Wait().ok());

  // One push is on its way when the first place goes, another is sent afterwards.
  before.puppet.Hold();
  const auto on_its_way = push(1);
  ASSERT_TRUE(before.puppet.AwaitCalls(2));
  before.server->Shutdown(absl::ZeroDuration());
  const auto afterwards = push(2);
  {
    MutexLock lock(&mutex);
    where = after.address();
  }
  EXPECT_TRUE(on_its_way.Wait().ok()) << on_its_way.Wait().status();
  EXPECT_TRUE(afterwards.Wait().ok()) << afterwards.Wait().status();
  EXPECT_EQ(after.puppet.calls().size(), 2u);
  session->Close();
  timer->Stop();
}

}  // namespace
}  // namespace parley
