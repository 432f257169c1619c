#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "net/grpc_channel.h"
#include "net/grpc_server.h"
#include "net/testing/parameter_server_suite.h"

namespace parley {
namespace {

class OverGrpc : public TestTransport {
 public:
  explicit OverGrpc(ParameterServer* server) {
    absl::StatusOr<std::unique_ptr<GrpcServer>> started = GrpcServer::Start("localhost:0", server);
    EXPECT_TRUE(started.ok()) << started.status();
    server_ = *std::move(started);
    client_ = NewGrpcChannel("ps:0", absl::StrCat("localhost:", server_->port()));
  }
  ParameterServer* client() override { return client_.get(); }

 private:
  std::unique_ptr<GrpcServer> server_;
  std::unique_ptr<ParameterServer> client_;
};

INSTANTIATE_TEST_SUITE_P(Grpc, ParameterServerSuite, testing::Values([](ParameterServer* server) {
                           return std::make_unique<OverGrpc>(server);
                         }));

}  // namespace
}  // namespace parley
