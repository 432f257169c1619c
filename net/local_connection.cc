#include "net/local_connection.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/env.h"
#include "base/status.h"

namespace parley {
namespace {

constexpr size_t kMaxFrame = size_t{64} << 20;
constexpr size_t kMaxQueued = size_t{256} << 20;
constexpr int kTickMs = 100;
constexpr int kMeetMs = 5000;  // how long the peer may take to send its ring

absl::Status SystemError(absl::string_view what) {
  return absl::UnavailableError(absl::StrCat("local socket: ", what, ": ", strerror(errno)));
}

// An abstract address: it has no file, and goes when its socket does.
socklen_t AbstractAddress(const std::string& name, sockaddr_un* address) {
  *address = {};
  address->sun_family = AF_UNIX;
  const size_t size = std::min(name.size(), sizeof(address->sun_path) - 1);
  std::memcpy(address->sun_path + 1, name.data(), size);
  return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + size);
}

}  // namespace

absl::StatusOr<UniqueFd> LocalConnection::Connect(const std::string& name) {
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return SystemError("socket");
  sockaddr_un address;
  const socklen_t length = AbstractAddress(name, &address);
  if (connect(socket.get(), reinterpret_cast<sockaddr*>(&address), length) != 0) {
    return SystemError("connect");
  }
  if (!IsOurUser(socket.get())) {
    return absl::PermissionDeniedError("local socket: another user listens there");
  }
  return socket;
}

absl::StatusOr<UniqueFd> LocalConnection::Listen(const std::string& name) {
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.valid()) return SystemError("socket");
  sockaddr_un address;
  const socklen_t length = AbstractAddress(name, &address);
  if (bind(socket.get(), reinterpret_cast<sockaddr*>(&address), length) != 0) {
    if (errno == EADDRINUSE) return absl::AlreadyExistsError("local socket: its name is taken");
    return SystemError("bind");
  }
  if (listen(socket.get(), SOMAXCONN) != 0) return SystemError("listen");
  return socket;
}

bool LocalConnection::IsOurUser(int socket) {
  ucred peer = {};
  socklen_t length = sizeof(peer);
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return false;
  return peer.uid == geteuid() || peer.uid == 0;
}

LocalConnection::LocalConnection(Role role, UniqueFd socket, Handler* handler)
    : role_(role), socket_(std::move(socket)), handler_(handler) {
  fcntl(socket_.get(), F_SETFL, fcntl(socket_.get(), F_GETFL) | O_NONBLOCK);
}

LocalConnection::~LocalConnection() { Stop(); }

void LocalConnection::Stop() {
  Close();
  if (thread_.joinable()) thread_.join();
}

void LocalConnection::Start() {
  thread_ = std::thread([this] { Run(); });
}

void LocalConnection::Close() {
  MutexLock lock(&mutex_);
  closing_ = true;
  if (ring_ != nullptr) ring_->Wake();
}

void LocalConnection::Send(const v1::LocalFrame& frame, int fd) {
  Outgoing outgoing;
  outgoing.fd = fd;
  const uint32_t size = static_cast<uint32_t>(frame.ByteSizeLong());
  outgoing.bytes.resize(sizeof(size) + size);
  std::memcpy(outgoing.bytes.data(), &size, sizeof(size));
  frame.SerializeWithCachedSizesToArray(
      reinterpret_cast<uint8_t*>(outgoing.bytes.data() + sizeof(size)));
  MutexLock lock(&mutex_);
  if (closing_) return;
  queued_ += outgoing.bytes.size();
  queue_.push_back(std::move(outgoing));
  if (ring_ == nullptr || queue_.size() > 1) return;  // the thread goes on with them
  if (!Flush() || queued_ > kMaxQueued) closing_ = true;
  if (closing_ || !queue_.empty()) ring_->Wake();
}

bool LocalConnection::Flush() {
  while (!queue_.empty()) {
    Outgoing& next = queue_.front();
    if (next.fd >= 0 && next.sent == 0) {
      if (!SendFd(socket_.get(), next.fd)) return false;
      next.fd = -1;
    }
    const absl::StatusOr<size_t> sent =
        ring_->Write(next.bytes.data() + next.sent, next.bytes.size() - next.sent);
    if (!sent.ok()) return false;
    next.sent += *sent;
    queued_ -= *sent;
    if (next.sent < next.bytes.size()) return true;
    queue_.pop_front();
  }
  return true;
}

void LocalConnection::Run() {
  absl::StatusOr<std::unique_ptr<SharedRing>> ring = Meet();
  absl::Status reason = ring.status();
  if (ring.ok()) {
    {
      MutexLock lock(&mutex_);
      ring_ = ring->get();
    }
    reason = Loop(ring->get());
  }
  {
    MutexLock lock(&mutex_);
    closing_ = true;
    ring_ = nullptr;
    queue_.clear();
  }
  shutdown(socket_.get(), SHUT_RDWR);  // the peer hears of it now
  if (ring.ok()) (*ring)->WakePeer();
  handler_->OnClosed(reason);
}

absl::StatusOr<std::unique_ptr<SharedRing>> LocalConnection::Meet() {
  if (role_ == Role::kAccepting) {
    PARLEY_ASSIGN_OR_RETURN(UniqueFd fd, ReceiveFd(kMeetMs));
    return SharedRing::Map(std::move(fd));
  }
  PARLEY_ASSIGN_OR_RETURN(std::unique_ptr<SharedRing> ring, SharedRing::Create());
  if (!SendFd(socket_.get(), ring->fd())) return SystemError("send");
  return ring;
}

absl::Status LocalConnection::Loop(SharedRing* ring) {
  std::string incoming;
  absl::Time next_tick = absl::InfinitePast();
  for (;;) {
    const uint32_t bell = ring->Bell();
    bool writing;
    {
      MutexLock lock(&mutex_);
      if (closing_) return absl::CancelledError("local socket: closed");
      if (!Flush()) return absl::UnavailableError("local socket: the peer cannot be written to");
      writing = !queue_.empty();
    }
    const size_t had = incoming.size();
    PARLEY_RETURN_IF_ERROR(ring->Read(&incoming));
    if (incoming.size() > had) {
      PARLEY_RETURN_IF_ERROR(Dispatch(&incoming));
    } else if (!ring->Wait(bell, writing, absl::Milliseconds(kTickMs))) {
      PARLEY_RETURN_IF_ERROR(CheckPeer());
    }
    const absl::Time now = Env::Posix()->Now();
    if (now >= next_tick) {
      next_tick = now + absl::Milliseconds(kTickMs);
      handler_->OnTick();
    }
  }
}

absl::Status LocalConnection::CheckPeer() {
  char byte;
  const ssize_t size = recv(socket_.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  if (size > 0 || (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))) {
    return absl::OkStatus();
  }
  return absl::UnavailableError("local socket: the peer has gone");
}

bool LocalConnection::SendFd(int socket, int fd) {
  char byte = 0;
  iovec piece = {&byte, 1};
  msghdr message = {};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  cmsghdr* const header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(header), &fd, sizeof(int));
  ssize_t sent;
  do {
    sent = sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (sent < 0 && errno == EINTR);
  return sent == 1;
}

absl::StatusOr<UniqueFd> LocalConnection::ReceiveFd(int wait_ms) {
  for (int waited = 0; waited <= wait_ms; waited += kTickMs) {
    {
      MutexLock lock(&mutex_);
      if (closing_) return absl::CancelledError("local socket: closed");
    }
    pollfd ready = {socket_.get(), POLLIN, 0};
    if (poll(&ready, 1, std::min(kTickMs, wait_ms)) <= 0) continue;
    char byte;
    iovec piece = {&byte, 1};
    msghdr message = {};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    const ssize_t size = recvmsg(socket_.get(), &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (size < 0) {
      if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) continue;
      return SystemError("receive");
    }
    if (size == 0) return absl::UnavailableError("local socket: the peer has gone");
    const cmsghdr* const header = CMSG_FIRSTHDR(&message);
    if (header == nullptr || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS ||
        header->cmsg_len != CMSG_LEN(sizeof(int))) {
      break;
    }
    int fd;
    std::memcpy(&fd, CMSG_DATA(header), sizeof(int));
    return UniqueFd(fd);
  }
  return absl::InvalidArgumentError("local socket: the peer sends no file descriptor");
}

absl::Status LocalConnection::Dispatch(std::string* bytes) {
  size_t begin = 0;
  uint32_t size;
  while (bytes->size() - begin >= sizeof(size)) {
    std::memcpy(&size, bytes->data() + begin, sizeof(size));
    if (size > kMaxFrame) {
      return absl::InvalidArgumentError(absl::StrCat("local socket: a frame of ", size, " bytes"));
    }
    if (bytes->size() - begin - sizeof(size) < size) break;
    v1::LocalFrame frame;
    if (!frame.ParseFromArray(bytes->data() + begin + sizeof(size), static_cast<int>(size))) {
      return absl::InvalidArgumentError("local socket: a malformed frame");
    }
    begin += sizeof(size) + size;
    UniqueFd fd;
    if (frame.has_segment()) {
      PARLEY_ASSIGN_OR_RETURN(fd, ReceiveFd(0));  // it was sent before the frame
    }
    PARLEY_RETURN_IF_ERROR(handler_->OnFrame(std::move(frame), std::move(fd)));
  }
  bytes->erase(0, begin);
  return absl::OkStatus();
}

}  // namespace parley
