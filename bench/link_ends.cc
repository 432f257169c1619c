// What stands at the ends of a link of limited rate; bench/rated_link.py makes the link, starts
// this program at both ends, and prints the figures.
//
//   link_ends --role=tcp_server --host=HOST              prints "port PORT"
//   link_ends --role=tcp_client --peer=HOST:PORT         prints "bytes_per_second RATE"
//   link_ends --role=ps --host=HOST                      prints "port PORT"
//   link_ends --role=worker --peer=HOST:PORT --index=0 --workers=1 --tensors=16 --bytes=4194304
//             --steps=10 --optimizer=sgd --transport=grpc
//                                                        prints "seconds SECONDS crc32c CRC"
//
// RATE: payload bytes that a TCP connection carries in one direction while another carries as many
// in the other. SECONDS: the median of a synchronous step that pushes the gradients of all tensors
// and pulls their new values. CRC: of the values at the end, which are a function of the
// flags.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/crc32c.h"
#include "base/keep_freed_memory.h"
#include "gflags/gflags.h"
#include "glog/logging.h"
#include "net/channel.h"
#include "ps/server.h"
#include "worker/client.h"

DEFINE_string(role, "", "tcp_server, tcp_client, ps or worker.");
DEFINE_string(host, "", "Of a server: the IPv4 address to listen at.");
DEFINE_string(peer, "",
              "Of a client: where the server is; of a worker: its shards, by index, with commas.");
DEFINE_int32(index, 0, "Of a worker: which one it is.");
DEFINE_int32(workers, 1, "How many workers the job has.");
DEFINE_string(optimizer, "sgd", "sgd, momentum or adam.");
DEFINE_string(transport, "grpc", "grpc or shm.");
DEFINE_int32(tensors, 16, "How many tensors the model has.");
DEFINE_int64(bytes, 4 << 20, "The size of each in float32.");
DEFINE_int64(block_bytes, 0,
             "Of a worker: the size of a block, and of a request, in float32; 0: the defaults.");
DEFINE_int32(steps, 10, "How many steps are measured, after two that are not.");

namespace parley::bench {
namespace {

constexpr int64_t kTcpBytes = int64_t{64} << 20;
constexpr int kWarmUp = 2;

// Ends the program, with one line, unless `holds`; with what the system says, if it says something.
void Require(bool holds, const std::string& what) {
  if (holds) return;
  const int error = errno;
  std::cerr << "link_ends: " << what;
  if (error != 0) std::cerr << ": " << std::strerror(error);
  std::cerr << std::endl;
  std::_Exit(1);
}

void Check(const absl::Status& status) {
  errno = 0;
  Require(status.ok(), std::string(status.message()));
}

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

sockaddr_in AddressOf(const std::string& host, int port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  Require(inet_pton(AF_INET, host.c_str(), &address.sin_addr) == 1,
          absl::StrCat("not an IPv4 address: ", host));
  return address;
}

void SendAll(int socket, int64_t bytes) {
  const std::vector<char> buffer(1 << 18, 'x');
  while (bytes > 0) {
    const size_t chunk = static_cast<size_t>(std::min<int64_t>(bytes, 1 << 18));
    const ssize_t sent = send(socket, buffer.data(), chunk, MSG_NOSIGNAL);
    Require(sent > 0, "sending");
    bytes -= sent;
  }
}

void ReceiveAll(int socket, int64_t bytes) {
  std::vector<char> buffer(1 << 18);
  while (bytes > 0) {
    const size_t most = static_cast<size_t>(std::min<int64_t>(bytes, 1 << 18));
    const ssize_t received = recv(socket, buffer.data(), most, 0);
    Require(received > 0, "the other end of the link has gone");
    bytes -= received;
  }
}

// Both directions at a time, each on a connection of its own.
void Exchange(int out, int in) {
  std::thread sending([out] { SendAll(out, kTcpBytes); });
  ReceiveAll(in, kTcpBytes);
  sending.join();
}

int RunTcpServer() {
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  Require(listener >= 0, "a socket");
  sockaddr_in address = AddressOf(FLAGS_host, 0);
  Require(bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0, "binding");
  Require(listen(listener, 2) == 0, "listening");
  socklen_t length = sizeof(address);
  Require(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length) == 0, "listening");
  std::cout << "port " << ntohs(address.sin_port) << std::endl;
  const int in = accept(listener, nullptr, nullptr);
  const int out = accept(listener, nullptr, nullptr);
  Require(in >= 0 && out >= 0, "accepting");
  ReceiveAll(in, 1);
  Exchange(out, in);
  ReceiveAll(in, 1);  // the client has all
  return 0;
}

int RunTcpClient() {
  const std::vector<std::string> peer = absl::StrSplit(FLAGS_peer, ':');
  int port = 0;
  Require(peer.size() == 2 && absl::SimpleAtoi(peer[1], &port),
          absl::StrCat("--peer=", FLAGS_peer, " is not host:port"));
  const sockaddr_in address = AddressOf(peer[0], port);
  int sockets[2];
  for (int& each : sockets) {
    each = socket(AF_INET, SOCK_STREAM, 0);
    Require(each >= 0, "a socket");
    Require(connect(each, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0,
            absl::StrCat("connecting to ", FLAGS_peer));
  }
  SendAll(sockets[0], 1);
  const double begin = Now();
  Exchange(sockets[0], sockets[1]);
  const double end = Now();
  SendAll(sockets[0], 1);
  std::cout << "bytes_per_second " << static_cast<double>(kTcpBytes) / (end - begin) << std::endl;
  return 0;
}

int RunPs() {
  ServerOptions options;
  options.address = absl::StrCat(FLAGS_host, ":0");
  options.shared_memory = false;  // there is none across a link
  const auto server = Server::Start(options);
  Check(server.status());
  std::cout << "port " << (*server)->port() << std::endl;
  const pid_t parent = getppid();
  while (!(*server)->WaitUntilDone(absl::Seconds(1))) {
    if (getppid() != parent) return 1;  // nobody is left who could end the job
  }
  (*server)->Stop(absl::Seconds(2));
  return 0;
}

int RunWorker() {
  v1::JobSpec spec;
  spec.set_name("rated_link");
  spec.set_num_workers(FLAGS_workers);
  const std::vector<std::string> peers = absl::StrSplit(FLAGS_peer, ',');
  spec.set_num_shards(static_cast<int>(peers.size()));
  spec.set_block_elements(FLAGS_block_bytes / static_cast<int64_t>(sizeof(float)));
  const size_t size = static_cast<size_t>(FLAGS_bytes) / sizeof(float);
  std::vector<std::vector<float>> memory;
  std::vector<Client::Gradient> gradients;
  std::vector<Client::Target> targets;
  for (int i = 0; i < FLAGS_tensors; ++i) {
    v1::ParameterSpec* const parameter = spec.add_parameters();
    parameter->set_name(absl::StrCat("p", i));
    parameter->add_shape(static_cast<int64_t>(size));
    parameter->set_dtype(v1::FLOAT32);
    for (int side = 0; side < 2; ++side) {
      memory.emplace_back(size, 0.001f);
    }
    gradients.push_back({i, memory[memory.size() - 2]});
    targets.push_back({i, absl::MakeSpan(memory.back())});
  }
  spec.mutable_optimizer()->set_learning_rate(0.01f);
  if (FLAGS_optimizer == "adam") {
    spec.mutable_optimizer()->mutable_adam();
  } else if (FLAGS_optimizer == "momentum") {
    spec.mutable_optimizer()->mutable_momentum();
  } else {
    spec.mutable_optimizer()->mutable_sgd();
  }
  spec.mutable_policy()->mutable_synchronous();
  ChannelOptions channel;
  const auto transport = ParseTransport(FLAGS_transport);
  Check(transport.status());
  channel.transport = *transport;
  ClientOptions options;
  options.worker = FLAGS_index;
  if (FLAGS_block_bytes > 0) options.request_bytes = static_cast<size_t>(FLAGS_block_bytes);
  std::vector<std::shared_ptr<ParameterServer>> shards;
  for (size_t i = 0; i < peers.size(); ++i) {
    shards.push_back(NewChannel(absl::StrCat("ps:", i), peers[i], channel));
  }
  const auto client = Client::Connect(spec, std::move(shards), options);
  Check(client.status());
  std::vector<double> seconds;
  for (int step = 0; step < kWarmUp + FLAGS_steps; ++step) {
    for (const Client::Gradient& gradient : gradients) {
      std::vector<float>& values = memory[2 * static_cast<size_t>(gradient.parameter)];
      for (size_t i = 0; i < size; ++i) {
        values[i] = static_cast<float>((i + 7 * static_cast<size_t>(step)) % 1021) * 0.001f - 0.5f;
      }
    }
    const double begin = Now();
    Check((*client)->PushPull(step, gradients, targets));
    if (step >= kWarmUp) seconds.push_back(Now() - begin);
  }
  std::nth_element(seconds.begin(), seconds.begin() + seconds.size() / 2, seconds.end());
  uint32_t crc = 0;
  for (const Client::Target& target : targets) {
    crc = ExtendCrc32c(crc, target.values.data(), target.values.size() * sizeof(float));
  }
  std::cout << "seconds " << seconds[seconds.size() / 2] << " crc32c " << crc << std::endl;
  Check((*client)->Barrier("end", absl::Seconds(60)));
  Check((*client)->Leave(absl::OkStatus()));
  return 0;
}

int Main() {
  if (FLAGS_role == "tcp_server") return RunTcpServer();
  if (FLAGS_role == "tcp_client") return RunTcpClient();
  if (FLAGS_role == "ps") return RunPs();
  if (FLAGS_role == "worker") return RunWorker();
  std::cerr << "--role=" << FLAGS_role << ": allowed are tcp_server, tcp_client, ps, worker\n";
  return 2;
}

}  // namespace
}  // namespace parley::bench

int main(int argc, char** argv) {
  google::InitGoogleLogging(argv[0]);
  FLAGS_logtostderr = true;
  parley::KeepFreedMemory();
  gflags::ParseCommandLineFlags(&argc, &argv, true);
  return parley::bench::Main();
}
