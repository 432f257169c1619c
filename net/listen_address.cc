#include "net/listen_address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace parley {
namespace {

// How often to look for a port that is free on all addresses.
constexpr int kAttempts = 32;

struct HostAndPort {
  std::string host;
  int port;
};

absl::StatusOr<HostAndPort> SplitAddress(const std::string& address) {
  const size_t colon = address.rfind(':');
  int port = -1;
  if (colon == std::string::npos || colon == 0 ||
      !absl::SimpleAtoi(address.substr(colon + 1), &port) || port < 0 || port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("cannot listen on \"", address,
                                                   "\": not host:port with a port of 0 to 65535"));
  }
  std::string host = address.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  return HostAndPort{std::move(host), port};
}

// A numeric host, "127.0.0.1" or "::1", and its IP version.
struct NumericHost {
  std::string text;
  int family;
  bool operator==(const NumericHost& other) const { return text == other.text; }
};

absl::StatusOr<std::vector<NumericHost>> Resolve(const std::string& host,
                                                 const std::string& context) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(host.c_str(), nullptr, &hints, &found);
  if (error != 0) {
    return absl::InvalidArgumentError(absl::StrCat(context, ": ", gai_strerror(error)));
  }
  std::vector<NumericHost> hosts;
  const auto add = [&hosts](NumericHost numeric) {
    if (std::find(hosts.begin(), hosts.end(), numeric) == hosts.end()) hosts.push_back(numeric);
  };
  for (const addrinfo* at = found; at != nullptr; at = at->ai_next) {
    char text[NI_MAXHOST];
    if (getnameinfo(at->ai_addr, at->ai_addrlen, text, sizeof(text), nullptr, 0, NI_NUMERICHOST) ==
        0) {
      add({text, at->ai_family});
    }
  }
  freeaddrinfo(found);
  // Resolvers differ in this name, gRPC's from the system's: it is both (RFC 6761, section 6.3).
  if (host == "localhost") {
    add({"127.0.0.1", AF_INET});
    add({"::1", AF_INET6});
  }
  return hosts;
}

std::string Join(const NumericHost& host, int port) {
  return host.family == AF_INET6 ? absl::StrCat("[", host.text, "]:", port)
                                 : absl::StrCat(host.text, ":", port);
}

// A socket bound to host:*port (and *port then the one it got), or -1 with errno set.
int Bind(const NumericHost& host, int* port) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.text.c_str(), absl::StrCat(*port).c_str(), &hints, &found) != 0) {
    errno = EADDRNOTAVAIL;
    return -1;
  }
  int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  sockaddr_storage bound = {};
  socklen_t size = sizeof(bound);
  // As gRPC will listen: at once after another program that was there.
  if (fd >= 0 && (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
                  (host.family == AF_INET6 && host.text != "::" &&
                   setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) != 0) ||
                  bind(fd, found->ai_addr, found->ai_addrlen) != 0 ||
                  getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &size) != 0)) {
    const int error = errno;
    close(fd);
    errno = error;
    fd = -1;
  }
  freeaddrinfo(found);
  if (fd >= 0) {
    *port =
        ntohs(bound.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6*>(&bound)->sin6_port
                                          : reinterpret_cast<const sockaddr_in*>(&bound)->sin_port);
  }
  return fd;
}

// One attempt to have `port` on all hosts at once. Hosts that this machine does not have are left
// out.
absl::StatusOr<ListenAddress> BindAll(const std::vector<NumericHost>& hosts, int port,
                                      const std::string& context) {
  ListenAddress result = {{}, port};
  std::vector<int> sockets;
  absl::Status status = absl::InvalidArgumentError(absl::StrCat(context, ": no address"));
  for (const NumericHost& host : hosts) {
    const int fd = Bind(host, &result.port);
    if (fd >= 0) {
      sockets.push_back(fd);
      result.addresses.push_back(Join(host, result.port));
      continue;
    }
    const int error = errno;
    status = ErrnoToStatus(error, context);
    if (error != EADDRNOTAVAIL && error != EAFNOSUPPORT) {
      result.addresses.clear();
      break;
    }
  }
  for (const int fd : sockets) close(fd);
  if (result.addresses.empty()) return status;
  return result;
}

}  // namespace

absl::StatusOr<ListenAddress> FindListenAddress(const std::string& address) {
  PARLEY_ASSIGN_OR_RETURN(const HostAndPort parts, SplitAddress(address));
  const std::string context = absl::StrCat("cannot listen on ", address);
  PARLEY_ASSIGN_OR_RETURN(const std::vector<NumericHost> hosts, Resolve(parts.host, context));
  absl::StatusOr<ListenAddress> result = BindAll(hosts, parts.port, context);
  for (int i = 1; i < kAttempts && parts.port == 0 && absl::IsAlreadyExists(result.status()); ++i) {
    result = BindAll(hosts, parts.port, context);
  }
  return result;
}

}  // namespace parley
