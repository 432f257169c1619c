#ifndef PARLEY_NET_TESTING_SILENT_LISTENER_H_
#define PARLEY_NET_TESTING_SILENT_LISTENER_H_

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace parley {

// A port of 127.0.0.1 where the system accepts connections and nobody ever says a word. With
// `listening` false nobody accepts either: connections are refused, and no other program gets the
// port meanwhile.
class SilentListener {
 public:
  explicit SilentListener(bool listening) : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    if (bind(fd_, reinterpret_cast<sockaddr*>(&address), size) == 0 &&
        (!listening || listen(fd_, 16) == 0) &&
        getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size) == 0) {
      port_ = ntohs(address.sin_port);
    }
  }
  ~SilentListener() { close(fd_); }
  SilentListener(const SilentListener&) = delete;
  SilentListener& operator=(const SilentListener&) = delete;

  // 0 when it could not be had.
  int port() const { return port_; }

 private:
  const int fd_;
  int port_ = 0;
};

}  // namespace parley

#endif  // PARLEY_NET_TESTING_SILENT_LISTENER_H_
