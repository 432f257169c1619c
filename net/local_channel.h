#ifndef PARLEY_NET_LOCAL_CHANNEL_H_
#define PARLEY_NET_LOCAL_CHANNEL_H_

#include <memory>
#include <string>

#include "absl/time/time.h"
#include "net/parameter_server.h"
#include "net/shared_arena.h"

namespace parley {

struct LocalChannelOptions {
  // A task that is not on this host is an error of Join, FAILED_PRECONDITION.
  bool required = false;
  // How much longer than its wait_ms a PushPull may take.
  absl::Duration grace = absl::Seconds(5);
};

// The ParameterServer that `remote` reaches, with PushPull through shared memory (local_server.h)
// when Join says that the task is on this host; everything else, and everything when it is not,
// goes through `remote`. `task` ("ps:1") is for the messages of errors.
//
// Slices of a payload that lie in `arena` are lent to the task uncopied, and their owners held
// until it has read them; others are copied into the arena. An answer's payload lies in the task's
// memory, which it writes again once the payload is dropped.
//
// When the task goes, what waits is UNAVAILABLE, and later calls go through `remote`, until a
// Heartbeat says where one that was started again has its socket. A task that
// is there but breaks the connection may still read what it was lent: that memory is never used
// again.
//
// Thread safety: safe from any thread. The destructor ends what waits with CANCELLED.
std::unique_ptr<ParameterServer> NewLocalChannel(const std::string& task,
                                                 std::unique_ptr<ParameterServer> remote,
                                                 std::shared_ptr<SharedArena> arena,
                                                 LocalChannelOptions options = {});

}  // namespace parley

#endif  // PARLEY_NET_LOCAL_CHANNEL_H_
