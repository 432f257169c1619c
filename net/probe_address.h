#ifndef PARLEY_NET_PROBE_ADDRESS_H_
#define PARLEY_NET_PROBE_ADDRESS_H_

#include <string>

#include "absl/time/time.h"

namespace parley {

// Whether a connection to `address`, "host:port", is refused: its host is up, and nobody listens at
// that port. False when it is accepted, cannot be known within `timeout`, or `address` is none;
// looking up a name may take longer. Thread safety: safe from any thread.
bool IsRefused(const std::string& address, absl::Duration timeout);

}  // namespace parley

#endif  // PARLEY_NET_PROBE_ADDRESS_H_
