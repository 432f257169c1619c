#include "base/knock.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <chrono>
#include <cstdint>
#include <future>

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

}  // namespace

void StopKnocking(int port, const std::function<void()>& stop) {
  const std::future<void> stopped = std::async(std::launch::async, stop);
  while (stopped.wait_for(std::chrono::milliseconds(5)) != std::future_status::ready) Knock(port);
}

}  // namespace parley
