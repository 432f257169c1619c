#ifndef PARLEY_NET_LISTEN_ADDRESS_H_
#define PARLEY_NET_LISTEN_ADDRESS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace parley {

// Where to listen so that every client that is told "host:port" arrives here.
struct ListenAddress {
  std::vector<std::string> addresses;  // numeric: "127.0.0.1:4000", "[::1]:4000"; at least one
  int port;
};

// Resolves `address`, "host:port", to all numeric addresses of the host that this machine has, with
// one port that is free on all of them; port 0 picks one. A name such as localhost has addresses of
// both IP versions: on a port that is free on one and taken on the other, part of the clients would
// reach another program. The port is not held: it may be taken by someone else before the caller
// listens there.
//
// Errors name the address: INVALID_ARGUMENT when it is no host:port or the host is not known,
// ALREADY_EXISTS when it is in use, otherwise what the system says. Thread safety: safe from any
// thread.
absl::StatusOr<ListenAddress> FindListenAddress(const std::string& address);

}  // namespace parley

#endif  // PARLEY_NET_LISTEN_ADDRESS_H_
