#include "base/metrics_endpoint.h"

#include <string>

#include "base/testing/http_get.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace parley {
namespace {

using ::testing::HasSubstr;

TEST(MetricsEndpointTest, ServesTheNumbersAsTheyAre) {
  const auto metrics = std::make_shared<Metrics>("ps:0");
  prometheus::Counter* const rounds = metrics->NewCounter("rounds_total", "Rounds.");
  const auto endpoint = MetricsEndpoint::Start(0, metrics);
  ASSERT_TRUE(endpoint.ok()) << endpoint.status();
  ASSERT_GT((*endpoint)->port(), 0);
  EXPECT_THAT(HttpGet((*endpoint)->port(), "/metrics"),
              HasSubstr("rounds_total{task=\"ps:0\"} 0\n"));
  rounds->Increment(7);
  const std::string answer = HttpGet((*endpoint)->port(), "/metrics");
  EXPECT_THAT(answer, HasSubstr("HTTP/1.1 200"));
  EXPECT_THAT(answer, HasSubstr("# TYPE rounds_total counter\n"));
  EXPECT_THAT(answer, HasSubstr("rounds_total{task=\"ps:0\"} 7\n"));
  EXPECT_THAT(HttpGet((*endpoint)->port(), "/other"), HasSubstr("404"));
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
