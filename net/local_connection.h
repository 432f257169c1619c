#ifndef PARLEY_NET_LOCAL_CONNECTION_H_
#define PARLEY_NET_LOCAL_CONNECTION_H_

#include <sys/types.h>

#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/mutex.h"
#include "base/unique_fd.h"
#include "net/shared_ring.h"
#include "proto/local.pb.h"

namespace parley {

// A LocalConnection exchanges LocalFrames, and file descriptors with them, with a task on the same
// host: frames through a SharedRing, which the connecting side makes, descriptors over a Unix
// socket. The socket's end also tells that the peer has gone.
//
// Threads: one of its own, which calls the handler; Send writes from the caller's thread when the
// ring has room, and otherwise leaves the rest to the connection's thread, so it never blocks. A
// peer that does not read ends the connection when 256 MiB of frames wait.
// Thread safety: Send and Close from any thread.
class LocalConnection {
 public:
  // Called by the connection's thread, one call after the other.
  class Handler {
   public:
    virtual ~Handler() = default;
    // An error ends the connection.
    virtual absl::Status OnFrame(v1::LocalFrame frame, UniqueFd fd) = 0;
    // About every tenth of a second.
    virtual void OnTick() {}
    // Once, last: the peer has gone, or Close was called, or a frame was bad.
    virtual void OnClosed(const absl::Status& reason) = 0;
  };

  enum class Role { kConnecting, kAccepting };

  // `socket` is connected; `handler` must outlive the connection.
  LocalConnection(Role role, UniqueFd socket, Handler* handler);
  // Stop.
  ~LocalConnection();
  LocalConnection(const LocalConnection&) = delete;
  LocalConnection& operator=(const LocalConnection&) = delete;

  // Begins to read; before it, only Send may be called.
  void Start();
  // Frames arrive in the order of the calls. `fd` stays the caller's, who keeps it open. Dropped
  // when the connection has ended.
  void Send(const v1::LocalFrame& frame, int fd = -1);
  void Close();
  // Close, and waits for the thread; so not from the handler.
  void Stop();

  // A process of our own user listens at the abstract address `name` on this host: connects to it.
  static absl::StatusOr<UniqueFd> Connect(const std::string& name);
  // Listens there. ALREADY_EXISTS when somebody does.
  static absl::StatusOr<UniqueFd> Listen(const std::string& name);
  // The user at the other end is ours, or root.
  static bool IsOurUser(int socket);
  // Sends a descriptor, with one byte, which never blocks. False when the socket does not take it.
  static bool SendFd(int socket, int fd);

 private:
  struct Outgoing {
    std::string bytes;
    size_t sent = 0;
    int fd = -1;
  };

  void Run();
  // Makes the ring, or waits for the peer's.
  absl::StatusOr<std::unique_ptr<SharedRing>> Meet();
  absl::Status Loop(SharedRing* ring);
  absl::Status Dispatch(std::string* bytes);
  // The next descriptor on the socket.
  absl::StatusOr<UniqueFd> ReceiveFd(int wait_ms);
  // UNAVAILABLE when the peer's end of the socket is closed.
  absl::Status CheckPeer();
  // Writes what the ring takes. False when the connection is broken.
  bool Flush() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Role role_;
  const UniqueFd socket_;
  Handler* const handler_;
  Mutex mutex_;
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
  SharedRing* ring_ ABSL_GUARDED_BY(mutex_) = nullptr;  // Run's
  std::deque<Outgoing> queue_ ABSL_GUARDED_BY(mutex_);
  size_t queued_ ABSL_GUARDED_BY(mutex_) = 0;  // bytes
  std::thread thread_;
};

}  // namespace parley

#endif  // PARLEY_NET_LOCAL_CONNECTION_H_
