// Calling a ParameterServer itself is the in-process transport: the suite must hold for it too.
#include <memory>

#include "net/testing/parameter_server_suite.h"

namespace parley {
namespace {

class InProcess : public TestTransport {
 public:
  explicit InProcess(ParameterServer* server) : server_(server) {}
  ParameterServer* client() override { return server_; }

 private:
  ParameterServer* const server_;
};

INSTANTIATE_TEST_SUITE_P(InProcess, ParameterServerSuite,
                         testing::Values([](ParameterServer* server) {
                           return std::make_unique<InProcess>(server);
                         }));

}  // namespace
}  // namespace parley
