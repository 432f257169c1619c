// The rows of bench/table_link.cc from a Redis instead, over loopback: values of 64 bytes by keys
// of 8, asked for in pipelined MGETs of 1024, requests of 16384 uniform keys. One JSON line a case.
//
//   pull, push    several requests under way; a push is a SET of each row (MSET of 1024)
//   pull_alone    one after another: how long each takes
//
// Starts the redis-server that --server names, with nothing on disk, and ends it.
//
// --server=/usr/bin/redis-server --port=16379 --rows=1000000 --seconds=3 --under_way=2
#include <arpa/inet.h>
#include <gflags/gflags.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <deque>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status.h"
#include "net/table_placement.h"

DEFINE_string(server, "/usr/bin/redis-server", "the program");
DEFINE_int32(port, 16379, "where it listens");
DEFINE_int64(rows, 1'000'000, "that it has");
DEFINE_double(seconds, 3, "of each case");
DEFINE_int32(under_way, 2, "requests");

namespace parley {
namespace {

constexpr size_t kRowBytes = 64;  // width 16
constexpr size_t kBatch = 16384;
constexpr size_t kCommand = 1024;  // keys of an MGET
constexpr size_t kBatches = 64;    // different ones

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

uint64_t KeyOf(uint64_t row) { return MixKey(row + 0x9e3779b97f4a7c15); }

void AppendBulk(const void* data, size_t size, std::string* to) {
  absl::StrAppend(to, "$", size, "\r\n");
  to->append(static_cast<const char*>(data), size);
  *to += "\r\n";
}

std::string MGets(const std::vector<uint64_t>& keys) {
  std::string text;
  for (size_t i = 0; i < keys.size(); i += kCommand) {
    const size_t size = std::min(kCommand, keys.size() - i);
    absl::StrAppend(&text, "*", size + 1, "\r\n$4\r\nMGET\r\n");
    for (size_t j = i; j < i + size; ++j) AppendBulk(&keys[j], sizeof(keys[j]), &text);
  }
  return text;
}

std::string MSets(const std::vector<uint64_t>& keys, const std::vector<char>& rows) {
  std::string text;
  for (size_t i = 0; i < keys.size(); i += kCommand) {
    const size_t size = std::min(kCommand, keys.size() - i);
    absl::StrAppend(&text, "*", 2 * size + 1, "\r\n$4\r\nMSET\r\n");
    for (size_t j = i; j < i + size; ++j) {
      AppendBulk(&keys[j], sizeof(keys[j]), &text);
      AppendBulk(rows.data() + j * kRowBytes, kRowBytes, &text);
    }
  }
  return text;
}

// A connection: what is sent is answered in its order.
class Connection {
 public:
  ~Connection() {
    if (fd_ >= 0) close(fd_);
  }

  // Waits until the server listens.
  absl::Status Connect() {
    for (int tries = 0; tries < 500; ++tries) {
      fd_ = socket(AF_INET, SOCK_STREAM, 0);
      sockaddr_in address = {};
      address.sin_family = AF_INET;
      address.sin_port = htons(static_cast<uint16_t>(FLAGS_port));
      address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      if (connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0) {
        const int on = 1;
        setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        return absl::OkStatus();
      }
      close(fd_);
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return absl::UnavailableError(absl::StrCat("nobody listens at port ", FLAGS_port));
  }
  absl::Status Send(const std::string& text) {
    for (size_t sent = 0; sent < text.size();) {
      const ssize_t some = send(fd_, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
      if (some <= 0) return absl::UnavailableError("the connection was lost");
      sent += static_cast<size_t>(some);
    }
    return absl::OkStatus();
  }
  // The answers to MGETs of `keys` keys in all.
  absl::Status TakeRows(size_t keys, char* rows) {
    for (size_t taken = 0; taken < keys;) {
      PARLEY_RETURN_IF_ERROR(Line('*'));
      const size_t size = std::min(kCommand, keys - taken);
      if (number_ != static_cast<int64_t>(size)) return Unexpected();
      for (size_t i = 0; i < size; ++i, ++taken) {
        PARLEY_RETURN_IF_ERROR(Line('$'));
        if (number_ != static_cast<int64_t>(kRowBytes)) return Unexpected();
        PARLEY_RETURN_IF_ERROR(Need(kRowBytes + 2));
        std::memcpy(rows + taken * kRowBytes, buffer_.data() + begin_, kRowBytes);
        begin_ += kRowBytes + 2;
      }
    }
    return absl::OkStatus();
  }
  // Those to MSETs.
  absl::Status TakeOks(size_t keys) {
    for (size_t taken = 0; taken < keys; taken += kCommand) PARLEY_RETURN_IF_ERROR(Line('+'));
    return absl::OkStatus();
  }

 private:
  static absl::Status Unexpected() {
    return absl::InternalError("an answer that was not expected");
  }

  absl::Status Need(size_t bytes) {
    while (end_ - begin_ < bytes) {
      if (buffer_.size() - end_ < (size_t{1} << 16)) {
        std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
        end_ -= begin_;
        begin_ = 0;
      }
      const ssize_t some = recv(fd_, buffer_.data() + end_, buffer_.size() - end_, 0);
      if (some <= 0) return absl::UnavailableError("the connection was lost");
      end_ += static_cast<size_t>(some);
    }
    return absl::OkStatus();
  }
  // A line that begins with `type`; sets number_ where it has one.
  absl::Status Line(char type) {
    for (size_t size = 3;; ++size) {
      PARLEY_RETURN_IF_ERROR(Need(size));
      const char* const line = buffer_.data() + begin_;
      if (line[0] != type) return Unexpected();
      if (line[size - 1] != '\n') continue;
      number_ = std::strtoll(line + 1, nullptr, 10);
      begin_ += size;
      return absl::OkStatus();
    }
  }

  int fd_ = -1;
  std::vector<char> buffer_ = std::vector<char>(size_t{1} << 20);
  size_t begin_ = 0;  // read and not taken
  size_t end_ = 0;
  int64_t number_ = 0;
};

// Asks and takes on one thread, as a worker does that has a few requests under way.
template <typename Text, typename Take>
absl::Status Measure(const std::string& name, size_t under_way, Connection* connection, Text text,
                     Take take) {
  std::deque<Clock::time_point> begins;
  std::vector<double> latencies;
  size_t next = 0;
  const Clock::time_point began = Clock::now();
  while (SecondsSince(began) < FLAGS_seconds) {
    while (begins.size() < under_way) {
      begins.push_back(Clock::now());
      PARLEY_RETURN_IF_ERROR(connection->Send(text(next++)));
    }
    PARLEY_RETURN_IF_ERROR(take());
    latencies.push_back(SecondsSince(begins.front()));
    begins.pop_front();
  }
  const double seconds = SecondsSince(began);
  for (; !begins.empty(); begins.pop_front()) PARLEY_RETURN_IF_ERROR(take());
  const double count = static_cast<double>(latencies.size());
  std::sort(latencies.begin(), latencies.end());
  const auto quantile = [&](double q) {
    return latencies[static_cast<size_t>(q * (count - 1))] * 1e6;
  };
  std::cout << absl::StrFormat(
                   "{\"benchmark\": \"redis_link\", \"case\": \"%s\", \"rows_per_second\": %.3g, "
                   "\"p50_us\": %.0f, \"p99_us\": %.0f}\n",
                   name, count * kBatch / seconds, quantile(0.5), quantile(0.99))
            << std::flush;
  return absl::OkStatus();
}

absl::Status Run() {
  Connection connection;
  PARLEY_RETURN_IF_ERROR(connection.Connect());
  std::vector<char> rows(kBatch * kRowBytes, 'x');
  std::vector<uint64_t> keys;
  for (int64_t row = 0; row < FLAGS_rows;) {
    keys.clear();
    for (; row < FLAGS_rows && keys.size() < kBatch; ++row) {
      keys.push_back(KeyOf(static_cast<uint64_t>(row)));
    }
    PARLEY_RETURN_IF_ERROR(connection.Send(MSets(keys, rows)));
    PARLEY_RETURN_IF_ERROR(connection.TakeOks(keys.size()));
  }
  uint64_t random = 1;
  std::vector<std::vector<uint64_t>> batches(kBatches);
  for (std::vector<uint64_t>& batch : batches) {
    for (size_t j = 0; j < kBatch; ++j) {
      batch.push_back(KeyOf(MixKey(random++) % static_cast<uint64_t>(FLAGS_rows)));
    }
  }
  const size_t under_way = static_cast<size_t>(std::max(1, FLAGS_under_way));
  const auto ask = [&](size_t i) { return MGets(batches[i % kBatches]); };
  const auto take = [&] { return connection.TakeRows(kBatch, rows.data()); };
  PARLEY_RETURN_IF_ERROR(Measure("pull", under_way, &connection, ask, take));
  PARLEY_RETURN_IF_ERROR(Measure("pull_alone", 1, &connection, ask, take));
  return Measure(
      "push", under_way, &connection, [&](size_t i) { return MSets(batches[i % kBatches], rows); },
      [&] { return connection.TakeOks(kBatch); });
}

}  // namespace
}  // namespace parley

int main(int argc, char** argv) {
  gflags::SetUsageMessage("measures a Redis's rows on their way");
  gflags::ParseCommandLineFlags(&argc, &argv, true);
  const std::string port = absl::StrCat(FLAGS_port);
  const pid_t server = fork();
  if (server == 0) {
    execl(FLAGS_server.c_str(), FLAGS_server.c_str(), "--port", port.c_str(), "--bind", "127.0.0.1",
          "--save", "", "--appendonly", "no", "--loglevel", "warning", static_cast<char*>(nullptr));
    std::cerr << "redis_link: cannot start " << FLAGS_server << std::endl;
    _exit(1);
  }
  const absl::Status status = parley::Run();
  if (server > 0) {
    kill(server, SIGTERM);
    waitpid(server, nullptr, 0);
  }
  if (!status.ok()) std::cerr << "redis_link: " << status << std::endl;
  return status.ok() ? 0 : 1;
}
