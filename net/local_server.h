#ifndef PARLEY_NET_LOCAL_SERVER_H_
#define PARLEY_NET_LOCAL_SERVER_H_

#include <list>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "net/parameter_server.h"
#include "net/shared_arena.h"
#include "net/transport_counts.h"

namespace parley {

// A LocalServer takes PushPulls from workers on the same host, whose gradients it finds in their
// shared memory, and answers from its own: values that lie in `arena` travel uncopied, others are
// copied into it. A piece that is not inside the worker's memory, or any other fault in a frame,
// ends that worker's connection; the worker then goes on over gRPC.
//
// A gradient's memory belongs to the worker until the ParameterServer has dropped the payload,
// which the worker is told. When a worker goes, what it has lent stays mapped for as long as it is
// read.
//
// Threads: one that accepts, and one for each connection. Thread safety: safe from any thread. Does
// not own the ParameterServer, which must live until the destructor has returned.
class LocalServer {
 public:
  // An address that nobody has, here or on another host.
  static std::string NewName();

  // Listens on `name`, from NewName. Counts requests and payloads in `counts`, if not null.
  static absl::StatusOr<std::unique_ptr<LocalServer>> Start(
      const std::string& name, ParameterServer* server, std::shared_ptr<SharedArena> arena,
      std::shared_ptr<TransportCounts> counts = nullptr);
  // Ends all connections; nobody calls the ParameterServer after it.
  ~LocalServer();

 private:
  class Peer;

  LocalServer(UniqueFd listener, ParameterServer* server, std::shared_ptr<SharedArena> arena,
              std::shared_ptr<TransportCounts> counts);
  void Accept();

  const UniqueFd listener_;
  const UniqueFd stop_;  // an eventfd
  ParameterServer* const server_;
  const std::shared_ptr<SharedArena> arena_;
  const std::shared_ptr<TransportCounts> counts_;
  std::list<std::unique_ptr<Peer>> peers_;  // the accepting thread's; the destructor's after it
  std::thread thread_;
};

}  // namespace parley

#endif  // PARLEY_NET_LOCAL_SERVER_H_
