// How fast parameters go round: workers push gradients of all parameters and pull the new values,
// synchronously, with plain SGD, in processes of their own. Goodput counts the float32 bytes of all
// workers, both ways. One JSON line for each case and limit, the limits measured in the same run.
//
//   push_pull [--cases=SUBSTRING] [--transports=inproc,shm,shm+arena,grpc,grpc+bfloat16]
//             [--limits=memcpy,tcp,zeromq]
//
// A case is TRANSPORT/WORKERSxSHARDS/TENSORSxBYTES. TRANSPORT with "+arena": gradients stand in
// shared memory and parameters are viewed, so nothing is copied; with "+bfloat16": that is how both
// travel, and float32 bytes are counted. Limits: memcpy (bytes copied by one thread),
// tcp and zeromq (bench/limits.h). Lines with the unit "us" are the median round trip of one block
// of 4 KiB; others give a transport's page faults for each GB, and CPU nanoseconds for each byte.
// inproc: shards and workers are threads of one process.

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "base/aligned_buffer.h"
#include "base/env.h"
#include "base/keep_freed_memory.h"
#include "bench/limits.h"
#include "gflags/gflags.h"
#include "glog/logging.h"
#include "net/channel.h"
#include "ps/server.h"
#include "worker/client.h"

DEFINE_string(cases, "", "Only the cases whose names have this part.");
DEFINE_string(transports, "inproc,shm,shm+arena,grpc,grpc+bfloat16",
              "Which transports, comma-separated.");
DEFINE_string(limits, "memcpy,tcp,zeromq", "Which limits of goodput, comma-separated.");
DEFINE_string(role, "",
              "Set by the program for the processes that it starts: ps, worker or empty.");
DEFINE_int32(index, 0, "Set by the program: the task's index.");
DEFINE_string(shards, "", "Set by the program: the shards' addresses.");
DEFINE_string(setting, "", "Set by the program: the case.");

extern char** environ;

namespace parley::bench {
namespace {

struct Setting {
  std::string transport;
  int workers = 1;
  int shards = 1;
  int tensors = 1;
  int64_t bytes = 4096;  // of each tensor

  std::string Name() const {
    return absl::StrCat(transport, "/", workers, "x", shards, "/", tensors, "x", bytes);
  }
  bool Has(const char* option) const { return transport.find(option) != std::string::npos; }
  // Without options.
  std::string Way() const { return transport.substr(0, transport.find('+')); }
  int64_t TotalBytes() const { return tensors * bytes; }
  int Steps() const {
    return static_cast<int>(
        std::clamp<int64_t>(int64_t{6'000'000'000} / (2 * TotalBytes() * workers), 8, 3000));
  }
};

Setting ParseSetting(const std::string& name) {
  Setting setting;
  const std::vector<std::string> parts = absl::StrSplit(name, '/');
  CHECK_EQ(parts.size(), 3u) << name;
  setting.transport = parts[0];
  CHECK_EQ(std::sscanf(parts[1].c_str(), "%dx%d", &setting.workers, &setting.shards), 2);
  long long bytes = 0;
  CHECK_EQ(std::sscanf(parts[2].c_str(), "%dx%lld", &setting.tensors, &bytes), 2);
  setting.bytes = bytes;
  return setting;
}

v1::JobSpec SpecOf(const Setting& setting) {
  v1::JobSpec spec;
  spec.set_name("push_pull");
  spec.set_num_workers(setting.workers);
  spec.set_num_shards(setting.shards);
  for (int i = 0; i < setting.tensors; ++i) {
    v1::ParameterSpec* parameter = spec.add_parameters();
    parameter->set_name(absl::StrCat("p", i));
    parameter->add_shape(setting.bytes / static_cast<int64_t>(sizeof(float)));
    parameter->set_dtype(v1::FLOAT32);
  }
  spec.mutable_optimizer()->set_learning_rate(0.01f);
  spec.mutable_optimizer()->mutable_sgd();
  spec.mutable_policy()->mutable_synchronous();
  return spec;
}

double Now() { return absl::ToDoubleSeconds(Env::Posix()->Now() - absl::UnixEpoch()); }

double MedianOf(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

void Check(const absl::Status& status) { CHECK(status.ok()) << status; }

// A worker's part; `mark` is called before the first measured step and after the last one. Returns
// the median seconds of a step.
template <typename Mark>
double Work(const Setting& setting, int worker,
            std::vector<std::shared_ptr<ParameterServer>> shards,
            std::shared_ptr<SharedArena> arena, Mark mark) {
  const bool in_place = setting.Has("+arena");
  ClientOptions options;
  options.worker = worker;
  options.arena = std::move(arena);
  if (setting.Has("+bfloat16")) options.push_dtype = options.pull_dtype = v1::BFLOAT16;
  const auto client = Client::Connect(SpecOf(setting), std::move(shards), options);
  Check(client.status());
  const size_t size = static_cast<size_t>(setting.bytes) / sizeof(float);
  std::vector<std::shared_ptr<float>> memory;
  std::vector<int> parameters;
  std::vector<Client::Gradient> gradients;
  std::vector<Client::Target> targets;
  for (int i = 0; i < setting.tensors; ++i) {
    for (int side = 0; side < 2; ++side) {
      if (in_place && side == 1) break;
      if (in_place) {
        memory.push_back((*client)->NewBuffer(size));
      } else {
        std::shared_ptr<char> bytes(
            reinterpret_cast<char*>(NewAlignedBytes(size * sizeof(float)).release()),
            FreeDeleter());
        memory.push_back({bytes, reinterpret_cast<float*>(bytes.get())});
      }
      float* const values = memory.back().get();
      std::fill(values, values + size, 0.001f);
      if (side == 0) {
        gradients.push_back({i, absl::MakeConstSpan(values, size)});
      } else {
        targets.push_back({i, absl::MakeSpan(values, size)});
      }
    }
  }
  for (int i = 0; i < setting.tensors; ++i) parameters.push_back(i);
  const int warm_up = std::max(4, setting.Steps() / 4);
  const int steps = setting.Steps();
  std::vector<double> seconds;
  Client::Views views;
  for (int step = 0; step < warm_up + steps; ++step) {
    if (step == warm_up) mark();
    const double begin = Now();
    if (in_place) {
      views = (*client)->PushPullViewsAsync(step, gradients, parameters).get();
      Check(views.status());
    } else {
      Check((*client)->PushPull(step, gradients, targets));
    }
    if (step >= warm_up) seconds.push_back(Now() - begin);
  }
  mark();
  Check((*client)->Barrier("end", absl::Seconds(60)));
  Check((*client)->Leave(absl::OkStatus()));
  return MedianOf(seconds);
}

int RunPs() {
  ServerOptions options;
  options.shard.shard_index = FLAGS_index;
  options.address = "localhost:0";
  const auto server = Server::Start(options);
  Check(server.status());
  std::cout << "port " << (*server)->port() << std::endl;
  while (!(*server)->WaitUntilDone(absl::Seconds(1))) {
    if (getppid() == 1) return 1;  // the benchmark has been killed
  }
  (*server)->Stop(absl::Seconds(2));
  return 0;
}

int RunWorker() {
  const Setting setting = ParseSetting(FLAGS_setting);
  std::vector<std::shared_ptr<ParameterServer>> shards;
  const std::shared_ptr<SharedArena> arena = SharedArena::Create();
  for (const absl::string_view address : absl::StrSplit(FLAGS_shards, ',')) {
    ChannelOptions options;
    options.transport = ParseTransport(setting.Way()).value();
    options.arena = arena;
    shards.push_back(NewChannel(absl::StrCat("ps:", shards.size()), std::string(address), options));
  }
  const double seconds = Work(setting, FLAGS_index, std::move(shards), arena,
                              [] { std::cout << "mark" << std::endl; });
  std::cout << "seconds " << seconds << std::endl;
  return 0;
}

// A process of this program, and the lines it prints.
class Child {
 public:
  explicit Child(const std::vector<std::string>& flags) {
    int ends[2];
    PCHECK(pipe2(ends, O_CLOEXEC) == 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    std::vector<std::string> words = {"push_pull"};
    words.insert(words.end(), flags.begin(), flags.end());
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    CHECK_EQ(posix_spawn(&pid_, "/proc/self/exe", &actions, nullptr, arguments.data(), environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    lines_ = fdopen(ends[0], "r");
  }
  ~Child() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    fclose(lines_);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  // The rest of the next line, which must begin with `word`.
  std::string Expect(const std::string& word) {
    char line[256];
    CHECK(std::fgets(line, sizeof(line), lines_) != nullptr) << "a process ended before: " << word;
    std::string text(line);
    CHECK_EQ(text.compare(0, word.size(), word), 0) << text;
    return text.substr(word.size());
  }
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = 0;
  FILE* lines_ = nullptr;
};

struct Usage {
  double faults = 0;
  double cpu_seconds = 0;
};

Usage UsageOf(pid_t pid) {
  std::ifstream file(absl::StrCat("/proc/", pid, "/stat"));
  std::stringstream text;
  text << file.rdbuf();
  const std::string stat = text.str();
  const std::vector<std::string> fields = absl::StrSplit(stat.substr(stat.rfind(')') + 2), ' ');
  const double tick = static_cast<double>(sysconf(_SC_CLK_TCK));
  return {std::stod(fields[7]), (std::stod(fields[11]) + std::stod(fields[12])) / tick};
}

struct Result {
  double step_seconds = 0;
  Usage usage;  // of all processes, while it was measured
};

Result RunProcesses(const Setting& setting) {
  std::vector<std::unique_ptr<Child>> shards, workers;
  std::vector<std::string> addresses;
  for (int i = 0; i < setting.shards; ++i) {
    shards.push_back(std::make_unique<Child>(
        std::vector<std::string>{"--role=ps", absl::StrCat("--index=", i)}));
  }
  for (const auto& shard : shards) {
    addresses.push_back(absl::StrCat("localhost:", std::stoi(shard->Expect("port "))));
  }
  for (int i = 0; i < setting.workers; ++i) {
    workers.push_back(std::make_unique<Child>(
        std::vector<std::string>{"--role=worker", absl::StrCat("--index=", i),
                                 absl::StrCat("--shards=", absl::StrJoin(addresses, ",")),
                                 absl::StrCat("--setting=", setting.Name())}));
  }
  const auto total = [&] {
    Usage usage;
    for (const auto* group : {&shards, &workers}) {
      for (const auto& child : *group) {
        const Usage one = UsageOf(child->pid());
        usage.faults += one.faults;
        usage.cpu_seconds += one.cpu_seconds;
      }
    }
    return usage;
  };
  for (const auto& worker : workers) worker->Expect("mark");
  const Usage before = total();
  for (const auto& worker : workers) worker->Expect("mark");
  const Usage after = total();
  Result result;
  result.usage = {after.faults - before.faults, after.cpu_seconds - before.cpu_seconds};
  for (const auto& worker : workers) {
    result.step_seconds = std::max(result.step_seconds, std::stod(worker->Expect("seconds ")));
  }
  return result;
}

Result RunThreads(const Setting& setting) {
  std::vector<std::unique_ptr<Server>> servers;
  for (int i = 0; i < setting.shards; ++i) {
    ServerOptions options;
    options.shard.shard_index = i;
    servers.push_back(Server::Start(options).value());
  }
  std::vector<double> seconds(static_cast<size_t>(setting.workers));
  std::vector<Usage> marks;
  std::vector<std::thread> workers;
  for (int i = 0; i < setting.workers; ++i) {
    workers.emplace_back([&, i] {
      std::vector<std::shared_ptr<ParameterServer>> shards;
      for (const auto& server : servers) shards.push_back(server->parameter_server());
      seconds[i] = Work(setting, i, std::move(shards), nullptr, [&] {
        if (i == 0) marks.push_back(UsageOf(getpid()));
      });
    });
  }
  for (std::thread& worker : workers) worker.join();
  Result result;
  result.step_seconds = *std::max_element(seconds.begin(), seconds.end());
  result.usage = {marks[1].faults - marks[0].faults, marks[1].cpu_seconds - marks[0].cpu_seconds};
  return result;
}

void Print(const std::string& name, double figure, const char* unit, const std::string& limit_name,
           double limit) {
  std::cout << absl::StrFormat(
                   "{\"benchmark\": \"push_pull\", \"case\": \"%s\", \"figure\": %.3f, "
                   "\"unit\": \"%s\", \"limit_name\": \"%s\", \"limit\": %.3f, \"ratio\": %.3f}",
                   name, figure, unit, limit_name, limit, limit == 0 ? 0 : figure / limit)
            << std::endl;
}

void Measure(const Setting& setting) {
  const Result result = setting.Way() == "inproc" ? RunThreads(setting) : RunProcesses(setting);
  const std::string name = setting.Name();
  if (setting.TotalBytes() == 4096) {
    Print(name, 1e6 * result.step_seconds, "us", "futex", 1e6 * FutexRoundTrip());
    Child empty({"--role=empty"});
    Print(name, 1e6 * result.step_seconds, "us", "grpc",
          1e6 * GrpcRoundTrip(std::stoi(empty.Expect("port "))));
    return;
  }
  const double moved = 2.0 * static_cast<double>(setting.TotalBytes()) * setting.workers;
  const double rate = moved / result.step_seconds / 1e9;
  const size_t bytes = static_cast<size_t>(setting.TotalBytes());
  const double memcpy = MemcpyRate(std::max(bytes, size_t{64} << 20));
  for (const absl::string_view limit : absl::StrSplit(FLAGS_limits, ',')) {
    if (limit == "memcpy") Print(name, rate, "GB/s", "memcpy", memcpy / 1e9);
    if (limit == "tcp") Print(name, rate, "GB/s", "tcp", TcpRate(bytes) / 1e9);
    if (limit == "zeromq") {
      Print(name, rate, "GB/s", "zeromq",
            ZeromqRate(static_cast<size_t>(setting.tensors), static_cast<size_t>(setting.bytes)) /
                1e9);
    }
  }
  const double all = moved * setting.Steps();
  Print(name, result.usage.faults / (all / 1e9), "page faults/GB", "warm", 100);
  Print(name, 1e9 * result.usage.cpu_seconds / all, "CPU ns/byte", "memcpy", 1e9 / memcpy);
}

int Main() {
  if (FLAGS_role == "ps") return RunPs();
  if (FLAGS_role == "worker") return RunWorker();
  if (FLAGS_role == "empty") {
    AnswerEmptyCalls();
    return 0;
  }
  constexpr int64_t kKiB = 1024, kMiB = 1024 * kKiB;
  const std::vector<Setting> shapes = {
      {"", 1, 1, 1, 4 * kKiB},    {"", 1, 1, 1, 256 * kKiB}, {"", 1, 1, 16, 4 * kMiB},
      {"", 2, 2, 16, 4 * kMiB},   {"", 4, 2, 16, 4 * kMiB},  {"", 1, 1, 1000, 4 * kKiB},
      {"", 1, 1, 1, 1024 * kMiB},
  };
  for (const Setting& shape : shapes) {
    for (const absl::string_view transport : absl::StrSplit(FLAGS_transports, ',')) {
      Setting setting = shape;
      setting.transport = std::string(transport);
      if (setting.Name().find(FLAGS_cases) == std::string::npos) continue;
      Measure(setting);
    }
  }
  return 0;
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
