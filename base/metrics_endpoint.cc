#include "base/metrics_endpoint.h"

#include <prometheus/exposer.h>

#include <exception>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/knock.h"

namespace parley {
namespace {

class ExposerEndpoint final : public MetricsEndpoint {
 public:
  // Throws what Exposer does.
  ExposerEndpoint(const std::string& address, std::shared_ptr<const Metrics> metrics)
      : metrics_(std::const_pointer_cast<Metrics>(std::move(metrics))),
        exposer_(std::make_unique<prometheus::Exposer>(std::vector<std::string>{
            "listening_ports", address, "num_threads", "2", "request_timeout_ms", "10000"})) {
    exposer_->RegisterCollectable(metrics_);
  }

  ~ExposerEndpoint() override {
    StopKnocking(this->port(), [this] { exposer_.reset(); });
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
