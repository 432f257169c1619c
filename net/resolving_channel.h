#ifndef PARLEY_NET_RESOLVING_CHANNEL_H_
#define PARLEY_NET_RESOLVING_CHANNEL_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "net/parameter_server.h"

namespace parley {

// Where a task is now, "host:port". Called from one thread at a time; may block, for seconds at
// most.
using AddressResolver = std::function<absl::StatusOr<std::string>()>;

// Makes the channel to a task at an address.
using ChannelFactory = std::function<std::unique_ptr<ParameterServer>(const std::string& address)>;

// The ParameterServer that a task offers which may move: first at `address`, and after a call has
// ended UNAVAILABLE wherever `resolver` says, asked again and again, with short pauses,
// until it names another address or a call succeeds. `task` ("ps:1") is for the log.
//
// Calls are not repeated here: one that was lost with its connection ends UNAVAILABLE, and so do
// those that still wait at the old address when the task has moved; who sends them again
// (worker/session.h) reaches the new one. Thread safety: safe from any thread. The destructor ends
// what waits, and must not run inside a `done`.
std::unique_ptr<ParameterServer> NewResolvingChannel(const std::string& task,
                                                     const std::string& address,
                                                     AddressResolver resolver,
                                                     ChannelFactory factory);

}  // namespace parley

#endif  // PARLEY_NET_RESOLVING_CHANNEL_H_
