#include "base/http_server.h"

#include <civetweb.h>

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/knock.h"

namespace parley {
namespace {

constexpr char kHeaders[] =
    "Cache-Control: no-store\r\n"
    "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; connect-src 'self'; img-src data:; frame-ancestors 'none'\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "Referrer-Policy: no-referrer\r\n"
    "Connection: close\r\n";

void Answer(mg_connection* connection, const char* status, const HttpPage& page, bool with_body) {
  const std::string head =
      absl::StrCat("HTTP/1.1 ", status, "\r\nContent-Type: ", page.type,
                   "\r\nContent-Length: ", page.body.size(), "\r\n", kHeaders, "\r\n");
  mg_write(connection, head.data(), head.size());
  if (with_body) mg_write(connection, page.body.data(), page.body.size());
}

class CivetServer final : public HttpServer {
 public:
  explicit CivetServer(std::map<std::string, Make> pages) : pages_(std::move(pages)) {}

  ~CivetServer() override {
    if (context_ == nullptr) return;
    StopKnocking(port_, [this] { mg_stop(context_); });
  }

  // Whether it listens now.
  bool Listen(const std::string& address) {
    const char* options[] = {"listening_ports",    address.c_str(), "num_threads", "8",
                             "request_timeout_ms", "5000",          nullptr};
    const mg_callbacks none = {};
    context_ = mg_start(&none, this, options);
    if (context_ == nullptr) return false;
    mg_server_port ports[2] = {};
    if (mg_get_server_ports(context_, 2, ports) < 1) return false;
    port_ = ports[0].port;
    mg_set_request_handler(context_, "/", &CivetServer::Handle, this);
    return true;
  }

  int port() const override { return port_; }

 private:
  static int Handle(mg_connection* connection, void* self) {
    static_cast<const CivetServer*>(self)->Serve(connection);
    return 1;
  }

  void Serve(mg_connection* connection) const {
    const mg_request_info* const request = mg_get_request_info(connection);
    const std::string method = request->request_method;
    const HttpPage none = {"text/plain; charset=utf-8", "there is no such page\n"};
    if (method != "GET" && method != "HEAD") {
      return Answer(connection, "405 Method Not Allowed", none, true);
    }
    const auto page = pages_.find(request->local_uri == nullptr ? "" : request->local_uri);
    if (page == pages_.end()) {
      return Answer(connection, "404 Not Found", none, method == "GET");
    }
    Answer(connection, "200 OK", page->second(), method == "GET");
  }

  const std::map<std::string, Make> pages_;
  mg_context* context_ = nullptr;
  int port_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(int port,
                                                              std::map<std::string, Make> pages) {
  if (port < 0 || port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("there is no port ", port));
  }
  // Of IPv6 and IPv4; where the machine has no IPv6, of IPv4.
  for (const char* const family : {"+", ""}) {
    auto server = std::make_unique<CivetServer>(pages);
    if (server->Listen(absl::StrCat(family, port))) return server;
  }
  return absl::UnavailableError(absl::StrCat("cannot listen on port ", port, ": is it in use?"));
}

}  // namespace parley
