#ifndef PARLEY_NET_TESTING_PARAMETER_SERVER_SUITE_H_
#define PARLEY_NET_TESTING_PARAMETER_SERVER_SUITE_H_

#include <gtest/gtest.h>

#include <functional>
#include <memory>

#include "net/parameter_server.h"
#include "net/testing/puppet_parameter_server.h"

namespace parley {

// A way to a ParameterServer. Destroyed before the server.
class TestTransport {
 public:
  virtual ~TestTransport() = default;
  virtual ParameterServer* client() = 0;
};

using TransportFactory = std::function<std::unique_ptr<TestTransport>(ParameterServer* server)>;

// What every transport must keep: requests, answers, errors and payloads arrive as they were sent.
// A transport's test links this library and says
//   INSTANTIATE_TEST_SUITE_P(MyTransport, ParameterServerSuite, testing::Values(MyFactory));
class ParameterServerSuite : public testing::TestWithParam<TransportFactory> {
 protected:
  ParameterServerSuite() : transport_(GetParam()(&server_)) {}

  ParameterServer* client() { return transport_->client(); }

  PuppetParameterServer server_;

 private:
  const std::unique_ptr<TestTransport> transport_;
};

}  // namespace parley

#endif  // PARLEY_NET_TESTING_PARAMETER_SERVER_SUITE_H_
