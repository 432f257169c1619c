#include "net/local_connection.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace parley {
namespace {

constexpr size_t kMaxFrame = size_t{64} << 20;
constexpr size_t kMaxQueued = size_t{256} << 20;
constexpr size_t kReadBytes = size_t{64} << 10;
constexpr size_t kMaxFdsWaiting = 16;
constexpr int kTickMs = 100;

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

LocalConnection::LocalConnection(UniqueFd socket, Handler* handler)
    : socket_(std::move(socket)), wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)), handler_(handler) {
  fcntl(socket_.get(), F_SETFL, fcntl(socket_.get(), F_GETFL) | O_NONBLOCK);
}

LocalConnection::~LocalConnection() {
  Close();
  if (thread_.joinable()) thread_.join();
}

void LocalConnection::Start() {
  thread_ = std::thread([this] { Run(); });
}

void LocalConnection::Wake() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(wake_.get(), &one, sizeof(one));
}

void LocalConnection::Close() {
  MutexLock lock(&mutex_);
  closing_ = true;
  Wake();
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
  if (queue_.size() > 1) return;  // the thread is waiting for room
  if (!Flush() || queued_ > kMaxQueued) closing_ = true;
  if (closing_ || !queue_.empty()) Wake();
}

bool LocalConnection::Flush() {
  while (!queue_.empty()) {
    Outgoing& next = queue_.front();
    iovec piece = {next.bytes.data() + next.sent, next.bytes.size() - next.sent};
    msghdr message = {};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    if (next.fd >= 0 && next.sent == 0) {
      message.msg_control = control;
      message.msg_controllen = sizeof(control);
      cmsghdr* const header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN(sizeof(int));
      std::memcpy(CMSG_DATA(header), &next.fd, sizeof(int));
    }
    const ssize_t sent = sendmsg(socket_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return errno == EAGAIN || errno == EWOULDBLOCK;
    next.sent += static_cast<size_t>(sent);
    queued_ -= static_cast<size_t>(sent);
    if (next.sent == next.bytes.size()) queue_.pop_front();
  }
  return true;
}

void LocalConnection::Run() {
  const absl::Status reason = Loop();
  {
    MutexLock lock(&mutex_);
    closing_ = true;
    queue_.clear();
  }
  shutdown(socket_.get(), SHUT_RDWR);  // the peer hears of it now
  handler_->OnClosed(reason);
}

absl::Status LocalConnection::Loop() {
  Incoming incoming;
  for (;;) {
    bool writing;
    {
      MutexLock lock(&mutex_);
      if (closing_) return absl::CancelledError("local socket: closed");
      writing = !queue_.empty();
    }
    pollfd fds[] = {{socket_.get(), static_cast<short>(POLLIN | (writing ? POLLOUT : 0)), 0},
                    {wake_.get(), POLLIN, 0}};
    const int ready = poll(fds, 2, handler_->wants_ticks() ? kTickMs : -1);
    if (ready < 0 && errno != EINTR) return SystemError("poll");
    if ((fds[1].revents & POLLIN) != 0) {
      uint64_t count;
      [[maybe_unused]] const ssize_t size = read(wake_.get(), &count, sizeof(count));
    }
    if ((fds[0].revents & POLLOUT) != 0) {
      MutexLock lock(&mutex_);
      if (!Flush()) return SystemError("send");
    }
    if ((fds[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0) {
      PARLEY_RETURN_IF_ERROR(Receive(&incoming));
      PARLEY_RETURN_IF_ERROR(Dispatch(&incoming));
    }
    handler_->OnTick();
  }
}

absl::Status LocalConnection::Receive(Incoming* incoming) {
  const size_t had = incoming->bytes.size();
  incoming->bytes.resize(had + kReadBytes);
  iovec piece = {incoming->bytes.data() + had, kReadBytes};
  msghdr message = {};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxFdsWaiting)] = {};
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  const ssize_t size = recvmsg(socket_.get(), &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  incoming->bytes.resize(had + static_cast<size_t>(std::max<ssize_t>(0, size)));
  if (size < 0) {
    const bool again = errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
    return again ? absl::OkStatus() : SystemError("receive");
  }
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
      incoming->fds.emplace_back(fd);
    }
  }
  if (size == 0) return absl::UnavailableError("local socket: the peer has gone");
  if (incoming->fds.size() > kMaxFdsWaiting) {
    return absl::InvalidArgumentError("local socket: too many file descriptors");
  }
  return absl::OkStatus();
}

absl::Status LocalConnection::Dispatch(Incoming* incoming) {
  size_t begin = 0;
  const std::string& bytes = incoming->bytes;
  uint32_t size;
  while (bytes.size() - begin >= sizeof(size)) {
    std::memcpy(&size, bytes.data() + begin, sizeof(size));
    if (size > kMaxFrame) {
      return absl::InvalidArgumentError(absl::StrCat("local socket: a frame of ", size, " bytes"));
    }
    if (bytes.size() - begin - sizeof(size) < size) break;
    v1::LocalFrame frame;
    if (!frame.ParseFromArray(bytes.data() + begin + sizeof(size), static_cast<int>(size))) {
      return absl::InvalidArgumentError("local socket: a malformed frame");
    }
    begin += sizeof(size) + size;
    UniqueFd fd;
    // The system keeps descriptors in the order of the bytes they came with.
    if (frame.has_segment() && !incoming->fds.empty()) {
      fd = std::move(incoming->fds.front());
      incoming->fds.pop_front();
    }
    PARLEY_RETURN_IF_ERROR(handler_->OnFrame(std::move(frame), std::move(fd)));
  }
  incoming->bytes.erase(0, begin);
  return absl::OkStatus();
}

}  // namespace parley
