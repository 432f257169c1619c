#include "base/metrics_endpoint.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <prometheus/exposer.h>
#include <sys/socket.h>

#include <chrono>
#include <exception>
#include <future>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/unique_fd.h"

namespace parley {
namespace {

void Knock(int port) {
  const UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address));
}

class ExposerEndpoint final : public MetricsEndpoint {
 public:
  // Throws what Exposer does.
  ExposerEndpoint(const std::string& address, std::shared_ptr<const Metrics> metrics)
      : metrics_(std::const_pointer_cast<Metrics>(std::move(metrics))),
        exposer_(std::make_unique<prometheus::Exposer>(std::vector<std::string>{
            "listening_ports", address, "num_threads", "2", "request_timeout_ms", "10000"})) {
    exposer_->RegisterCollectable(metrics_);
  }

  // The library's thread looks whether it is to stop when a connection comes, or every two seconds.
  ~ExposerEndpoint() override {
    const int port = this->port();
    const std::future<void> stopped = std::async(std::launch::async, [this] { exposer_.reset(); });
    while (stopped.wait_for(std::chrono::milliseconds(5)) != std::future_status::ready) {
      Knock(port);
    }
  }

  int port() const override { return exposer_->GetListeningPorts().front(); }

 private:
  const std::shared_ptr<Metrics> metrics_;
  std::unique_ptr<prometheus::Exposer> exposer_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<MetricsEndpoint>> MetricsEndpoint::Start(
    int port, std::shared_ptr<const Metrics> metrics) {
  if (port < 0 || port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("there is no port ", port));
  }
  // Of IPv6 and IPv4; where the machine has no IPv6, of IPv4. The library throws; nothing of ours
  // does.
  std::string reason;
  for (const char* const family : {"+", ""}) {
    try {
      return std::make_unique<ExposerEndpoint>(absl::StrCat(family, port), metrics);
    } catch (const std::exception& exception) {
      reason = exception.what();
    }
  }
  return absl::UnavailableError(
      absl::StrCat("cannot listen on port ", port, " (is it in use?): ", reason));
}

}  // namespace parley
