#include "base/metrics_endpoint.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace parley {
namespace {

using ::testing::HasSubstr;

// The whole answer of a GET to a server of this machine.
std::string Get(int port, const std::string& path) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  std::string answer;
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0) {
    const std::string request =
        "GET " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    send(fd, request.data(), request.size(), MSG_NOSIGNAL);
    char buffer[4096];
    for (ssize_t size; (size = recv(fd, buffer, sizeof(buffer), 0)) > 0;) {
      answer.append(buffer, static_cast<size_t>(size));
    }
  }
  close(fd);
  return answer;
}

TEST(MetricsEndpointTest, ServesTheNumbersAsTheyAre) {
  const auto metrics = std::make_shared<Metrics>("ps:0");
  prometheus::Counter* const rounds = metrics->NewCounter("rounds_total", "Rounds.");
  const auto endpoint = MetricsEndpoint::Start(0, metrics);
  ASSERT_TRUE(endpoint.ok()) << endpoint.status();
  ASSERT_GT((*endpoint)->port(), 0);
  EXPECT_THAT(Get((*endpoint)->port(), "/metrics"), HasSubstr("rounds_total{task=\"ps:0\"} 0\n"));
  rounds->Increment(7);
  const std::string answer = Get((*endpoint)->port(), "/metrics");
  EXPECT_THAT(answer, HasSubstr("HTTP/1.1 200"));
  EXPECT_THAT(answer, HasSubstr("# TYPE rounds_total counter\n"));
  EXPECT_THAT(answer, HasSubstr("rounds_total{task=\"ps:0\"} 7\n"));
  EXPECT_THAT(Get((*endpoint)->port(), "/other"), HasSubstr("404"));
}

TEST(MetricsEndpointTest, APortInUseIsAnError) {
  const auto metrics = std::make_shared<Metrics>("ps:0");
  const auto first = MetricsEndpoint::Start(0, metrics);
  ASSERT_TRUE(first.ok()) << first.status();
  const auto second = MetricsEndpoint::Start((*first)->port(), metrics);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.status().message()),
              HasSubstr("port " + std::to_string((*first)->port())));
}

TEST(MetricsEndpointTest, APortThatThereIsNotIsAnError) {
  const auto metrics = std::make_shared<Metrics>("ps:0");
  for (const int port : {-1, 65536}) {
    EXPECT_EQ(MetricsEndpoint::Start(port, metrics).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace parley
