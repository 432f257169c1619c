#include "base/http_server.h"

#include <atomic>

#include "base/testing/http_get.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace parley {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::unique_ptr<HttpServer> ServerWith(std::map<std::string, HttpServer::Make> pages) {
  absl::StatusOr<std::unique_ptr<HttpServer>> server = HttpServer::Start(0, std::move(pages));
  EXPECT_TRUE(server.ok()) << server.status();
  return *std::move(server);
}

TEST(HttpServerTest, MakesEachPageAnew) {
  std::atomic<int> made{0};
  const auto server = ServerWith({{"/",
                                   [] {
                                     return HttpPage{"text/html; charset=utf-8", "<p>hello</p>"};
                                   }},
                                  {"/n.json", [&] {
                                     return HttpPage{"application/json", std::to_string(++made)};
                                   }}});
  ASSERT_GT(server->port(), 0);
  const std::string answer = HttpGet(server->port(), "/");
  EXPECT_THAT(answer, HasSubstr("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(answer, HasSubstr("Content-Type: text/html; charset=utf-8\r\n"));
  EXPECT_THAT(answer, HasSubstr("Content-Length: 12\r\n"));
  EXPECT_THAT(answer, HasSubstr("\r\n\r\n<p>hello</p>"));
  EXPECT_THAT(HttpGet(server->port(), "/n.json"), HasSubstr("\r\n\r\n1"));
  EXPECT_THAT(HttpGet(server->port(), "/n.json?x=1"), HasSubstr("\r\n\r\n2"));
}

TEST(HttpServerTest, PagesLoadNothingFromElsewhere) {
  const auto server = ServerWith({{"/", [] { return HttpPage{"text/html", ""}; }}});
  EXPECT_THAT(HttpGet(server->port(), "/"),
              HasSubstr("Content-Security-Policy: default-src 'none';"));
}

TEST(HttpServerTest, AnswersNothingElse) {
  const auto server = ServerWith({{"/", [] { return HttpPage{"text/html", "body"}; }}});
  EXPECT_THAT(HttpGet(server->port(), "/other"), HasSubstr("HTTP/1.1 404"));
  EXPECT_THAT(HttpGet(server->port(), "/../etc/passwd"), HasSubstr("HTTP/1.1 404"));
  EXPECT_THAT(HttpGet(server->port(), "/", "DELETE"), HasSubstr("HTTP/1.1 405"));
  const std::string head = HttpGet(server->port(), "/", "HEAD");
  EXPECT_THAT(head, HasSubstr("Content-Length: 4\r\n"));
  EXPECT_THAT(head, Not(HasSubstr("body")));
}

TEST(HttpServerTest, APortInUseIsAnError) {
  const auto first = ServerWith({});
  const auto second = HttpServer::Start(first->port(), {});
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.status().message()),
              HasSubstr("port " + std::to_string(first->port())));
}

TEST(HttpServerTest, APortThatThereIsNotIsAnError) {
  for (const int port : {-1, 65536}) {
    EXPECT_EQ(HttpServer::Start(port, {}).status().code(), absl::StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace parley
