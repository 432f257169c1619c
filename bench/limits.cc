#include "bench/limits.h"

#include <arpa/inet.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <linux/futex.h>
#include <netinet/tcp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <zmq.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <future>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/aligned_buffer.h"
#include "glog/logging.h"

namespace parley::bench {
namespace {

constexpr double kSeconds = 1;
constexpr size_t kLeastRepetitions = 5;

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// The median of the seconds that `work` takes.
template <typename Work>
double Median(Work work) {
  work();
  std::vector<double> seconds;
  const double end = Now() + kSeconds;
  while (seconds.size() < kLeastRepetitions || Now() < end) {
    const double begin = Now();
    work();
    seconds.push_back(Now() - begin);
  }
  std::nth_element(seconds.begin(), seconds.begin() + seconds.size() / 2, seconds.end());
  return seconds[seconds.size() / 2];
}

AlignedBytes Filled(size_t bytes) {
  AlignedBytes result = NewAlignedBytes(bytes);
  std::memset(result.get(), 0, bytes);
  return result;
}

void SendAll(int fd, const std::byte* data, size_t size) {
  while (size > 0) {
    const ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
    PCHECK(sent > 0);
    data += sent;
    size -= static_cast<size_t>(sent);
  }
}

// False at the end of the stream.
bool ReceiveAll(int fd, std::byte* data, size_t size) {
  while (size > 0) {
    const ssize_t received = recv(fd, data, size, 0);
    if (received == 0) return false;
    PCHECK(received > 0);
    data += received;
    size -= static_cast<size_t>(received);
  }
  return true;
}

}  // namespace

double MemcpyRate(size_t bytes) {
  const AlignedBytes from = Filled(bytes), to = Filled(bytes);
  return static_cast<double>(bytes) / Median([&] { std::memcpy(to.get(), from.get(), bytes); });
}

double TcpRate(size_t bytes) {
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  PCHECK(bind(listener, reinterpret_cast<sockaddr*>(&address), length) == 0);
  PCHECK(listen(listener, 1) == 0);
  PCHECK(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length) == 0);
  std::thread server([&] {
    const int fd = accept(listener, nullptr, nullptr);
    PCHECK(fd >= 0);
    const AlignedBytes buffer = Filled(bytes);
    while (ReceiveAll(fd, buffer.get(), bytes)) SendAll(fd, buffer.get(), bytes);
    close(fd);
  });
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  const int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  PCHECK(connect(fd, reinterpret_cast<sockaddr*>(&address), length) == 0);
  const AlignedBytes out = Filled(bytes), in = Filled(bytes);
  const double seconds = Median([&] {
    SendAll(fd, out.get(), bytes);
    CHECK(ReceiveAll(fd, in.get(), bytes));
  });
  close(fd);
  server.join();
  close(listener);
  return 2 * static_cast<double>(bytes) / seconds;
}

double ZeromqRate(size_t messages, size_t bytes) {
  void* const context = zmq_ctx_new();
  void* const server = zmq_socket(context, ZMQ_ROUTER);
  const int unlimited = 0;
  zmq_setsockopt(server, ZMQ_RCVHWM, &unlimited, sizeof(unlimited));
  zmq_setsockopt(server, ZMQ_SNDHWM, &unlimited, sizeof(unlimited));
  CHECK_EQ(zmq_bind(server, "tcp://127.0.0.1:*"), 0);
  char endpoint[256];
  size_t endpoint_size = sizeof(endpoint);
  zmq_getsockopt(server, ZMQ_LAST_ENDPOINT, endpoint, &endpoint_size);

  const AlignedBytes sums = Filled(messages * bytes);
  std::atomic<bool> stop{false};
  const auto keep = [](void*, void*) {};
  std::thread thread([&] {
    std::string identity(256, '\0');
    size_t next = 0;
    while (!stop) {
      zmq_pollitem_t item = {server, 0, ZMQ_POLLIN, 0};
      if (zmq_poll(&item, 1, 50) <= 0) continue;
      const int identity_size = zmq_recv(server, &identity[0], identity.size(), 0);
      zmq_msg_t part;
      zmq_msg_init(&part);
      CHECK_GE(zmq_msg_recv(&part, server, 0), 0);
      float* const sum = reinterpret_cast<float*>(sums.get() + next * bytes);
      const float* const in = static_cast<const float*>(zmq_msg_data(&part));
      for (size_t i = 0; i < zmq_msg_size(&part) / sizeof(float); ++i) sum[i] += in[i];
      zmq_msg_close(&part);
      next = (next + 1) % messages;
      zmq_send(server, identity.data(), static_cast<size_t>(identity_size), ZMQ_SNDMORE);
      zmq_msg_init_data(&part, sum, bytes, keep, nullptr);
      CHECK_GE(zmq_msg_send(&part, server, 0), 0);
    }
  });

  void* const client = zmq_socket(context, ZMQ_DEALER);
  zmq_setsockopt(client, ZMQ_RCVHWM, &unlimited, sizeof(unlimited));
  zmq_setsockopt(client, ZMQ_SNDHWM, &unlimited, sizeof(unlimited));
  CHECK_EQ(zmq_connect(client, endpoint), 0);
  const AlignedBytes out = Filled(messages * bytes), in = Filled(messages * bytes);
  const double seconds = Median([&] {
    for (size_t i = 0; i < messages; ++i) {
      zmq_msg_t part;
      zmq_msg_init_data(&part, out.get() + i * bytes, bytes, keep, nullptr);
      CHECK_GE(zmq_msg_send(&part, client, 0), 0);
    }
    for (size_t i = 0; i < messages; ++i) {
      zmq_msg_t part;
      zmq_msg_init(&part);
      CHECK_GE(zmq_msg_recv(&part, client, 0), 0);
      std::memcpy(in.get() + i * bytes, zmq_msg_data(&part), zmq_msg_size(&part));
      zmq_msg_close(&part);
    }
  });
  stop = true;
  thread.join();
  zmq_close(client);
  zmq_close(server);
  zmq_ctx_term(context);
  return 2 * static_cast<double>(messages * bytes) / seconds;
}

double FutexRoundTrip() {
  struct Shared {
    std::atomic<uint32_t> ball;
  };
  auto* const shared = static_cast<Shared*>(
      mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  PCHECK(shared != MAP_FAILED);
  const auto wait_for = [&](uint32_t from, uint32_t wanted) {
    while (shared->ball.load(std::memory_order_acquire) != wanted) {
      syscall(SYS_futex, &shared->ball, FUTEX_WAIT, from, nullptr, nullptr, 0);
    }
  };
  const auto pass = [&](uint32_t to) {
    shared->ball.store(to, std::memory_order_release);
    syscall(SYS_futex, &shared->ball, FUTEX_WAKE, 1, nullptr, nullptr, 0);
  };
  constexpr uint32_t kHere = 0, kThere = 1, kEnd = 2;
  std::thread other([&] {
    for (;;) {
      uint32_t ball;
      while ((ball = shared->ball.load(std::memory_order_acquire)) == kHere) {
        syscall(SYS_futex, &shared->ball, FUTEX_WAIT, kHere, nullptr, nullptr, 0);
      }
      if (ball == kEnd) return;
      pass(kHere);
    }
  });
  const double seconds = Median([&] {
    pass(kThere);
    wait_for(kThere, kHere);
  });
  pass(kEnd);
  other.join();
  munmap(shared, sizeof(Shared));
  return seconds;
}

namespace {

class EmptyAnswer : public grpc::ServerGenericBidiReactor {
 public:
  EmptyAnswer() { StartRead(&request_); }
  void OnReadDone(bool) override {
    response_ = grpc::ByteBuffer(nullptr, 0);
    StartWriteAndFinish(&response_, grpc::WriteOptions(), grpc::Status::OK);
  }
  void OnDone() override { delete this; }

 private:
  grpc::ByteBuffer request_, response_;
};

class EmptyService : public grpc::CallbackGenericService {
  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext*) override {
    return new EmptyAnswer();
  }
};

}  // namespace

void AnswerEmptyCalls() {
  EmptyService service;
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterCallbackGenericService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  CHECK(server != nullptr);
  std::cout << "port " << port << std::endl;
  server->Wait();
}

double GrpcRoundTrip(int port) {
  const auto channel =
      grpc::CreateChannel("127.0.0.1:" + std::to_string(port), grpc::InsecureChannelCredentials());
  grpc::GenericStub stub(channel);
  return Median([&] {
    grpc::ClientContext context;
    grpc::ByteBuffer request(nullptr, 0), response;
    std::promise<bool> done;
    stub.UnaryCall(&context, "/bench/Empty", {}, &request, &response,
                   [&](const grpc::Status& status) { done.set_value(status.ok()); });
    CHECK(done.get_future().get());
  });
}

}  // namespace parley::bench
